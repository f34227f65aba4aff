//! A configured bucket: the only places that are ever touched.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use super::failure::{Failure, FailureKind};

/// A bucket of the rules file.
#[derive(Debug, Clone)]
pub struct Bucket {
    /// Its key in the file, which is the bucket's name at the store.
    pub name: String,
    pub store: BucketStore,
    /// Prefixes that source and target keys must have; empty allows every key.
    pub only_under: Vec<String>,
    /// Steps at a time, and requests at a time within one step.
    pub concurrency: u32,
    /// How long after its event a missing source is waited for.
    pub source_grace: Duration,
    pub tag_limits: TagLimits,
}

/// What is behind a bucket.
#[derive(Debug, Clone)]
pub enum BucketStore {
    /// A directory that behaves as a bucket.
    Folder {
        path: PathBuf,
    },
    Obs(Box<ObsBucket>),
}

/// A file or directory of this machine, whatever its name: no two have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileId {
    pub device: u64,
    pub inode: u64,
}

/// Where a folder bucket's directory is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whereabouts {
    /// Without `.` and `..`, and links followed as far as the path exists.
    pub path: PathBuf,
    /// The directory itself, when it exists.
    pub own: Option<FileId>,
    /// Those above it that exist.
    pub above: Vec<FileId>,
}

/// How one directory holds another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overlap {
    /// They are one.
    Same,
    /// It is inside the other.
    Inside,
    /// The other is inside it.
    Around,
}

impl Whereabouts {
    /// What the name alone says, when the file system cannot be asked.
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

    /// Whether files of this directory are files of `other`, too.
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

/// A bucket at Huawei Cloud OBS or a server that speaks its protocol.
#[derive(Debug, Clone)]
pub struct ObsBucket {
    pub endpoint: Url,
    pub access_key: String,
    pub secret_key: SecretString,
    pub security_token: Option<SecretString>,
    pub addressing: Addressing,
    /// Larger objects are copied by parts; bytes.
    pub copy_part_above: u64,
    /// Bytes of one copied part.
    pub part_size: u64,
    pub timeouts: Timeouts,
}

/// How long requests to OBS may take until they count as lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection, TLS included.
    pub connect: Duration,
    /// For an answer that needs no work at the server.
    pub answer: Duration,
    /// For a copy: the status may come at once and the body when up to 5 GiB are copied.
    pub copy: Duration,
    /// For its effect, once its answer is lost or its sender is gone. OBS refuses a request
    /// whose date is further away than 15 minutes (`RequestTimeTooSkewed`), and begins none
    /// later: <https://support.huaweicloud.com/intl/en-us/api-obs/obs_04_0115.html>.
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

/// Where the bucket stands in a request's URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addressing {
    /// In the host name: what OBS demands.
    Virtual,
    /// In the path: for test servers and IP endpoints.
    Path,
}

/// What a site accepts as object tags. Lengths count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TagLimits {
    /// Tags on one object.
    pub tags: usize,
    pub key: usize,
    pub value: usize,
}

impl TagLimits {
    /// `*.myhuaweicloud.com`, as its console guides of 2025-12 and 2026-02 say.
    pub const HUAWEI: Self = Self {
        tags: 10,
        key: 36,
        value: 255,
    };
    /// Other OBS sites, as the EU and OTC documents say.
    pub const ELSEWHERE: Self = Self {
        tags: 10,
        key: 36,
        value: 43,
    };
}

impl Bucket {
    /// Whether `only_under` lets this key be read or written.
    pub fn allows(&self, key: &str) -> bool {
        self.only_under.is_empty() || self.only_under.iter().any(|prefix| key.starts_with(prefix))
    }

    /// Refuses a key that `only_under` does not let be read or written.
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

/// The bucket of this name, of those of the rules file.
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
