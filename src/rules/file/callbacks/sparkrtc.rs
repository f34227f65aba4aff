//! `callbacks.sparkrtc:` who may call as SparkRTC.

use std::ops::RangeInclusive;

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Deserialize;

use crate::recorder::sparkrtc::{Callers, Unsigned};
use crate::rules::file::load::Loading;
use crate::rules::file::scalar::Timeout;
use crate::yaml::shape::{At, Deferred, OneOrMany};
use crate::yaml::tree::NodeId;

/// How many characters the console's "Private Key" has
/// (<https://support.huaweicloud.com/intl/en-us/usermanual-rtc/rtc_04_0007.html>).
const KEY_LENGTH: RangeInclusive<usize> = 32..=64;

/// Callbacks of Huawei Cloud SparkRTC.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SparkRtcCallbacks")]
pub(crate) struct Raw {
    /// The console's "Private Key", 32 to 64 characters; several while rotating. Left out: unsigned callbacks are accepted.
    keys: Option<OneOrMany<At<String>>>,
    /// What happens to callbacks without a signature: `refuse` (the default once keys exist) or `accept`.
    unsigned: Option<At<Unsigned>>,
    /// The oldest `X-Rtc-Timestamp` that is accepted; any age when left out.
    max_age: Option<Timeout>,
}

impl Loading<'_> {
    /// Who may call. A warning about a section that is left out is shown at `outside`.
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

    /// Only a warning: a document says so, not the callbacks.
    fn warn_of_length(&mut self, key: &At<String>) {
        if !KEY_LENGTH.contains(&key.value.chars().count()) {
            let message = "the console's \"Private Key\" has 32 to 64 characters, and this key has not; compare them";
            self.warn(key.at, message);
        }
    }
}
