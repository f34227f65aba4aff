//! The gate that SparkRTC's callbacks go through: signature, then parsing, then planning.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;

use super::callback::{Gate, Refusal};
use crate::recorder::sparkrtc::{self, NotAnEvent};
use crate::recorder::{CallbackHeaders, encoding, signature};
use crate::model::time::Timestamp;
use crate::rules::file::{Callbacks, Revision, Unsigned};
use crate::rules::plan::plan;
use crate::store::Arrival;

/// Judges callbacks by the rules file in force.
#[derive(Debug)]
pub struct SparkRtcGate {
    /// Who may call.
    pub callers: Callbacks,
    pub rules: Arc<Revision>,
}

impl Gate for SparkRtcGate {
    fn admit(
        &self,
        headers: &HeaderMap,
        body: Bytes,
        received: Timestamp,
    ) -> Result<Arrival, Refusal> {
        self.check(headers, &body, received)?;
        let event = sparkrtc::parse(body.clone(), received)
            .map_err(|error| unread(&error, headers, &body))?;
        let plan = plan(&self.rules.rules, &event, 0).masked(&self.rules.mask);
        Ok(Arrival {
            event: Arc::new(event),
            plan,
        })
    }
}

impl SparkRtcGate {
    fn check(&self, all: &HeaderMap, body: &[u8], received: Timestamp) -> Result<(), Refusal> {
        let headers = &CallbackHeaders::from(all);
        let unsigned = headers.signature.is_none();
        if self.callers.keys.is_empty() || (unsigned && self.callers.unsigned == Unsigned::Accept) {
            return Ok(());
        }
        signature::verify(
            &self.callers.keys,
            headers,
            body,
            received,
            self.callers.max_age,
        )
        .map_err(|error| {
            let signed_with = |text: &Option<String>| match text {
                // Quoted, as it is a stranger's, and no more of it than a recorder sends.
                Some(text) => format!("{:?}", &text[..text.floor_char_boundary(64)]),
                None => "none".to_owned(),
            };
            let encoding = encoding::of(all, body);
            Refusal::Signature(format!(
                "{error} (rand {}, timestamp {}){}",
                signed_with(&headers.rand),
                signed_with(&headers.timestamp),
                encoding.map_or_else(String::new, |encoding| format!("; {encoding}")),
            ))
        })
    }
}

fn unread(error: &NotAnEvent, headers: &HeaderMap, body: &[u8]) -> Refusal {
    match encoding::of(headers, body) {
        Some(encoding) => Refusal::Encoded(encoding.to_string()),
        None => Refusal::NotAnEvent(error.to_string()),
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
        let gate = SparkRtcGate {
            callers: file.callbacks,
            rules: Arc::new(Revision::in_force(file.rules, file.mask)),
        };
        let body = r#"{"event_type":"RECORD_FILE_COMPLETE","room_id":"other"}"#;
        let arrival = gate
            .admit(&HeaderMap::new(), body.into(), Timestamp::from_millis(0))
            .unwrap();
        let reason = &arrival.plan.skipped[0].reason;
        assert!(
            reason.contains("***") && !reason.contains("hidden-room-7"),
            "{reason}"
        );
    }
}
