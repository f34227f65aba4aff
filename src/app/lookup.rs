//! Lets rules files take values from the process's environment.

use crate::config::Environment;
use crate::rules::file::Lookup;

impl Lookup for Environment {
    fn get(&self, name: &str) -> Option<String> {
        Self::get(self, name)
    }

    fn file(&self, path: &str) -> Result<String, String> {
        Self::file(self, path)
    }
}
