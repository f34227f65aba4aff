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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::*;
    use crate::rules::file;

    #[test]
    fn reason_for_a_rule_that_did_not_match_shows_no_value_of_the_environment() {
        let text = "destinations: { d: { url: 'https://d.example.com' } }\n\
                    rules: [{ name: r, when: { room: '${ROOM}' }, steps: [{ notify: d }] }]\n";
        let env = BTreeMap::from([("ROOM", "hidden-room-7")]);
        let file = file::parse("rules.yaml", text, Path::new(""), &env).unwrap();
        let gate = RulesGate {
            callers: file.callers,
            rules: Arc::new(Revision::in_force(file.rules, file.mask)),
        };
        let body = r#"{"event_type":"RECORD_FILE_COMPLETE","room_id":"other"}"#;
        let arrival = gate
            .admit(
                Recorder::SparkRtc,
                &HeaderMap::new(),
                body.into(),
                Timestamp::from_millis(0),
            )
            .unwrap();
        let reason = &arrival.plan.skipped[0].reason;
        assert!(
            reason.contains("***") && !reason.contains("hidden-room-7"),
            "{reason}"
        );
    }
}
