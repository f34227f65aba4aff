//! `callbacks:` who may call.

use std::ops::RangeInclusive;
use std::time::Duration;

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Deserialize;

use super::load::Loading;
use super::scalar::Timeout;
use crate::yaml::shape::{At, Deferred, OneOrMany};

/// How many characters the console's "Private Key" has
/// (<https://support.huaweicloud.com/intl/en-us/usermanual-rtc/rtc_04_0007.html>).
const KEY_LENGTH: RangeInclusive<usize> = 32..=64;

/// Who may call.
#[derive(Debug, Clone)]
pub struct Callbacks {
    /// The console's "Private Key"; several while rotating. Empty: nothing is signed.
    pub keys: Vec<SecretString>,
    pub unsigned: Unsigned,
    /// The oldest `X-Rtc-Timestamp` that is accepted.
    pub max_age: Option<Duration>,
}

/// What happens to a callback without a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Unsigned {
    /// It is refused: the default once there are keys.
    Refuse,
    /// It is accepted, for the move from unsigned to signed.
    Accept,
}

/// Who may call.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Callbacks")]
pub(crate) struct Raw {
    /// Callbacks of Huawei Cloud SparkRTC.
    sparkrtc: Option<Deferred<RawSparkRtc>>,
}

/// Callbacks of Huawei Cloud SparkRTC.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SparkRtcCallbacks")]
pub(crate) struct RawSparkRtc {
    /// The console's "Private Key", 32 to 64 characters; several while rotating. Left out: unsigned callbacks are accepted.
    keys: Option<OneOrMany<At<String>>>,
    /// What happens to callbacks without a signature: `refuse` (the default once keys exist) or `accept`.
    unsigned: Option<At<Unsigned>>,
    /// The oldest `X-Rtc-Timestamp` that is accepted; any age when left out.
    max_age: Option<Timeout>,
}

impl Loading<'_> {
    pub(super) fn callbacks(&mut self, section: Option<&Deferred<Raw>>) -> Option<Callbacks> {
        let raw = self.read_or_default(section)?;
        let sparkrtc = self.read_or_default(raw.sparkrtc.as_ref())?;
        let texts = sparkrtc.keys.unwrap_or_default().0;
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
        let unsigned = sparkrtc
            .unsigned
            .as_ref()
            .map_or(default, |unsigned| unsigned.value);
        if let (Some(at), Unsigned::Refuse, true) = (&sparkrtc.unsigned, unsigned, texts.is_empty())
        {
            let help = "add the console's \"Private Key\" to `keys`";
            self.refuse(
                at.at,
                "without `keys` no callback could ever be accepted",
                help,
            );
        }
        if unsigned == Unsigned::Accept {
            let at = sparkrtc.unsigned.map(|unsigned| unsigned.at);
            let at = at
                .or(section.map(|section| section.at))
                .unwrap_or(self.tree.root);
            let message = "anyone who reaches the callback address is believed: unsigned callbacks are accepted";
            self.warn(at, format!("{message} (callbacks.sparkrtc.keys)"));
        }
        let max_age = sparkrtc.max_age.map(|Timeout(age)| age);
        (keys.len() == texts.len()).then_some(Callbacks {
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
