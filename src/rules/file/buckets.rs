//! `buckets:` the only places that are ever touched.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Deserialize;
use serde::de::IgnoredAny;
use url::{Host, Url};

use super::load::Loading;
use super::scalar::{Count, Prefix, Size, Span, WebUrl};
use crate::model::bucket::{Addressing, Bucket, BucketStore, ObsBucket, TagLimits, Timeouts};
use crate::model::secret::MASKED_FROM;
use crate::yaml::shape::{At, Deferred, Table};

const CONCURRENCY: u32 = 8;
const SOURCE_GRACE: Duration = Duration::from_mins(15);
const GIB: u64 = 1 << 30;
/// OBS copies an object of up to 5 GB in one request (its SDKs count 5 × 2^30 bytes).
const COPY_PART_ABOVE: u64 = 5 * GIB;
const PART_SIZE: u64 = 512 << 20;
/// OBS parts have 100 KB to 5 GB. "KB" has two meanings; this is the one that is always accepted.
const SMALLEST_PART: u64 = 100 << 10;
const LARGEST_PART: u64 = 5 * GIB;

/// A bucket: its key in the table is its name at the store.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename = "$by:store", rename_all = "lowercase")]
#[schemars(rename = "Bucket", tag = "store")]
pub(crate) enum Raw {
    /// A bucket at Huawei Cloud OBS or a server that speaks its protocol.
    Obs(Box<RawObs>),
    /// A directory that behaves as a bucket: for trying things out and for tests.
    Folder(RawFolder),
}

/// A bucket at Huawei Cloud OBS or a server that speaks its protocol.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ObsBucket")]
pub(crate) struct RawObs {
    #[serde(rename = "store")]
    #[schemars(skip)]
    _store: IgnoredAny,
    /// The region's endpoint, such as `https://obs.cn-north-4.myhuaweicloud.com`; not the bucket's
    /// own domain.
    endpoint: At<WebUrl>,
    access_key: At<String>,
    secret_key: At<String>,
    /// For temporary credentials; empty means none.
    security_token: Option<At<String>>,
    /// Where the bucket is in a URL: `virtual` (default) or `path`, for test servers and IP endpoints.
    addressing: Option<At<RawAddressing>>,
    /// The only prefixes that sources and targets may have.
    only_under: Option<Vec<Prefix>>,
    /// Maximum number of steps at a time, and of requests at a time within one step; 8 by default.
    concurrency: Option<Count>,
    /// Larger objects are copied in parts; 5GiB by default.
    copy_part_above: Option<At<Size>>,
    /// Size of one part of such a copy; 512MiB by default.
    part_size: Option<At<Size>>,
    /// How long after the event to wait for a missing source; 15m by default.
    source_grace: Option<Span>,
    /// How long a request without a response may still take effect; 15m by default.
    request_lifetime: Option<Span>,
    /// Limits of the site for object tags.
    tag_limits: Option<RawTagLimits>,
}

/// A directory that behaves as a bucket.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "FolderBucket")]
pub(crate) struct RawFolder {
    #[serde(rename = "store")]
    #[schemars(skip)]
    _store: IgnoredAny,
    /// The directory, relative to the rules file; created on first use.
    path: At<String>,
    /// The only prefixes that sources and targets may have.
    only_under: Option<Vec<Prefix>>,
    /// Maximum number of steps at a time, and of requests at a time within one step; 8 by default.
    concurrency: Option<Count>,
    /// How long after the event to wait for a missing source; 15m by default.
    source_grace: Option<Span>,
    /// Limits for tags.
    tag_limits: Option<RawTagLimits>,
}

/// Limits of a site for object tags. Defaults: 10 tags; keys of 36 and values of 255 characters on
/// `*.myhuaweicloud.com`; values of 43 characters elsewhere.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "TagLimits")]
pub(crate) struct RawTagLimits {
    /// Tags of one object.
    tags: Option<Count>,
    /// Characters of a key.
    key: Option<Count>,
    /// Characters of a value.
    value: Option<Count>,
}

/// Where the bucket is in a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "Addressing")]
pub(crate) enum RawAddressing {
    Virtual,
    Path,
}

impl RawTagLimits {
    fn over(self, limits: TagLimits) -> TagLimits {
        let given =
            |count: Option<Count>, default| count.map_or(default, |Count(count)| count as usize);
        TagLimits {
            tags: given(self.tags, limits.tags),
            key: given(self.key, limits.key),
            value: given(self.value, limits.value),
        }
    }
}

impl Loading<'_> {
    pub(super) fn buckets(
        &mut self,
        section: Option<&Deferred<Table<Deferred<Raw>>>>,
    ) -> BTreeMap<String, Bucket> {
        let rows = self.read_or_default(section).unwrap_or_default().0;
        let mut buckets = BTreeMap::new();
        for (name, bucket) in &rows {
            let bucket = self.bucket(name, bucket);
            buckets.extend(bucket.map(|bucket| (name.value.clone(), bucket)));
        }
        buckets
    }

    fn bucket(&mut self, name: &At<String>, bucket: &Deferred<Raw>) -> Option<Bucket> {
        self.filled(name, "the bucket's name")?;
        match self.read(bucket)? {
            Raw::Obs(raw) => self.obs(name, *raw),
            Raw::Folder(raw) => self.folder(name, raw),
        }
    }

    fn folder(&mut self, name: &At<String>, raw: RawFolder) -> Option<Bucket> {
        let path = self.folder_of(name, &raw.path)?;
        Some(Bucket {
            name: name.value.clone(),
            store: BucketStore::Folder { path },
            only_under: prefixes(raw.only_under),
            concurrency: raw.concurrency.map_or(CONCURRENCY, |Count(count)| count),
            source_grace: raw.source_grace.map_or(SOURCE_GRACE, |Span(grace)| grace),
            tag_limits: raw
                .tag_limits
                .unwrap_or_default()
                .over(TagLimits::ELSEWHERE),
        })
    }

    fn obs(&mut self, name: &At<String>, raw: RawObs) -> Option<Bucket> {
        let access_key = self.filled(&raw.access_key, "the access key");
        // The access key alone is not secret, and a test server's may be an ordinary word.
        let long = |key: &&String| key.chars().count() >= MASKED_FROM;
        self.secrets.extend(access_key.iter().filter(long).cloned());
        let secret_key = self.secret(&raw.secret_key, "the secret key");
        let token = raw.security_token.filter(|token| !token.value.is_empty());
        let token = token.and_then(|token| self.secret(&token, "the security token"));
        self.warn_of_exposed_requests(&raw.endpoint);
        let addressing = self.addressing(name, &raw.endpoint, raw.addressing.as_ref());
        let (above, part) = self.parts(&raw.endpoint.value.0, raw.copy_part_above, raw.part_size);
        let limits = if is_huawei(&raw.endpoint.value.0) {
            TagLimits::HUAWEI
        } else {
            TagLimits::ELSEWHERE
        };
        Some(Bucket {
            name: name.value.clone(),
            store: BucketStore::Obs(Box::new(ObsBucket {
                access_key: access_key?,
                secret_key: SecretString::from(secret_key?),
                security_token: token.map(SecretString::from),
                addressing: addressing?,
                copy_part_above: above,
                part_size: part,
                timeouts: timeouts(raw.request_lifetime),
                endpoint: raw.endpoint.value.0,
            })),
            only_under: prefixes(raw.only_under),
            concurrency: raw.concurrency.map_or(CONCURRENCY, |Count(count)| count),
            source_grace: raw.source_grace.map_or(SOURCE_GRACE, |Span(grace)| grace),
            tag_limits: raw.tag_limits.unwrap_or_default().over(limits),
        })
    }

    /// Checks the bucket's name and endpoint against the rules of OBS and of host names.
    fn addressing(
        &mut self,
        name: &At<String>,
        endpoint: &At<WebUrl>,
        given: Option<&At<RawAddressing>>,
    ) -> Option<Addressing> {
        let url = &endpoint.value.0;
        let before = self.problems.len();
        if !is_bucket_name(&name.value) {
            let message = format!("{} cannot be a bucket at OBS", self.shown(name.at));
            self.refuse(
                name.at,
                message,
                "a bucket's name has 3 to 63 of a-z, 0-9, `-` and `.`",
            );
        }
        if !matches!(url.path(), "" | "/") || url.query().is_some() || !url.username().is_empty() {
            self.refuse(
                endpoint.at,
                "an endpoint is scheme, host and port only",
                "remove what follows the host",
            );
        }
        if url
            .host_str()
            .is_some_and(|host| host.starts_with(&format!("{}.", name.value)))
        {
            let help = "give the region's endpoint, without the bucket's name";
            self.refuse(endpoint.at, "the endpoint is the bucket's own domain", help);
        }
        let at = given.map_or(endpoint.at, |given| given.at);
        let path = given.is_some_and(|given| given.value == RawAddressing::Path);
        if path && is_huawei(url) {
            // Refused on domain endpoints since 2023-12-30, misleadingly as 404 NoSuchKey.
            self.refuse(
                at,
                "OBS refuses `addressing: path` on its own hosts",
                "leave `addressing` out",
            );
        }
        if !path && !matches!(url.host(), Some(Host::Domain(_))) {
            self.refuse(
                at,
                "an IP endpoint has no room for the bucket in its host name",
                "add `addressing: path`",
            );
        }
        let addressing = if path {
            Addressing::Path
        } else {
            Addressing::Virtual
        };
        (self.problems.len() == before).then_some(addressing)
    }

    /// The sizes of a copy in parts. OBS limits apply only on Huawei's hosts, so a test server can
    /// copy small objects in parts.
    fn parts(
        &mut self,
        endpoint: &Url,
        above: Option<At<Size>>,
        part: Option<At<Size>>,
    ) -> (u64, u64) {
        let huawei = is_huawei(endpoint);
        if let Some(above) = above
            .as_ref()
            .filter(|above| huawei && above.value.0 > COPY_PART_ABOVE)
        {
            self.refuse(
                above.at,
                "OBS copies at most 5GiB in one request",
                "give 5GiB or less",
            );
        }
        let (smallest, largest) = if huawei {
            (SMALLEST_PART, LARGEST_PART)
        } else {
            (1, u64::MAX)
        };
        if let Some(part) = part
            .as_ref()
            .filter(|part| !(smallest..=largest).contains(&part.value.0))
        {
            let bounds = if huawei {
                "from 100KiB to 5GiB"
            } else {
                "above zero"
            };
            self.refuse(
                part.at,
                format!("{} is no size of a part", self.shown(part.at)),
                format!("give a size {bounds}"),
            );
        }
        let bytes = |size: Option<At<Size>>, default| size.map_or(default, |size| size.value.0);
        (bytes(above, COPY_PART_ABOVE), bytes(part, PART_SIZE))
    }
}

fn timeouts(lifetime: Option<Span>) -> Timeouts {
    let default = Timeouts::default();
    Timeouts {
        lifetime: lifetime.map_or(default.lifetime, |Span(lifetime)| lifetime),
        ..default
    }
}

fn prefixes(given: Option<Vec<Prefix>>) -> Vec<String> {
    given
        .unwrap_or_default()
        .into_iter()
        .map(|Prefix(prefix)| prefix)
        .collect()
}

fn is_huawei(endpoint: &Url) -> bool {
    endpoint
        .host_str()
        .is_some_and(|host| host.ends_with(".myhuaweicloud.com"))
}

fn is_bucket_name(name: &str) -> bool {
    let allowed = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.')
    };
    (3..=63).contains(&name.len()) && name.bytes().all(allowed)
}
