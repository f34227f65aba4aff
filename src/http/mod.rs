//! The service's two listeners: callbacks come in on one, operators ask on the other.
//!
//! Knows paths, status codes and limits; what a callback means is `crate::intake`'s. TLS is a
//! reverse proxy's work.

mod astray;
mod body;
pub mod callback;
pub mod ops;
mod origin;
pub mod reload;
mod reply;
pub mod server;
