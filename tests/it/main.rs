//! The integration crate: everything through public interfaces.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod callback;
mod cli;
mod contrib;
mod folder;
mod http;
mod json_schema;
mod killed;
mod layering;
mod notify;
mod outbound;
mod rename;
mod rename_faults;
mod rules_file;
mod service;
mod store_by_hand;
mod store_contract;
mod store_file;
mod store_history;
mod support;
mod systemd;
mod tag;
mod tls;
mod worker;
