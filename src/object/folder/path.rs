//! Which keys a folder can hold, where they stand, and what the file system's errors mean.
//!
//! A key is refused when a path cannot be that key and nothing else: `.` and `..`, empty
//! segments (`a//b`), a leading or trailing slash, NUL, more than 1,024 bytes, the store's
//! own `.aftertake`. A symbolic link below the root is never followed, wherever it leads.

use std::io;
use std::path::{Path, PathBuf};

use crate::model::failure::{Failure, FailureKind};

/// The store's own directory below the root.
pub(super) const OWN: &str = ".aftertake";

/// The longest key in bytes, as in OBS.
const KEY_LIMIT: usize = 1024;

/// The path of `key` below `root`. Every part of it that exists is no symbolic link.
pub(super) fn of_key(root: &Path, key: &str) -> Result<PathBuf, Failure> {
    if let Some(fault) = fault(key) {
        let reason = format!("key {key:?} cannot be kept in a folder: {fault}");
        return Err(Failure::new(FailureKind::Invalid, reason));
    }
    let mut path = root.to_owned();
    for segment in key.split('/') {
        path.push(segment);
        match path.symlink_metadata() {
            Ok(found) if found.is_symlink() => return Err(linked(&path)),
            Ok(_) => {}
            Err(error) if is_absent(&error) => break,
            Err(error) => return Err(failure(&path, &error)),
        }
    }
    Ok(root.join(key))
}

/// A place below the store's own directory, which is no symbolic link either: what is made there
/// has to be moved into the bucket in one step.
pub(super) fn own(root: &Path, names: &[&str]) -> Result<PathBuf, Failure> {
    let mut path = root.join(OWN);
    refuse_link(&path)?;
    for name in names {
        path.push(name);
        refuse_link(&path)?;
    }
    Ok(path)
}

fn refuse_link(path: &Path) -> Result<(), Failure> {
    if path.is_symlink() {
        return Err(linked(path));
    }
    Ok(())
}

/// Whether the error says that nothing stands at a path.
pub(super) fn is_absent(error: &io::Error) -> bool {
    // `a/b` is absent, too, when `a` is a file.
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// What an error of the file system means.
pub(super) fn failure(path: &Path, error: &io::Error) -> Failure {
    use io::ErrorKind::{
        AlreadyExists, DirectoryNotEmpty, InvalidFilename, InvalidInput, IsADirectory,
        NotADirectory, NotFound, PermissionDenied,
    };
    let kind = match error.kind() {
        NotFound => FailureKind::Missing,
        PermissionDenied => FailureKind::Denied,
        InvalidFilename | InvalidInput => FailureKind::Invalid,
        // One key names an object and another, below it, needs a folder of that name.
        AlreadyExists | IsADirectory | NotADirectory | DirectoryNotEmpty => FailureKind::Conflict,
        _ => FailureKind::Storage,
    };
    Failure::new(kind, format!("{}: {error}", path.display()))
}

fn linked(path: &Path) -> Failure {
    let reason = format!(
        "{} is a symbolic link, which a folder bucket does not follow; make it a directory or a mount",
        path.display()
    );
    Failure::new(FailureKind::Forbidden, reason)
}

fn fault(key: &str) -> Option<&'static str> {
    if key.len() > KEY_LIMIT {
        return Some("it is longer than 1024 bytes");
    }
    if key.contains('\0') || (cfg!(windows) && key.contains(['\\', ':'])) {
        return Some("it has a character that no file name can have");
    }
    key.split('/').find_map(|segment| match segment {
        "" => Some("it has an empty segment"),
        "." | ".." => Some("it has a . or .. segment"),
        OWN => Some("it is in .aftertake, which the store keeps for itself"),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_that_no_path_can_be_is_refused() {
        let long = "x".repeat(1025);
        for key in [
            "",
            "/etc/passwd",
            "a//b",
            "a/",
            "../x",
            "a/../../x",
            "./a",
            "a\0b",
            ".aftertake/x",
            "a/.aftertake",
            &long,
        ] {
            let failure = of_key(Path::new("/r"), key).unwrap_err();
            assert_eq!(failure.kind, FailureKind::Invalid, "{key:?}");
        }
    }

    #[test]
    fn key_is_its_path_character_for_character() {
        let key = "录制/room 01/a+b%20?c#(1)!..mp4";
        assert_eq!(
            of_key(Path::new("/r"), key).unwrap(),
            Path::new("/r").join(key)
        );
    }
}
