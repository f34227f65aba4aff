//! What tests need from the other side of the service.

pub(crate) mod floor;
pub(crate) mod gate;
pub(crate) mod journal;
pub(crate) mod premises;
pub(crate) mod recording;
pub(crate) mod sink;
pub(crate) mod watched;
pub(crate) mod world;
