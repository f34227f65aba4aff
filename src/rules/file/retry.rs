//! `retry:` when a failed step is retried: the file's defaults, and single keys by rule.

use schemars::JsonSchema;
use serde::Deserialize;

use super::load::Loading;
use super::scalar::{Count, Factor, Span};
use crate::model::retry::{JitterMode, RetryPolicy};
use crate::yaml::shape::Deferred;

/// When a failed step is retried; omitted keys keep their default.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Retry")]
pub(crate) struct Raw {
    /// The delay before the second try; 2s by default.
    first: Option<Span>,
    /// Each further delay is the previous one times this; 2 by default.
    factor: Option<Factor>,
    /// Maximum delay; 30m by default.
    longest: Option<Span>,
    /// How much of a delay is random; `full` by default.
    jitter: Option<JitterMode>,
    /// Maximum tries of one step, the first included; 20 by default.
    tries: Option<Count>,
    /// No retry later than this after the event arrived; 72h by default.
    give_up_after: Option<Span>,
}

impl Loading<'_> {
    pub(super) fn policy(&mut self, section: Option<&Deferred<Raw>>) -> RetryPolicy {
        let raw = self.read_or_default(section).unwrap_or_default();
        raw.over(RetryPolicy::default())
    }
}

impl Raw {
    /// `policy` overridden by the keys given here.
    pub(super) fn over(self, policy: RetryPolicy) -> RetryPolicy {
        RetryPolicy {
            first: self.first.map_or(policy.first, |Span(first)| first),
            factor: self.factor.map_or(policy.factor, |Factor(factor)| factor),
            longest: self.longest.map_or(policy.longest, |Span(longest)| longest),
            jitter: self.jitter.unwrap_or(policy.jitter),
            tries: self.tries.map_or(policy.tries, |Count(tries)| tries),
            give_up_after: self
                .give_up_after
                .map_or(policy.give_up_after, |Span(end)| end),
        }
    }
}
