//! Makes log lines safe: no value of an event or a header can control a terminal, hide text, or
//! start another line.

use std::borrow::Cow;
use std::fmt::Write;

/// Which characters of a line are escaped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Escapes {
    All,
    /// All except the ESC of colours, which `tracing` itself keeps out of values.
    Colours,
}

/// The line with one line break, at its end. Unsafe characters become `\u001b`, which is also valid
/// JSON.
pub(super) fn clean(line: &str, escapes: Escapes) -> Cow<'_, str> {
    let body = line.strip_suffix('\n').unwrap_or(line);
    let is_plain = || body.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if body.len() < line.len() && (is_plain() || !body.chars().any(|c| acts(c, escapes))) {
        return Cow::Borrowed(line);
    }
    let mut text = String::with_capacity(line.len() + 16);
    for c in body.chars() {
        if acts(c, escapes) {
            // Writing to a string cannot fail.
            let _ = write!(text, "\\u{:04x}", u32::from(c));
        } else {
            text.push(c);
        }
    }
    text.push('\n');
    Cow::Owned(text)
}

/// Whether a terminal or editor acts on this character: C0, DEL, C1, line and paragraph separators,
/// and characters that change the direction of writing.
fn acts(c: char, escapes: Escapes) -> bool {
    match c {
        '\u{1b}' => escapes == Escapes::All,
        '\u{61c}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            true
        }
        _ => c.is_control(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_on_a_reader_is_escaped_and_nothing_else() {
        for (line, written) in [
            ("plain é 日本 👩‍🏫 \"q\" \\\n", "plain é 日本 👩‍🏫 \"q\" \\\n"),
            ("a\nERROR forged\n", "a\\u000aERROR forged\n"),
            (
                "\r\t\u{0}\u{1b}[2J\u{7f}\n",
                "\\u000d\\u0009\\u0000\\u001b[2J\\u007f\n",
            ),
            ("\u{85}\u{9b}31m\n", "\\u0085\\u009b31m\n"),
            (
                "\u{202e}gpj.exe\u{2066}\u{61c}\u{200f}\u{2028}\n",
                "\\u202egpj.exe\\u2066\\u061c\\u200f\\u2028\n",
            ),
            ("no end", "no end\n"),
        ] {
            assert_eq!(clean(line, Escapes::All), written, "{line:?}");
        }
    }

    #[test]
    fn colours_stay_where_they_are_shown() {
        let line = "\u{1b}[31mERROR\u{1b}[0m \u{9b}2J\n";
        let written = "\u{1b}[31mERROR\u{1b}[0m \\u009b2J\n";
        assert_eq!(clean(line, Escapes::Colours), written);
    }

    #[test]
    fn escaped_json_means_the_same() {
        let line = "{\"room\":\"a\u{202e}b\u{85}\"}\n";
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(read(&clean(line, Escapes::All)), read(line));
    }
}
