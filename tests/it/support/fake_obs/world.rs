//! What the fake stores.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use md5::{Digest, Md5};

pub(crate) const OWNER: &str = "owner-domain-id";

/// Headers that say how an object is encrypted. A copy does not inherit them.
pub(super) const ENCRYPTION: [&str; 2] = [
    "x-obs-server-side-encryption",
    "x-obs-server-side-encryption-kms-key-id",
];

#[derive(Debug, Clone, Default)]
pub(crate) struct World {
    pub(crate) buckets: BTreeMap<String, FakeBucket>,
    /// Upload ids given out so far.
    pub(super) uploads: u32,
    /// How often a random ETag (not a digest of the content) was given out.
    etags: u32,
    /// Entries per listing page; 1,000 unless set.
    pub(crate) page: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Kind {
    #[default]
    Objects,
    /// An object bucket without the tagging feature.
    WithoutTags,
    /// A parallel file system.
    FileSystem,
    /// A parallel file system whose rename makes no parent folders.
    StrictFileSystem,
}

impl Kind {
    pub(crate) fn is_file_system(self) -> bool {
        matches!(self, Self::FileSystem | Self::StrictFileSystem)
    }

    pub(super) fn has_tags(self) -> bool {
        self == Self::Objects
    }
}

#[derive(Debug, Clone, Default)]
pub(crate) struct FakeBucket {
    pub(crate) kind: Kind,
    /// Whether everything written is encrypted, even if the request does not ask for it.
    pub(crate) encrypts: bool,
    pub(crate) objects: BTreeMap<String, Object>,
    /// Keyed by upload id.
    pub(crate) uploads: BTreeMap<String, Upload>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    Bytes(Bytes),
    /// This many bytes; equal seeds mean equal bytes.
    Synthetic {
        size: u64,
        seed: String,
    },
}

impl Content {
    pub(crate) fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Synthetic { size, .. } => *size,
        }
    }

    fn digest(&self) -> String {
        match self {
            Self::Bytes(bytes) => md5_hex(bytes),
            Self::Synthetic { size, seed } => md5_hex(format!("{seed}:{size}").as_bytes()),
        }
    }
}

pub(crate) type Grant = (String, String);

/// An object with all headers stored with it, custom metadata included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Object {
    pub(crate) content: Content,
    pub(crate) etag: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) storage_class: String,
    /// Grantee (`*` is everyone) and permission, in addition to the owner's.
    pub(crate) grants: Vec<Grant>,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) upload_id: Option<String>,
}

/// An open multipart upload: the future object and its parts by number.
#[derive(Debug, Clone)]
pub(crate) struct Upload {
    pub(crate) key: String,
    pub(crate) object: Object,
    pub(crate) parts: BTreeMap<u32, Part>,
}

/// A range of a copied object.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(super) content: Content,
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) etag: String,
}

impl World {
    /// The bucket; created if missing.
    pub(crate) fn bucket(&mut self, name: &str) -> &mut FakeBucket {
        self.buckets.entry(name.to_owned()).or_default()
    }

    pub(crate) fn make(&mut self, name: &str, kind: Kind) {
        self.bucket(name).kind = kind;
    }

    /// Makes a bucket encrypt everything written to it.
    pub(crate) fn encrypt(&mut self, name: &str) {
        self.bucket(name).encrypts = true;
    }

    /// Stores what a request wrote and returns its ETag. An encrypted object gets a new ETag
    /// with every write.
    pub(super) fn store(&mut self, bucket: &str, key: &str, mut object: Object) -> String {
        if object.is_encrypted() {
            let by_parts = object.etag.find('-');
            let by_parts = by_parts.map(|at| object.etag.split_off(at));
            object.etag = self.new_etag() + &by_parts.unwrap_or_default();
        }
        let etag = object.etag.clone();
        self.put(bucket, key, object);
        etag
    }

    /// An ETag that was never used before.
    pub(super) fn new_etag(&mut self) -> String {
        self.etags += 1;
        md5_hex(format!("ETag {}", self.etags).as_bytes())
    }

    pub(crate) fn put(&mut self, bucket: &str, key: &str, object: Object) {
        self.bucket(bucket).objects.insert(key.to_owned(), object);
    }

    pub(crate) fn object(&self, bucket: &str, key: &str) -> Option<&Object> {
        self.buckets.get(bucket)?.objects.get(key)
    }

    /// Opens an upload that nobody requested.
    pub(crate) fn open_upload(&mut self, bucket: &str, key: &str) {
        self.uploads += 1;
        // Sorts before the ids of requested uploads.
        let id = format!("00-STRANGER{}", self.uploads);
        let upload = Upload {
            key: key.to_owned(),
            object: Object::text(""),
            parts: BTreeMap::new(),
        };
        self.bucket(bucket).uploads.insert(id, upload);
    }

    pub(crate) fn open_uploads(&self) -> usize {
        self.buckets
            .values()
            .map(|bucket| bucket.uploads.len())
            .sum()
    }
}

impl Object {
    /// A private object of class STANDARD.
    pub(crate) fn of(content: Content) -> Self {
        Self {
            etag: content.digest(),
            content,
            headers: BTreeMap::new(),
            storage_class: "STANDARD".to_owned(),
            grants: Vec::new(),
            tags: BTreeMap::new(),
            upload_id: None,
        }
    }

    pub(crate) fn text(text: &str) -> Self {
        Self::of(Content::Bytes(Bytes::copy_from_slice(text.as_bytes())))
    }

    /// A private object of this size without real bytes.
    pub(crate) fn large(size: u64) -> Self {
        Self::of(Content::Synthetic {
            size,
            seed: "large".to_owned(),
        })
    }

    /// Encrypted with a customer's key: its ETag is not the MD5 of its content.
    pub(crate) fn encrypted(mut self) -> Self {
        let name = |at: usize| ENCRYPTION[at].to_owned();
        self.headers.insert(name(0), "kms".to_owned());
        self.headers
            .insert(name(1), "key-of-the-customer".to_owned());
        self.etag = md5_hex(format!("encrypted {}", self.etag).as_bytes());
        self
    }

    pub(crate) fn is_encrypted(&self) -> bool {
        self.headers.contains_key(ENCRYPTION[0])
    }

    /// Inherits the headers that a copy inherits from its source.
    pub(super) fn describe_as(&mut self, source: &Self) {
        let is_own = |name: &str| ENCRYPTION.contains(&name);
        self.headers.retain(|name, _| is_own(name));
        let taken = source.headers.iter().filter(|(name, _)| !is_own(name));
        let taken = taken.map(|(name, value)| (name.clone(), value.clone()));
        self.headers.extend(taken);
    }

    /// With every header and grant that a move must preserve.
    pub(crate) fn dressed(mut self) -> Self {
        for (name, value) in [
            ("content-type", "video/mp4"),
            ("cache-control", "no-store"),
            ("x-obs-meta-room", "%E6%88%BF 1"),
            ("x-obs-meta-course", "a+b=c"),
        ] {
            self.headers.insert(name.to_owned(), value.to_owned());
        }
        "WARM".clone_into(&mut self.storage_class);
        self.tags.insert("room".to_owned(), "a b+c=d".to_owned());
        self.tags.insert("科目".to_owned(), String::new());
        self.grants = vec![
            ("*".to_owned(), "READ".to_owned()),
            ("other-domain-id".to_owned(), "FULL_CONTROL".to_owned()),
        ];
        self
    }
}

pub(super) fn md5_hex(bytes: &[u8]) -> String {
    let digest = Md5::digest(bytes);
    digest
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect::<Vec<_>>()
        .concat()
}

pub(super) fn md5_base64(bytes: &[u8]) -> String {
    STANDARD.encode(Md5::digest(bytes))
}
