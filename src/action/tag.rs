//! Puts tags on a recording: as object tags, or as custom metadata where there are none.
//!
//! Stores replace all tags or metadata of an object at once, so every change reads, merges and
//! writes. The caller holds the recording's lock, which keeps other tasks out. Writes nothing if
//! all tags are already there.

use std::collections::BTreeMap;

use futures_util::{StreamExt, TryStreamExt, stream};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::rename::displaced::displaced;
use super::rename::hls::{self, Object};
use super::{ActionSubject, Done, OpenBucket, Progress, Reach, Stopped};
use crate::model::bucket::TagLimits;
use crate::model::failure::{Failure, FailureKind};
use crate::model::recording::Extent;
use crate::model::step::{OnInvalid, Tag, TagMode, TagObjects, TagStorage};
use crate::model::task::Outputs;
use crate::object::TagSupport;

/// Characters that OBS refuses in keys and values of tags
/// (<https://support.huaweicloud.com/usermanual-obs/obs_41_0054.html>).
const FORBIDDEN: [char; 8] = [',', '/', '|', '<', '>', '=', '*', '\\'];

/// Maximum of all custom metadata of one object, in bytes
/// (<https://support.huaweicloud.com/intl/en-us/api-obs/obs_04_0091.html>).
const METADATA_LIMIT: usize = 8 * 1024;

/// Metadata is sent in headers: US-ASCII, and keys must be header names.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');

type Tags = BTreeMap<String, String>;

/// Where an object's tags were put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    Tags,
    Metadata,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tagged {
    Before,
    Now,
}

/// Tags the recording where it is now.
pub async fn tag(
    reach: &Reach,
    request: &Tag,
    subject: &ActionSubject,
    progress: &mut dyn Progress,
) -> Result<Done, Stopped> {
    let place = subject.unreplaced()?;
    if let Some(absent) = displaced(reach, subject, progress).await? {
        return Err(absent.into());
    }
    let bucket = reach.bucket(place)?;
    let absent = |failure| subject.waits(&bucket.config, failure);
    let others = others(bucket, request, subject).await.map_err(absent)?;
    let at_once = bucket.config.concurrency.max(1) as usize;
    let mut tagging = stream::iter(others)
        .map(|object| async move { tag_part(bucket, request, object).await })
        .buffered(at_once);
    while let Some(tagged) = tagging.try_next().await.map_err(absent)? {
        if tagged == Tagged::Now {
            progress.gained();
        }
        progress.checkpoint()?;
    }
    let tagged = tag_one(bucket, request, &place.key).await;
    let (kept, _) = tagged.map_err(absent)?;
    let (tags, kept) = match kept {
        Kept::Tags => (fitting(request, bucket.config.tag_limits)?, "tags"),
        Kept::Metadata => (request.tags.clone(), "metadata"),
    };
    let mut output = Outputs::new();
    output.insert("tags".into(), json!(tags));
    output.insert("as".into(), json!(kept));
    Ok(Done {
        output,
        exchange: None,
    })
}

async fn others(
    bucket: &OpenBucket,
    request: &Tag,
    subject: &ActionSubject,
) -> Result<Vec<Object>, Failure> {
    let place = subject.place()?;
    if request.objects == TagObjects::Named || subject.extent == Extent::Object {
        return Ok(Vec::new());
    }
    let mut objects = hls::members(bucket, place).await?.objects;
    objects.retain(|object| object.key != place.key);
    for object in &objects {
        bucket.config.permit(&object.key)?;
    }
    Ok(objects)
}

async fn tag_part(bucket: &OpenBucket, request: &Tag, object: Object) -> Result<Tagged, Failure> {
    match tag_one(bucket, request, &object.key).await {
        Err(failure) if failure.kind == FailureKind::Missing && object.may_lack => {
            Ok(Tagged::Before)
        }
        tagged => tagged.map(|(_, tagged)| tagged),
    }
}

async fn tag_one(bucket: &OpenBucket, request: &Tag, key: &str) -> Result<(Kept, Tagged), Failure> {
    if request.storage != TagStorage::Metadata {
        match bucket.store.tags(key).await? {
            TagSupport::Tags(present) => {
                let tagged = set_tags(bucket, request, key, present).await?;
                return Ok((Kept::Tags, tagged));
            }
            TagSupport::Unsupported if request.storage == TagStorage::Tags => {
                let reason = format!(
                    "bucket {:?} has no object tags (as: auto uses metadata)",
                    bucket.config.name
                );
                return Err(Failure::new(FailureKind::Unsupported, reason));
            }
            TagSupport::Unsupported => {}
        }
    }
    let tagged = set_metadata(bucket, request, key).await?;
    Ok((Kept::Metadata, tagged))
}

async fn set_tags(
    bucket: &OpenBucket,
    request: &Tag,
    key: &str,
    present: Tags,
) -> Result<Tagged, Failure> {
    let limits = bucket.config.tag_limits;
    let wanted = merged(request.mode, &present, fitting(request, limits)?);
    if wanted.len() > limits.tags {
        let reason = format!(
            "{key:?} would have {} tags, and {} are allowed",
            wanted.len(),
            limits.tags
        );
        return Err(Failure::new(FailureKind::Invalid, reason));
    }
    if wanted == present {
        return Ok(Tagged::Before);
    }
    bucket.store.set_tags(key, &wanted).await?;
    Ok(Tagged::Now)
}

async fn set_metadata(bucket: &OpenBucket, request: &Tag, key: &str) -> Result<Tagged, Failure> {
    let meta = bucket.store.head(key).await?.ok_or_else(|| {
        Failure::new(
            FailureKind::Missing,
            format!("{}/{key}", bucket.config.name),
        )
    })?;
    let present = meta.attributes.metadata;
    let wanted = merged(request.mode, &present, as_metadata(&request.tags)?);
    let bytes: usize = wanted
        .iter()
        .map(|(key, value)| key.len() + value.len())
        .sum();
    if bytes > METADATA_LIMIT {
        let reason = format!(
            "{key:?} would have {bytes} bytes of metadata, and {METADATA_LIMIT} are allowed"
        );
        return Err(Failure::new(FailureKind::Invalid, reason));
    }
    if wanted == present {
        return Ok(Tagged::Before);
    }
    bucket.store.set_metadata(key, &wanted).await?;
    Ok(Tagged::Now)
}

fn merged(mode: TagMode, present: &Tags, new: Tags) -> Tags {
    match mode {
        TagMode::Replace => new,
        TagMode::Merge => present.clone().into_iter().chain(new).collect(),
    }
}

/// The tags as custom metadata. Keys are lower case, as stores keep them.
fn as_metadata(tags: &Tags) -> Result<Tags, Failure> {
    let encoded = |text: &str| utf8_percent_encode(text, ENCODED).to_string();
    let metadata = tags
        .iter()
        .map(|(key, value)| (encoded(&key.to_lowercase()), encoded(value)));
    distinct(tags, metadata.collect())
}

fn fitting(request: &Tag, limits: TagLimits) -> Result<Tags, Failure> {
    let mut fitting = Tags::new();
    for (key, value) in &request.tags {
        let pair = match request.on_invalid {
            OnInvalid::Replace => (
                made_to_fit(key, limits.key),
                made_to_fit(value, limits.value),
            ),
            OnInvalid::Fail => (key.clone(), value.clone()),
        };
        let fault = fault(&pair.0, limits.key).or_else(|| fault(&pair.1, limits.value));
        let fault = if pair.0.is_empty() {
            Some("has no key".to_owned())
        } else {
            fault
        };
        if let Some(fault) = fault {
            let reason =
                format!("tag {key:?} = {value:?} {fault} (on_invalid: replace changes it)");
            return Err(Failure::new(FailureKind::Invalid, reason));
        }
        fitting.insert(pair.0, pair.1);
    }
    distinct(&request.tags, fitting)
}

/// Fails if changing the keys made two of them equal.
fn distinct(tags: &Tags, changed: Tags) -> Result<Tags, Failure> {
    if tags.len() == changed.len() {
        return Ok(changed);
    }
    let keys: Vec<_> = tags.keys().map(String::as_str).collect();
    let reason = format!(
        "the tags {} are not distinct where they are kept",
        keys.join(", ")
    );
    Err(Failure::new(FailureKind::Invalid, reason))
}

fn is_forbidden(c: char) -> bool {
    FORBIDDEN.contains(&c) || c.is_control()
}

fn fault(text: &str, limit: usize) -> Option<String> {
    if text.chars().count() > limit {
        return Some(format!("is longer than {limit} characters"));
    }
    if let Some(c) = text.chars().find(|&c| is_forbidden(c)) {
        return Some(format!("has the forbidden character {c:?}"));
    }
    (text.trim_matches(' ') != text).then(|| "begins or ends with a space".to_owned())
}

/// `text` with `_` for forbidden characters. A cut text ends in a hash of the whole, so that long
/// texts with the same beginning stay different.
fn made_to_fit(text: &str, limit: usize) -> String {
    let clean: String = text
        .chars()
        .map(|c| if is_forbidden(c) { '_' } else { c })
        .collect();
    let clean = clean.trim_matches(' ');
    if clean.chars().count() <= limit {
        return clean.to_owned();
    }
    let digest = Sha256::digest(text);
    let hash = digest
        .iter()
        .take(4)
        .fold("-".to_owned(), |hash, byte| format!("{hash}{byte:02x}"));
    let room = limit.saturating_sub(hash.len());
    clean
        .chars()
        .take(room)
        .chain(hash.chars())
        .take(limit)
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: TagLimits = TagLimits {
        tags: 2,
        key: 12,
        value: 20,
    };

    fn request(on_invalid: OnInvalid, tags: &[(&str, &str)]) -> Tag {
        Tag {
            tags: tags
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect(),
            mode: TagMode::Merge,
            storage: TagStorage::Auto,
            on_invalid,
            objects: TagObjects::Named,
        }
    }

    #[test]
    fn tag_that_the_site_would_refuse_fails_with_its_fault() {
        for (key, value, fault) in [
            ("room", "a/b", "has the forbidden character '/'"),
            ("ro=om", "x", "has the forbidden character '='"),
            ("room", " x", "begins or ends with a space"),
            (
                "room",
                "123456789012345678901",
                "is longer than 20 characters",
            ),
            ("1234567890123", "x", "is longer than 12 characters"),
            ("", "x", "has no key"),
        ] {
            let failure = fitting(&request(OnInvalid::Fail, &[(key, value)]), LIMITS).unwrap_err();
            assert_eq!(failure.kind, FailureKind::Invalid);
            assert!(failure.reason.contains(fault), "{failure}");
        }
        let fine = request(OnInvalid::Fail, &[("房间", "录制 1"), ("empty", "")]);
        assert_eq!(fitting(&fine, LIMITS).unwrap(), fine.tags);
    }

    #[test]
    fn replaced_value_is_cut_and_ends_in_a_hash_of_the_whole() {
        let tags = [("a,b", "x*y "), ("long", "123456789012345678901")];
        let fitted = fitting(&request(OnInvalid::Replace, &tags), LIMITS).unwrap();
        assert_eq!(fitted["a_b"], "x_y");
        assert_eq!(fitted["long"], "12345678901-84ed10bc".to_owned());
    }

    #[test]
    fn keys_that_become_one_are_refused() {
        let same = request(OnInvalid::Replace, &[("a,b", "1"), ("a/b", "2")]);
        assert!(fitting(&same, LIMITS).is_err());
        let cased = request(OnInvalid::Fail, &[("Room", "1"), ("room", "2")]);
        assert!(as_metadata(&cased.tags).is_err());
    }

    #[test]
    fn metadata_is_ascii_with_keys_in_lower_case() {
        let tags = request(OnInvalid::Fail, &[("Room Name", "录/1")]).tags;
        let metadata: Vec<_> = as_metadata(&tags).unwrap().into_iter().collect();
        assert_eq!(
            metadata,
            [("room%20name".to_owned(), "%E5%BD%95%2F1".to_owned())]
        );
    }

    proptest! {
        #[test]
        fn what_is_made_to_fit_fits(text in ".{0,40}", limit in 1usize..30) {
            let fitted = made_to_fit(&text, limit);
            prop_assert!(!fitted.chars().any(is_forbidden) && fitted.chars().count() <= limit);
        }
    }
}
