//! Classifies OBS error responses.
//!
//! The only place where status and code become a [`FailureKind`]; messages are not used. Every
//! error names the operation, the key, and the request id that Huawei's support asks for.
//! <https://support.huaweicloud.com/intl/en-us/api-obs/obs_04_0115.html>

use std::time::Duration;

use http::header::{LOCATION, RETRY_AFTER};
use http::{HeaderMap, StatusCode};

use super::xml::Node;
use crate::model::failure::{Failure, FailureKind};

#[derive(Debug)]
pub(super) struct Error {
    pub(super) code: String,
    pub(super) failure: Failure,
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self {
            code: String::new(),
            failure,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        error.failure
    }
}

impl Error {
    pub(super) fn new(kind: FailureKind, reason: impl Into<String>) -> Self {
        Self {
            code: String::new(),
            failure: Failure::new(kind, reason),
        }
    }

    pub(super) fn is(&self, code: &str) -> bool {
        self.code == code
    }
}

/// Whether a request may be repeated without checking its effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// Twice has the same effect as once.
    Repeatable,
    /// Must not be repeated before its effect is known.
    Once,
}

impl Effect {
    /// The kind of a failure after which the effect may still have happened: for 500, 503 and lost
    /// responses, OBS says to query the state first.
    /// <https://support.huaweicloud.com/intl/en-us/api-obs/obs_04_0118.html>
    pub(super) fn judge(self, kind: FailureKind) -> FailureKind {
        match (self, kind) {
            (Self::Once, FailureKind::Timeout | FailureKind::Unavailable) => FailureKind::Unknown,
            _ => kind,
        }
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Refusal {
    /// `None` for an error inside a 200, which OBS may send before it finishes.
    pub(super) status: Option<StatusCode>,
    pub(super) code: String,
    pub(super) message: String,
    pub(super) request_id: Option<String>,
    pub(super) retry_after: Option<Duration>,
    pub(super) location: Option<String>,
}

impl Refusal {
    /// Reads a response. Responses to HEAD have no body: their code is in headers.
    pub(super) fn read(status: StatusCode, headers: &HeaderMap, body: Option<&Node>) -> Self {
        let text = |name: &str| {
            let value = headers.get(name)?;
            Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        let element = |name| {
            body.and_then(|error| error.text_of(name))
                .map(str::to_owned)
        };
        let said = |name, header| element(name).or_else(|| text(header)).unwrap_or_default();
        Self {
            status: (status != StatusCode::OK).then_some(status),
            code: said("Code", "x-obs-error-code"),
            message: said("Message", "x-obs-error-message"),
            request_id: text("x-obs-request-id").or_else(|| element("RequestId")),
            retry_after: text(RETRY_AFTER.as_str())
                .and_then(|seconds| seconds.trim().parse().ok())
                .map(Duration::from_secs),
            location: text(LOCATION.as_str()),
        }
    }

    pub(super) fn into_error(self, what: &str, effect: Effect) -> Error {
        let kind = effect.judge(kind(self.status, &self.code));
        let mut failure = Failure::new(kind, self.reason(what));
        failure.retry_after = self.retry_after;
        Error {
            code: self.code,
            failure,
        }
    }

    fn reason(&self, what: &str) -> String {
        let mut reason = format!("{what}: OBS answered");
        let mut add = |text: &str| {
            if !text.is_empty() {
                reason.push(' ');
                reason.extend(text.chars().take(300));
            }
        };
        match self.status {
            Some(status) => add(status.as_str()),
            None => add("200 with an error:"),
        }
        add(&self.code);
        if !self.message.is_empty() {
            add(&format!("({})", self.message));
        }
        if let Some(id) = &self.request_id {
            add(&format!("[request id {id}]"));
        }
        if let Some(location) = &self.location {
            add(&format!(
                "(the bucket is at {location}: correct `endpoint`)"
            ));
        }
        reason.push_str(advice(&self.code));
        reason
    }
}

/// The kind of an OBS error. `status` is `None` for an error inside a 200 and for single keys of a
/// deletion.
pub(super) fn kind(status: Option<StatusCode>, code: &str) -> FailureKind {
    use FailureKind as Kind;
    match code {
        "RequestTimeout" => Kind::Timeout,
        "TooManyRequests" | "SlowDown" => Kind::Throttled,
        "OperationAborted"
        | "FsRenameConflict"
        | "InternalError"
        | "ServiceUnavailable"
        | "IncompleteBody"
        | "BadDigest"
        | "RequestTimeTooSkewed" => Kind::Unavailable,
        "InArrearOrInsufficientBalance"
        | "InvalidAccessKeyId"
        | "SignatureDoesNotMatch"
        | "TooManyWrongSignature"
        | "DeregisterUserId"
        | "Unauthorized"
        | "AccountProblem"
        | "InvalidSecurity"
        | "NotSignedUp" => Kind::Credentials,
        "AccessDenied" | "AccessForbidden" | "AllAccessDisabled" => Kind::Denied,
        "NoSuchKey" => Kind::Missing,
        "PreconditionFailed" => Kind::SourceChanged,
        "FsObjectConflict" => Kind::Conflict,
        "InvalidObjectState"
        | "MethodNotAllowed"
        | "FsNotSupport"
        | "ServiceNotSupported"
        | "EntityTooLarge"
        | "NotImplemented" => Kind::Unsupported,
        "InvalidTag" | "KeyTooLong" | "KeyTooLongError" | "MetadataTooLarge" => Kind::Invalid,
        // Nothing is known of the objects of a bucket that is not there.
        "NoSuchBucket" => Kind::Away,
        "NoSuchVersion" | "NoSuchUpload" | "VirtualHostDomainRequired" => Kind::Refused,
        _ => status.map_or(Kind::Unavailable, kind_of_status),
    }
}

/// For other codes, and for responses without one.
fn kind_of_status(status: StatusCode) -> FailureKind {
    use FailureKind as Kind;
    match status.as_u16() {
        401 | 403 => Kind::Denied,
        404 => Kind::Missing,
        405 | 501 => Kind::Unsupported,
        408 => Kind::Timeout,
        412 => Kind::SourceChanged,
        414 => Kind::Invalid,
        429 => Kind::Throttled,
        500..=599 => Kind::Unavailable,
        _ => Kind::Refused,
    }
}

/// What the operator can do about a code that does not explain itself.
fn advice(code: &str) -> &'static str {
    match code {
        "SignatureDoesNotMatch" => {
            "; check `secret_key`, and that `endpoint` does not name the bucket"
        }
        "InvalidAccessKeyId" => "; check `access_key`, and that `security_token` is not expired",
        "VirtualHostDomainRequired" => "; use `addressing: virtual`",
        "NoSuchBucket" => "; check the bucket's name and the region in `endpoint`",
        "InvalidObjectState" => "; the object is archived: restore it first",
        "InArrearOrInsufficientBalance" => "; the account has to be topped up",
        "TooManyWrongSignature" => "; the access key is locked for a while: check `secret_key`",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_documented_code_has_its_class() {
        use FailureKind as Kind;
        for (status, code, expected) in [
            (408, "RequestTimeout", Kind::Timeout),
            (409, "OperationAborted", Kind::Unavailable),
            (409, "FsRenameConflict", Kind::Unavailable),
            (429, "TooManyRequests", Kind::Throttled),
            (500, "InternalError", Kind::Unavailable),
            (503, "ServiceUnavailable", Kind::Unavailable),
            (503, "SlowDown", Kind::Throttled),
            (400, "IncompleteBody", Kind::Unavailable),
            (400, "BadDigest", Kind::Unavailable),
            (403, "RequestTimeTooSkewed", Kind::Unavailable),
            (404, "NoSuchKey", Kind::Missing),
            (412, "PreconditionFailed", Kind::SourceChanged),
            (403, "InArrearOrInsufficientBalance", Kind::Credentials),
            (403, "InvalidAccessKeyId", Kind::Credentials),
            (403, "SignatureDoesNotMatch", Kind::Credentials),
            (400, "TooManyWrongSignature", Kind::Credentials),
            (403, "DeregisterUserId", Kind::Credentials),
            (403, "Unauthorized", Kind::Credentials),
            (403, "AccessDenied", Kind::Denied),
            (403, "InvalidObjectState", Kind::Unsupported),
            (404, "NoSuchBucket", Kind::Away),
            (404, "NoSuchVersion", Kind::Refused),
            (405, "MethodNotAllowed", Kind::Unsupported),
            (405, "FsNotSupport", Kind::Unsupported),
            (409, "FsObjectConflict", Kind::Conflict),
            (409, "ServiceNotSupported", Kind::Unsupported),
            (400, "InvalidTag", Kind::Invalid),
            (400, "KeyTooLongError", Kind::Invalid),
            (400, "MetadataTooLarge", Kind::Invalid),
            (400, "EntityTooLarge", Kind::Unsupported),
            (400, "InvalidArgument", Kind::Refused),
            (400, "InvalidRequest", Kind::Refused),
            (400, "MalformedXML", Kind::Refused),
            (414, "", Kind::Invalid),
            (501, "", Kind::Unsupported),
            (301, "PermanentRedirect", Kind::Refused),
            (403, "", Kind::Denied),
            (502, "", Kind::Unavailable),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(kind(Some(status), code), expected, "{status} {code}");
        }
        assert_eq!(kind(None, ""), Kind::Unavailable);
        assert_eq!(kind(None, "AccessDenied"), Kind::Denied);
    }

    #[test]
    fn effect_that_may_have_happened_is_unknown() {
        use FailureKind as Kind;
        for (kind, repeatable, once) in [
            (Kind::Timeout, Kind::Timeout, Kind::Unknown),
            (Kind::Unavailable, Kind::Unavailable, Kind::Unknown),
            (Kind::Throttled, Kind::Throttled, Kind::Throttled),
            (Kind::Denied, Kind::Denied, Kind::Denied),
            (Kind::Unreachable, Kind::Unreachable, Kind::Unreachable),
        ] {
            assert_eq!(Effect::Repeatable.judge(kind), repeatable);
            assert_eq!(Effect::Once.judge(kind), once);
        }
    }

    #[test]
    fn answer_to_head_is_read_from_headers() {
        let mut headers = HeaderMap::new();
        headers.insert("x-obs-error-code", "InvalidAccessKeyId".parse().unwrap());
        headers.insert("x-obs-error-message", "no such key".parse().unwrap());
        headers.insert("x-obs-request-id", "0A1B".parse().unwrap());
        headers.insert("retry-after", "7".parse().unwrap());
        let error = Refusal::read(StatusCode::FORBIDDEN, &headers, None)
            .into_error("look at \"k\"", Effect::Repeatable);
        assert!(error.is("InvalidAccessKeyId"));
        assert_eq!(error.failure.kind, FailureKind::Credentials);
        assert_eq!(error.failure.retry_after, Some(Duration::from_secs(7)));
        assert_eq!(
            error.failure.reason,
            "look at \"k\": OBS answered 403 InvalidAccessKeyId (no such key) [request id 0A1B]; check `access_key`, and that `security_token` is not expired"
        );
    }
}
