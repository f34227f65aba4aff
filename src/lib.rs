//! Aftertake: what happens after the take.

pub mod action;
pub mod callback;
pub mod clock;
pub mod config;
pub mod http;
pub mod model;
pub mod object;
pub mod outbound;
pub mod rules;
pub mod store;
pub mod telemetry;
