//! A configured bucket. Nothing outside of these is ever touched.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use super::failure::{Failure, FailureKind};

#[derive(Debug, Clone)]
pub struct Bucket {
    /// Its key in the file; also the bucket's name at the store.
    pub name: String,
    pub store: BucketStore,
    /// Allowed prefixes of source and target keys; empty allows every key.
    pub only_under: Vec<String>,
    /// Steps that run at a time, and requests at a time within one step.
    pub concurrency: u32,
    /// How long after its event we wait for a missing source.
    pub source_grace: Duration,
    pub tag_limits: TagLimits,
}

/// The kind of storage.
#[derive(Debug, Clone)]
pub enum BucketStore {
    /// A directory used as a bucket.
    Folder {
        path: PathBuf,
    },
    Obs(Box<ObsBucket>),
}

/// Identifies a file or directory of this machine, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileId {
    pub device: u64,
    pub inode: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whereabouts {
    /// Without `.` and `..`, and with links resolved as far as the path exists.
    pub path: PathBuf,
    /// The directory itself, if it exists.
    pub own: Option<FileId>,
    /// Its existing parent directories.
    pub above: Vec<FileId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overlap {
    Same,
    /// This one is inside the other.
    Inside,
    /// The other is inside this one.
    Around,
}

impl Whereabouts {
    /// From the path alone, if the file system cannot be asked.
    pub fn by_name(path: &Path) -> Self {
        let mut plain = PathBuf::new();
        for component in path.components() {
            match component {
                Component::CurDir => {}
                Component::ParentDir if plain.file_name().is_some_and(|name| name != "..") => {
                    plain.pop();
                }
                other => plain.push(other),
            }
        }
        Self {
            path: plain,
            own: None,
            above: Vec::new(),
        }
    }

    /// Whether the file system was asked and has no such directory.
    pub fn is_absent(&self) -> bool {
        self.own.is_none() && !self.above.is_empty()
    }

    /// Whether this directory and `other` share files.
    pub fn overlap(&self, other: &Self) -> Option<Overlap> {
        let same = |one: &Self| one.own.is_some() && one.own == other.own;
        if self.path == other.path || same(self) {
            return Some(Overlap::Same);
        }
        if self.is_inside(other) {
            return Some(Overlap::Inside);
        }
        other.is_inside(self).then_some(Overlap::Around)
    }

    fn is_inside(&self, other: &Self) -> bool {
        self.path.starts_with(&other.path) || other.own.is_some_and(|id| self.above.contains(&id))
    }
}

/// A bucket of Huawei Cloud OBS or a compatible server.
#[derive(Debug, Clone)]
pub struct ObsBucket {
    pub endpoint: Url,
    pub access_key: String,
    pub secret_key: SecretString,
    pub security_token: Option<SecretString>,
    pub addressing: Addressing,
    /// In bytes; larger objects are copied in parts.
    pub copy_part_above: u64,
    /// Size of a copied part in bytes.
    pub part_size: u64,
    pub timeouts: Timeouts,
}

/// Timeouts of requests to OBS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Connecting, including TLS.
    pub connect: Duration,
    /// A response that needs no work at the server.
    pub answer: Duration,
    /// A copy: the status may come at once, and the body only after up to 5 GiB are copied.
    pub copy: Duration,
    /// How long a request whose response was lost, or whose sender is gone, may still take effect.
    /// OBS refuses a request whose date is more than 15 minutes off (`RequestTimeTooSkewed`), so it
    /// starts none later: <https://support.huaweicloud.com/intl/en-us/api-obs/obs_04_0115.html>.
    pub lifetime: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            answer: Duration::from_mins(1),
            copy: Duration::from_mins(20),
            lifetime: Duration::from_mins(15),
        }
    }
}

/// Where a request's URL has the bucket's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addressing {
    /// In the host name, as OBS requires.
    Virtual,
    /// In the path, for test servers and IP addresses.
    Path,
}

/// Limits of object tags at a site. Lengths are in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TagLimits {
    pub tags: usize,
    pub key: usize,
    pub value: usize,
}

impl TagLimits {
    /// `*.myhuaweicloud.com`, according to its console guides of 2025-12 and 2026-02.
    pub const HUAWEI: Self = Self {
        tags: 10,
        key: 36,
        value: 255,
    };
    /// Other OBS sites, according to the EU and OTC documents.
    pub const ELSEWHERE: Self = Self {
        tags: 10,
        key: 36,
        value: 43,
    };
}

impl Bucket {
    /// Whether `only_under` allows this key.
    pub fn allows(&self, key: &str) -> bool {
        self.only_under.is_empty() || self.only_under.iter().any(|prefix| key.starts_with(prefix))
    }

    /// Fails if `only_under` does not allow this key.
    pub fn permit(&self, key: &str) -> Result<(), Failure> {
        let Self {
            name, only_under, ..
        } = self;
        if self.allows(key) {
            return Ok(());
        }
        let reason = format!(
            "{name}/{key} is outside only_under of bucket {name:?} ({})",
            only_under.join(", "),
        );
        Err(Failure::new(FailureKind::Forbidden, reason))
    }
}

/// The bucket with this name in the rules file.
pub fn named<'a, B>(buckets: &'a BTreeMap<String, B>, name: &str) -> Result<&'a B, Failure> {
    buckets.get(name).ok_or_else(|| {
        let reason = format!("bucket {name:?} is not in the rules file");
        Failure::new(FailureKind::Forbidden, reason)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(path: &str, own: u64, above: &[u64]) -> Whereabouts {
        let id = |inode| FileId { device: 1, inode };
        Whereabouts {
            path: path.into(),
            own: (own > 0).then(|| id(own)),
            above: above.iter().map(|inode| id(*inode)).collect(),
        }
    }

    #[test]
    fn directories_overlap_by_name_and_by_what_they_are() {
        use Overlap::{Around, Inside, Same};
        let recordings = directory("/srv/r", 7, &[1, 2]);
        for (other, expected) in [
            (directory("/srv/r", 0, &[]), Some(Same)),
            (directory("/mnt/r", 7, &[1, 3]), Some(Same)),
            (directory("/srv", 2, &[1]), Some(Inside)),
            (directory("/mnt", 2, &[9]), Some(Inside)),
            (directory("/srv/r/old", 0, &[1, 2, 7]), Some(Around)),
            (directory("/mnt/old", 8, &[1, 7]), Some(Around)),
            (directory("/srv/r2", 8, &[1, 2]), None),
            (directory("/srv/later", 0, &[1, 2]), None),
        ] {
            assert_eq!(recordings.overlap(&other), expected, "{other:?}");
        }
    }

    #[test]
    fn name_of_a_directory_is_made_plain() {
        for (path, plain) in [
            ("/srv/./r/", "/srv/r"),
            ("/srv/x/../r", "/srv/r"),
            ("a/b/../../r", "r"),
            ("../r", "../r"),
            ("../../r", "../../r"),
        ] {
            assert_eq!(Whereabouts::by_name(Path::new(path)).path, Path::new(plain));
        }
    }

    #[test]
    fn bucket_without_prefixes_allows_every_key() {
        let mut bucket = Bucket {
            name: "b".into(),
            store: BucketStore::Folder { path: "p".into() },
            only_under: vec![],
            concurrency: 1,
            source_grace: Duration::ZERO,
            tag_limits: TagLimits::HUAWEI,
        };
        assert!(bucket.allows("x"));
        bucket.only_under = vec!["a/".into(), "b/".into()];
        assert!(bucket.allows("b/x") && !bucket.allows("c/x") && !bucket.allows("a"));
    }
}
