//! What a URI in a playlist names, and how to write it without naming a place.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use url::Url;

use super::relative;

/// What a URI's path keeps as it is.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'/');

/// Whether a reference stays right when playlist and object move together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Relative,
    Absolute,
}

/// The key that `uri` names in the playlist `playlist` of the bucket whose own link is
/// `bucket`; `None` when it is elsewhere.
pub(super) fn resolve(uri: &str, playlist: &str, bucket: Option<&Url>) -> Option<(String, Form)> {
    if let Some(url) = with_host(uri) {
        return Some((key_of(&url, bucket?)?, Form::Absolute));
    }
    let path = percent_decode_str(split_path(uri).0).decode_utf8().ok()?;
    let (folder, way, form) = match path.strip_prefix('/') {
        Some(key) => ("", key, Form::Absolute),
        None => (relative::folder(playlist), &*path, Form::Relative),
    };
    let key = relative::resolve(folder, way)?;
    (!key.is_empty()).then_some((key, form))
}

/// `uri`, which names `key`, as a relative reference of the playlist `playlist`. Query and
/// fragment stay.
pub(super) fn relative(uri: &str, playlist: &str, key: &str) -> String {
    let way = relative::between(relative::folder(playlist), key);
    // A way that begins with an empty segment would read as an absolute path, and one that
    // leads nowhere else as no reference at all.
    let here = if way.is_empty() || way.starts_with('/') {
        "./"
    } else {
        ""
    };
    let (_, rest) = split_path(uri);
    format!("{here}{}{rest}", utf8_percent_encode(&way, KEPT))
}

/// The link of a bucket, ending in a slash, given that of its object `key`.
pub(super) fn root_of(url: &str, key: &str) -> Option<Url> {
    let mut root = Url::parse(url).ok()?;
    let path = percent_decode_str(root.path()).decode_utf8().ok()?;
    // The encoded path is cut after as many slashes as the decoded one has before the key.
    let slashes = path.strip_suffix(key)?.matches('/').count();
    let last = slashes.checked_sub(1)?;
    let (end, _) = root.path().match_indices('/').nth(last)?;
    let path = root.path()[..=end].to_owned();
    root.set_path(&path);
    root.set_query(None);
    Some(root)
}

/// A URI that does not depend on where its playlist is.
fn with_host(uri: &str) -> Option<Url> {
    if uri.starts_with("//") {
        // It takes the scheme of whoever reads the playlist.
        return Url::parse(&format!("https:{uri}")).ok();
    }
    // A name such as `part:1.ts` is a relative reference to most players.
    Url::parse(uri)
        .ok()
        .filter(|url| !url.cannot_be_a_base() || url.scheme() == "data")
}

fn key_of(url: &Url, bucket: &Url) -> Option<String> {
    // Recorders write http where the bucket is reached by https, so schemes may differ.
    if (bucket.host_str(), bucket.port()) != (url.host_str(), url.port()) {
        return None;
    }
    let path = url.path().strip_prefix(bucket.path())?;
    let key = percent_decode_str(path).decode_utf8().ok()?;
    // Behind an encoded slash a URL keeps them, and no key that a way leads to has any.
    let dots = key.split('/').any(|segment| [".", ".."].contains(&segment));
    (!key.is_empty() && !dots).then(|| key.into_owned())
}

/// Splits a URI into its path and what follows: `?query` and `#fragment`.
fn split_path(uri: &str) -> (&str, &str) {
    uri.split_at(uri.find(['?', '#']).unwrap_or(uri.len()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: &str = "Record/live 1/a.m3u8";
    const URL: &str = "https://b.obs.example.com/Record/live%201/a.m3u8";

    fn key_of(uri: &str) -> Option<String> {
        resolve(uri, KEY, root_of(URL, KEY).as_ref()).map(|(key, _)| key)
    }

    #[test]
    fn uri_names_its_object_in_whatever_form_it_is_written() {
        for (uri, key) in [
            ("1.ts", "Record/live 1/1.ts"),
            ("ts/1.ts?token=a/b", "Record/live 1/ts/1.ts"),
            ("../x/1.ts#t=1", "Record/x/1.ts"),
            ("a%20b%2Bc.ts", "Record/live 1/a b+c.ts"),
            ("part:1.ts", "Record/live 1/part:1.ts"),
            ("/Record/1.ts", "Record/1.ts"),
            (
                "https://b.obs.example.com/Record/%E5%BD%95.ts?x",
                "Record/录.ts",
            ),
            ("http://b.obs.example.com/1.ts", "1.ts"),
            ("//b.obs.example.com/1.ts", "1.ts"),
            ("录制.ts", "Record/live 1/录制.ts"),
        ] {
            assert_eq!(key_of(uri).as_deref(), Some(key), "{uri}");
        }
    }

    #[test]
    fn uri_that_leads_out_of_the_bucket_names_nothing() {
        for uri in [
            "https://cdn.example.com/1.ts",
            "https://b.obs.example.com:444/1.ts",
            "//elsewhere/1.ts",
            "../../../1.ts",
            "%2e%2e/../../1.ts",
            "data:text/plain,x",
            "%ff.ts",
            "https://b.obs.example.com/",
            "https://b.obs.example.com/Record%2F..%2F1.ts",
        ] {
            assert_eq!(key_of(uri), None, "{uri}");
        }
    }

    #[test]
    fn bucket_in_the_path_is_recognised() {
        let root = root_of("http://127.0.0.1:9000/my%20b/Record/live%201/a.m3u8", KEY);
        let key_of = |uri| resolve(uri, KEY, root.as_ref()).map(|(key, _)| key);
        let own = key_of("http://127.0.0.1:9000/my%20b/Record/1.ts");
        assert_eq!(own.as_deref(), Some("Record/1.ts"));
        assert_eq!(key_of("http://127.0.0.1:9000/other/Record/1.ts"), None);
    }

    proptest! {
        #[test]
        fn relative_uri_names_the_same_object(key in "here|([a-z %?:#.录]{0,3}/){0,3}[a-z%?:#录]{1,5}") {
            let key = key.replace("here", relative::folder(KEY));
            prop_assume!(key.split('/').all(|segment| segment != "." && segment != ".."));
            let uri = relative("/x?t=1", KEY, &key);
            prop_assert!(uri.ends_with("?t=1"));
            prop_assert_eq!(resolve(&uri, KEY, None), Some((key, Form::Relative)));
        }
    }
}
