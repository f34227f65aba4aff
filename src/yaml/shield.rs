//! Allows `${NAME}` without quotes inside `[…]` and `{…}`.
//!
//! In YAML the brace ends a plain scalar there, so `[${A}, ${B}]` would be refused. Before parsing,
//! each flow character of a variable is replaced by a character of the private use area, and
//! restored in each scalar afterwards. Positions in characters stay the same.

use std::borrow::Cow;

use super::variables::is_name;

const PAIRS: [(char, char); 5] = [
    ('{', '\u{e07b}'),
    ('}', '\u{e07d}'),
    ('[', '\u{e05b}'),
    (']', '\u{e05d}'),
    (',', '\u{e02c}'),
];

/// `source` with its variables shielded; unchanged when it uses the private characters itself.
pub(super) fn shield(source: &str) -> Cow<'_, str> {
    if !source.contains("${") || source.contains(PAIRS.map(|(_, private)| private)) {
        return Cow::Borrowed(source);
    }
    let mut shielded = String::with_capacity(source.len() + 64);
    let mut rest = source;
    while let Some(start) = rest.find("${") {
        let length = variable_length(&rest[start..]);
        shielded.push_str(&rest[..start]);
        let variable = &rest[start..start + length.unwrap_or(2)];
        match length {
            Some(_) => shielded.extend(variable.chars().map(|character| swap(character, PAIRS))),
            None => shielded.push_str(variable),
        }
        rest = &rest[start + variable.len()..];
    }
    shielded.push_str(rest);
    Cow::Owned(shielded)
}

pub(super) fn unshield(value: &str) -> String {
    let pairs = PAIRS.map(|(plain, private)| (private, plain));
    value
        .chars()
        .map(|character| swap(character, pairs))
        .collect()
}

fn swap(character: char, pairs: [(char, char); 5]) -> char {
    let pair = pairs.into_iter().find(|(from, _)| *from == character);
    pair.map_or(character, |(_, to)| to)
}

/// Length in bytes of the variable at the start of `text`, if it is complete and on one line.
fn variable_length(text: &str) -> Option<usize> {
    let end = text
        .find(['}', '\n'])
        .filter(|end| text[*end..].starts_with('}'))?;
    let inner = &text[2..end];
    let name = inner.split_once(":-").map_or(inner, |(name, _)| name);
    is_name(name).then_some(end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shielded_text_has_its_length_and_comes_back() {
        for source in [
            "[${A}, ${B:-x, [y]}]",
            "${{ no }} ${",
            "plain",
            "$${A} ${A\n}",
        ] {
            let shielded = shield(source);
            assert_eq!(shielded.chars().count(), source.chars().count());
            assert_eq!(unshield(&shielded), source);
        }
        assert!(!shield("[${A:-x, y}]").contains([',', '{', '}']));
        assert!(shield("${{ no }}").contains('{'));
        let own = "[${A}, \u{e07b}]";
        assert_eq!(shield(own), own);
    }
}
