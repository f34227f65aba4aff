//! From where to where a recording moves, and which key each of its objects gets.
//!
//! Pure: only keys, and nothing of what stands there.

use super::relative;
use crate::model::failure::{Failure, FailureKind};
use crate::model::recording::{Extent, Place};

/// The longest key in bytes that OBS takes.
const KEY_LIMIT: usize = 1024;

/// From where to where the object moves that the event names.
#[derive(Debug, Clone, Copy)]
pub(super) struct Route<'a> {
    pub(super) from: &'a Place,
    pub(super) to: &'a Place,
    pub(super) extent: Extent,
}

impl Route<'_> {
    /// Whether only the named object gets another key: it is no set, or its playlist gets
    /// another name in its folder, where everything that it refers to has its place.
    fn is_single(&self) -> bool {
        self.extent == Extent::Object || self.stays_in_folder()
    }

    /// Where the member that the playlist has at `key` goes.
    pub(super) fn target(&self, key: &str) -> Result<Place, Failure> {
        if key == self.from.key {
            check_key(&self.to.key)?;
            return Ok(self.to.clone());
        }
        let way = relative::between(relative::folder(&self.from.key), key);
        let key = relative::resolve(relative::folder(&self.to.key), &way)
            .filter(|target| target.len() <= KEY_LIMIT)
            .ok_or_else(|| {
                let reason = format!("{key:?} would move above the bucket's top, or to a key of more than {KEY_LIMIT} bytes");
                Failure::new(FailureKind::Invalid, reason)
            })?;
        Ok(Place {
            bucket: self.to.bucket.clone(),
            key,
        })
    }

    /// The place that `keep_both` takes when the target is taken: beside it, with `-` and
    /// `suffix` before the extension, or for a set after the folder's name.
    pub(super) fn beside(&self, suffix: &str) -> Place {
        let to = self.to;
        let folder = relative::folder(&to.key);
        let key = match folder.strip_suffix('/') {
            _ if self.is_single() => {
                let dot = if to.name().contains('.') { "." } else { "" };
                format!("{folder}{}-{suffix}{dot}{}", to.stem(), to.extension())
            }
            Some(folder) => format!("{folder}-{suffix}/{}", to.name()),
            // At the top there is no folder to rename.
            None => format!("{}-{suffix}/{}", to.stem(), to.name()),
        };
        Place {
            bucket: to.bucket.clone(),
            key,
        }
    }

    /// Whether it gets another name in its folder.
    pub(super) fn stays_in_folder(&self) -> bool {
        self.from.bucket == self.to.bucket
            && relative::folder(&self.from.key) == relative::folder(&self.to.key)
    }
}

/// Refuses what no target may be named. Empty segments come from templates that were
/// filled with nothing, and `.` and `..` are taken out of URLs by clients.
fn check_key(key: &str) -> Result<(), Failure> {
    let fault = if key.len() > KEY_LIMIT {
        "it is longer than 1024 bytes"
    } else if key.chars().any(char::is_control) {
        "it has a control character"
    } else if key.split('/').any(str::is_empty) {
        "it has an empty segment"
    } else if key
        .split('/')
        .any(|segment| segment == "." || segment == "..")
    {
        "it has a . or .. segment"
    } else {
        return Ok(());
    };
    let reason = format!("cannot rename to {key:?}: {fault}");
    Err(Failure::new(FailureKind::Invalid, reason))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::recording::names_playlist;

    fn place(key: &str) -> Place {
        Place {
            bucket: "b".into(),
            key: key.into(),
        }
    }

    #[test]
    fn target_that_is_no_sound_key_is_refused() {
        let long = format!("{}.m3u8", "x".repeat(1024));
        for key in ["", "/a", "a/", "a//b", "a/../b", "./a", "a\nb", &long] {
            assert_eq!(
                check_key(key).unwrap_err().kind,
                FailureKind::Invalid,
                "{key:?}"
            );
        }
        let (from, to) = (place("r/a.m3u8"), place("b.m3u8"));
        let route = Route {
            from: &from,
            to: &to,
            extent: Extent::Set,
        };
        let above = route.target("1.ts").unwrap_err();
        assert_eq!(above.kind, FailureKind::Invalid, "above the top");
    }

    #[test]
    fn keep_both_names_the_file_or_the_folder_of_a_set() {
        for (from, to, beside) in [
            ("r/a.mp4", "x/b.mp4", "x/b-1f.mp4"),
            ("r/a", "x/b", "x/b-1f"),
            ("r/a.m3u8", "x/b.m3u8", "x-1f/b.m3u8"),
            ("r/a.m3u8", "b.m3u8", "b-1f/b.m3u8"),
            ("r/a.m3u8", "r/b.m3u8", "r/b-1f.m3u8"),
        ] {
            let (from, to) = (place(from), place(to));
            let extent = if names_playlist(&from.key) {
                Extent::Set
            } else {
                Extent::Object
            };
            let route = Route {
                from: &from,
                to: &to,
                extent,
            };
            assert_eq!(route.beside("1f"), place(beside));
        }
    }
}
