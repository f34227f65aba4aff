//! Keys relative to other keys, segment by segment.
//!
//! Empty segments count: recorders make keys such as `Record//x`, and in a bucket that is not
//! `Record/x`.

/// `key` up to and including its last slash; empty at the top.
pub(super) fn folder(key: &str) -> &str {
    key.rfind('/').map_or("", |slash| &key[..=slash])
}

/// The text after the last dot of the last segment; empty when there is none.
pub(super) fn extension(key: &str) -> &str {
    let name = &key[folder(key).len()..];
    name.rsplit_once('.').map_or("", |(_, extension)| extension)
}

/// The relative path from `folder` (empty, or ending in a slash) to `key`: `b/c`, `../d`.
pub(super) fn between(folder: &str, key: &str) -> String {
    let from = segments(folder);
    let to: Vec<&str> = key.split('/').collect();
    let shared = from
        .iter()
        .zip(&to[..to.len() - 1])
        .take_while(|(a, b)| a == b)
        .count();
    let mut way = vec![".."; from.len() - shared];
    way.extend(&to[shared..]);
    way.join("/")
}

/// Resolves the relative path `way` from `folder`; `None` when it leads above the bucket's top.
pub(super) fn resolve(folder: &str, way: &str) -> Option<String> {
    let mut path = segments(folder);
    for segment in way.split('/') {
        match segment {
            "." => {}
            ".." => {
                path.pop()?;
            }
            other => path.push(other),
        }
    }
    Some(path.join("/"))
}

fn segments(folder: &str) -> Vec<&str> {
    folder
        .strip_suffix('/')
        .map_or_else(Vec::new, |folder| folder.split('/').collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn way_is_found_through_shared_folders() {
        for (from, key, way) in [
            ("", "a", "a"),
            ("a/b/", "a/b/c.ts", "c.ts"),
            ("a/b/", "a/b/d/c.ts", "d/c.ts"),
            ("a/b/", "a/c.ts", "../c.ts"),
            ("a/b/", "a/b", "../b"),
            ("a//", "a//x", "x"),
            ("/", "/x", "x"),
            ("a/", "b/x", "../b/x"),
        ] {
            assert_eq!(between(from, key), way);
        }
    }

    #[test]
    fn way_above_the_top_leads_nowhere() {
        assert_eq!(resolve("a/", "../../x"), None);
        assert_eq!(resolve("a/b/", "./../x").as_deref(), Some("a/x"));
    }

    proptest! {
        #[test]
        fn way_leads_back_to_its_key(from in "([ab]?/){0,4}", key in "([ab]?/){0,4}[abc]") {
            prop_assert_eq!(resolve(&from, &between(&from, &key)), Some(key));
        }
    }
}
