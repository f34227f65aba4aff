//! The URL of a notification: the destination's, with the step's path and query below it.
//!
//! No event value can change scheme, host or port, or leave the destination's path.

use percent_encoding::percent_decode_str;
use url::Url;

/// `base` with `path` below it. A query in `path` is appended to that of `base`.
pub(super) fn below(base: &Url, path: &str) -> Result<Url, String> {
    let (path, query) = match path.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (path, None),
    };
    check(path)?;
    let mut url = base.clone();
    let path = path.trim_start_matches('/');
    if !path.is_empty() {
        url.set_path(&format!("{}/{path}", base.path().trim_end_matches('/')));
    }
    if let Some(query) = query {
        let joined = base.query().map(|own| format!("{own}&{query}"));
        url.set_query(Some(joined.as_deref().unwrap_or(query)));
    }
    Ok(url)
}

/// Refuses what a URL parser resolves or drops: dot segments, backslashes (read as slashes) and
/// control characters. Also dot segments that only the receiver may see: after `%2f`, or before the
/// `;` of a parameter.
fn check(path: &str) -> Result<(), &'static str> {
    if path.chars().any(char::is_control) {
        return Err("has a control character");
    }
    if path.contains('\\') {
        return Err("has a backslash");
    }
    let decoded = percent_decode_str(path).decode_utf8_lossy();
    let mut segments = decoded.split(['/', '\\']);
    if segments.any(|segment| [".", ".."].contains(&segment.split(';').next().unwrap_or_default()))
    {
        return Err("has a segment . or ..");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn base(url: &str) -> Url {
        url.parse().unwrap()
    }

    #[test]
    fn path_and_query_are_joined_to_those_of_the_destination() {
        let plain = "https://h.example:8443/hooks";
        for (url, path, expected) in [
            (plain, "a/b", "https://h.example:8443/hooks/a/b"),
            (plain, "/a/", "https://h.example:8443/hooks/a/"),
            (plain, "", "https://h.example:8443/hooks"),
            (plain, "?x=1", "https://h.example:8443/hooks?x=1"),
            ("https://h/hooks/", "a", "https://h/hooks/a"),
            ("https://h", "a?x=1", "https://h/a?x=1"),
            ("https://h/?k=v", "a?x=a b#c", "https://h/a?k=v&x=a%20b%23c"),
            ("https://h/?k=v", "a", "https://h/a?k=v"),
            (
                plain,
                "//evil.example/x",
                "https://h.example:8443/hooks/evil.example/x",
            ),
            (
                plain,
                "https://evil.example",
                "https://h.example:8443/hooks/https://evil.example",
            ),
            (
                plain,
                "录制 #1",
                "https://h.example:8443/hooks/%E5%BD%95%E5%88%B6%20%231",
            ),
            (plain, "a%2Fb", "https://h.example:8443/hooks/a%2Fb"),
        ] {
            assert_eq!(
                below(&base(url), path).unwrap().as_str(),
                expected,
                "{path}"
            );
        }
    }

    #[test]
    fn path_that_a_parser_would_resolve_is_refused() {
        for (path, expected) in [
            ("../x", "has a segment . or .."),
            ("a/./x", "has a segment . or .."),
            ("a/%2e%2E", "has a segment . or .."),
            ("a/.%2e/x", "has a segment . or .."),
            ("a%2f..%2Fx", "has a segment . or .."),
            ("a/..;b/x", "has a segment . or .."),
            ("a%5C..%5cx", "has a segment . or .."),
            ("a\\..\\x", "has a backslash"),
            (".\t./x", "has a control character"),
        ] {
            assert_eq!(below(&base("https://h/p"), path), Err(expected.to_owned()));
        }
    }

    proptest! {
        #[test]
        fn whatever_a_path_says_the_address_stays_below_the_destination(
            path in r"([a-z@:/\\?#%.录 \t]|\.\.|%2e|%2F|%5c|//){0,20}",
        ) {
            let base = base("https://u:p@h.example:8443/hooks/in");
            if let Ok(url) = below(&base, &path) {
                prop_assert_eq!(url.origin(), base.origin());
                prop_assert_eq!(url.username(), base.username());
                prop_assert!(url.path() == base.path() || url.path().starts_with("/hooks/in/"));
                prop_assert_eq!(url.fragment(), None);
                let below = percent_decode_str(url.path()).decode_utf8_lossy();
                prop_assert!(!below.split(['/', '\\']).any(|segment| segment == ".."));
            }
        }
    }
}
