//! An HLS playlist: its references, and what a rewrite leaves unchanged.

use aftertake::action::rename::playlist::{Need, Playlist, Reference, Role, read};
use aftertake::model::failure::Failure;

use super::{Target, Verdict};

const KEY: &str = "Record/live 1/a.m3u8";
const URL: &str = "https://b.obs.example.com/Record/live%201/a.m3u8";

const TARGET: Target = Target {
    name: "playlist",
    samples: None,
    dictionary: &[
        "#EXTM3U",
        "#EXTM3U\n",
        "\u{feff}",
        "#EXT-X-MAP:URI=\"",
        "#EXT-X-KEY:METHOD=AES-128,URI=\"",
        "#EXT-X-MEDIA:URI=\"",
        "#EXT-X-PART:",
        "#EXT-X-GAP\n",
        "#EXT-X-PREFETCH:",
        "#EXT-X-IMAGE-STREAM-INF:URI=",
        "#EXT-X-DATERANGE:X-ASSET-LIST=",
        "#EXT-X-CONTENT-STEERING:SERVER-URI=",
        "#EXT-X-ACME:",
        ",GAP=YES",
        "METHOD=NONE,",
        "uri=",
        "'",
        "{$a}",
        "skd:1",
        "#EXT-X-RENDITION-REPORT:URI=\"",
        "#EXT-X-",
        "#EXT-X-STREAM-INF:",
        "#EXTINF:2,\n",
        "URI=",
        "\"",
        ",",
        "=",
        "\r\n",
        "\n",
        "\r",
        " ",
        "\t",
        "1.ts",
        "a.m3u8",
        "../",
        "./",
        "..",
        "/",
        "//",
        "\\",
        "%2e%2e/",
        "%2f",
        "%2F..%2F",
        "%25",
        "%",
        "%ff",
        "%00",
        "?t=1",
        "#t",
        "https://b.obs.example.com/",
        "http://b.obs.example.com/",
        "https://b.obs.example.com:443/",
        "https://B.OBS.example.com/",
        "//b.obs.example.com/",
        "https://b.obs.example.com/Record/live%201/",
        "/Record/live 1/",
        "https://cdn.example.com/",
        "https://u@b.obs.example.com/",
        "data:",
        "录制",
        "\u{a0}",
        "\u{85}",
        "\u{2028}",
        "\0",
    ],
    usual: 8_000,
};

#[test]
fn any_playlist_is_rewritten_only_in_its_uris() {
    TARGET.run(|input| match read(input, KEY, URL) {
        Err(failure) => {
            assert!(!failure.reason.is_empty());
            Verdict::Refused
        }
        Ok(playlist) => match playlist
            .references()
            .collect::<Result<Vec<Reference>, Failure>>()
        {
            Err(failure) => {
                assert!(failure.reason.contains("line "), "{failure}");
                assert!(playlist.rewritten(|_| true).is_err());
                Verdict::Refused
            }
            Ok(references) => {
                let text = std::str::from_utf8(input).unwrap();
                names_objects(&references, text);
                assert_eq!(playlist.rewritten(|_| false).unwrap(), None);
                if let Some(new) = playlist.rewritten(|_| true).unwrap() {
                    says_the_same(&playlist, &references, text, &new);
                }
                Verdict::Accepted
            }
        },
    });
}

/// References are in order, do not overlap, and stay within their line.
fn names_objects(references: &[Reference], text: &str) {
    let mut end = 0;
    for reference in references {
        let range = reference.range.clone();
        assert!(end <= range.start && !range.is_empty(), "{reference:?}");
        assert!(!text[range.clone()].contains('\n'), "{reference:?}");
        let odd = |segment: &str| [".", ".."].contains(&segment);
        assert!(
            !reference.key.is_empty() && reference.key != KEY,
            "{reference:?}"
        );
        assert!(!reference.key.split('/').any(odd), "{reference:?}");
        end = range.end;
    }
}

/// The rewritten playlist refers to the same objects, relatively; every other byte is unchanged.
fn says_the_same(playlist: &Playlist<'_>, references: &[Reference], text: &str, new: &str) {
    let again = read(new.as_bytes(), KEY, URL).unwrap_or_else(|failure| panic!("{failure}: {new}"));
    assert_eq!(again.kind, playlist.kind);
    let found: Result<Vec<Reference>, Failure> = again.references().collect();
    let found = found.unwrap_or_else(|failure| panic!("{failure}: {new}"));
    assert_eq!(named(&found), named(references), "{new}");
    assert_eq!(rest(&found, new), rest(references, text), "{new}");
    assert_eq!(again.rewritten(|_| true).unwrap(), None, "{new}");
}

fn named(references: &[Reference]) -> Vec<(&str, Role, Need)> {
    let named = references.iter();
    named
        .map(|one| (one.key.as_str(), one.role, one.need))
        .collect()
}

/// The text outside its URIs.
fn rest<'a>(references: &[Reference], text: &'a str) -> Vec<&'a str> {
    let mut start = 0;
    let mut parts = Vec::new();
    for reference in references {
        parts.push(&text[start..reference.range.start]);
        start = reference.range.end;
    }
    parts.push(&text[start..]);
    parts
}
