//! The integration crate: everything through public interfaces.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod addresses;
mod callback;
mod cli;
mod contrib;
mod doctor;
mod fake_obs;
mod folder;
mod formats;
mod fuzz;
mod hostile;
mod http;
mod json_schema;
mod killed;
mod layering;
mod notify;
mod obs_copy;
mod obs_errors;
mod obs_file_system;
mod obs_objects;
mod obs_parts;
mod obs_parts_faults;
mod obs_service;
mod outbound;
mod proof;
mod put_back;
mod reload;
mod rename;
mod rename_faults;
mod repeats;
mod rules_file;
mod service;
mod simulation;
mod store_by_hand;
mod store_clock;
mod store_contract;
mod store_file;
mod store_health;
mod store_history;
mod store_order;
mod support;
mod systemd;
mod tag;
mod tls;
mod worker;
