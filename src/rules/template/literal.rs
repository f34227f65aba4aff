//! The literal parts of a template's text: what is there whatever the event is.

/// Stands for each byte of a template's parts.
pub(in crate::rules) const TEMPLATE: char = '\u{1}';

/// `text` with every `{{ … }}`, `{% … %}` and `{# … #}` replaced, byte for byte.
pub(in crate::rules) fn without_templates(text: &str) -> String {
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
