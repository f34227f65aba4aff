//! Compiles texts when the file is loaded: globs, templates, expressions.

use std::ops::Range;

use globset::{GlobBuilder, GlobMatcher};

use super::load::Loading;
use crate::rules::rule::Glob;
use crate::rules::template::{
    Address, CODE, Expression, Scope, Template, TemplateError, without_code,
};
use crate::yaml::shape::At;
use crate::yaml::tree::NodeId;

/// Maximum characters of a glob.
const LONGEST_GLOB: usize = 1000;

/// Maximum opening braces of a glob, nested or not.
const MOST_BRACES: usize = 32;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GlobStyle {
    /// `*` matches everything.
    Name,
    /// `*` does not match a slash, `**` does.
    Key,
    /// Ignores case.
    Format,
}

impl Loading<'_> {
    /// Globs, one of which must match. An empty list is refused at `at`.
    pub(super) fn globs(
        &mut self,
        at: NodeId,
        patterns: &[At<String>],
        style: GlobStyle,
    ) -> Option<Vec<Glob>> {
        if patterns.is_empty() {
            self.refuse(
                at,
                "an empty list matches nothing",
                "give a pattern, or leave the key out",
            );
            return None;
        }
        let globs: Vec<Glob> = patterns
            .iter()
            .filter_map(|pattern| self.glob(pattern, style))
            .collect();
        (globs.len() == patterns.len()).then_some(globs)
    }

    fn glob(&mut self, pattern: &At<String>, style: GlobStyle) -> Option<Glob> {
        let text = self.filled(pattern, "the pattern")?;
        if let Some(what) = too_much(&text) {
            let message = format!("this pattern has {what}");
            self.refuse(pattern.at, message, "give a list of shorter patterns");
            return None;
        }
        match glob_matcher(&text, style) {
            Ok(matcher) => Some(Glob { text, matcher }),
            Err(error) => {
                // The reason may quote the pattern.
                let reason = if self.tree.is_public(pattern.at) {
                    error.kind().to_string()
                } else {
                    "its syntax is wrong".to_owned()
                };
                let shown = self.shown(pattern.at);
                let message = format!("the pattern {shown} is not a glob: {reason}");
                self.refuse(
                    pattern.at,
                    message,
                    "`*`, `?`, `[a-z]` and `{a,b}` are special; `\\` escapes them",
                );
                None
            }
        }
    }

    /// A template. Values from the environment are literal text in it.
    pub(super) fn template(&mut self, text: &At<String>, scope: Scope<'_>) -> Option<Template> {
        self.refuse_foreign_syntax(text)?;
        match Template::parse(&text.value, scope) {
            Ok(template) => Some(template),
            Err(error) => self.refuse_template(text, error, Code::InBraces),
        }
    }

    pub(super) fn address(&mut self, text: &At<String>, scope: Scope<'_>) -> Option<Address> {
        self.refuse_foreign_syntax(text)?;
        match Address::parse(&text.value, scope) {
            Ok(address) => Some(address),
            Err(error) => self.refuse_template(text, error, Code::InBraces),
        }
    }

    pub(super) fn expression(&mut self, text: &At<String>, scope: Scope<'_>) -> Option<Expression> {
        self.filled(text, "the expression")?;
        match Expression::parse(&text.value, scope) {
            Ok(expression) => Some(expression),
            Err(error) => self.refuse_template(text, error, Code::All),
        }
    }

    /// Refuses template syntax in a value from the environment, which must stay literal text.
    fn refuse_foreign_syntax(&mut self, text: &At<String>) -> Option<()> {
        let marks = ["{{", "{%", "{#"];
        let is_foreign = |range: &Range<usize>| {
            marks
                .iter()
                .any(|mark| text.value[range.clone()].contains(mark))
        };
        let mut parts = self.tree.environment_of(text.at);
        let Some((name, _)) = parts.find(|(_, range)| is_foreign(range)) else {
            return Some(());
        };
        let message = format!(
            "the value of {name} is template syntax, which is not taken from the environment"
        );
        let help = format!("write the template here, or set {name} to plain text");
        self.refuse(text.at, message, help);
        None
    }

    /// Refuses a template. The engine's message may quote the code, so it is shown only when none
    /// of the code came from the environment.
    fn refuse_template<T>(
        &mut self,
        text: &At<String>,
        error: TemplateError,
        code: Code,
    ) -> Option<T> {
        let literal = without_code(&text.value);
        let is_code =
            |range: &Range<usize>| code == Code::All || literal[range.clone()].contains(CODE);
        let secret = self
            .tree
            .environment_of(text.at)
            .any(|(_, range)| is_code(&range));
        let message = if secret {
            "this is wrong once its variables are filled in".to_owned()
        } else {
            error.message
        };
        let range = error.range.unwrap_or(0..text.value.len());
        self.refuse_range(self.tree.locate(text.at, &range), message, None);
        None
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Code {
    All,
    InBraces,
}

/// Why a pattern is too large: globset hangs on some of these and crashes on others.
fn too_much(pattern: &str) -> Option<String> {
    let length = pattern.chars().count();
    if length > LONGEST_GLOB {
        return Some(format!("{length} characters; it may have {LONGEST_GLOB}"));
    }
    let braces = pattern.matches('{').count();
    (braces > MOST_BRACES).then(|| format!("{braces} braces; it may have {MOST_BRACES}"))
}

fn glob_matcher(text: &str, style: GlobStyle) -> Result<GlobMatcher, globset::Error> {
    let glob = GlobBuilder::new(text)
        .literal_separator(style == GlobStyle::Key)
        .case_insensitive(style == GlobStyle::Format)
        .backslash_escape(true)
        .build()?;
    Ok(glob.compile_matcher())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn largest_globs_compile_and_larger_ones_are_refused() {
        for piece in ["?", "*", "**/", "[!a-z]", "[a-zA-Z0-9_-]", "录", "\\*"] {
            let longest = piece.repeat(LONGEST_GLOB / piece.chars().count());
            let nested = "{".repeat(MOST_BRACES) + piece + "," + &piece.repeat(20);
            let nested = nested + &format!(",{piece}}}").repeat(MOST_BRACES);
            let alternatives = format!("{{{}}}", vec![piece; 60].join(","));
            for pattern in [longest, nested, alternatives] {
                assert_eq!(too_much(&pattern), None, "{pattern}");
                for style in [GlobStyle::Name, GlobStyle::Key, GlobStyle::Format] {
                    let matcher = glob_matcher(&pattern, style).unwrap();
                    matcher.is_match("x".repeat(2000));
                }
            }
        }
        for pattern in [
            "x".repeat(LONGEST_GLOB + 1),
            "{".repeat(250) + &"}".repeat(250),
        ] {
            assert!(too_much(&pattern).is_some());
        }
    }

    #[test]
    fn glob_means_what_its_field_is() {
        for (style, pattern, text, expected) in [
            (GlobStyle::Key, "a/*", "a/b", true),
            (GlobStyle::Key, "a/*", "a/b/c", false),
            (GlobStyle::Key, "a/**", "a/b/c", true),
            (GlobStyle::Key, "a/*", "A/b", false),
            (GlobStyle::Name, "a*", "a/b", true),
            (GlobStyle::Name, "a*", "Ab", false),
            (GlobStyle::Format, "hls", "HLS", true),
        ] {
            let matcher = glob_matcher(pattern, style).unwrap();
            assert_eq!(
                matcher.is_match(text),
                expected,
                "{style:?} {pattern} {text}"
            );
        }
    }
}
