//! One try of one step and its result, for the history.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::failure::Failure;
use super::task::StepNo;
use super::time::Timestamp;

/// Bytes kept of a request's body, and of the response to a failed attempt.
pub const KEPT_BODY: usize = 4096;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttemptRecord {
    pub step: StepNo,
    pub step_id: String,
    /// `rename`, `tag` or `notify`.
    pub action: String,
    pub started: Timestamp,
    pub took: Duration,
    pub outcome: Outcome,
    /// The request and response, if the step sent one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchange: Option<Exchange>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Succeeded,
    /// The step's `if` was false, for this reason.
    Skipped(String),
    Failed(Failure),
    /// The service stopped, or the task was cancelled, during the step.
    Interrupted,
}

impl Outcome {
    /// The name in rows, metrics and tables.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Skipped(_) => "skipped",
            Self::Failed(_) => "failed",
            Self::Interrupted => "interrupted",
        }
    }
}

/// A request and its response. Texts are masked and cut before they are stored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
    pub method: String,
    pub url: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The request id that the other side gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// True if certainly nothing was sent, because there was no connection.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unsent: bool,
    pub sent_length: u64,
    pub sent_digest: String,
    /// The body of a failed attempt, cut to [`KEPT_BODY`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent: Option<String>,
    /// The response to a failed attempt, cut to [`KEPT_BODY`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
}
