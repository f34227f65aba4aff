//! Finds the references in the lines of a playlist.

use std::ops::Range;

use super::lines::{Line, Tag};
use super::playlist::{Kind, Need, Playlist, Reference, Role};
use super::uri::{self, Named};
use super::{attributes, tags};

pub(super) struct Reader<'a> {
    playlist: &'a Playlist<'a>,
    /// Whether the next segment is needed: it may be marked as a gap.
    next: Need,
}

impl<'a> Reader<'a> {
    pub(super) fn new(playlist: &'a Playlist<'a>) -> Self {
        Self {
            playlist,
            next: Need::Required,
        }
    }

    /// The references in a line, or what is wrong with it.
    pub(super) fn line(&mut self, line: Line<'_>) -> Result<Vec<Reference>, String> {
        // Some players end a line at a lone carriage return, others at a zero byte.
        if let Some(control) = line.text.chars().find(|&c| c < ' ' && c != '\t') {
            return Err(format!("it has a control character ({control:?})"));
        }
        if let Some(tag) = line.tag() {
            return self.tag(line, tag);
        }
        if line.text.is_empty() || line.text.starts_with('#') {
            return Ok(Vec::new());
        }
        let role = match self.playlist.kind {
            Kind::Master => Role::Playlist,
            Kind::Media => Role::Segment,
        };
        let need = std::mem::replace(&mut self.next, Need::Required);
        let range = line.start..line.start + line.text.len();
        Ok(Vec::from_iter(self.reference(range, role, need)?))
    }

    fn tag(&mut self, line: Line<'_>, tag: Tag<'_>) -> Result<Vec<Reference>, String> {
        let list = line.start + tag.start;
        match tag.short().as_str() {
            // A free-text title follows the duration.
            "EXTINF" => Ok(Vec::new()),
            "GAP" => {
                self.next = Need::Optional;
                Ok(Vec::new())
            }
            "SKIP" => Err("it leaves out segments that only an earlier playlist names".into()),
            "PREFETCH" => {
                let value = tag.list.trim_ascii_start();
                let end = list + tag.list.len();
                if value.is_empty() {
                    return Ok(Vec::new());
                }
                let reference =
                    self.reference(end - value.len()..end, Role::Other, Need::Optional)?;
                Ok(Vec::from_iter(reference))
            }
            name if tags::must_name(name) || may_name(tag) => self.attributes(list, name, tag),
            _ => Ok(Vec::new()),
        }
    }

    /// The references in a tag's attributes. `start` is the position of the list in the text.
    fn attributes(&self, start: usize, name: &str, tag: Tag<'_>) -> Result<Vec<Reference>, String> {
        if !name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        {
            return Err("a colon is missing behind the tag's name".into());
        }
        let attributes = attributes::read(tag.list)?;
        let has = |wanted: &str, value: &str| {
            attributes.iter().any(|one| {
                let text = &tag.list[one.value.clone()];
                one.name.eq_ignore_ascii_case(wanted) && text.eq_ignore_ascii_case(value)
            })
        };
        let (is_none, is_gap) = (has("METHOD", "NONE"), has("GAP", "YES"));
        let mut names = false;
        let mut references = Vec::new();
        for one in &attributes {
            let Some(naming) = tags::naming(name, &one.name.to_ascii_uppercase()) else {
                continue;
            };
            if one.value.is_empty() {
                if naming.need == Need::Required && !is_none {
                    return Err(format!("{} has no value", one.name));
                }
                continue;
            }
            names = true;
            let range = start + one.value.start..start + one.value.end;
            let need = if is_gap { Need::Optional } else { naming.need };
            references.extend(self.reference(range, naming.role, need)?);
        }
        if !names && !is_none && tags::must_name(name) {
            return Err("it has no URI".into());
        }
        Ok(references)
    }

    /// The reference at these bytes of the text; `None` when it leads out of the bucket.
    fn reference(
        &self,
        range: Range<usize>,
        role: Role,
        need: Need,
    ) -> Result<Option<Reference>, String> {
        let playlist = self.playlist;
        let uri = &playlist.text[range.clone()];
        let named = uri::resolve(uri, playlist.key, playlist.bucket.as_ref());
        let (key, form, is_opaque) = match named {
            Ok(Named::Object {
                key,
                form,
                is_opaque,
            }) => (key, form, is_opaque),
            Ok(Named::Elsewhere) => return Ok(None),
            Err(_) if need == Need::Optional => return Ok(None),
            Err(fault) => return Err(fault.to_owned()),
        };
        if key == playlist.key {
            return Err("it refers to the playlist itself".into());
        }
        // `skd:1` is the name of a key at a licence server, or the name of an object.
        let is_vague = is_opaque && role == Role::Key;
        Ok(Some(Reference {
            range,
            key,
            role,
            need: if is_vague { Need::Optional } else { need },
            form,
        }))
    }
}

fn may_name(tag: Tag<'_>) -> bool {
    let has_list = || {
        let list = tag.list.as_bytes().windows("X-ASSET-LIST".len());
        list.into_iter()
            .any(|part| part.eq_ignore_ascii_case(b"X-ASSET-LIST"))
    };
    attributes::may_name_uri(tag.name) || attributes::may_name_uri(tag.list) || has_list()
}
