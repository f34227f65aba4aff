//! `aftertake doctor`: whether buckets and destinations can be reached and used as the
//! rules file says, before the first recording depends on it.

mod bucket;

use std::fmt::Write;

use serde::Serialize;

use super::args::RulesFlag;
use super::exit::{Exit, Stop};
use super::load;
use super::out::{self, Answer, OutFlags};
use super::serve::runtime;
use super::table::one_line;
use crate::model::bucket::{Bucket, BucketStore};
use crate::model::destination::Destination;
use crate::model::failure::Failure;
use crate::outbound::Guarded;
use crate::rules::file::RulesFile;

/// Ask every bucket and destination of a rules file whether it can be used
///
/// Lists one key of each bucket with its own credentials, and connects to each destination
/// without sending it anything. With --write, a small object is made in each bucket, tagged,
/// copied and deleted again. Standard error has what `rules check` warns of.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  aftertake doctor --rules rules.yaml\n  \
                        aftertake doctor --rules rules.yaml --write")]
pub(super) struct Doctor {
    #[command(flatten)]
    rules: RulesFlag,
    /// Make, tag, copy and delete a small object in each bucket
    #[arg(long)]
    write: bool,
    #[command(flatten)]
    out: OutFlags,
}

/// What came of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Passed,
    Failed,
}

/// One thing that was tried.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    outcome: Outcome,
    detail: String,
}

/// A bucket or destination with what was tried on it.
#[derive(Debug, Serialize)]
struct Examined {
    kind: &'static str,
    name: String,
    checks: Vec<Check>,
}

/// Everything that was tried.
#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Findings(Vec<Examined>);

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

impl Doctor {
    pub(super) fn run(&self) -> Result<Exit, Stop> {
        let file = load::rules(&self.rules.rules)?;
        for warning in &file.warnings {
            let file = self.rules.rules.display();
            out::tell(&format!("warning: {file}:{warning}"));
        }
        let mut findings = runtime()?.block_on(examine(&file, self.write));
        for check in findings.0.iter_mut().flat_map(|one| &mut one.checks) {
            check.detail = file.mask.apply(&check.detail).into_owned();
        }
        self.out.print(&findings)?;
        let failed = |one: &Examined| {
            one.checks
                .iter()
                .any(|check| check.outcome == Outcome::Failed)
        };
        if findings.0.iter().any(failed) {
            return Ok(Exit::Failed);
        }
        Ok(Exit::Fine)
    }
}

async fn examine(file: &RulesFile, write: bool) -> Findings {
    let mut all = Vec::new();
    for bucket in file.buckets.values() {
        all.push(Examined {
            kind: kind(bucket),
            name: bucket.name.clone(),
            checks: bucket::examine(bucket, write).await,
        });
    }
    for destination in file.destinations.values() {
        all.push(Examined {
            kind: "destination",
            name: destination.name.clone(),
            checks: vec![connect(destination).await],
        });
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
    let origin = destination.url.origin().ascii_serialization();
    Check::of("connect", connected.map(|()| format!("{origin} answers")))
}

impl Answer for Findings {
    fn text(&self, _: Option<usize>) -> String {
        let mut text = String::new();
        for Examined { kind, name, checks } in &self.0 {
            let _ = writeln!(text, "{kind} {name}");
            for check in checks {
                let outcome = match check.outcome {
                    Outcome::Passed => "ok    ",
                    Outcome::Failed => "FAILED",
                };
                let detail = one_line(&check.detail);
                let _ = writeln!(text, "  {:<8} {outcome}  {detail}", check.name);
            }
        }
        if self.0.is_empty() {
            text.push_str("the rules file names no bucket and no destination\n");
        }
        text
    }
}
