//! What steps find in the rules file in force.
//!
//! A reload replaces it as one. A step looks it up when it begins and ends with what it
//! found then, so that no step sees half of one file and half of another.

use std::sync::Arc;

use super::Revisions;
use crate::action::Reach;

/// Buckets, destinations and rules that belong together.
#[derive(Debug)]
pub struct InForce {
    pub reach: Reach,
    pub revisions: Revisions,
}

/// Answers what is in force at present.
pub type InForceNow = Arc<dyn Fn() -> Arc<InForce> + Send + Sync>;
