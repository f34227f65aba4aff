//! Decides from a response whether a notification arrived, and how it failed if not.

use http::StatusCode;
use http::header::{LOCATION, RETRY_AFTER};
use url::Url;

use super::retry_after;
use crate::chat;
use crate::model::destination::Destination;
use crate::model::failure::{Disposition, Failure, FailureKind};
use crate::model::step::Notify;
use crate::model::time::Timestamp;
use crate::outbound::{Answer, origin};

/// `Ok` when the destination accepted the notification.
pub(super) fn judge(
    destination: &Destination,
    notify: &Notify,
    answer: &Answer,
    now: Timestamp,
) -> Result<(), Failure> {
    let header = |name| answer.headers.get(name)?.to_str().ok();
    let wish = header(RETRY_AFTER).and_then(|text| retry_after::parse(text, now));
    if let Some(failure) = coded(destination, notify, answer) {
        return Err(Failure {
            reason: format!(
                "destination {} answered {} with {}",
                destination.name,
                shown(answer.status),
                failure.reason,
            ),
            retry_after: wish.or(failure.retry_after),
            ..failure
        });
    }
    let Some(kind) = kind(destination, answer.status.as_u16()) else {
        return Ok(());
    };
    let kind = of_url(kind, notify);
    let advice = match answer.status {
        StatusCode::GONE if notify.is_of_event => {
            Some(": what this event's URL names is gone; other tasks go on".to_owned())
        }
        StatusCode::GONE => {
            Some(": it wants no more notifications; correct its url, then resume it".to_owned())
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Some("; compare its secret and headers with what it expects".to_owned())
        }
        status if status.is_redirection() => {
            header(LOCATION).map(|place| redirect(&notify.url, place))
        }
        _ => None,
    };
    let reason = format!(
        "destination {} answered {}{}",
        destination.name,
        shown(answer.status),
        advice.unwrap_or_default(),
    );
    Err(Failure {
        retry_after: wish,
        ..Failure::new(kind, reason)
    })
}

/// A templated URL depends on the event: if it is gone, the destination may still be fine.
fn of_url(kind: FailureKind, notify: &Notify) -> FailureKind {
    match kind {
        FailureKind::Gone if notify.is_of_event => FailureKind::Refused,
        kind => kind,
    }
}

/// The failure that the service's code means, unless the destination lists the status.
fn coded(destination: &Destination, notify: &Notify, answer: &Answer) -> Option<Failure> {
    let lists = [
        &destination.success,
        &destination.retry,
        &destination.refused,
    ];
    let listed = lists
        .iter()
        .any(|list| list.contains(&answer.status.as_u16()));
    let chat = chat::of(notify.format).filter(|_| !listed)?;
    chat.refusal(answer.status, &answer.body)
}

/// What a status means; `None` is success. The destination's lists take precedence.
fn kind(destination: &Destination, status: u16) -> Option<FailureKind> {
    let usual = usual_kind(status);
    if destination.success.contains(&status) {
        None
    } else if destination.refused.contains(&status) {
        Some(FailureKind::Refused)
    } else if destination.retry.contains(&status) {
        let retried = usual.filter(|kind| kind.disposition() == Disposition::Retry);
        // A status listed under `retry` concerns this task, not the whole destination.
        Some(retried.unwrap_or(FailureKind::NotNow))
    } else {
        usual
    }
}

const fn usual_kind(status: u16) -> Option<FailureKind> {
    match status {
        200..=299 => None,
        408 | 409 | 425 => Some(FailureKind::NotNow),
        500..=599 => Some(FailureKind::Unavailable),
        429 => Some(FailureKind::Throttled),
        410 => Some(FailureKind::Gone),
        _ => Some(FailureKind::Refused),
    }
}

/// Names only the origin: paths and queries of webhooks are secrets.
fn redirect(url: &Url, location: &str) -> String {
    let target = url.join(location).map(|target| origin(&target));
    format!(
        " to {}; redirects are never followed: set its url to where it leads",
        target.unwrap_or_else(|_| "an unreadable place".to_owned()),
    )
}

fn shown(status: StatusCode) -> String {
    match status.canonical_reason() {
        Some(reason) => format!("{} {reason}", status.as_str()),
        None => status.as_str().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::HeaderMap;

    use super::*;
    use crate::model::destination::{Breaker, Format, TlsFiles};

    fn destination() -> Destination {
        Destination {
            name: "lms".into(),
            url: "https://lms.example.com/hooks?token=hidden"
                .parse()
                .unwrap(),
            secrets: Vec::new(),
            timeout: Duration::from_secs(15),
            concurrency: 1,
            rate: None,
            allow_private: false,
            headers: Vec::new(),
            format: Format::Aftertake,
            text: None,
            breaker: Breaker::default(),
            success: vec![302, 418],
            retry: vec![404, 429, 410, 202],
            refused: vec![503, 204],
            tls: TlsFiles::default(),
            proxy: None,
        }
    }

    fn judged(status: u16, headers: &[(&'static str, &str)]) -> Result<(), Failure> {
        let mut destination = destination();
        destination.success.clear();
        destination.retry.clear();
        destination.refused.clear();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        let answer = Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: map,
            body: bytes::Bytes::new(),
        };
        let notify = Notify {
            destination: "lms".into(),
            method: http::Method::POST,
            url: destination.url.clone(),
            is_of_event: false,
            headers: Vec::new(),
            content_type: String::new(),
            format: Format::Aftertake,
            body: bytes::Bytes::new(),
            webhook_id: String::new(),
            timeout: None,
        };
        judge(&destination, &notify, &answer, Timestamp::from_millis(0))
    }

    #[test]
    fn usual_statuses_mean_what_they_say() {
        use FailureKind::{Gone, NotNow, Refused, Throttled, Unavailable};
        for (statuses, kind) in [
            (&[200, 201, 202, 204, 226, 299][..], None),
            (&[408, 409, 425], Some(NotNow)),
            (&[500, 502, 503, 504, 599], Some(Unavailable)),
            (&[429], Some(Throttled)),
            (&[410], Some(Gone)),
            (
                &[
                    300, 301, 302, 303, 304, 307, 308, 400, 401, 403, 404, 405, 413, 422, 451, 600,
                    999,
                ],
                Some(Refused),
            ),
        ] {
            for status in statuses {
                let found = judged(*status, &[]).err().map(|failure| failure.kind);
                assert_eq!(found, kind, "{status}");
            }
        }
    }

    #[test]
    fn lists_of_the_destination_come_before_the_usual_meaning() {
        for (status, expected) in [
            (302, None),
            (418, None),
            (503, Some(FailureKind::Refused)),
            (204, Some(FailureKind::Refused)),
            (404, Some(FailureKind::NotNow)),
            (410, Some(FailureKind::NotNow)),
            (202, Some(FailureKind::NotNow)),
            (429, Some(FailureKind::Throttled)),
            (200, None),
            (500, Some(FailureKind::Unavailable)),
        ] {
            assert_eq!(kind(&destination(), status), expected, "{status}");
        }
    }

    #[test]
    fn reason_says_what_to_do_and_shows_no_path() {
        for (status, location, reason) in [
            (
                503,
                None,
                "destination lms answered 503 Service Unavailable",
            ),
            (599, None, "destination lms answered 599"),
            (
                401,
                None,
                "destination lms answered 401 Unauthorized; compare its secret and headers with what it expects",
            ),
            (
                410,
                None,
                "destination lms answered 410 Gone: it wants no more notifications; correct its url, then resume it",
            ),
            (
                301,
                Some("https://new.example.com:8443/secret?a=b"),
                "destination lms answered 301 Moved Permanently to https://new.example.com:8443; redirects are never followed: set its url to where it leads",
            ),
            (
                302,
                Some("/login"),
                "destination lms answered 302 Found to https://lms.example.com; redirects are never followed: set its url to where it leads",
            ),
            (
                307,
                Some("http://["),
                "destination lms answered 307 Temporary Redirect to an unreadable place; redirects are never followed: set its url to where it leads",
            ),
            (304, None, "destination lms answered 304 Not Modified"),
        ] {
            let headers: Vec<_> = location
                .map(|place| ("location", place))
                .into_iter()
                .collect();
            assert_eq!(judged(status, &headers).unwrap_err().reason, reason);
        }
    }

    #[test]
    fn wish_to_wait_is_kept() {
        let wait = |text| {
            judged(503, &[("retry-after", text)])
                .unwrap_err()
                .retry_after
        };
        assert_eq!(wait("90"), Some(Duration::from_secs(90)));
        assert_eq!(
            wait("Thu, 01 Jan 1970 00:01:00 GMT"),
            Some(Duration::from_mins(1))
        );
        assert_eq!(wait("later"), None);
    }
}
