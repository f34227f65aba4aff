//! Which directory a folder bucket is.
//!
//! A directory that is missing or empty may be that of a disk that is not mounted. Then it says
//! nothing about the bucket's objects. So the first use of a bucket writes an id into its directory,
//! and notes the id outside of it ([`Identities`]). From then on, only a directory with this id is
//! the bucket. While there is none, every operation fails as [`FailureKind::Away`].

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
const LONGEST: u64 = 100;

/// Held while a directory gets its id: two buckets may be opened on it at the same time.
static ADOPTING: Mutex<()> = Mutex::new(());

/// Remembers the ids of buckets, also when their directories are away.
#[async_trait]
pub trait Identities: fmt::Debug + Send + Sync {
    /// The noted id of this bucket. If there is none, durably notes `found` as its id first.
    async fn noted(&self, bucket: &str, found: Option<&str>) -> Result<Option<String>, Failure>;
}

/// The id of the directory `root`, which gets one if it has none.
pub(super) fn adopt(root: &Dir) -> Result<String, Failure> {
    let _alone = ADOPTING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(id) = read(root)? {
        return Ok(id);
    }
    let id = clock::random_id();
    let mut part = Part::new(root, &format!("{NAME}."), OWN_MODE)?;
    let written = writeln!(part.file, "{id}");
    written.map_err(|error| part.failure(&error))?;
    part.sync()?;
    let own = root.made(OsStr::new(OWN), OWN_MODE)?;
    let placed = part.place(&own, OsStr::new(NAME));
    placed.map_err(|error| failure_of_all(&own.path_of(OsStr::new(NAME)), &error))?;
    own.sync()?;
    Ok(id)
}

/// Fails unless `root`, which is at `path`, has this id.
pub(super) fn recognise(root: &Dir, path: &Path, id: &str) -> Result<(), Failure> {
    match read(root)? {
        Some(found) if found == id => Ok(()),
        found => Err(another(path, id, found.as_deref())),
    }
}

fn read(root: &Dir) -> Result<Option<String>, Failure> {
    let Some(own) = root.directory(OsStr::new(OWN))? else {
        return Ok(None);
    };
    let Some((file, _)) = own.file(OsStr::new(NAME))? else {
        return Ok(None);
    };
    let mut text = Vec::new();
    let read = file.take(LONGEST).read_to_end(&mut text);
    read.map_err(|error| failure_of_all(&own.path_of(OsStr::new(NAME)), &error))?;
    let id = String::from_utf8_lossy(&text).trim().to_owned();
    Ok((!id.is_empty()).then_some(id))
}

/// The failure while no directory is at `path`.
pub(super) fn missing(path: &Path) -> Failure {
    let reason = format!(
        "no directory is at {}, so nobody knows what the bucket holds: mount its disk, move it back, or make it",
        path.display()
    );
    Failure::new(FailureKind::Away, reason)
}

/// The failure before it is known which directory the bucket is.
pub(super) fn unknown(path: &Path) -> Failure {
    let reason = format!("nobody knows yet which directory is at {}", path.display());
    Failure::new(FailureKind::Away, reason)
}

/// The failure while another directory than that with the bucket's id is at `path`.
fn another(path: &Path, id: &str, found: Option<&str>) -> Failure {
    let file = path.join(OWN).join(NAME);
    let has = match found {
        Some(found) => format!("{} has the id {found:?}", file.display()),
        None => format!("it has no {}", file.display()),
    };
    let reason = format!(
        "the directory at {} is not the bucket's: {has}, and the bucket's id is {id}; mount its disk, or move it \
         back. If this directory is the bucket from now on, write {id} to {}",
        path.display(),
        file.display()
    );
    Failure::new(FailureKind::Away, reason)
}
