//! What tests need from the other side of the service.

pub(crate) mod fake_obs;
