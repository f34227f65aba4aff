//! Metric labels. All are closed sets except names from the rules file.

use prometheus_client::encoding::EncodeLabelSet;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallbackResult {
    /// A new event with at least one task.
    Stored,
    /// A new event that no rule matched.
    Unmatched,
    /// Was already stored; nothing changed.
    Duplicate,
    /// `GET`, `HEAD` or an empty body.
    Probe,
    /// The signature is missing or wrong.
    RefusedSignature,
    /// Not a JSON object in plain UTF-8.
    Malformed,
    /// Posted to a path that is not the callbacks'.
    WrongPath,
    /// The body exceeds the limit.
    TooLarge,
    /// The body did not arrive in time.
    Timeout,
    /// Could not be stored; answered 503.
    Unavailable,
    /// Callbacks come faster than the disk can store them; answered 503.
    Overloaded,
}

impl CallbackResult {
    pub(super) const ALL: [Self; 11] = [
        Self::Stored,
        Self::Unmatched,
        Self::Duplicate,
        Self::Probe,
        Self::RefusedSignature,
        Self::Malformed,
        Self::WrongPath,
        Self::TooLarge,
        Self::Timeout,
        Self::Unavailable,
        Self::Overloaded,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Unmatched => "unmatched",
            Self::Duplicate => "duplicate",
            Self::Probe => "probe",
            Self::RefusedSignature => "refused_signature",
            Self::Malformed => "malformed",
            Self::WrongPath => "wrong_path",
            Self::TooLarge => "too_large",
            Self::Timeout => "timeout",
            Self::Unavailable => "unavailable",
            Self::Overloaded => "overloaded",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ResultLabel {
    pub(super) result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RevisionLabel {
    pub(super) revision: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct StateLabel {
    pub(super) state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct LaneLabels {
    pub(super) lane: String,
    pub(super) state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ActionLabel {
    pub(super) action: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct AttemptLabels {
    pub(super) action: String,
    pub(super) outcome: &'static str,
    /// The failure's kind, or empty, which Prometheus treats as absent.
    pub(super) failure: &'static str,
}

impl From<CallbackResult> for ResultLabel {
    fn from(result: CallbackResult) -> Self {
        Self {
            result: result.name(),
        }
    }
}
