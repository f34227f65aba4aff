//! What belongs to an object beside its content, as a JSON file under `.aftertake/`.
//!
//! Named by a digest of the key: a key may be longer than a file name, and one key may
//! be the beginning of another. The key itself stands inside, for a person who looks.
//! An object without attributes and tags has no sidecar.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::path::{failure, is_absent, own};
use crate::model::failure::{Failure, FailureKind};
use crate::object::Attributes;

/// The content of a sidecar file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sidecar {
    key: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) content_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) storage_class: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) metadata: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) tags: BTreeMap<String, String>,
}

impl Sidecar {
    /// The sidecar of an object that has these attributes and no tags.
    pub(super) fn new(attributes: Attributes) -> Self {
        Self {
            key: String::new(),
            content_type: attributes.content_type,
            storage_class: attributes.storage_class,
            metadata: attributes.metadata,
            tags: BTreeMap::new(),
        }
    }

    /// Reads the sidecar of `key`; an empty one when there is none.
    pub(super) fn read(root: &Path, key: &str) -> Result<Self, Failure> {
        let path = path_of(root, key)?;
        match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map_err(|error| {
                let reason = format!("{} is not a sidecar: {error}", path.display());
                Failure::new(FailureKind::Storage, reason)
            }),
            Err(error) if is_absent(&error) => Ok(Self::default()),
            Err(error) => Err(failure(&path, &error)),
        }
    }

    /// The file's content for `key`; `None` when there is nothing to keep.
    pub(super) fn to_json(&self, key: &str) -> Option<Vec<u8>> {
        let named = |key: &str| Self {
            key: key.to_owned(),
            ..self.clone()
        };
        if named("") == Self::default() {
            return None;
        }
        Some(serde_json::to_vec_pretty(&named(key)).expect("a map of strings is JSON"))
    }

    /// What a store's `head` tells of it.
    pub(super) fn attributes(self) -> Attributes {
        Attributes {
            content_type: self.content_type,
            metadata: self.metadata,
            storage_class: self.storage_class,
            headers: BTreeMap::new(),
        }
    }
}

/// Where the sidecar of `key` stands.
pub(super) fn path_of(root: &Path, key: &str) -> Result<PathBuf, Failure> {
    own(root, &[&format!("{}.json", stem_of(key))])
}

/// The file name, without extension, of everything the store keeps for `key`.
pub(super) fn stem_of(key: &str) -> String {
    hex(&Sha256::digest(key)[..16])
}

/// Lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes every write");
        text
    })
}
