//! YAML in which every value has its place, for messages that point at what is wrong.
//!
//! ```text
//!  text ──▶ shield ──▶ build: the parser's events ──▶ tree: nodes with places, variables filled in
//!  tree ──▶ read: serde into types made of shape's ──▶ a value, or the first problem of that part
//! ```
//!
//! Knows no rules, and reads no files and no environment itself.

pub(crate) mod json;
pub mod problem;
pub(crate) mod read;
pub(crate) mod shape;
pub(crate) mod spelling;
pub(crate) mod tree;
pub mod variables;

mod build;
mod fault;
mod place;
mod shield;
