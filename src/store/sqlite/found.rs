//! What the service found at the path of its store. Nothing is lost without a trace: a path with a
//! typing error, or a file that somebody has emptied, is served as a new store.

use std::fs;
use std::path::Path;

use super::lock::Lock;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    Store,
    /// No file, and nobody has served a store of this name.
    Nothing,
    /// A file of 0 bytes.
    Empty,
    /// No file, but a store of this name was served.
    Gone,
}

impl Found {
    /// To be called before the store is created.
    pub(super) fn at(path: &Path, lock: &Lock) -> Self {
        match fs::metadata(path).map(|meta| meta.len()) {
            Ok(0) => Self::Empty,
            Ok(_) => Self::Store,
            Err(_) if lock.is_new() => Self::Nothing,
            Err(_) => Self::Gone,
        }
    }
}
