//! The service's two listeners: callbacks come in on one, operators ask on the other.
//!
//! Knows how an event is stored, and never how its tasks are run: what a stored event
//! starts goes through [`callback::Handoff`], which the application implements. TLS is
//! a reverse proxy's work.

mod astray;
mod body;
pub mod callback;
pub mod crowd;
pub mod gate;
pub mod ops;
mod origin;
pub mod reload;
mod reply;
mod seldom;
pub mod server;
