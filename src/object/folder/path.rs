//! Which keys a folder can hold, and what file system errors mean.
//!
//! A key is refused when it is not exactly a path: `.` and `..`, empty segments (`a//b`), a leading
//! or trailing slash, NUL, more than 1,024 bytes, or the store's own `.aftertake`. Symbolic links
//! below the root are never followed (`dir`).

use std::io;
use std::path::Path;

use rustix::io::Errno;

use crate::model::failure::{Failure, FailureKind};

/// The store's own directory below the root.
pub(super) const OWN: &str = ".aftertake";

/// In bytes, as in OBS.
const KEY_LIMIT: usize = 1024;

/// The segments of `key`: at least one, and none leads elsewhere.
pub(super) fn names_of(key: &str) -> Result<std::str::Split<'_, char>, Failure> {
    match fault(key) {
        None => Ok(key.split('/')),
        Some(fault) => {
            let reason = format!("key {key:?} cannot be kept in a folder: {fault}");
            Err(Failure::new(FailureKind::Invalid, reason))
        }
    }
}

pub(super) fn is_absent(error: &io::Error) -> bool {
    // `a/b` is absent, too, when `a` is a file.
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

pub(super) fn failure(path: &Path, error: &io::Error) -> Failure {
    let kind = of_disk(error).unwrap_or_else(|| of_file(error));
    Failure::new(kind, format!("{}: {error}", path.display()))
}

/// The failure of an operation in the bucket's root or the store's own directory: missing
/// permission there affects every object, and so does what vanishes there.
pub(super) fn failure_of_all(path: &Path, error: &io::Error) -> Failure {
    let failure = failure(path, error);
    match failure.kind {
        FailureKind::Denied => {
            let reason = format!(
                "{}; let the user that aftertake runs as read and write it",
                failure.reason
            );
            Failure::new(FailureKind::Credentials, reason)
        }
        FailureKind::Missing => Failure::new(FailureKind::Away, failure.reason),
        _ => failure,
    }
}

/// The kind of an error that affects, or may affect, the whole bucket.
fn of_disk(error: &io::Error) -> Option<FailureKind> {
    Some(match Errno::from_io_error(error)? {
        Errno::NOSPC | Errno::DQUOT | Errno::ROFS => FailureKind::Unwritable,
        // The network mount's server, or the program that serves it, is down.
        Errno::NOTCONN
        | Errno::HOSTDOWN
        | Errno::HOSTUNREACH
        | Errno::NETDOWN
        | Errno::NETUNREACH
        | Errno::CONNREFUSED
        | Errno::CONNRESET
        | Errno::CONNABORTED => FailureKind::Unreachable,
        Errno::TIMEDOUT => FailureKind::Timeout,
        // One file or the whole disk: other objects' errors will show which.
        Errno::IO | Errno::STALE | Errno::NODEV | Errno::NXIO => FailureKind::Unavailable,
        _ => return None,
    })
}

fn of_file(error: &io::Error) -> FailureKind {
    use io::ErrorKind::{
        AlreadyExists, DirectoryNotEmpty, FileTooLarge, InvalidFilename, InvalidInput,
        IsADirectory, NotADirectory, NotFound, PermissionDenied,
    };
    match error.kind() {
        NotFound => FailureKind::Missing,
        PermissionDenied => FailureKind::Denied,
        InvalidFilename | InvalidInput => FailureKind::Invalid,
        FileTooLarge => FailureKind::Unsupported,
        // A file and a directory would need the same name: `a` and `a/b`.
        AlreadyExists | IsADirectory | NotADirectory | DirectoryNotEmpty => FailureKind::Conflict,
        _ => FailureKind::Storage,
    }
}

/// Whether the whole disk refuses writes.
pub(super) fn is_unwritable(error: &io::Error) -> bool {
    of_disk(error) == Some(FailureKind::Unwritable)
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
        // A file system may treat both as the same.
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
    fn error_of_the_disk_is_none_of_one_object() {
        let kind = |number: Errno| failure(Path::new("/b"), &number.into()).kind;
        for (number, expected) in [
            (Errno::NOSPC, FailureKind::Unwritable),
            (Errno::DQUOT, FailureKind::Unwritable),
            (Errno::ROFS, FailureKind::Unwritable),
            (Errno::NOTCONN, FailureKind::Unreachable),
            (Errno::HOSTDOWN, FailureKind::Unreachable),
            (Errno::TIMEDOUT, FailureKind::Timeout),
            (Errno::IO, FailureKind::Unavailable),
            (Errno::STALE, FailureKind::Unavailable),
            (Errno::ACCESS, FailureKind::Denied),
            (Errno::FBIG, FailureKind::Unsupported),
            (Errno::NAMETOOLONG, FailureKind::Invalid),
            // A limit of this process, not of the bucket.
            (Errno::MFILE, FailureKind::Storage),
        ] {
            assert_eq!(kind(number), expected, "{number}");
        }
        let closed = failure_of_all(Path::new("/b"), &Errno::ACCESS.into());
        assert_eq!(closed.kind, FailureKind::Credentials);
        let vanished = failure_of_all(Path::new("/b"), &Errno::NOENT.into());
        assert_eq!(vanished.kind, FailureKind::Away);
        let full = failure_of_all(Path::new("/b"), &Errno::NOSPC.into());
        assert_eq!(full.kind, FailureKind::Unwritable);
    }

    #[test]
    fn key_is_its_path_character_for_character() {
        let key = "录制/room 01/a+b%20?c#(1)!..mp4";
        let names: Vec<_> = names_of(key).unwrap().collect();
        assert_eq!(names, ["录制", "room 01", "a+b%20?c#(1)!..mp4"]);
    }
}
