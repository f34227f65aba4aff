//! The integration crate: everything through public interfaces.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod json_schema;
mod rules_file;
