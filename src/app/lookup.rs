//! Rules files take values from the process's environment.

use std::path::Path;

use crate::config::Environment;
use crate::model::bucket::Whereabouts;
use crate::object::folder;
use crate::rules::file::Lookup;
use crate::yaml::variables::Variables;

impl Variables for Environment {
    fn get(&self, name: &str) -> Option<String> {
        Self::get(self, name)
    }

    fn file(&self, path: &str) -> Result<String, String> {
        Self::file(self, path)
    }

    fn exposed(&self, path: &str) -> Option<String> {
        Self::exposed(self, path)
    }
}

impl Lookup for Environment {
    fn locate(&self, path: &Path) -> Whereabouts {
        folder::locate(path)
    }
}
