//! Checks that buckets and destinations can be reached and used as the rules file says.

mod bucket;

use serde::Serialize;

use crate::model::bucket::{Bucket, BucketStore};
use crate::model::destination::Destination;
use crate::model::failure::Failure;
use crate::outbound::{Guarded, origin};
use crate::rules::file::RulesFile;

/// How far to examine buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    Read,
    /// Also creates, tags, copies and deletes a small object.
    Write,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    Passed,
    Failed,
}

#[derive(Debug, Serialize)]
pub struct Check {
    pub name: &'static str,
    pub outcome: Outcome,
    pub detail: String,
}

#[derive(Debug, Serialize)]
pub struct Examined {
    pub kind: &'static str,
    pub name: String,
    pub checks: Vec<Check>,
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Findings(pub Vec<Examined>);

impl Check {
    fn new(name: &'static str, outcome: Outcome, detail: String) -> Self {
        Self {
            name,
            outcome,
            detail,
        }
    }

    fn passed(name: &'static str, detail: String) -> Self {
        Self::new(name, Outcome::Passed, detail)
    }

    fn failed(name: &'static str, failure: &Failure) -> Self {
        Self::new(name, Outcome::Failed, failure.to_string())
    }

    fn of(name: &'static str, result: Result<String, Failure>) -> Self {
        match result {
            Ok(detail) => Self::passed(name, detail),
            Err(failure) => Self::failed(name, &failure),
        }
    }
}

impl Findings {
    pub fn have_failed(&self) -> bool {
        let mut checks = self.0.iter().flat_map(|one| &one.checks);
        checks.any(|check| check.outcome == Outcome::Failed)
    }
}

/// Examines every bucket and destination of the rules file. The results contain no secret.
pub async fn examine(file: &RulesFile, depth: Depth) -> Findings {
    let mut all = Vec::new();
    for bucket in file.buckets.values() {
        all.push(Examined {
            kind: kind(bucket),
            name: bucket.name.clone(),
            checks: bucket::examine(bucket, depth).await,
        });
    }
    for destination in file.destinations.values() {
        all.push(Examined {
            kind: "destination",
            name: destination.name.clone(),
            checks: vec![connect(destination).await],
        });
    }
    for check in all.iter_mut().flat_map(|one| &mut one.checks) {
        check.detail = file.mask.apply(&check.detail).into_owned();
    }
    Findings(all)
}

fn kind(bucket: &Bucket) -> &'static str {
    match bucket.store {
        BucketStore::Folder { .. } => "folder bucket",
        BucketStore::Obs(_) => "OBS bucket",
    }
}

async fn connect(destination: &Destination) -> Check {
    let connected = Guarded::new().connect(destination).await;
    let origin = origin(&destination.url);
    Check::of("connect", connected.map(|()| format!("{origin} answers")))
}
