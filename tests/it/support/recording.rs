//! Recordings to move: one object, or a playlist with its segments.

use std::collections::BTreeMap;

use aftertake::model::recording::{Extent, Place};

pub(crate) fn place(bucket: &str, key: &str) -> Place {
    Place {
        bucket: bucket.into(),
        key: key.into(),
    }
}

/// The content of a recording, independent of its place.
#[derive(Debug, Clone)]
pub(crate) struct Recording {
    /// The named object: its content before the move and after it.
    pub(crate) named: (String, String),
    /// The other objects, by key relative to the named object's folder.
    pub(crate) parts: BTreeMap<String, String>,
}

impl Recording {
    pub(crate) fn mp4() -> Self {
        let content = "moov and mdat".to_owned();
        Self {
            named: (content.clone(), content),
            parts: BTreeMap::new(),
        }
    }

    /// A playlist with relative references only.
    pub(crate) fn hls() -> Self {
        let parts = [
            "init.mp4",
            "ts/1 录.ts",
            "ts/2.ts",
            "ts/3.ts",
            "4.ts",
            "5.ts",
            "k.key",
        ];
        let playlist = "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-MAP:URI=\"init.mp4\"\n\
            #EXT-X-KEY:METHOD=AES-128,URI=\"k.key\"\n#EXTINF:2,\nts/1%20%E5%BD%95.ts\n\
            #EXTINF:2,\nts/2.ts\n#EXTINF:2,\nts/3.ts?x\n4.ts\n5.ts\n#EXT-X-ENDLIST\n";
        Self::with(playlist, playlist, &parts)
    }

    /// A playlist in `folder` whose references are absolute.
    pub(crate) fn absolute_hls(folder: &str) -> Self {
        let begins = format!("#EXTM3U\r\n#EXTINF:2,\r\n/{folder}/1.ts\r\n/{folder}/ts/2.ts?t\r\n");
        let ends = "#EXTM3U\r\n#EXTINF:2,\r\n1.ts\r\nts/2.ts?t\r\n";
        Self::with(&begins, ends, &["1.ts", "ts/2.ts"])
    }

    pub(crate) fn with(begins: &str, ends: &str, parts: &[&str]) -> Self {
        let content = |name: &&str| ((*name).to_owned(), format!("content of {name}"));
        Self {
            named: (begins.to_owned(), ends.to_owned()),
            parts: parts.iter().map(content).collect(),
        }
    }

    /// The extent that a callback reports.
    pub(crate) fn extent(&self) -> Extent {
        if self.parts.is_empty() {
            Extent::Object
        } else {
            Extent::Set
        }
    }

    pub(crate) fn objects(&self) -> usize {
        self.parts.len() + 1
    }

    /// Its objects and contents after a move of the named one to `place`.
    pub(crate) fn at(&self, place: &Place) -> BTreeMap<Place, String> {
        let folder = place.key.strip_suffix(place.name()).unwrap();
        let part = |(name, content): (&String, &String)| {
            let key = format!("{folder}{name}");
            (
                Place {
                    bucket: place.bucket.clone(),
                    key,
                },
                content.clone(),
            )
        };
        let named = (place.clone(), self.named.1.clone());
        self.parts.iter().map(part).chain([named]).collect()
    }
}
