//! The gate that callbacks go through: signature, then parsing, then planning.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;

use super::callback::Gate;
use crate::model::recorder::Recorder;
use crate::model::time::Timestamp;
use crate::recorder::{self, Callers, Refusal};
use crate::rules::file::Revision;
use crate::rules::plan::plan;
use crate::store::Arrival;

/// Judges callbacks by the rules file in force.
#[derive(Debug)]
pub struct RulesGate {
    /// Who may call.
    pub callers: Callers,
    pub rules: Arc<Revision>,
}

impl Gate for RulesGate {
    fn admit(
        &self,
        from: Recorder,
        headers: &HeaderMap,
        body: Bytes,
        received: Timestamp,
    ) -> Result<Arrival, Refusal> {
        recorder::verify(from, &self.callers, headers, &body, received)?;
        let event = recorder::parse(from, headers, body, received)?;
        let plan = plan(&self.rules.rules, &event, 0).masked(&self.rules.mask);
        Ok(Arrival {
            event: Arc::new(event),
            plan,
        })
    }
}
