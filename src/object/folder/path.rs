//! Which keys a folder can hold, and what the file system's errors mean.
//!
//! A key is refused when a path cannot be that key and nothing else: `.` and `..`, empty
//! segments (`a//b`), a leading or trailing slash, NUL, more than 1,024 bytes, the store's
//! own `.aftertake`. A symbolic link below the root is never followed, wherever it leads (`dir`).

use std::io;
use std::path::Path;

use crate::model::failure::{Failure, FailureKind};

/// The store's own directory below the root.
pub(super) const OWN: &str = ".aftertake";

/// The longest key in bytes, as in OBS.
const KEY_LIMIT: usize = 1024;

/// The names that `key` consists of: at least one, none of which leads anywhere else.
pub(super) fn names_of(key: &str) -> Result<std::str::Split<'_, char>, Failure> {
    match fault(key) {
        None => Ok(key.split('/')),
        Some(fault) => {
            let reason = format!("key {key:?} cannot be kept in a folder: {fault}");
            Err(Failure::new(FailureKind::Invalid, reason))
        }
    }
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

pub(super) fn linked(path: &Path) -> Failure {
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
    if key.contains('\0') {
        return Some("it has a character that no file name can have");
    }
    key.split('/').find_map(|segment| match segment {
        "" => Some("it has an empty segment"),
        "." | ".." => Some("it has a . or .. segment"),
        // A file system may take both for one.
        _ if segment.eq_ignore_ascii_case(OWN) => {
            Some("it is in .aftertake, which the store keeps for itself")
        }
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
            ".AfterTake/x",
            &long,
        ] {
            let failure = names_of(key).unwrap_err();
            assert_eq!(failure.kind, FailureKind::Invalid, "{key:?}");
        }
    }

    #[test]
    fn key_is_its_path_character_for_character() {
        let key = "录制/room 01/a+b%20?c#(1)!..mp4";
        let names: Vec<_> = names_of(key).unwrap().collect();
        assert_eq!(names, ["录制", "room 01", "a+b%20?c#(1)!..mp4"]);
    }
}
