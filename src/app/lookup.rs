//! Lets rules files take values from the process's environment.

use std::path::Path;

use crate::config::Environment;
use crate::model::bucket::Whereabouts;
use crate::object::folder;
use crate::rules::file::Lookup;

impl Lookup for Environment {
    fn get(&self, name: &str) -> Option<String> {
        Self::get(self, name)
    }

    fn file(&self, path: &str) -> Result<String, String> {
        Self::file(self, path)
    }

    fn exposed(&self, path: &str) -> Option<String> {
        Self::exposed(self, path)
    }

    fn locate(&self, path: &Path) -> Whereabouts {
        folder::locate(path)
    }
}
