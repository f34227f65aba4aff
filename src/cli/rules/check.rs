//! `aftertake rules check`: accepts or refuses a rules file.

use std::fmt::Write;
use std::path::Path;

use serde::Serialize;

use crate::cli::exit::{Exit, Stop};
use crate::cli::load;
use crate::cli::out::{Answer, OutFlags, document};
use crate::rules::error::RulesError;
use crate::rules::file::RulesFile;

pub(super) fn run(path: &Path, out: OutFlags) -> Result<Exit, Stop> {
    let text = load::text(path)?;
    match load::parse(path, &text) {
        Ok(file) => {
            out.print(&Accepted::new(path, &file))?;
            Ok(Exit::Fine)
        }
        Err(refusal) => {
            // For people, the error on standard error is the answer.
            if out.json {
                document(&RefusedFile::new(path, &refusal))?;
            }
            Err(Stop::new(Exit::BadInput, refusal))
        }
    }
}

#[derive(Debug, Serialize)]
struct Accepted {
    file: String,
    fine: bool,
    revision: String,
    rules: Vec<String>,
    buckets: Vec<String>,
    destinations: Vec<String>,
    /// What is probably a mistake.
    warnings: Vec<Remark>,
}

#[derive(Debug, Serialize)]
struct RefusedFile {
    file: String,
    fine: bool,
    problems: Vec<Remark>,
}

/// A message about a place in the file; line and column count from 1.
#[derive(Debug, Serialize)]
struct Remark {
    line: usize,
    column: usize,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<String>,
}

impl Accepted {
    fn new(path: &Path, file: &RulesFile) -> Self {
        let warnings = file.warnings.iter().map(|warning| Remark {
            line: warning.line,
            column: warning.column,
            message: warning.message.clone(),
            help: None,
        });
        let shown = |name: &String| file.mask.apply(name).into_owned();
        let rules = file.rules.rules.iter().map(|rule| &rule.name);
        Self {
            file: path.display().to_string(),
            fine: true,
            revision: file.rules.revision.to_string(),
            rules: rules.map(shown).collect(),
            buckets: file.buckets.keys().map(shown).collect(),
            destinations: file.destinations.keys().map(shown).collect(),
            warnings: warnings.collect(),
        }
    }
}

impl Answer for Accepted {
    fn text(&self, _: Option<usize>) -> String {
        let mut text = format!("{} is accepted as {}\n", self.file, self.revision);
        for (kind, names) in [
            ("rules", &self.rules),
            ("buckets", &self.buckets),
            ("destinations", &self.destinations),
        ] {
            let names = if names.is_empty() {
                "none".to_owned()
            } else {
                names.join(", ")
            };
            let _ = writeln!(text, "  {kind:<13} {names}");
        }
        for Remark {
            line,
            column,
            message,
            ..
        } in &self.warnings
        {
            let _ = writeln!(text, "warning: {}:{line}:{column}: {message}", self.file);
        }
        text
    }
}

impl RefusedFile {
    fn new(path: &Path, refusal: &RulesError) -> Self {
        let problems = refusal.problems().iter().map(|problem| {
            let (line, column) = refusal.position(problem);
            Remark {
                line,
                column,
                message: problem.message.clone(),
                help: problem.help.clone(),
            }
        });
        Self {
            file: path.display().to_string(),
            fine: false,
            problems: problems.collect(),
        }
    }
}
