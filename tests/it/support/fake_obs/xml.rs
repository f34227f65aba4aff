//! The little XML that the fake needs: elements without attributes, by searching.

/// The texts of every element of this name, however deep.
pub(super) fn texts(document: &str, name: &str) -> Vec<String> {
    inner(document, name).map(unescape).collect()
}

/// What stands inside of every element of this name, unparsed.
pub(super) fn inner<'a>(document: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let mut rest = document;
    std::iter::from_fn(move || {
        let (_, after) = rest.split_once(&open)?;
        let (inside, after) = after.split_once(&close)?;
        rest = after;
        Some(inside)
    })
}

fn unescape(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&apos;", "'")
        .replace("&amp;", "&")
}

/// Text for an element.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// A document with OBS's kind of namespace.
pub(super) fn document(root: &str, inside: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\n\
         <{root} xmlns=\"http://obs.fake.example.com/doc/2015-06-30/\">{inside}</{root}>"
    )
}
