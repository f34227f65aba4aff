//! The service's two listeners: one for callbacks, one for operators.
//!
//! Knows paths, status codes and limits; `crate::intake` knows what a callback means. TLS is left
//! to a reverse proxy.

mod body;
pub mod callback;
pub mod ops;
mod origin;
pub mod reload;
mod reply;
pub mod server;
mod wrong_path;
