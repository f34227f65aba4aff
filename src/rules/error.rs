//! The problems of a rules file, shown like rustc errors: one sentence, file, line and column, the
//! wrong text and a fix.
//!
//! Messages must not contain values from the environment; literal secrets are overwritten in the
//! text.

use std::fmt;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use crate::yaml::problem::{Problem, position};

/// Why a rules file is refused: all problems that were found.
#[derive(Debug)]
pub struct RulesError {
    name: String,
    text: String,
    /// In the order of the file; never empty.
    problems: Vec<Problem>,
}

impl RulesError {
    /// `text` is the file's text with secrets overwritten; every character keeps its column.
    pub(super) fn new(name: &str, text: String, mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| problem.span.start);
        problems.dedup();
        Self {
            name: name.to_owned(),
            text,
            problems,
        }
    }

    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Line and column of a problem, both from 1; columns count characters.
    pub fn position(&self, problem: &Problem) -> (usize, usize) {
        position(&self.text, problem.span.start)
    }
}

impl std::error::Error for RulesError {}

impl fmt::Display for RulesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let renderer = Renderer::plain();
        for (number, problem) in self.problems.iter().enumerate() {
            if number > 0 {
                f.write_str("\n\n")?;
            }
            f.write_str(&renderer.render(&[self.group(problem)]))?;
        }
        Ok(())
    }
}

impl RulesError {
    fn group<'a>(&'a self, problem: &'a Problem) -> Group<'a> {
        let end = problem.span.end.min(self.text.len());
        let start = problem.span.start.min(end);
        let snippet = Snippet::source(&self.text)
            .path(&self.name)
            .annotation(AnnotationKind::Primary.span(start..end));
        let group = Level::ERROR
            .primary_title(&problem.message)
            .element(snippet);
        match &problem.help {
            Some(help) => group.element(Level::HELP.message(help)),
            None => group,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::spelling::did_you_mean;

    #[test]
    fn problem_is_shown_with_place_text_and_way_out() {
        let text = "rules:\n  - nam: x\n";
        let problem = Problem {
            span: 11..14,
            message: "unknown key `nam`".into(),
            help: did_you_mean("nam", ["steps", "name"]),
        };
        let error = RulesError::new("r.yaml", text.to_owned(), vec![problem.clone()]);
        assert_eq!(error.problems(), std::slice::from_ref(&problem));
        assert_eq!(error.position(&problem), (2, 5));
        insta::assert_snapshot!(error);
        // A snapshot drops empty lines at its start and end.
        assert!(error.to_string().starts_with("error: "), "{error}");
    }
}
