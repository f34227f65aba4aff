//! What is wrong with a rules file, shown as rustc shows it: one sentence, the file, line
//! and column, the text at fault and the way out.
//!
//! Messages must not have values from the environment; the text has no literal secrets.

use std::fmt;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use crate::yaml::problem::{Problem, position};

/// A rules file that is refused: everything that was found wrong with it.
#[derive(Debug)]
pub struct RulesError {
    name: String,
    /// The file's text, secrets blotted out.
    text: String,
    /// In the order of the file; never empty.
    problems: Vec<Problem>,
}

impl RulesError {
    /// The refusal of the file `name`. `text` is the file's with secrets blotted out, every
    /// character at its place.
    pub(super) fn new(name: &str, text: String, mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| problem.span.start);
        problems.dedup();
        Self {
            name: name.to_owned(),
            text,
            problems,
        }
    }

    /// Everything that is wrong, in the order of the file.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// The line and column of a problem, both from 1; columns count characters.
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
        // A snapshot leaves out what empty lines there are around it.
        assert!(error.to_string().starts_with("error: "), "{error}");
    }
}
