//! `callbacks:` who may send callbacks, one section for each recorder.

mod sparkrtc;

use schemars::JsonSchema;
use serde::Deserialize;

use super::load::Loading;
use crate::recorder::Callers;
use crate::yaml::shape::Deferred;

/// Who may send callbacks.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Callbacks")]
pub(crate) struct Raw {
    /// Callbacks of Huawei Cloud SparkRTC.
    sparkrtc: Option<Deferred<sparkrtc::Raw>>,
}

impl Loading<'_> {
    pub(super) fn callbacks(&mut self, section: Option<&Deferred<Raw>>) -> Option<Callers> {
        let raw = self.read_or_default(section)?;
        let at = section.map_or(self.tree.root, |section| section.at);
        Some(Callers {
            sparkrtc: self.sparkrtc(raw.sparkrtc.as_ref(), at)?,
        })
    }
}
