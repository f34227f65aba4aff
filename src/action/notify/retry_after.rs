//! Reads a `Retry-After` header: seconds, or a date in one of HTTP's three forms
//! (RFC 9110, sections 10.2.3 and 5.6.7).

use std::time::Duration;

use chrono::{DateTime, NaiveDateTime};

use crate::model::time::Timestamp;

/// Time from `now` until the retry; `None` when the text is invalid. Zero for a date in the past.
pub(super) fn parse(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok().map(Duration::from_secs);
    }
    date(text).map(|date| date.since(now))
}

fn date(text: &str) -> Option<Timestamp> {
    let in_utc = |format| {
        NaiveDateTime::parse_from_str(text, format).map(|time| time.and_utc().fixed_offset())
    };
    DateTime::parse_from_rfc2822(text)
        .or_else(|_| in_utc("%A, %d-%b-%y %H:%M:%S GMT"))
        .or_else(|_| in_utc("%a %b %e %H:%M:%S %Y"))
        .ok()
        .map(|time| Timestamp::from_millis(time.timestamp_millis()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Sun, 06 Nov 1994 08:49:37 GMT, the RFC's example.
    const NOW: Timestamp = Timestamp::from_millis(784_111_777_000);

    #[test]
    fn seconds_and_all_three_forms_of_date_are_read() {
        for (text, seconds) in [
            ("0", Some(0)),
            (" 120 ", Some(120)),
            ("Sun, 06 Nov 1994 08:50:07 GMT", Some(30)),
            ("Sunday, 06-Nov-94 08:50:07 GMT", Some(30)),
            ("Sun Nov  6 08:50:07 1994", Some(30)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("", None),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("99999999999999999999", None),
            ("Sun, 32 Nov 1994 08:50:07 GMT", None),
        ] {
            let found = parse(text, NOW).map(|duration| duration.as_secs());
            assert_eq!(found, seconds, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_passed_over(text: String, now: i64) {
            let _ = parse(&text, Timestamp::from_millis(now));
        }

        #[test]
        fn date_is_as_far_away_as_it_is_ahead(now in 0..4_000_000_000_i64, ahead in 0..100_000_000_i64) {
            let date = DateTime::from_timestamp(now + ahead, 0).unwrap();
            let text = date.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
            let wait = parse(&text, Timestamp::from_millis(now * 1000)).unwrap();
            prop_assert_eq!(wait, Duration::from_secs(ahead.unsigned_abs()));
        }
    }
}
