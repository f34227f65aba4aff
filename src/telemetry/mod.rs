//! What the service tells its operator while it runs: log lines and metrics.
//!
//! Knows neither store nor HTTP: whoever has a figure hands it in, and `http::ops`
//! shows the result.

pub mod log;
pub mod metrics;

pub use metrics::{CallbackResult, Metrics, OnCommit};
