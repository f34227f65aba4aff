//! The XML that the fake needs: elements without attributes, found by searching.

/// The texts of all elements of this name, at any depth.
pub(super) fn texts(document: &str, name: &str) -> Vec<String> {
    inner(document, name).map(unescape).collect()
}

/// The raw content of all elements of this name.
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

pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// A document with a namespace, as OBS sends it.
pub(super) fn document(root: &str, inside: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\n\
         <{root} xmlns=\"http://obs.fake.example.com/doc/2015-06-30/\">{inside}</{root}>"
    )
}
