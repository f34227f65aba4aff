//! The domain: events, recordings, tasks, failures, and decisions about them.
//!
//! Pure and synchronous: no I/O, no clock, no random numbers; times and jitter are arguments. Every
//! other module may import this one; it imports none of ours.

pub mod address;
pub mod attempt;
pub mod breaker;
pub mod bucket;
pub mod certain;
pub mod destination;
pub mod event;
pub mod failure;
pub mod id;
pub mod identity;
pub mod intervention;
pub mod moment;
pub mod moves;
pub mod plan;
pub mod rate;
pub mod recorder;
pub mod recording;
pub mod restart;
pub mod retry;
pub mod secret;
pub mod step;
pub mod task;
pub mod time;
pub mod transition;
pub mod wait;
pub mod work;
