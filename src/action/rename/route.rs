//! Source and target of a rename, and the new key of each object.
//!
//! Pure: works on keys only, and does not know which objects exist.

use super::relative_key;
use crate::model::failure::{Failure, FailureKind};
use crate::model::recording::{Extent, Place};

/// Maximum key length in OBS, in bytes.
const KEY_LIMIT: usize = 1024;

/// Source and target of the object that the event names.
#[derive(Debug, Clone, Copy)]
pub(super) struct Route<'a> {
    pub(super) from: &'a Place,
    pub(super) to: &'a Place,
    pub(super) extent: Extent,
}

impl Route<'_> {
    /// Whether only the named object gets a new key: it is not a set, or its playlist is renamed
    /// within its folder.
    fn is_single(&self) -> bool {
        self.extent == Extent::Object || self.stays_in_folder()
    }

    /// The target of the member that is now at `key`.
    pub(super) fn target(&self, key: &str) -> Result<Place, Failure> {
        if key == self.from.key {
            check_key(&self.to.key)?;
            return Ok(self.to.clone());
        }
        let way = relative_key::between(relative_key::folder(&self.from.key), key);
        let key = relative_key::resolve(relative_key::folder(&self.to.key), &way)
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

    /// Why the member at `key` cannot move, if it cannot. A member above the playlist's folder
    /// keeps its position relative to the playlist, so it would land outside the folder that the
    /// rule names.
    pub(super) fn fault(&self, key: &str) -> Option<String> {
        let target = match self.target(key) {
            Ok(target) => target,
            Err(failure) => return Some(failure.reason),
        };
        let top = |key: &str| key.find('/').map(|slash| key[..=slash].to_owned());
        let asked = top(&self.to.key)?;
        let stays = target.key == key && target.bucket == self.from.bucket;
        let is_mirrored = self.to.key == self.from.key;
        if stays || is_mirrored || top(&target.key).as_ref() == Some(&asked) {
            return None;
        }
        Some(format!(
            "{key:?} is above the playlist's folder, and would move to {:?}, outside of {asked:?}; \
             let `to` name a folder with more folders above it, or move this recording manually",
            target.key
        ))
    }

    /// The alternative target for `keep_both`: `-` and `suffix` are added before the extension, or
    /// for a set after the folder's name.
    pub(super) fn beside(&self, suffix: &str) -> Place {
        let to = self.to;
        let folder = relative_key::folder(&to.key);
        let key = match folder.strip_suffix('/') {
            _ if self.is_single() => {
                let dot = if to.name().contains('.') { "." } else { "" };
                format!("{folder}{}-{suffix}{dot}{}", to.stem(), to.extension())
            }
            Some(folder) => format!("{folder}-{suffix}/{}", to.name()),
            // At the top of the bucket there is no folder to rename.
            None => format!("{}-{suffix}/{}", to.stem(), to.name()),
        };
        Place {
            bucket: to.bucket.clone(),
            key,
        }
    }

    pub(super) fn stays_in_folder(&self) -> bool {
        self.from.bucket == self.to.bucket
            && relative_key::folder(&self.from.key) == relative_key::folder(&self.to.key)
    }
}

/// Rejects invalid target keys. Empty segments come from template fields without a value, and
/// clients remove `.` and `..` from URLs.
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
    fn what_a_playlist_names_above_its_folder_stays_in_the_folder_that_the_rule_names() {
        for (from, to, key, is_fine) in [
            ("r/a.m3u8", "x/a.m3u8", "r/1.ts", true),
            // Stays in place.
            ("r/a.m3u8", "x/a.m3u8", "1.ts", true),
            ("r/a.m3u8", "r/b.m3u8", "1.ts", true),
            ("r/a.m3u8", "x/y/a.m3u8", "1.ts", true),
            ("r/s/a.m3u8", "x/y/a.m3u8", "r/1.ts", true),
            ("r/s/a.m3u8", "x/a.m3u8", "r/1.ts", false),
            ("r/s/a.m3u8", "x/a.m3u8", "r/t/1.ts", false),
            ("r/a.m3u8", "b.m3u8", "r/1.ts", true),
            ("r/a.m3u8", "b.m3u8", "1.ts", false),
        ] {
            let (from, to) = (place(from), place(to));
            let route = Route {
                from: &from,
                to: &to,
                extent: Extent::Set,
            };
            let fault = route.fault(key);
            assert_eq!(fault.is_none(), is_fine, "{from} {to} {key}: {fault:?}");
        }
        let (from, to) = (place("r/a.m3u8"), "c".to_owned());
        for (key, is_fine) in [
            ("r/a.m3u8", true),
            ("x/y/a.m3u8", true),
            ("x/a.m3u8", false),
        ] {
            let to = Place {
                bucket: to.clone(),
                key: key.into(),
            };
            let route = Route {
                from: &from,
                to: &to,
                extent: Extent::Set,
            };
            assert_eq!(route.fault("1.ts").is_none(), is_fine, "{key}");
        }
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
