//! `aftertake doctor`: checks that buckets and destinations can be reached and used.

use std::fmt::Write;

use super::args::RulesFlag;
use super::exit::{Exit, Stop};
use super::load;
use super::out::{self, Answer, OutFlags};
use super::serve::runtime;
use super::table::one_line;
use crate::operate::doctor::{Depth, Examined, Findings, Outcome, examine};

/// Check that every bucket and destination of a rules file can be used
///
/// Lists one key of each bucket with the bucket's credentials, and connects to each destination
/// without sending it anything. With --write, a small object is created in each bucket, tagged,
/// copied and deleted. The warnings of `rules check` go to standard error.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  aftertake doctor --rules rules.yaml\n  \
                        aftertake doctor --rules rules.yaml --write")]
pub(super) struct Doctor {
    #[command(flatten)]
    rules: RulesFlag,
    /// Create, tag, copy and delete a small object in each bucket
    #[arg(long)]
    write: bool,
    #[command(flatten)]
    out: OutFlags,
}

impl Doctor {
    pub(super) fn run(&self) -> Result<Exit, Stop> {
        let file = load::rules(&self.rules.rules)?;
        for warning in &file.warnings {
            let file = self.rules.rules.display();
            out::print_progress(&format!("warning: {file}:{warning}"));
        }
        let depth = if self.write {
            Depth::Write
        } else {
            Depth::Read
        };
        let findings = runtime()?.block_on(examine(&file, depth));
        self.out.print(&findings)?;
        Ok(if findings.have_failed() {
            Exit::Failed
        } else {
            Exit::Fine
        })
    }
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
