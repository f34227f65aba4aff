//! Which directory a folder bucket is.
//!
//! A directory that is missing or empty may be that of a disk that is not mounted. Then it says
//! nothing about the bucket's objects. So the first use of a bucket writes an id into its directory,
//! and notes the id outside of it ([`Identities`]). From then on, only a directory with this id is
//! the bucket. While there is none, every operation fails as [`FailureKind::Away`].
//!
//! Reading from an empty directory does not make it the bucket, as there is nothing to lose: when the
//! disk is mounted later, its directory becomes the bucket. A directory that cannot be written can be
//! read without an id: nothing moves out of it or into it.
//!
//! A directory may have several ids, one a line: services with a store each may share it.

use std::ffi::OsStr;
use std::fmt;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;

use super::dir::{Dir, OWN as OWN_MODE};
use super::part::Part;
use super::path::{OWN, failure_of_all};
use crate::clock;
use crate::model::failure::{Failure, FailureKind};

/// Name of the file with the id, inside the store's own directory.
const NAME: &str = "bucket-id";

/// How many bytes of the file are read.
const LONGEST: u64 = 10_000;

/// Held while a directory gets its id: it may be opened twice at the same time.
static ADOPTING: Mutex<()> = Mutex::new(());

/// What the operation that needs the directory does with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Read,
    Write,
}

/// Remembers the ids of buckets, also when their directories are away.
#[async_trait]
pub trait Identities: fmt::Debug + Send + Sync {
    /// The noted id of this bucket. If there is none, durably notes `found` as its id first.
    async fn noted(&self, bucket: &str, found: Option<&str>) -> Result<Option<String>, Failure>;
}

/// The id of the directory `root`, which gets one if it has none; `None` if it needs none yet.
pub(super) fn adopt(root: &Dir, purpose: Purpose) -> Result<Option<String>, Failure> {
    let _alone = ADOPTING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(id) = first(root)? {
        return Ok(Some(id));
    }
    if purpose == Purpose::Read && root.names()?.is_empty() {
        return Ok(None);
    }
    match write(root, clock::random_id()) {
        Err(failure) if purpose == Purpose::Read && is_read_only(&failure) => Ok(None),
        written => written.map(Some),
    }
}

/// Durably writes the id, unless another process has just written one. Returns the one that is there.
fn write(root: &Dir, id: String) -> Result<String, Failure> {
    let mut part = Part::new(root, &format!("{NAME}."), OWN_MODE)?;
    let written = writeln!(part.file, "{id}");
    written.map_err(|error| part.failure(&error))?;
    part.sync()?;
    let own = root.made(OsStr::new(OWN), OWN_MODE)?;
    if let Err(error) = part.link(&own, OsStr::new(NAME)) {
        if let Some(other) = first(root)? {
            return Ok(other);
        }
        // There is a file without an id, or the file system has no links.
        tracing::debug!(%error, "the id of a folder bucket is renamed into place");
        let placed = part.place(&own, OsStr::new(NAME));
        placed.map_err(|error| failure_of_all(&own.path_of(OsStr::new(NAME)), &error))?;
    }
    own.sync()?;
    Ok(id)
}

fn is_read_only(failure: &Failure) -> bool {
    matches!(
        failure.kind,
        FailureKind::Unwritable | FailureKind::Credentials
    )
}

/// Fails unless `root`, which is at `path`, has this id.
pub(super) fn recognise(root: &Dir, path: &Path, id: &str) -> Result<(), Failure> {
    let found = read(root)?;
    if found.iter().any(|found| found == id) {
        return Ok(());
    }
    Err(another(path, id, &found))
}

fn first(root: &Dir) -> Result<Option<String>, Failure> {
    Ok(read(root)?.into_iter().next())
}

/// The ids of a directory.
fn read(root: &Dir) -> Result<Vec<String>, Failure> {
    let Some(own) = root.directory(OsStr::new(OWN))? else {
        return Ok(Vec::new());
    };
    let Some((file, _)) = own.file(OsStr::new(NAME))? else {
        return Ok(Vec::new());
    };
    let mut text = Vec::new();
    let read = file.take(LONGEST).read_to_end(&mut text);
    read.map_err(|error| failure_of_all(&own.path_of(OsStr::new(NAME)), &error))?;
    let text = String::from_utf8_lossy(&text);
    let ids = text.lines().map(str::trim).filter(|id| !id.is_empty());
    Ok(ids.map(str::to_owned).collect())
}

/// The failure while no directory is at `path`.
pub(super) fn missing(path: &Path) -> Failure {
    let reason = format!(
        "no directory is at {}, so nobody knows what the bucket holds: mount its disk, move it back, or make it",
        path.display()
    );
    Failure::new(FailureKind::Away, reason)
}

/// The failure while another directory than that with the bucket's id is at `path`.
fn another(path: &Path, id: &str, found: &[String]) -> Failure {
    let file = path.join(OWN).join(NAME);
    let has = match found {
        [] => format!("it has no id in {}", file.display()),
        found => format!("{} has the id {}", file.display(), found.join(" and ")),
    };
    let reason = format!(
        "the directory at {} is not the bucket's: {has}, and the bucket's id is {id}; mount its disk, or move it \
         back. If this directory is the bucket from now on, add the line {id} to {}",
        path.display(),
        file.display()
    );
    Failure::new(FailureKind::Away, reason)
}
