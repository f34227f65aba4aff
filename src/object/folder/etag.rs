//! The `ETag` of a file: a digest of its content.

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use sha2::{Digest, Sha256};

use super::sidecar::hex;

/// Larger files' digests are cached. Smaller files are cheap to read, and reading them also detects
/// a change within one tick of the file system's clock.
const REMEMBER_ABOVE: u64 = 1024 * 1024;

/// When the cache has this many digests, it is cleared.
const REMEMBERED: usize = 4096;

/// Digests of large files by key, valid while size and modification time stay the same.
#[derive(Debug, Default)]
pub(super) struct Etags(Mutex<HashMap<String, (u64, SystemTime, String)>>);

impl Etags {
    pub(super) fn of(&self, key: &str, file: &mut File, found: &Metadata) -> io::Result<String> {
        if found.len() <= REMEMBER_ABOVE {
            return digest(file);
        }
        let seen = (found.len(), found.modified()?);
        if let Some((size, time, etag)) = self.known().get(key)
            && (*size, *time) == seen
        {
            return Ok(etag.clone());
        }
        let etag = digest(file)?;
        let mut known = self.known();
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(key.to_owned(), (seen.0, seen.1, etag.clone()));
        Ok(etag)
    }

    pub(super) fn forget(&self, key: &str) {
        self.known().remove(key);
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<String, (u64, SystemTime, String)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first half of the SHA-256 of the rest of the file.
pub(super) fn digest(file: &mut impl Read) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 128 * 1024];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hex(&hash.finalize()[..16])),
            Ok(read) => hash.update(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
