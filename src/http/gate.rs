//! The gate that SparkRTC's callbacks go through: signature, then parsing, then planning.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;

use super::callback::{Gate, Refusal};
use crate::callback::{CallbackHeaders, signature, sparkrtc};
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
        let headers = CallbackHeaders::from(headers);
        self.check(&headers, &body, received)?;
        let event = sparkrtc::parse(body, received)
            .map_err(|error| Refusal::NotAnEvent(error.to_string()))?;
        let plan = plan(&self.rules.rules, &event, 0).masked(&self.rules.mask);
        Ok(Arrival {
            event: Arc::new(event),
            plan,
        })
    }
}

impl SparkRtcGate {
    fn check(
        &self,
        headers: &CallbackHeaders,
        body: &[u8],
        received: Timestamp,
    ) -> Result<(), Refusal> {
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
            Refusal::Signature(format!(
                "{error} (rand {}, timestamp {})",
                signed_with(&headers.rand),
                signed_with(&headers.timestamp),
            ))
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
        let gate = SparkRtcGate {
            callers: file.callbacks,
            rules: Arc::new(Revision {
                rules: file.rules,
                mask: file.mask,
            }),
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
