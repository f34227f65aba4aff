//! `callbacks.sparkrtc:` who may send SparkRTC callbacks.

use std::ops::RangeInclusive;

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Deserialize;

use crate::recorder::sparkrtc::{Callers, Unsigned};
use crate::rules::file::load::Loading;
use crate::rules::file::scalar::Timeout;
use crate::yaml::shape::{At, Deferred, OneOrMany};
use crate::yaml::tree::NodeId;

/// Characters of the console's "Private Key"
/// (<https://support.huaweicloud.com/intl/en-us/usermanual-rtc/rtc_04_0007.html>).
const KEY_LENGTH: RangeInclusive<usize> = 32..=64;

/// Callbacks of Huawei Cloud SparkRTC.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SparkRtcCallbacks")]
pub(crate) struct Raw {
    /// The console's "Private Key", 32 to 64 characters; several while rotating. Without keys,
    /// unsigned callbacks are accepted.
    keys: Option<OneOrMany<At<String>>>,
    /// What happens to unsigned callbacks: `refuse` (the default when there are keys) or `accept`.
    unsigned: Option<At<Unsigned>>,
    /// Maximum age by `X-Rtc-Timestamp`; unlimited by default.
    max_age: Option<Timeout>,
}

impl Loading<'_> {
    /// Reads who may send callbacks. Warnings about a missing section are shown at `outside`.
    pub(super) fn sparkrtc(
        &mut self,
        section: Option<&Deferred<Raw>>,
        outside: NodeId,
    ) -> Option<Callers> {
        let raw = self.read_or_default(section)?;
        let texts = raw.keys.unwrap_or_default().0;
        let keys: Vec<SecretString> = texts
            .iter()
            .filter_map(|key| self.secret(key, "the key"))
            .map(SecretString::from)
            .collect();
        for key in &texts {
            self.warn_of_length(key);
        }
        let default = if texts.is_empty() {
            Unsigned::Accept
        } else {
            Unsigned::Refuse
        };
        let unsigned = raw
            .unsigned
            .as_ref()
            .map_or(default, |unsigned| unsigned.value);
        if let (Some(at), Unsigned::Refuse, true) = (&raw.unsigned, unsigned, texts.is_empty()) {
            let help = "add the console's \"Private Key\" to `keys`";
            self.refuse(
                at.at,
                "without `keys` no callback could ever be accepted",
                help,
            );
        }
        if unsigned == Unsigned::Accept {
            let at = raw.unsigned.map_or(outside, |unsigned| unsigned.at);
            let message = "anyone who reaches the callback address is believed: unsigned callbacks are accepted";
            self.warn(at, format!("{message} (callbacks.sparkrtc.keys)"));
        }
        let max_age = raw.max_age.map(|Timeout(age)| age);
        (keys.len() == texts.len()).then_some(Callers {
            keys,
            unsigned,
            max_age,
        })
    }

    /// Only a warning: the limits come from a document and were not seen in practice.
    fn warn_of_length(&mut self, key: &At<String>) {
        if !KEY_LENGTH.contains(&key.value.chars().count()) {
            let message = "the console's \"Private Key\" has 32 to 64 characters, but this key does not; compare them";
            self.warn(key.at, message);
        }
    }
}
