//! What the operator wrote, and what follows from it for an event.
//!
//! Pure and synchronous: rules see no clock, no network and no store. Whatever can be
//! checked is checked when the file is loaded; nothing of it can fail to parse later.

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
