//! One try of one step, with what came back: what an operator reads afterwards.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::failure::Failure;
use super::task::StepNo;
use super::time::Timestamp;

/// Bytes kept of a sent body and of an answer of a failed attempt.
pub const KEPT_BODY: usize = 4096;

/// One try of one step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttemptRecord {
    pub step: StepNo,
    /// The step's id in its rule.
    pub step_id: String,
    /// `rename`, `tag` or `notify`.
    pub action: String,
    pub started: Timestamp,
    pub took: Duration,
    pub outcome: Outcome,
    /// What was sent and answered, when the step spoke to another side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchange: Option<Exchange>,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Succeeded,
    /// The step's `if` did not hold; why.
    Skipped(String),
    Failed(Failure),
    /// The service stopped, or the task was cancelled, before the step ended.
    Interrupted,
}

impl Outcome {
    /// The outcome's one spelling in rows, metrics and tables.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Skipped(_) => "skipped",
            Self::Failed(_) => "failed",
            Self::Interrupted => "interrupted",
        }
    }
}

/// A request and its answer. Texts are masked, then cut, before they are stored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
    pub method: String,
    pub url: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The other side's name for the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Whether it is certain that nothing was sent: there was no connection.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unsent: bool,
    /// Length of the body in bytes.
    pub sent_length: u64,
    /// SHA-256 of the body, hexadecimal.
    pub sent_digest: String,
    /// The body of a failed attempt; at most [`KEPT_BODY`] is stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent: Option<String>,
    /// The answer to a failed attempt; at most [`KEPT_BODY`] is stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
}
