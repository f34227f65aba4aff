//! The operator's rules, and what they plan for an event.
//!
//! Pure and synchronous: no clock, network or store. Everything that can be checked is checked when
//! the file is loaded.

pub mod error;
pub mod file;
pub mod rule;
pub mod schema;
pub mod template;

mod condition;
pub mod context;
mod document;
pub mod plan;
pub mod render;
pub mod restart;

#[cfg(test)]
mod fixtures;
