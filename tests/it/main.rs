//! The integration crate: everything through public interfaces.
#![expect(
    clippy::unwrap_used,
    reason = "a test's own support code ends the test where it cannot go on"
)]

mod callback;
mod notify;
mod outbound;
mod support;
mod tls;
