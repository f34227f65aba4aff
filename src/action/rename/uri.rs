//! Finds the object that a URI in a playlist names, and makes absolute URIs relative.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use url::{ParseError, Url};

use super::{limits, relative_key};

/// Characters that stay unencoded in a URI's path, besides letters and digits.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'/');

const NOT_TEXT: &str = "its path is not UTF-8 text";
const NO_OBJECT: &str = "it names the bucket and no object";

/// Whether a reference stays valid when playlist and object move together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Relative,
    Absolute,
}

/// What a URI names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Named {
    Object {
        key: String,
        form: Form,
        /// Whether the URI may instead be one of another scheme, such as `skd:1`.
        is_opaque: bool,
    },
    /// At another host, or in the URI itself: valid wherever the playlist is.
    Elsewhere,
}

/// The object that `uri` names in the playlist `playlist`, or the reason why it is unclear.
/// `bucket` is the URL of the playlist's bucket.
pub(super) fn resolve(
    uri: &str,
    playlist: &str,
    bucket: Option<&Url>,
) -> Result<Named, &'static str> {
    if uri.len() > limits::URI {
        return Err("it has more than 16 KiB");
    }
    if uri.contains("{$") {
        return Err("it uses a variable of EXT-X-DEFINE; write the URI out");
    }
    let url = with_scheme(uri)?;
    if let Some(url) = url.as_ref().filter(|url| is_elsewhere_by_itself(url)) {
        return match (url.scheme(), bucket) {
            ("data", _) => Ok(Named::Elsewhere),
            (_, Some(bucket)) => at_host(url, bucket),
            (_, None) => Err("whether it leads to the bucket cannot be told"),
        };
    }
    let path = percent_decode_str(split_path(uri).0).decode_utf8();
    let path = path.map_err(|_| NOT_TEXT)?;
    let (folder, way, form) = match path.strip_prefix('/') {
        Some(key) => ("", key, Form::Absolute),
        None => (relative_key::folder(playlist), &*path, Form::Relative),
    };
    let key = relative_key::resolve(folder, way).ok_or("it leads above the bucket's top")?;
    if key.is_empty() {
        return Err(NO_OBJECT);
    }
    let is_opaque = url.is_some();
    Ok(Named::Object {
        key,
        form,
        is_opaque,
    })
}

/// `uri`, which names `key`, as a relative reference in the playlist `playlist`. Keeps query and
/// fragment.
pub(super) fn relative(uri: &str, playlist: &str, key: &str) -> String {
    let way = relative_key::between(relative_key::folder(playlist), key);
    // A reference that begins with a slash would be an absolute path, and an empty one would be no
    // reference.
    let here = if way.is_empty() || way.starts_with('/') {
        "./"
    } else {
        ""
    };
    let (_, rest) = split_path(uri);
    format!("{here}{}{rest}", utf8_percent_encode(&way, KEPT))
}

/// The URL of a bucket, ending in a slash, derived from the URL of its object `key`.
pub(super) fn root_of(url: &str, key: &str) -> Option<Url> {
    let mut root = Url::parse(url).ok()?;
    let path = percent_decode_str(root.path()).decode_utf8().ok()?;
    // Encoding keeps the number of slashes, so we cut the encoded path at the same slash.
    let slashes = path.strip_suffix(key)?.matches('/').count();
    let last = slashes.checked_sub(1)?;
    let (end, _) = root.path().match_indices('/').nth(last)?;
    let path = root.path()[..=end].to_owned();
    root.set_path(&path);
    root.set_query(None);
    Some(root)
}

/// The URL of a URI with a scheme, or of one that begins with `//` and takes the player's scheme.
fn with_scheme(uri: &str) -> Result<Option<Url>, &'static str> {
    let parsed = if uri.starts_with("//") {
        Url::parse(&format!("https:{uri}"))
    } else {
        Url::parse(uri)
    };
    match parsed {
        Ok(url) => Ok(Some(url)),
        Err(ParseError::RelativeUrlWithoutBase) => Ok(None),
        Err(_) => Err("it is not a proper URL"),
    }
}

/// False for a name such as `part:1.ts`, which most players read as a relative reference.
fn is_elsewhere_by_itself(url: &Url) -> bool {
    !url.cannot_be_a_base() || url.scheme() == "data"
}

/// The object of this bucket that a URL with a host names.
fn at_host(url: &Url, bucket: &Url) -> Result<Named, &'static str> {
    // Ignores the scheme: recorders write http where the bucket is reached by https.
    if (bucket.host_str(), bucket.port()) != (url.host_str(), url.port()) {
        return Ok(Named::Elsewhere);
    }
    let Some(path) = url.path().strip_prefix(bucket.path()) else {
        return Ok(Named::Elsewhere);
    };
    let key = percent_decode_str(path)
        .decode_utf8()
        .map_err(|_| NOT_TEXT)?;
    // A URL with encoded slashes can still contain these segments; the keys of relative references
    // never do.
    if key.split('/').any(|segment| [".", ".."].contains(&segment)) {
        return Err("its path has a . or .. behind an encoded slash");
    }
    if key.is_empty() {
        return Err(NO_OBJECT);
    }
    Ok(Named::Object {
        key: key.into_owned(),
        form: Form::Absolute,
        is_opaque: false,
    })
}

fn split_path(uri: &str) -> (&str, &str) {
    uri.split_at(uri.find(['?', '#']).unwrap_or(uri.len()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: &str = "Record/live 1/a.m3u8";
    const URL: &str = "https://b.obs.example.com/Record/live%201/a.m3u8";

    fn key_of(uri: &str) -> Result<Option<String>, &'static str> {
        let named = resolve(uri, KEY, root_of(URL, KEY).as_ref())?;
        Ok(match named {
            Named::Object { key, .. } => Some(key),
            Named::Elsewhere => None,
        })
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
            assert_eq!(key_of(uri).unwrap().as_deref(), Some(key), "{uri}");
        }
    }

    #[test]
    fn uri_at_another_host_or_without_any_is_elsewhere() {
        for uri in [
            "https://cdn.example.com/1.ts",
            "https://b.obs.example.com:444/1.ts",
            "//elsewhere/1.ts",
            "data:text/plain,x",
            "skd://key/1",
        ] {
            assert_eq!(key_of(uri), Ok(None), "{uri}");
        }
    }

    #[test]
    fn uri_of_which_nobody_can_say_what_it_names_is_refused() {
        for uri in [
            "../../../1.ts",
            "%2e%2e/../../1.ts",
            "%ff.ts",
            "/",
            "https://b.obs.example.com/",
            "https://b.obs.example.com/%ff.ts",
            "https://b.obs.example.com/Record%2F..%2F1.ts",
            "{$folder}/1.ts",
            "http://a b/1.ts",
        ] {
            assert!(key_of(uri).is_err(), "{uri}");
        }
        let unknown = resolve("https://b.obs.example.com/1.ts", KEY, None);
        assert!(unknown.is_err(), "the bucket has no link");
    }

    #[test]
    fn bucket_in_the_path_is_recognised() {
        let root = root_of("http://127.0.0.1:9000/my%20b/Record/live%201/a.m3u8", KEY);
        let named = |uri| resolve(uri, KEY, root.as_ref()).unwrap();
        let own = named("http://127.0.0.1:9000/my%20b/Record/1.ts");
        assert!(matches!(own, Named::Object { key, .. } if key == "Record/1.ts"));
        let other = named("http://127.0.0.1:9000/other/Record/1.ts");
        assert_eq!(other, Named::Elsewhere);
    }

    proptest! {
        #[test]
        fn relative_uri_names_the_same_object(key in "here|([a-z %?:#.录]{0,3}/){0,3}[a-z%?:#录]{1,5}") {
            let key = key.replace("here", relative_key::folder(KEY));
            prop_assume!(key.split('/').all(|segment| segment != "." && segment != ".."));
            let uri = relative("/x?t=1", KEY, &key);
            prop_assert!(uri.ends_with("?t=1"));
            let named = Named::Object {
                key,
                form: Form::Relative,
                is_opaque: false,
            };
            prop_assert_eq!(resolve(&uri, KEY, None), Ok(named));
        }
    }
}
