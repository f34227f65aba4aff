//! Reads an HLS playlist: the objects that it refers to, and the position of each reference.
//!
//! Pure. Scans lines (RFC 8216, section 4.1) instead of parsing their meaning: a rewrite replaces
//! the bytes of a URI and leaves everything else as the recorder wrote it. A line that may name
//! something unclear is an error with its line number. (Parsers skip such lines silently, and a
//! member that we miss would be a segment left behind.)

use std::ops::Range;

use super::limits;
use super::lines::{Line, lines};
use super::reader::Reader;
use super::tags;
use super::uri::{self, Form};
use crate::model::failure::{Failure, FailureKind};

/// A playlist, and its references within its bucket.
#[derive(Debug)]
pub struct Playlist<'a> {
    pub(super) text: &'a str,
    pub(super) key: &'a str,
    pub(super) bucket: Option<url::Url>,
    pub kind: Kind,
}

/// The kind of a playlist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Lists other playlists: renditions of one recording.
    Master,
    /// Lists segments.
    Media,
}

/// A URI in a playlist that names an object of its bucket.
#[derive(Debug, PartialEq, Eq)]
pub struct Reference {
    /// Position of the URI in the text, in bytes.
    pub range: Range<usize>,
    /// The key of the object.
    pub key: String,
    pub role: Role,
    pub need: Need,
    pub(super) form: Form,
}

/// Whether a recording is incomplete without an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// A segment marked as a gap, or a hint at something that may follow.
    Optional,
    Required,
}

/// The kind of object that a reference names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A media segment, on its own line.
    Segment,
    Playlist,
    Key,
    /// An object named by another tag, such as an init segment.
    Other,
}

/// Reads the playlist `content`, which is the object `key` with the URL `url`.
pub fn read<'a>(content: &'a [u8], key: &'a str, url: &str) -> Result<Playlist<'a>, Failure> {
    let text = std::str::from_utf8(content).map_err(|_| invalid(key, "it is not UTF-8 text"))?;
    let first = text.trim_start_matches('\u{feff}').lines().next();
    if first.map(str::trim_ascii_end) != Some("#EXTM3U") {
        return Err(invalid(key, "its first line is not #EXTM3U"));
    }
    Ok(Playlist {
        text,
        key,
        bucket: uri::root_of(url, key),
        kind: kind_of(text),
    })
}

impl Playlist<'_> {
    /// Its references in order of position; an object may occur more than once. Ends at the first
    /// line with an error.
    pub fn references(&self) -> impl Iterator<Item = Result<Reference, Failure>> {
        let mut reader = Reader::new(self);
        // The first line is #EXTM3U, with or without a byte order mark.
        lines(self.text).skip(1).flat_map(move |line| {
            let read = reader.line(line);
            let read = read.map_err(|fault| self.at(line, &fault));
            match read {
                Ok(references) => references.into_iter().map(Ok).collect(),
                Err(failure) => vec![Err(failure)],
            }
        })
    }

    /// The keys that absolute references name.
    pub(super) fn absolute(&self) -> impl Iterator<Item = Result<String, Failure>> {
        let absolute = |reference: &Reference| reference.form == Form::Absolute;
        self.references()
            .filter_map(move |reference| match reference {
                Ok(reference) => absolute(&reference).then_some(Ok(reference.key)),
                Err(failure) => Some(Err(failure)),
            })
    }

    /// The text with absolute references made relative where `moves` is true for the object; `None`
    /// when nothing changes. Relative references stay valid, because all objects keep their
    /// relative positions: the text does not depend on the target.
    pub fn rewritten(&self, moves: impl Fn(&str) -> bool) -> Result<Option<String>, Failure> {
        let mut text = String::with_capacity(self.text.len());
        let mut end = 0;
        for reference in self.references() {
            let reference = reference?;
            if reference.form == Form::Absolute && moves(&reference.key) {
                text.push_str(&self.text[end..reference.range.start]);
                let uri = &self.text[reference.range.clone()];
                text.push_str(&uri::relative(uri, self.key, &reference.key));
                end = reference.range.end;
                // A relative reference with many `../` can be longer than the absolute one.
                let size = (text.len() + self.text.len() - end) as u64;
                let what = format!("{:?} with relative references", self.key);
                limits::within(&what, "bytes", size, limits::PLAYLIST)?;
            }
        }
        Ok((end > 0).then(|| text + &self.text[end..]))
    }

    /// The failure when an object cannot move with the playlist; names the line that refers to it.
    pub(super) fn refuse(&self, reference: &Reference, fault: &str) -> Failure {
        let is_there = |line: &Line<'_>| line.start <= reference.range.start;
        match lines(self.text).take_while(is_there).last() {
            Some(line) => self.at(line, fault),
            None => invalid(self.key, fault),
        }
    }

    fn at(&self, line: Line<'_>, fault: &str) -> Failure {
        invalid(self.key, &format!("{}: {fault}", line.place()))
    }
}

fn kind_of(text: &str) -> Kind {
    let mut tags = lines(text).filter_map(Line::tag);
    if tags.any(|tag| tags::lists_playlists(&tag.short())) {
        Kind::Master
    } else {
        Kind::Media
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

    fn all(text: &str) -> Result<Vec<Reference>, Failure> {
        read(text.as_bytes(), KEY, URL)?.references().collect()
    }

    /// The keys below the playlist's folder; optional ones with a question mark.
    fn keys(text: &str) -> Result<Vec<String>, Failure> {
        let name = |reference: Reference| {
            let key = reference.key.replacen("Record/live 1/", "", 1);
            match reference.need {
                Need::Required => key,
                Need::Optional => key + "?",
            }
        };
        Ok(all(text)?.into_iter().map(name).collect())
    }

    fn names(line: &str) -> Vec<String> {
        keys(&format!("#EXTM3U\n{line}\n")).unwrap_or_else(|failure| panic!("{failure}"))
    }

    #[test]
    fn what_is_at_another_host_or_in_the_text_itself_is_left_there() {
        for line in [
            "https://cdn.example.com/1.ts",
            "#EXT-X-KEY:METHOD=AES-128,URI=\"https://keys.example.com/1\"",
            "#EXT-X-MAP:URI=\"data:video/mp4;base64,AAAA\"",
            "#EXT-X-SESSION-DATA:DATA-ID=\"a\",URI=\"//cdn.example.com/a.json\"",
        ] {
            assert!(names(line).is_empty(), "{line}");
        }
    }

    #[test]
    fn every_attribute_that_names_something_is_read() {
        for (line, named) in [
            (
                "#EXT-X-MAP:BYTERANGE=\"1@0,URI=\",URI=\"init.mp4\"",
                "init.mp4",
            ),
            (
                "#EXT-X-KEY:METHOD=AES-128,URI=\"k/1.key\",IV=0x1",
                "k/1.key",
            ),
            ("#EXT-X-KEY:METHOD=AES-128,URI=k.key", "k.key"),
            ("#EXT-X-KEY:METHOD=AES-128,URI='a,b.key'", "a,b.key"),
            ("#EXT-X-MAP:uri=\"init.mp4\"", "init.mp4"),
            ("#ext-x-map:Uri=init.mp4", "init.mp4"),
            (" \t#EXT-X-MAP: URI = \"init.mp4\" ", "init.mp4"),
            ("#EXT-X-PART:DURATION=1,URI=\"p.mp4\"", "p.mp4"),
            ("#EXT-X-PART:DURATION=1,URI=\"p.mp4\",GAP=YES", "p.mp4?"),
            ("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"p.mp4\"", "p.mp4?"),
            ("#EXT-X-PREFETCH:2.ts", "2.ts?"),
            ("#EXT-X-RENDITION-REPORT:URI=\"b.m3u8\"", "b.m3u8?"),
            ("#EXT-X-MEDIA:TYPE=AUDIO,URI=\"b.m3u8\"", "b.m3u8"),
            ("#EXT-X-I-FRAME-STREAM-INF:URI=\"i.m3u8\"", "i.m3u8"),
            ("#EXT-X-IMAGE-STREAM-INF:URI=\"t.m3u8\"", "t.m3u8"),
            ("#EXT-X-SESSION-DATA:DATA-ID=\"a\",URI=\"a.json\"", "a.json"),
            ("#EXT-X-SESSION-KEY:METHOD=AES-128,URI=\"k.key\"", "k.key"),
            ("#EXT-X-CONTENT-STEERING:SERVER-URI=\"s.json\"", "s.json"),
            (
                "#EXT-X-DATERANGE:ID=\"1\",X-ASSET-URI=\"ad.m3u8\"",
                "ad.m3u8",
            ),
            (
                "#EXT-X-DATERANGE:ID=\"1\",X-ASSET-LIST=\"ad.json\"",
                "ad.json",
            ),
            ("#EXT-X-DATERANGE:ID=\"1\",X-URI=\"ad.json\"", "ad.json?"),
            (
                "#EXT-X-DATERANGE:ID=\"1\",X-ACME-URI=\"ad.json\"",
                "ad.json?",
            ),
            ("#EXT-X-ACME:URI=\"x\"", "x"),
            ("#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"skd:1\"", "skd:1?"),
            ("#EXT-X-GAP\n#EXTINF:2,\n1.ts", "1.ts?"),
        ] {
            assert_eq!(names(line), [named], "{line}");
        }
        assert_eq!(names("#EXT-X-GAP\n1.ts\n2.ts"), ["1.ts?", "2.ts"]);
    }

    #[test]
    fn line_that_names_nothing_is_read_over() {
        for line in [
            "#EXTINF:2,a title, URI=\"no.ts\"",
            "# a comment, URI=\"no.ts\"",
            "#EXT-X-KEY:METHOD=NONE",
            "#EXT-X-KEY:METHOD=NONE,URI=\"\"",
            "#EXT-X-UNKNOWN:odd,,=",
            "#EXT-X-TITLE:security \"camera\"",
            "#EXT-X-MEDIA:TYPE=AUDIO,NAME=\"URI\"",
            "#EXT-X-DATERANGE:ID=\"1\",X-ACME-URI=\"\"",
        ] {
            assert!(names(line).is_empty(), "{line}");
        }
    }

    #[test]
    fn line_that_may_name_something_and_does_not_say_what_is_refused_with_its_number() {
        for line in [
            "#EXT-X-KEY:METHOD=AES-128,URI",
            "#EXT-X-KEY:METHOD=AES-128,URI=\"\"",
            "#EXT-X-KEY:METHOD=AES-128,URI\"k.key\"",
            "#EXT-X-KEY:METHOD=AES-128,URI=\"k.key",
            "#EXT-X-KEY:METHOD=AES-128 URI=\"k.key\"",
            "#EXT-X-KEY:METHOD=AES-128URI=\"k.key\"",
            "#EXT-X-KEY URI=\"k.key\"",
            "#EXT-X-KEY URI=\"https://b.obs.example.com/k.key\"",
            "#EXT-X-KEY:METHOD=AES-128",
            "#EXT-X-MAP:UIR=\"init.mp4\"",
            "#EXT-X-MAP",
            "#EXT-X-ACME:odd,uri=,",
            "#EXT-X-DATERANGE:ID=\"1\",X-ASSET-LIST=\"\"",
            "#EXT-X-DATERANGE:ID=\"1,X-ASSET-LIST=ad.json",
            "#EXT-X-SKIP:SKIPPED-SEGMENTS=3",
            "#EXT-X-KEY:METHOD=AES-128,URI=\"../../../k.key\"",
            "#EXT-X-MAP:URI=\"%ff.mp4\"",
            "{$name}.ts",
            "../../../1.ts",
            "a.m3u8?itself",
            "#EXT-X-MAP:URI=\"init.mp4\"\r1.ts",
            "1.ts\0",
        ] {
            let failure = keys(&format!("#EXTM3U\n#EXT-X-VERSION:7\n{line}\n1.ts\n"));
            let failure = failure.expect_err(line);
            assert_eq!(failure.kind, FailureKind::Invalid, "{line}");
            let tag = line.split([':', ' ', '\r']).next().unwrap();
            let place = if tag.starts_with('#') {
                format!(": line 3 ({tag}): ")
            } else {
                ": line 3: ".to_owned()
            };
            assert!(failure.reason.contains(&place), "{failure}");
        }
    }

    #[test]
    fn refusal_shows_no_token_of_a_uri() {
        let text = "#EXTM3U\n#EXT-X-KEY URI=\"k.key?token=hidden-7\"\n";
        let failure = keys(text).unwrap_err();
        assert!(!failure.reason.contains("hidden-7"), "{failure}");
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
            let failure = read(content, KEY, URL)
                .and_then(|read| read.references().collect::<Result<Vec<_>, _>>())
                .unwrap_err();
            assert_eq!(failure.kind, FailureKind::Invalid, "{content:?}");
        }
    }

    #[test]
    fn lines_may_end_and_the_text_may_begin_as_they_like() {
        let text =
            "\u{feff}#EXTM3U\r\n#EXT-X-MAP:URI=\"init.mp4\"\r\n#EXTINF:2,\r\n1.ts \r\n\r\n2.ts";
        assert_eq!(keys(text).unwrap(), ["init.mp4", "1.ts", "2.ts"]);
        for reference in all(text).unwrap() {
            assert!(reference.key.ends_with(&text[reference.range]));
        }
    }

    #[test]
    fn master_lists_playlists() {
        for tag in ["MEDIA:TYPE=AUDIO", "IMAGE-STREAM-INF:BANDWIDTH=1"] {
            let text = format!("#EXTM3U\n#EXT-X-{tag},URI=\"en.m3u8\"\n720/v\n");
            assert_eq!(read(text.as_bytes(), KEY, URL).unwrap().kind, Kind::Master);
            let all = all(&text).unwrap();
            assert!(all.iter().all(|r| r.role == Role::Playlist), "{all:?}");
        }
    }

    #[test]
    fn only_absolute_references_to_what_moves_are_rewritten_byte_for_byte() {
        let text = "#EXTM3U\r\n#EXT-X-KEY:METHOD=AES-128,URI=\"/Record/live 1/k.key\"\r\n1.ts\r\n\
            https://b.obs.example.com/Record/live%201/ts/2%202.ts?t=1\r\n/other/3.ts\r\n";
        let playlist = read(text.as_bytes(), KEY, URL).unwrap();
        let rewritten = playlist.rewritten(|key| !key.starts_with("other/"));
        assert_eq!(
            rewritten.unwrap().unwrap(),
            "#EXTM3U\r\n#EXT-X-KEY:METHOD=AES-128,URI=\"k.key\"\r\n1.ts\r\nts/2%202.ts?t=1\r\n/other/3.ts\r\n",
        );
        assert_eq!(playlist.rewritten(|_| false).unwrap(), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(content in prop::collection::vec(any::<u8>(), 0..200), text in "#EXTM3U\n(#EXT-X-[A-Z]{1,4}:[A-Z=\",]{0,20}\n){0,5}") {
            for content in [&content, text.as_bytes()] {
                let _ = read(content, KEY, URL).map(|read| read.references().count());
            }
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
        let theirs: Vec<_> = parsed.segments.iter().map(|s| &s.uri).collect();
        assert!(keys(text).unwrap().iter().eq(theirs));
    }
}
