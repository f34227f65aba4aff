//! Recordings in the fake OBS: their objects, and where they are whole.

use std::collections::BTreeMap;

use super::fake_obs::{Content, FakeObs, Kind, Object, World};

/// The bucket that is recorded into, and the archive.
pub(crate) const RECORDED: &str = "recorded";
pub(crate) const ARCHIVE: &str = "archive";

#[derive(Debug, Clone)]
struct Part {
    from: String,
    to: String,
    object: Object,
    /// Its content after the move, if different.
    after: Option<Content>,
}

/// A recording and its target.
#[derive(Debug, Clone)]
pub(crate) struct ObsRecording {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) bucket: &'static str,
    /// The key that the callback names, and the new key.
    pub(crate) from: String,
    pub(crate) to: String,
    parts: Vec<Part>,
}

impl ObsRecording {
    /// A file that one request copies.
    pub(crate) fn mp4(kind: Kind, bucket: &'static str) -> Self {
        Self::file("mp4", kind, bucket, Object::text("moov and mdat"))
    }

    /// A file that is copied in four parts.
    pub(crate) fn large(kind: Kind, bucket: &'static str) -> Self {
        Self::file("large mp4", kind, bucket, Object::large(1150))
    }

    fn file(name: &'static str, kind: Kind, bucket: &'static str, object: Object) -> Self {
        let mut take = Self::empty(name, kind, bucket, "r/录 1.mp4", "classes/class-7/b.mp4");
        take.add(&take.from.clone(), object, None);
        take
    }

    /// A playlist with segments next to it, one of them referenced by its full URL.
    pub(crate) fn hls(kind: Kind, bucket: &'static str, obs: &FakeObs) -> Self {
        let names = ["1.ts", "2 +.ts", "3.ts", "4.ts", "5.ts"];
        let playlist = |first: &str| {
            let rest = "2%20%2B.ts\n#EXTINF:2,\n3.ts\n4.ts\n5.ts\n#EXT-X-ENDLIST\n";
            format!("#EXTM3U\n#EXTINF:2,\n{first}\n{rest}")
        };
        let url = format!("http://{}/{RECORDED}/r/x/1.ts", obs.address);
        let mut take = Self::empty("hls", kind, bucket, "r/x/a.m3u8", "classes/class-7/b.m3u8");
        for name in names {
            let content = format!("content of {name}");
            take.add(&format!("r/x/{name}"), Object::text(&content), None);
        }
        let after = Object::text(&playlist("1.ts")).content;
        take.add("r/x/a.m3u8", Object::text(&playlist(&url)), Some(after));
        take
    }

    /// Public segments in two renditions. The decryption key, init segment and captions are
    /// private, and the key is encrypted.
    pub(crate) fn guarded_hls() -> Self {
        let everyone = |mut object: Object| {
            object.grants = vec![("*".to_owned(), "READ".to_owned())];
            object
        };
        let media = "#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI=\"z.key\"\n#EXT-X-MAP:URI=\"a.mp4\"\n\
            #EXTINF:2,\n1.m4s\n#EXTINF:2,\n2.m4s\n#EXT-X-ENDLIST\n";
        let captions = "#EXTM3U\n#EXTINF:4,\n0.vtt\n#EXT-X-ENDLIST\n";
        let main = "#EXTM3U\n#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"s\",URI=\"c.m3u8\"\n\
            #EXT-X-STREAM-INF:BANDWIDTH=1\nv.m3u8\n";
        let (bucket, from) = (ARCHIVE, "r/x/a.m3u8");
        let mut take = Self::empty(
            "guarded hls",
            Kind::Objects,
            bucket,
            from,
            "classes/class-7/b.m3u8",
        );
        for (name, object) in [
            ("0.vtt", Object::text("hello")),
            ("1.m4s", everyone(Object::text("one"))),
            ("2.m4s", everyone(Object::text("two"))),
            ("a.mp4", Object::text("init")),
            ("z.key", Object::text("secret").encrypted()),
            ("c.m3u8", Object::text(captions)),
            ("v.m3u8", everyone(Object::text(media))),
            ("a.m3u8", everyone(Object::text(main))),
        ] {
            take.parts.push(Part {
                from: format!("r/x/{name}"),
                to: match name {
                    "a.m3u8" => take.to.clone(),
                    name => format!("classes/class-7/{name}"),
                },
                object,
                after: None,
            });
        }
        take
    }

    /// A playlist with this many segments next to it.
    pub(crate) fn long_hls(segments: usize) -> Self {
        let names: Vec<String> = (0..segments).map(|number| format!("{number}.ts")).collect();
        let playlist = format!("#EXTM3U\n{}\n", names.join("\n"));
        let (kind, from) = (Kind::Objects, "r/x/a.m3u8");
        let mut take = Self::empty("long hls", kind, ARCHIVE, from, "classes/class-7/b.m3u8");
        for name in names {
            take.add(&format!("r/x/{name}"), Object::text(&name), None);
        }
        take.add(from, Object::text(&playlist), None);
        for part in &mut take.parts {
            // A grant that a copy request can carry itself.
            part.object.grants = vec![("*".to_owned(), "READ".to_owned())];
        }
        take
    }

    fn empty(name: &'static str, kind: Kind, bucket: &'static str, from: &str, to: &str) -> Self {
        Self {
            name,
            kind,
            bucket,
            from: from.to_owned(),
            to: to.to_owned(),
            parts: Vec::new(),
        }
    }

    fn add(&mut self, from: &str, object: Object, after: Option<Content>) {
        let to = if from == self.from {
            self.to.clone()
        } else {
            from.replacen("r/x/", "classes/class-7/", 1)
        };
        self.parts.push(Part {
            from: from.to_owned(),
            to,
            object: dressed(object, self.kind),
            after,
        });
    }

    pub(crate) fn objects(&self) -> usize {
        self.parts.len()
    }

    /// Puts it where it is recorded.
    pub(crate) fn record(&self, obs: &FakeObs) {
        obs.world(|world| {
            world.make(RECORDED, self.kind);
            world.make(ARCHIVE, self.kind);
            for part in &self.parts {
                world.put(RECORDED, &part.from, part.object.clone());
            }
        });
    }

    /// Whether all its objects are at the old place, or all at the new place.
    pub(crate) fn is_whole(&self, world: &World) -> bool {
        self.is_at_source(world) || self.is_at_target(world)
    }

    fn is_at_source(&self, world: &World) -> bool {
        self.parts.iter().all(|part| {
            let there = world.object(RECORDED, &part.from);
            there.is_some_and(|there| there.content == part.object.content)
        })
    }

    fn is_at_target(&self, world: &World) -> bool {
        self.parts.iter().all(|part| {
            let there = world.object(self.bucket, &part.to);
            there.is_some_and(|there| {
                part.after.as_ref().unwrap_or(&part.object.content) == &there.content
            })
        })
    }

    /// Asserts that the world holds only the recording, at its old place.
    pub(crate) fn assert_untouched(&self, world: &World, at: &str) {
        let expected = self.parts.iter().map(|part| {
            let place = (RECORDED.to_owned(), part.from.clone());
            (place, part.object.clone())
        });
        assert_same(world, expected.collect(), at);
    }

    /// Asserts that the world holds only the recording, at its new place, with its metadata and
    /// the tag `room`.
    pub(crate) fn assert_moved(&self, world: &World, at: &str) {
        let expected = self.parts.iter().map(|part| {
            let mut object = part.object.clone();
            if let Some(after) = &part.after {
                object.content.clone_from(after);
            }
            if part.from == self.from {
                tag(&mut object, self.kind);
            }
            ((self.bucket.to_owned(), part.to.clone()), object)
        });
        assert_same(world, expected.collect(), at);
    }
}

fn assert_same(world: &World, expected: BTreeMap<(String, String), Object>, at: &str) {
    let mut found = BTreeMap::new();
    for (name, bucket) in &world.buckets {
        for (key, object) in &bucket.objects {
            // A file system lists folders as objects.
            if !key.ends_with('/') {
                found.insert((name.clone(), key.clone()), bare(object.clone()));
            }
        }
    }
    let expected = expected.into_iter().map(|(at, object)| (at, bare(object)));
    let expected: BTreeMap<_, _> = expected.collect();
    let keys = |all: &BTreeMap<(String, String), Object>| all.keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&found), keys(&expected), "{at}");
    for (place, object) in expected {
        assert_eq!(found[&place], object, "{at}: {place:?}");
    }
    assert_eq!(world.open_uploads(), 0, "{at}: an upload is open");
}

/// Without what depends on how the object was written.
fn bare(mut object: Object) -> Object {
    object.etag.clear();
    object.upload_id = None;
    object
}

/// With every header and grant that a move must preserve.
fn dressed(object: Object, kind: Kind) -> Object {
    let mut object = object.dressed();
    object.tags = BTreeMap::from([("course".to_owned(), "数学 1".to_owned())]);
    if kind != Kind::Objects {
        object.tags.clear();
    }
    if kind.is_file_system() {
        "STANDARD".clone_into(&mut object.storage_class);
    }
    object
}

/// Adds the rule's tag to the named object.
fn tag(object: &mut Object, kind: Kind) {
    if kind == Kind::Objects {
        object.tags.insert("room".to_owned(), "class-7".to_owned());
    } else {
        let name = "x-obs-meta-room".to_owned();
        object.headers.insert(name, "class-7".to_owned());
    }
}
