//! YAML with places.

pub(crate) mod json;
pub mod problem;
pub(crate) mod read;
pub(crate) mod shape;
pub(crate) mod tree;
pub mod variables;

mod build;
mod fault;
mod place;
mod shield;
