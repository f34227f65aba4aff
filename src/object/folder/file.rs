//! Files and directories: what the folder's operations are made of.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use super::path::{failure, is_absent};
use super::sidecar::hex;
use crate::model::failure::Failure;

/// The file at `path`; `None` when there is none, or a folder.
pub(super) fn file_at(path: &Path) -> Result<Option<Metadata>, Failure> {
    match path.symlink_metadata() {
        Ok(found) => Ok(found.is_file().then_some(found)),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(failure(path, &error)),
    }
}

/// The names in a folder; none when there is no folder.
pub(super) fn entries(folder: &Path) -> Result<Vec<std::ffi::OsString>, Failure> {
    let names = fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| entry.map(|e| e.file_name())).collect());
    match names {
        Err(error) if is_absent(&error) => Ok(Vec::new()),
        other => other.map_err(|error| failure(folder, &error)),
    }
}

pub(super) fn remove(path: &Path) -> Result<(), Failure> {
    match fs::remove_file(path) {
        Err(error) if !is_absent(&error) => Err(failure(path, &error)),
        _ => Ok(()),
    }
}

/// Renames a synced file to `path`, over whatever file is there, durably. A deletion may
/// remove the folder while it is still empty, so it is made again a few times.
pub(super) fn move_into_place(mut part: NamedTempFile, path: &Path) -> Result<(), Failure> {
    let folder = path.parent().unwrap_or(path);
    let mut tries = 0;
    loop {
        tries += 1;
        let error = match make_folder(folder) {
            Ok(()) => match part.persist(path) {
                Ok(_) => return sync_dir(folder).map_err(|error| failure(folder, &error)),
                Err(refused) => {
                    part = refused.file;
                    refused.error
                }
            },
            Err(error) => error,
        };
        if error.kind() != io::ErrorKind::NotFound || tries == 10 {
            return Err(failure(path, &error));
        }
    }
}

/// Makes `folder` and those above it; each new one is synced into the one above it.
fn make_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let above = folder.parent().unwrap_or(folder);
    make_folder(above)?;
    match fs::create_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists || !folder.is_dir() => {
            Err(error)
        }
        _ => sync_dir(above),
    }
}

pub(super) fn sync_dir(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// The first half of the content's SHA-256.
pub(super) fn digest(path: &Path) -> Result<String, Failure> {
    let mut hash = Sha256::new();
    let mut file = File::open(path).map_err(|error| failure(path, &error))?;
    let mut buffer = vec![0; 128 * 1024];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hex(&hash.finalize()[..16])),
            Ok(read) => hash.update(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failure(path, &error)),
        }
    }
}
