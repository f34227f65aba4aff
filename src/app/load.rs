//! Reads the rules file: at start, at a reload, and for commands.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::string::FromUtf8Error;

use crate::config::Environment;
use crate::model::bucket::Whereabouts;
use crate::object::folder;
use crate::rules::error::RulesError;
use crate::rules::file::{self, Lookup, RulesFile};
use crate::yaml::variables::Variables;

/// Messages are complete; `source()` is empty on purpose.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("read rules file {}: {cause}", path.display())]
    Unreadable { path: PathBuf, cause: io::Error },
    #[error("read rules file {}: {cause}", path.display())]
    NotText { path: PathBuf, cause: FromUtf8Error },
    #[error(transparent)]
    Wrong(#[from] RulesError),
}

pub fn read(path: &Path) -> Result<Vec<u8>, LoadError> {
    fs::read(path).map_err(|cause| LoadError::Unreadable {
        path: path.to_owned(),
        cause,
    })
}

pub fn text(path: &Path, content: Vec<u8>) -> Result<String, LoadError> {
    String::from_utf8(content).map_err(|cause| LoadError::NotText {
        path: path.to_owned(),
        cause,
    })
}

/// Parses the rules file; relative paths in it start from the folder of `path`.
pub fn parse(path: &Path, text: &str, lookup: &dyn Lookup) -> Result<RulesFile, RulesError> {
    let base = path.parent().unwrap_or(Path::new(""));
    file::parse(&path.display().to_string(), text, base, lookup)
}

/// Parses `content` as the rules file at `path`, and logs its warnings.
pub fn load(path: &Path, content: Vec<u8>, lookup: &dyn Lookup) -> Result<RulesFile, LoadError> {
    let file = parse(path, &text(path, content)?, lookup)?;
    for warning in &file.warnings {
        tracing::warn!("{}:{warning}", path.display());
    }
    Ok(file)
}

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
