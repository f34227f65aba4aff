//! The literal parts of a rename's target: what is wrong with a key whatever the event is.

use std::ops::Range;

use super::load::Loading;
use crate::yaml::shape::At;

/// Refuses empty, `.` and `..` segments and control characters that stand in the file;
/// those that a template makes are refused when it is rendered.
pub(super) fn refuse_literal_segments(loading: &mut Loading<'_>, to: &At<String>) -> Option<()> {
    let Some((range, what)) = wrong_segment(&to.value) else {
        return Some(());
    };
    let help = "a key is names with a slash between them; ending in a slash it names a folder";
    loading.refuse_part(to.at, &range, format!("the target has {what}"), help);
    None
}

fn wrong_segment(target: &str) -> Option<(Range<usize>, &'static str)> {
    let literal = without_templates(target);
    // A block scalar ends in a line break, which rendering takes off.
    let literal = literal.strip_suffix('\n').unwrap_or(&literal);
    if let Some(at) =
        literal.find(|character: char| character.is_control() && character != TEMPLATE)
    {
        return Some((at..at + 1, "a control character"));
    }
    let mut start = 0;
    for segment in literal.split('/') {
        let end = start + segment.len();
        let last = end == literal.len();
        match segment {
            "" if !last || start == 0 => {
                return Some((start..(end + 1).min(literal.len()), "an empty segment"));
            }
            "." | ".." => return Some((start..end, "a `.` or `..` segment")),
            _ => start = end + 1,
        }
    }
    None
}

/// Stands for each byte of a template's parts.
pub(super) const TEMPLATE: char = '\u{1}';

/// `text` with every `{{ … }}`, `{% … %}` and `{# … #}` replaced, byte for byte.
pub(super) fn without_templates(text: &str) -> String {
    let mut literal = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest
        .as_bytes()
        .windows(2)
        .position(|two| matches!(two, b"{{" | b"{%" | b"{#"))
    {
        let length = template_length(&rest[start..]);
        literal.push_str(&rest[..start]);
        literal.extend(std::iter::repeat_n(TEMPLATE, length));
        rest = &rest[start + length..];
    }
    literal.push_str(rest);
    literal
}

/// The bytes up to the end of the part that `text` begins with; quotes may hold anything.
fn template_length(text: &str) -> usize {
    let close = match text.as_bytes()[1] {
        b'%' => "%}",
        b'#' => "#}",
        _ => "}}",
    };
    let mut quote = None;
    for (at, character) in text.char_indices().skip(2) {
        match quote {
            Some(open) if open == character => quote = None,
            None if matches!(character, '\'' | '"') && close != "#}" => quote = Some(character),
            None if text[at..].starts_with(close) => return at + close.len(),
            Some(_) | None => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literal_segments_are_checked_around_templates() {
        for good in [
            "a/b.mp4",
            "a/",
            "{{ a }}/{{ b | date('%Y/%m', '}}/../') }}/",
            "{% if a %}x/{% endif %}y",
            "..{{ a }}/x",
            "a/{# /../ ' #}b",
            "a/b\n",
            "{{ 'a}}//' }}b",
            "录制/{{ 房 }}",
        ] {
            assert_eq!(wrong_segment(good), None, "{good}");
        }
        for (bad, range) in [
            ("/a", 0..1),
            ("a//b", 2..3),
            ("/", 0..1),
            ("{{ a }}//", 8..9),
            ("{% if a %}b//{% endif %}", 12..13),
            ("{# it's #}//b", 11..12),
            ("a/../b", 2..4),
            ("a/{{ b }}/.", 10..11),
            ("a\tb", 1..2),
            ("a\n\n", 1..2),
        ] {
            assert_eq!(
                wrong_segment(bad).map(|(range, _)| range),
                Some(range),
                "{bad}"
            );
        }
    }
}
