//! Moves, observed from outside: whatever OBS responds, whatever else is moved to the same key, and
//! whenever the service dies, each recording is whole somewhere and each task says what happened.

mod account;
mod film;
mod process;
mod runs;
mod scene;
mod sweep;

mod answers;
mod chaos;
mod encrypted;
mod growth;
mod half_replaced;
mod killed;
mod late;
mod late_callback;
mod left;
mod marks;
mod masters;
mod never_moved;
mod overwrite;
mod past_commit;
mod replaced;
mod replaced_recording;
mod reused_key;
mod same_target;
mod same_target_told;
mod shared;
mod swap;
mod timeouts;
