//! What is wrong with a rules file, shown the way rustc shows it: one sentence, the
//! file, line and column, the offending text and the way out.
//!
//! Knows text and ranges only. Whoever writes a message keeps values that came from
//! the environment out of it; literal secrets are blotted out of the text shown here.

use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use crate::yaml::problem::{Problem, position};

/// A rules file that is refused: everything that was found wrong with it.
#[derive(Debug)]
pub struct RulesError {
    name: String,
    /// The file's text, secrets blotted out; bytes and characters are where they were.
    text: String,
    /// In the order of the file; never empty.
    problems: Vec<Problem>,
}

impl RulesError {
    /// The refusal of the file `name` with this text. `secrets` are the ranges that must
    /// not be shown; `None` when the text could not be taken apart, so that they are unknown.
    pub(crate) fn new(
        name: &str,
        text: &str,
        secrets: Option<&[Range<usize>]>,
        mut problems: Vec<Problem>,
    ) -> Self {
        problems.sort_by_key(|problem| problem.span.start);
        problems.dedup();
        Self {
            name: name.to_owned(),
            text: secrets.map_or_else(|| blot_by_name(text), |ranges| blot(text, ranges)),
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

/// Keys whose values are secrets wherever they stand.
pub(crate) const SECRET_KEYS: [&str; 5] = [
    "keys",
    "secret",
    "access_key",
    "secret_key",
    "security_token",
];

/// What stands for a secret's character of so many bytes.
const BLOTS: [char; 4] = ['*', '×', '＊', '🞰'];

fn blot(text: &str, ranges: &[Range<usize>]) -> String {
    let hidden = |at: usize| ranges.iter().any(|range| range.contains(&at));
    let mut shown = String::with_capacity(text.len());
    for (at, character) in text.char_indices() {
        if hidden(at) && character != '\n' {
            shown.push(BLOTS[character.len_utf8() - 1]);
        } else {
            shown.push(character);
        }
    }
    shown
}

/// For a text that is not YAML: the words that follow a secret's key on its line, and those of
/// the lines that belong to it by their indentation.
fn blot_by_name(text: &str) -> String {
    let mut words = Vec::new();
    let (mut start, mut inside) = (0, None);
    for line in text.split_inclusive('\n') {
        let content = line.trim_start_matches([' ', '\t', '-']);
        let indent = line.len() - content.len();
        // A list may stand at its key's own indentation.
        let goes_on = inside.is_some_and(|key| indent > key || line.trim().is_empty());
        let value = value_of_secret(line).filter(|_| !goes_on);
        if value.is_some() {
            inside = Some(line.len() - line.trim_start().len());
        } else if !goes_on {
            inside = None;
        }
        if let Some(at) = value.or(goes_on.then_some(0)) {
            collect_words(&line[at..], start + at, &mut words);
        }
        start += line.len();
    }
    blot(text, &words)
}

/// The words of a line's rest, which begins at `start`, without YAML's own signs; names of
/// variables are no secrets.
fn collect_words(rest: &str, start: usize, words: &mut Vec<Range<usize>>) {
    let mut variable = false;
    for (at, character) in rest.char_indices() {
        variable |= rest[at..].starts_with("${");
        let sign = character.is_whitespace() || "{}[],\"'|>".contains(character);
        if !variable && !sign {
            words.push(start + at..start + at + character.len_utf8());
        }
        variable &= character != '}';
    }
}

/// Where the value begins on a line that holds a secret's key.
fn value_of_secret(line: &str) -> Option<usize> {
    let keys = SECRET_KEYS.iter().chain(&["headers", "proxy", "url"]);
    let values = keys.flat_map(|key| {
        line.match_indices(key).filter_map(|(at, key)| {
            let rest = &line[at + key.len()..];
            let colon = rest.trim_start_matches(['"', '\'', ' ']);
            let colon = colon.starts_with(':').then(|| line.len() - colon.len());
            colon.map(|at| at + 1)
        })
    });
    values.min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::problem::did_you_mean;

    #[test]
    fn problem_is_shown_with_place_text_and_way_out() {
        let text = "rules:\n  - nam: x\n";
        let problem = Problem {
            span: 11..14,
            message: "unknown key `nam`".into(),
            help: did_you_mean("nam", ["steps", "name"]),
        };
        let error = RulesError::new("r.yaml", text, Some(&[]), vec![problem.clone()]);
        assert_eq!(error.problems(), std::slice::from_ref(&problem));
        assert_eq!(error.position(&problem), (2, 5));
        insta::assert_snapshot!(error);
        // A snapshot leaves out what empty lines there are around it.
        assert!(error.to_string().starts_with("error: "), "{error}");
    }

    #[test]
    fn secrets_are_blotted_out_of_the_text() {
        let text = "a: [\"ключ\"]\n";
        let error = RulesError::new(
            "r.yaml",
            text,
            Some(std::slice::from_ref(&(5..13))),
            vec![Problem::new(0..1, "m")],
        );
        assert!(error.to_string().contains("a: [\"××××\"]"), "{error}");
        let broken = "  b: {secret_key: \"abc\n";
        let error = RulesError::new("r.yaml", broken, None, vec![Problem::new(18..19, "m")]);
        assert!(!error.to_string().contains("abc"), "{error}");
    }

    #[test]
    fn secrets_of_a_text_that_is_no_yaml_are_blotted_out_with_their_lines() {
        for text in [
            "{ \"secret\" : \"hidden\"",
            "a:\n  keys:\n    - hidden\n    - \"hidden\n",
            "a:\n  keys:\n  - hidden\n",
            "a:\n  - secret: |\n      x\n\n      hidden\n",
            "a:\n  headers:\n    Authorization: >-\n      Bearer\n      hidden\n",
        ] {
            let blotted = blot_by_name(text);
            assert!(!blotted.contains("hidden"), "{blotted}");
            assert_eq!(blotted.lines().count(), text.lines().count());
        }
        let beside = "keys: x\nname: shown\nsecrets_of: shown\n";
        assert_eq!(blot_by_name(beside), beside.replace(" x", " *"));
    }
}
