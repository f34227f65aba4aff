//! Log lines and metrics.
//!
//! Knows neither store nor HTTP: others set the values, and `http::ops` serves them.

pub mod log;
pub mod metrics;

pub use metrics::{CallbackResult, Metrics, OnCommit};
