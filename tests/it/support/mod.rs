//! What tests need from the other side of the service.

pub(crate) mod gate;
pub(crate) mod journal;
pub(crate) mod raw;
pub(crate) mod recording;
pub(crate) mod sink;
pub(crate) mod world;
