//! Reads an HLS playlist: which objects it refers to, and where in its text.
//!
//! Pure. A scan of lines, as RFC 8216 section 4.1 defines them, rather than a parser of
//! their meaning: each reference is needed with its position, so that a rewrite replaces
//! the bytes of the URI and leaves everything else as the recorder wrote it, and no line
//! may be passed over because a tag in it is unknown or odd. (Parsers stop there silently,
//! and a member that is not seen is a segment that is left behind.)

use std::ops::Range;

use super::uri::{self, Form};
use crate::model::failure::{Failure, FailureKind};

/// The most bytes of a playlist: 12 hours at 2 s are 21,600 segments, about 2 MiB.
pub const LIMIT: u64 = 10 * 1024 * 1024;

/// A playlist and what it refers to within its bucket.
#[derive(Debug)]
pub struct Playlist<'a> {
    text: &'a str,
    key: &'a str,
    pub kind: Kind,
    /// In order of their positions; one object may be referred to many times.
    pub references: Vec<Reference>,
}

/// What a playlist lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Other playlists: renditions of one recording.
    Master,
    /// Segments.
    Media,
}

/// One URI in a playlist.
#[derive(Debug, PartialEq, Eq)]
pub struct Reference {
    /// Bytes of the text that are the URI.
    pub range: Range<usize>,
    /// The object it names.
    pub key: String,
    pub role: Role,
    form: Form,
}

/// What a reference names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A media segment: a line of its own.
    Segment,
    Playlist,
    /// A decryption key. It may be anywhere, such as on a licence server.
    Key,
    /// What another tag names, such as an init segment.
    Other,
}

/// Reads the playlist `content`, which is the object `key` of the bucket whose object
/// `key` has the link `url`.
pub fn read<'a>(content: &'a [u8], key: &'a str, url: &str) -> Result<Playlist<'a>, Failure> {
    let text = std::str::from_utf8(content).map_err(|_| invalid(key, "it is not UTF-8 text"))?;
    let first = text.trim_start_matches('\u{feff}').lines().next();
    if first.map(str::trim_end) != Some("#EXTM3U") {
        return Err(invalid(key, "its first line is not #EXTM3U"));
    }
    let reader = Reader {
        key,
        bucket: uri::root_of(url, key),
        kind: kind_of(text),
    };
    Ok(Playlist {
        text,
        key,
        kind: reader.kind,
        references: reader.references(text)?,
    })
}

impl Playlist<'_> {
    /// The objects that absolute references name.
    pub(super) fn absolute(&self) -> impl Iterator<Item = &str> {
        let absolute = |reference: &&Reference| reference.form == Form::Absolute;
        let references = self.references.iter().filter(absolute);
        references.map(|reference| reference.key.as_str())
    }

    /// The text with absolute references to objects that move along made relative; `None`
    /// when there is none. Relative ones stay right, as all keep their places among each
    /// other, so the text does not depend on where the playlist moves.
    pub fn rewritten(&self, moves: impl Fn(&str) -> bool) -> Option<String> {
        let mut text = String::new();
        let mut end = 0;
        for reference in &self.references {
            if reference.form == Form::Absolute && moves(&reference.key) {
                text.push_str(&self.text[end..reference.range.start]);
                let uri = &self.text[reference.range.clone()];
                text.push_str(&uri::relative(uri, self.key, &reference.key));
                end = reference.range.end;
            }
        }
        (end > 0).then(|| text + &self.text[end..])
    }
}

struct Reader<'a> {
    key: &'a str,
    bucket: Option<url::Url>,
    kind: Kind,
}

impl Reader<'_> {
    fn references(&self, text: &str) -> Result<Vec<Reference>, Failure> {
        let mut references = Vec::new();
        let mut start = 0;
        for (number, line) in text.split_inclusive('\n').enumerate() {
            // The first line is #EXTM3U, with or without a byte order mark before it.
            let content = if number == 0 { "" } else { line.trim_end() };
            if let Some((within, role)) = self.uri_in(content) {
                let range = start + within.start..start + within.end;
                references.extend(self.reference(&text[range.clone()], range, role)?);
            }
            start += line.len();
        }
        Ok(references)
    }

    /// Where a line has its URI, and what that names.
    fn uri_in(&self, line: &str) -> Option<(Range<usize>, Role)> {
        if line.is_empty() {
            return None;
        }
        let Some(tag) = line.strip_prefix("#EXT-X-") else {
            let listed = match self.kind {
                Kind::Master => Role::Playlist,
                Kind::Media => Role::Segment,
            };
            return (!line.starts_with('#')).then_some((0..line.len(), listed));
        };
        let (name, _) = tag.split_once(':')?;
        let role = match name {
            "KEY" | "SESSION-KEY" => Role::Key,
            "MEDIA" | "I-FRAME-STREAM-INF" => Role::Playlist,
            // Another rendition of a live stream: no part of this playlist.
            "RENDITION-REPORT" => return None,
            _ => Role::Other,
        };
        let attributes = line.len() - tag.len() + name.len() + 1;
        let range = uri_attribute(&line[attributes..])?;
        Some((attributes + range.start..attributes + range.end, role))
    }

    fn reference(
        &self,
        uri: &str,
        range: Range<usize>,
        role: Role,
    ) -> Result<Option<Reference>, Failure> {
        let Some((key, form)) = uri::resolve(uri, self.key, self.bucket.as_ref()) else {
            if role == Role::Key {
                return Ok(None);
            }
            let reason = format!(
                "playlist {:?} refers to {uri:?}, outside its bucket",
                self.key
            );
            return Err(Failure::new(FailureKind::Forbidden, reason));
        };
        if key == self.key {
            return Err(invalid(self.key, "it refers to itself"));
        }
        Ok(Some(Reference {
            range,
            key,
            role,
            form,
        }))
    }
}

fn kind_of(text: &str) -> Kind {
    let master = [
        "#EXT-X-STREAM-INF",
        "#EXT-X-I-FRAME-STREAM-INF",
        "#EXT-X-MEDIA:",
    ];
    if text
        .lines()
        .any(|line| master.iter().any(|tag| line.starts_with(tag)))
    {
        Kind::Master
    } else {
        Kind::Media
    }
}

/// Where the value of `URI="…"` stands in an attribute list; `None` when there is none.
fn uri_attribute(list: &str) -> Option<Range<usize>> {
    let mut start = 0;
    loop {
        let name = list[start..].find('=').map(|end| start..start + end)?;
        let value = name.end + 1;
        let quoted = list[value..].starts_with('"');
        let length = if quoted {
            list[value + 1..].find('"')?
        } else {
            list[value..].find(',').unwrap_or(list.len() - value)
        };
        let text = value + usize::from(quoted)..value + usize::from(quoted) + length;
        if list[name].trim() == "URI" {
            return (quoted && !text.is_empty()).then_some(text);
        }
        start = text.end + list[text.end..].find(',')? + 1;
    }
}

fn invalid(key: &str, fault: &str) -> Failure {
    let reason = format!("{key:?} is not a playlist that can be followed: {fault}");
    Failure::new(FailureKind::Invalid, reason)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: &str = "Record/live 1/a.m3u8";
    const URL: &str = "https://b.obs.example.com/Record/live%201/a.m3u8";

    fn keys(text: &str) -> Result<Vec<String>, FailureKind> {
        let playlist = read(text.as_bytes(), KEY, URL).map_err(|failure| failure.kind)?;
        Ok(playlist
            .references
            .into_iter()
            .map(|reference| reference.key)
            .collect())
    }

    #[test]
    fn segment_outside_the_bucket_is_refused_and_a_key_there_is_left_alone() {
        let outside = "#EXTM3U\nhttps://cdn.example.com/1.ts\n";
        assert_eq!(keys(outside), Err(FailureKind::Forbidden));
        let text = "#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI=\"https://keys.example.com/1\"\n1.ts\n";
        assert_eq!(keys(text).unwrap(), ["Record/live 1/1.ts"]);
    }

    #[test]
    fn what_is_not_a_playlist_is_refused() {
        for content in [
            &b"<html><body>404</body></html>"[..],
            b"",
            b"\x00\x01\xff#EXTM3U",
            b"#EXTM3U8\n",
            b"\n#EXTM3U\n",
            b"#EXTM3U\na.m3u8\n",
        ] {
            let failure = read(content, KEY, URL).unwrap_err();
            assert_eq!(failure.kind, FailureKind::Invalid, "{content:?}");
        }
    }

    #[test]
    fn tags_name_objects_too() {
        let text = concat!(
            "\u{feff}#EXTM3U\r\n#EXT-X-VERSION:7\r\n",
            "#EXT-X-MAP:BYTERANGE=\"1@0,URI=\",URI=\"init.mp4\"\r\n",
            "#EXT-X-KEY:METHOD=AES-128,URI=\"k/1.key\",IV=0x1\r\n#EXT-X-UNKNOWN:odd,,=\r\n",
            "#EXTINF:2,a title, URI=\"no.ts\"\r\n1.m4s\r\n\r\n# a comment\r\n#EXT-X-KEY:METHOD=NONE\r\n",
        );
        assert_eq!(
            keys(text).unwrap(),
            ["init.mp4", "k/1.key", "1.m4s"].map(|name| format!("Record/live 1/{name}")),
        );
    }

    #[test]
    fn master_lists_playlists() {
        let text = "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,URI=\"en.m3u8\"\n#EXT-X-STREAM-INF:BANDWIDTH=1\n720/v.m3u8\n";
        let playlist = read(text.as_bytes(), KEY, URL).unwrap();
        assert_eq!(playlist.kind, Kind::Master);
        assert!(playlist.references.iter().all(|r| r.role == Role::Playlist));
    }

    #[test]
    fn only_absolute_references_to_what_moves_are_rewritten_byte_for_byte() {
        let text = "#EXTM3U\r\n#EXT-X-KEY:METHOD=AES-128,URI=\"/Record/live 1/k.key\"\r\n1.ts\r\n\
            https://b.obs.example.com/Record/live%201/ts/2%202.ts?t=1\r\n/other/3.ts\r\n";
        let playlist = read(text.as_bytes(), KEY, URL).unwrap();
        let rewritten = playlist.rewritten(|key| !key.starts_with("other/"));
        assert_eq!(
            rewritten.unwrap(),
            "#EXTM3U\r\n#EXT-X-KEY:METHOD=AES-128,URI=\"k.key\"\r\n1.ts\r\nts/2%202.ts?t=1\r\n/other/3.ts\r\n",
        );
        assert_eq!(playlist.rewritten(|_| false), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(content in prop::collection::vec(any::<u8>(), 0..200), text in "#EXTM3U\n(#EXT-X-[A-Z]{1,4}:[A-Z=\",]{0,20}\n){0,5}") {
            let _ = read(&content, KEY, URL);
            let _ = read(text.as_bytes(), KEY, URL);
        }
    }

    #[test]
    fn a_parser_of_playlists_sees_the_same_segments() {
        let text = "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n1.ts\n#EXTINF:9.5,x\nd/2.ts\n#EXT-X-ENDLIST\n";
        let m3u8_rs::Playlist::MediaPlaylist(parsed) =
            m3u8_rs::parse_playlist_res(text.as_bytes()).unwrap()
        else {
            panic!("a media playlist");
        };
        let theirs: Vec<_> = parsed
            .segments
            .iter()
            .map(|s| format!("Record/live 1/{}", s.uri))
            .collect();
        assert_eq!(keys(text).unwrap(), theirs);
    }
}
