//! The integration crate: everything through public interfaces.
#![expect(
    clippy::unwrap_used,
    reason = "a test's own support code ends the test where it cannot go on"
)]

mod obs_copy;
mod obs_errors;
mod obs_file_system;
mod obs_objects;
mod obs_parts;
mod obs_parts_faults;
mod support;
