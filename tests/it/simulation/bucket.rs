//! Buckets whose requests fail, hang, lose their answers and lie.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aftertake::model::failure::{Failure, FailureKind};
use aftertake::model::recording::Place;
use aftertake::model::time::Timestamp;
use aftertake::object::{
    Attributes, Belongings, Copy, CopyStopped, ObjectMeta, ObjectStore, Page, TagSupport, UploadLog,
};
use async_trait::async_trait;
use bytes::Bytes;

use super::pulse::Pulse;
use super::sim::{Planted, Sim};
use super::world::{Object, World};

/// Bytes above which an object is copied by parts.
const BY_PARTS: u64 = 200;

/// A bucket as one process sees it.
pub(super) struct SimBucket {
    pub(super) sim: Arc<Sim>,
    pub(super) pulse: Arc<Pulse>,
    pub(super) name: String,
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Well,
    /// Refused, without an effect.
    Fails(FailureKind),
    /// It has its effect, and nobody is told.
    AnswerLost,
    /// No answer for a long time, and then none; it may have had its effect.
    Hangs,
}

impl SimBucket {
    fn place(&self, key: &str) -> Place {
        Place {
            bucket: self.name.clone(),
            key: key.to_owned(),
        }
    }

    fn fate(&self) -> Fate {
        let storm = self.sim.world().storm;
        if !self.sim.happens(storm) {
            return Fate::Well;
        }
        match self.sim.between(0, 9) {
            0..=2 => Fate::Fails(FailureKind::Unavailable),
            3 => Fate::Fails(FailureKind::Throttled),
            4 => Fate::Fails(FailureKind::Credentials),
            5..=7 => Fate::AnswerLost,
            _ => Fate::Hangs,
        }
    }

    /// One request.
    async fn ask<T>(
        &self,
        what: &str,
        key: &str,
        effect: impl FnOnce(&mut World) -> Result<T, Failure> + Send,
    ) -> Result<T, Failure> {
        self.sim.step();
        self.pulse.begins().await;
        let fate = self.fate();
        let changes = ["copy", "complete", "put", "delete"].contains(&what);
        if changes || fate != Fate::Well {
            self.sim
                .tell(format!("{what} {}/{key}: {fate:?}", self.name));
        }
        let nap = |most| self.sim.nap(Duration::ZERO, Duration::from_millis(most));
        // No request can ask that an object be deleted only if it still is what it was: what
        // a recorder writes between the last look at it and its deletion would be lost. And an
        // upload that is opened after the next process has looked for it is found by nobody.
        let is_at_once = ["delete", "initiate"].contains(&what);
        let on_the_way = if is_at_once { 0 } else { 400 };
        let unknown = || Failure::new(FailureKind::Unknown, format!("{what}: no answer"));
        let answer = match fate {
            Fate::Well => {
                nap(on_the_way).await;
                self.happen(what, effect)
            }
            Fate::Fails(kind) => {
                nap(400).await;
                Err(Failure::new(kind, format!("{what} is refused")))
            }
            Fate::AnswerLost => {
                nap(on_the_way).await;
                let _unheard = self.happen(what, effect);
                nap(5_000).await;
                Err(unknown())
            }
            Fate::Hangs => {
                if self.sim.happens(0.5) {
                    let _unheard = self.happen(what, effect);
                }
                nap(120_000).await;
                Err(unknown())
            }
        };
        self.pulse.goes_on().await;
        answer
    }

    /// The effect, and a look whether everything is still whole.
    fn happen<T>(
        &self,
        what: &str,
        effect: impl FnOnce(&mut World) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let (answer, lost) = {
            let mut world = self.sim.world();
            let answer = effect(&mut world);
            let lost = world.lost().map(|take| take.named.clone());
            (answer, lost)
        };
        if let Some(named) = lost {
            self.sim
                .broken(format!("after {what} {named} is whole nowhere"));
        }
        answer
    }

    /// Whether a copy is answered as made that is not.
    fn lies(&self) -> bool {
        let storm = self.sim.world().storm;
        let planted = self.sim.planted == Planted::BlindVerify;
        self.sim.happens(if planted { 0.5 } else { storm / 4.0 })
    }

    async fn copy_whole(&self, copy: Copy<'_>) -> Result<ObjectMeta, Failure> {
        let lie = self.lies();
        let to = self.place(copy.to);
        self.ask("copy", copy.to, |world| {
            let made = copied(world, copy)?;
            let meta = made.meta(copy.to);
            if lie {
                world.imagined.insert(to);
            } else {
                world.objects.insert(to, made);
            }
            Ok(meta)
        })
        .await
    }

    /// Ends uploads to this key; whether there were any.
    async fn end_uploads(&self, to: &str) -> Result<(), Failure> {
        let to = self.place(to);
        self.ask("abort uploads", &to.key.clone(), |world| {
            world.uploads.retain(|_, target| *target != to);
            Ok(())
        })
        .await
    }

    async fn copy_by_parts(
        &self,
        copy: Copy<'_>,
        log: &mut dyn UploadLog,
    ) -> Result<ObjectMeta, CopyStopped> {
        self.end_uploads(copy.to).await?;
        let to = self.place(copy.to);
        let id = self
            .ask("initiate", copy.to, |world| {
                let id = format!("upload-{}", world.number());
                world.uploads.insert(id.clone(), to.clone());
                Ok(id)
            })
            .await?;
        log.note(Some(&id)).await?;
        for _ in 0..3 {
            log.go_on()?;
            self.ask("copy a part", copy.to, |world| copied(world, copy))
                .await?;
        }
        let made = self
            .ask("complete", copy.to, |world| {
                let Some(to) = world.uploads.get(&id).cloned() else {
                    return Err(Failure::new(FailureKind::Unknown, "no such upload"));
                };
                let mut made = copied(world, copy)?;
                made.etag.push_str("-3");
                made.upload = Some(id.clone());
                world.uploads.remove(&id);
                let meta = made.meta(&to.key);
                world.objects.insert(to, made);
                Ok(meta)
            })
            .await?;
        Ok(made)
    }
}

/// What a copy would make now.
fn copied(world: &World, copy: Copy<'_>) -> Result<Object, Failure> {
    let from = Place {
        bucket: copy.source.to_owned(),
        key: copy.from.to_owned(),
    };
    match world.objects.get(&from) {
        None => Err(Failure::new(FailureKind::Missing, from.to_string())),
        Some(source) if source.etag != copy.etag => {
            Err(Failure::new(FailureKind::SourceChanged, from.to_string()))
        }
        Some(source) => Ok(Object {
            upload: None,
            ..source.clone()
        }),
    }
}

fn missing(key: &str) -> Failure {
    Failure::new(FailureKind::Missing, key)
}

#[async_trait]
impl ObjectStore for SimBucket {
    async fn head(&self, key: &str) -> Result<Option<ObjectMeta>, Failure> {
        let place = self.place(key);
        let blind = self.sim.planted == Planted::BlindVerify;
        self.ask("head", key, |world| {
            if blind && world.imagined.contains(&place) {
                let name = place.name();
                let original = world
                    .takes
                    .iter()
                    .find(|take| take.named.name() == name)
                    .map(|take| Object::new(&take.main).meta(key));
                return Ok(original);
            }
            Ok(world.objects.get(&place).map(|object| object.meta(key)))
        })
        .await
    }

    async fn get(&self, key: &str, _limit: u64) -> Result<Bytes, Failure> {
        let place = self.place(key);
        self.ask("get", key, |world| {
            let object = world.objects.get(&place).ok_or_else(|| missing(key))?;
            Ok(Bytes::from(object.content.clone()))
        })
        .await
    }

    async fn put(
        &self,
        key: &str,
        content: Bytes,
        _attributes: &Attributes,
    ) -> Result<ObjectMeta, Failure> {
        let place = self.place(key);
        let object = Object::new(&String::from_utf8_lossy(&content));
        self.ask("put", key, |world| {
            let meta = object.meta(key);
            world.objects.insert(place, object);
            Ok(meta)
        })
        .await
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page, Failure> {
        self.ask("list", prefix, |world| {
            let here = world
                .objects
                .iter()
                .filter(|(place, _)| place.bucket == self.name && place.key.starts_with(prefix))
                .filter(|(place, _)| after.is_none_or(|after| place.key.as_str() > after));
            let objects = here.map(|(place, object)| object.meta(&place.key));
            Ok(Page {
                objects: objects.collect(),
                more: false,
            })
        })
        .await
    }

    async fn copy(&self, copy: Copy<'_>) -> Result<ObjectMeta, Failure> {
        self.copy_whole(copy).await
    }

    async fn copy_logged(
        &self,
        copy: Copy<'_>,
        _known: Option<&Belongings>,
        log: &mut dyn UploadLog,
    ) -> Result<ObjectMeta, CopyStopped> {
        if copy.size > BY_PARTS {
            self.copy_by_parts(copy, log).await
        } else {
            Ok(self.copy_whole(copy).await?)
        }
    }

    async fn find_copy(
        &self,
        copy: Copy<'_>,
        _known: Option<&Belongings>,
        note: Option<&str>,
    ) -> Result<Option<ObjectMeta>, Failure> {
        if let Some(found) = self.head(copy.to).await?
            && found.size == copy.size
            && (found.etag == copy.etag || note.is_some() && found.etag == by_parts(copy.etag))
        {
            return Ok(Some(found));
        }
        self.end_uploads(copy.to).await?;
        Ok(None)
    }

    async fn abandon(&self, to: &str, note: Option<&str>) -> Result<Option<ObjectMeta>, Failure> {
        self.end_uploads(to).await?;
        let place = self.place(to);
        self.ask("look", to, |world| {
            let object = world.objects.get(&place);
            let object = object.filter(|object| note.is_some() && object.upload.as_deref() == note);
            Ok(object.map(|object| object.meta(to)))
        })
        .await
    }

    /// Longer than any request is on its way.
    fn lingers(&self) -> Duration {
        Duration::from_secs(1)
    }

    async fn delete(&self, keys: &[String]) -> Result<Vec<(String, Failure)>, Failure> {
        let named = keys.join(" ");
        let spared = if self.sim.world().storm > 0.0 && self.sim.happens(0.05) {
            self.sim.any(keys)
        } else {
            None
        };
        self.ask("delete", &named, |world| {
            let mut left = Vec::new();
            for key in keys {
                if spared.as_ref() == Some(key) {
                    let why = Failure::new(FailureKind::Unavailable, "not now");
                    left.push((key.clone(), why));
                } else {
                    world.objects.remove(&self.place(key));
                }
            }
            Ok(left)
        })
        .await
    }

    async fn tags(&self, key: &str) -> Result<TagSupport, Failure> {
        let place = self.place(key);
        self.ask("tags", key, |world| {
            let object = world.objects.get(&place).ok_or_else(|| missing(key))?;
            Ok(TagSupport::Tags(object.tags.clone()))
        })
        .await
    }

    async fn set_tags(&self, key: &str, tags: &BTreeMap<String, String>) -> Result<(), Failure> {
        let place = self.place(key);
        self.ask("set tags", key, |world| {
            let object = world.objects.get_mut(&place).ok_or_else(|| missing(key))?;
            object.tags.clone_from(tags);
            Ok(())
        })
        .await
    }

    async fn set_metadata(
        &self,
        key: &str,
        _metadata: &BTreeMap<String, String>,
    ) -> Result<(), Failure> {
        Err(Failure::new(FailureKind::Unsupported, key))
    }

    fn url(&self, key: &str) -> String {
        format!("https://{}.example.com/{key}", self.name)
    }

    fn signed_url(&self, key: &str, _lifetime: Duration, _now: Timestamp) -> String {
        self.url(key)
    }

    fn site(&self) -> String {
        "the only one".to_owned()
    }
}

fn by_parts(etag: &str) -> String {
    format!("{etag}-3")
}
