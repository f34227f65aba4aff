//! What tests need from the other side of the service.

pub(crate) mod fake_obs;
pub(crate) mod gate;
pub(crate) mod journal;
pub(crate) mod recording;
pub(crate) mod sink;
pub(crate) mod stage;
pub(crate) mod take;
pub(crate) mod world;
