//! An object's attributes and tags, as a JSON file under `.aftertake/`.
//!
//! Named by a digest of the key: a key may be too long for a file name, and one key may be a prefix
//! of another. The file contains the key, for human readers. An object without attributes and tags
//! has no sidecar. Like at OBS, an object that is written anew has none of the old one's: a sidecar
//! counts only for the content that it was written for.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::{Read, Write};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::dir::{Dir, OWN as OWN_MODE};
use super::part::Part;
use super::path::{OWN, failure, failure_of_all};
use crate::model::failure::{Failure, FailureKind};
use crate::object::Attributes;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sidecar {
    key: String,
    /// The ETag of the content that it belongs to.
    #[serde(default)]
    etag: String,
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
    pub(super) fn new(attributes: Attributes) -> Self {
        Self {
            key: String::new(),
            etag: String::new(),
            content_type: attributes.content_type,
            storage_class: attributes.storage_class,
            metadata: attributes.metadata,
            tags: BTreeMap::new(),
        }
    }

    /// That of the object with this ETag; empty when there is none.
    pub(super) fn read(root: &Dir, key: &str, etag: &str) -> Result<Self, Failure> {
        let found = Self::found(root, key)?;
        Ok(if found.etag == etag {
            found
        } else {
            Self::default()
        })
    }

    fn found(root: &Dir, key: &str) -> Result<Self, Failure> {
        let Some(own) = root.directory(OsStr::new(OWN))? else {
            return Ok(Self::default());
        };
        let name = name_of(key);
        let Some((mut file, _)) = own.file(&name)? else {
            return Ok(Self::default());
        };
        let path = own.path_of(&name);
        let mut text = Vec::new();
        let read = file.read_to_end(&mut text);
        read.map_err(|error| failure(&path, &error))?;
        serde_json::from_slice(&text).map_err(|error| {
            let reason = format!("{} is not a sidecar: {error}", path.display());
            Failure::new(FailureKind::Storage, reason)
        })
    }

    /// Durably writes the sidecar, or removes it when it would be empty.
    pub(super) fn save(&self, root: &Dir, key: &str, etag: &str) -> Result<(), Failure> {
        let Some(json) = self.to_json(key, etag) else {
            return remove(root, key);
        };
        let mut part = Part::new(root, &format!("{}.json.", stem_of(key)), OWN_MODE)?;
        let written = part.file.write_all(&json);
        written.map_err(|error| part.failure(&error))?;
        part.sync()?;
        let own = root.made(OsStr::new(OWN), OWN_MODE)?;
        let placed = part.place(&own, &name_of(key));
        placed.map_err(|error| failure_of_all(&own.path_of(&name_of(key)), &error))?;
        own.sync()
    }

    /// `None` when it would be empty.
    fn to_json(&self, key: &str, etag: &str) -> Option<Vec<u8>> {
        let of = |key: &str, etag: &str| Self {
            key: key.to_owned(),
            etag: etag.to_owned(),
            ..self.clone()
        };
        if of("", "") == Self::default() {
            return None;
        }
        Some(serde_json::to_vec_pretty(&of(key, etag)).expect("a map of strings is JSON"))
    }

    pub(super) fn attributes(self) -> Attributes {
        Attributes {
            content_type: self.content_type,
            metadata: self.metadata,
            storage_class: self.storage_class,
            headers: BTreeMap::new(),
        }
    }
}

pub(super) fn remove(root: &Dir, key: &str) -> Result<(), Failure> {
    match root.directory(OsStr::new(OWN))? {
        Some(own) => own.remove(&name_of(key)),
        None => Ok(()),
    }
}

fn name_of(key: &str) -> OsString {
    format!("{}.json", stem_of(key)).into()
}

/// Common stem of the names of all files that the store keeps for `key`.
pub(super) fn stem_of(key: &str) -> String {
    hex(&Sha256::digest(key)[..16])
}

pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes every write");
        text
    })
}
