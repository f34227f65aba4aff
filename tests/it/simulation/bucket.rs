//! Buckets whose requests fail, hang, lose their responses and lie.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aftertake::model::failure::{Failure, FailureKind};
use aftertake::model::recording::Place;
use aftertake::model::time::Timestamp;
use aftertake::object::{
    Attributes, Copy, CopyStopped, Extras, MARK, Names, ObjectMeta, ObjectStore, Page, TagSupport,
    UploadLog,
};
use async_trait::async_trait;
use bytes::Bytes;

use super::alive::Alive;
use super::sim::{Planted, Sim};
use super::world::{Object, World};

/// The size in bytes above which an object is copied in parts.
const BY_PARTS: u64 = 200;

/// How long a request may still take effect after its response was lost.
const LINGERS: Duration = Duration::from_mins(15);

/// Failures with which a bucket or a proxy may refuse any request.
const REFUSALS: [FailureKind; 12] = [
    FailureKind::Unavailable,
    FailureKind::Unavailable,
    FailureKind::Throttled,
    FailureKind::Credentials,
    FailureKind::Unknown,
    FailureKind::Unreachable,
    FailureKind::Refused,
    FailureKind::Denied,
    FailureKind::Missing,
    FailureKind::Conflict,
    FailureKind::SourceChanged,
    FailureKind::NotNow,
];

/// A bucket as one process sees it.
pub(super) struct SimBucket {
    pub(super) sim: Arc<Sim>,
    pub(super) pulse: Arc<Alive>,
    pub(super) name: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Well,
    /// Refused, without an effect.
    Fails(FailureKind),
    /// It takes effect; the response is lost.
    AnswerLost,
    /// Times out, with or without an effect.
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
            0..=4 => Fate::Fails(self.sim.any(&REFUSALS).unwrap_or(FailureKind::Unknown)),
            5..=7 => Fate::AnswerLost,
            _ => Fate::Hangs,
        }
    }

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
        // OBS has no conditional DELETE: what a recorder writes between the last HEAD and the deletion
        // would be lost. And an upload that is opened after the next process has listed uploads
        // would never be found.
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

    /// Sends one request that changes an object: it may take effect long after its response was
    /// lost.
    async fn change<T: Send + 'static>(
        &self,
        what: &'static str,
        key: &str,
        effect: impl FnOnce(&mut World) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let storm = self.sim.world().storm;
        if !self.sim.happens(storm / 5.0) {
            return self.ask(what, key, effect).await;
        }
        self.sim.step();
        self.pulse.begins().await;
        self.sim
            .tell(format!("{what} {}/{key}: is late", self.name));
        let sim = Arc::clone(&self.sim);
        let named = format!("{}/{key}", self.name);
        tokio::spawn(async move {
            sim.nap(
                Duration::ZERO,
                LINGERS.saturating_sub(Duration::from_secs(10)),
            )
            .await;
            let arrived = happen(&sim, what, effect).is_ok();
            sim.tell(format!("{what} {named} arrives late: {arrived}"));
        });
        self.sim.nap(Duration::ZERO, Duration::from_secs(5)).await;
        self.pulse.goes_on().await;
        Err(Failure::new(
            FailureKind::Unknown,
            format!("{what}: no answer"),
        ))
    }

    /// Applies the effect and checks that every recording is still whole.
    fn happen<T>(
        &self,
        what: &str,
        effect: impl FnOnce(&mut World) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        happen(&self.sim, what, effect)
    }

    /// Whether a copy is reported as made and is not.
    fn lies(&self) -> bool {
        let storm = self.sim.world().storm;
        let planted = self.sim.planted == Planted::BlindVerify;
        self.sim.happens(if planted { 0.5 } else { storm / 4.0 })
    }

    async fn copy_whole(&self, copy: Copy<'_>) -> Result<ObjectMeta, Failure> {
        let lie = self.lies();
        let (to, original) = (self.place(copy.to), Original::of(copy));
        let mark = copy.mark.map(str::to_owned);
        let made = self.change("copy", copy.to, move |world| {
            let copied = original.copied(world)?;
            let digest = copied.digest().to_owned();
            let made = Object {
                // When its ETag differs, only the mark identifies the copy.
                mark: mark.filter(|_| digest != copied.etag),
                etag: digest,
                ..copied
            };
            let meta = made.meta(&to.key);
            if lie {
                world.imagined.insert(to, made);
            } else {
                world.arrives(to, made);
            }
            Ok(meta)
        });
        let made = made.await;
        self.others_write(copy, made.is_ok());
        made
    }

    /// Another program may write to a copy's target before the response: an object of the same
    /// size, uploaded in parts as recorders do. It never destroys the last copy.
    fn others_write(&self, copy: Copy<'_>, is_made: bool) {
        let storm = self.sim.world().storm;
        let (at, from) = (self.place(copy.to), Original::of(copy).from);
        let is_likely = if is_made { storm / 8.0 } else { storm };
        if !self.sim.happens(is_likely) || self.sim.ledger().manifests.is_committed_to(&at) {
            return;
        }
        let mut world = self.sim.world();
        let (there, source) = (world.objects.get(&at), world.objects.get(&from));
        let content = |object: &Object| object.content.clone();
        if there.is_none() || there.map(content) == source.map(content) {
            let number = world.number();
            world
                .objects
                .insert(at.clone(), Object::strangers(number, copy.size));
            drop(world);
            self.sim.tell(format!("another program writes {at}"));
        }
    }

    /// Aborts uploads to this key; whether there were any.
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
        log.record(Some(&id)).await?;
        let original = Original::of(copy);
        for _ in 0..3 {
            log.go_on()?;
            self.ask("copy a part", copy.to, |world| original.copied(world))
                .await?;
        }
        let mark = copy.mark.map(str::to_owned);
        let completed = self
            .change("complete", copy.to, move |world| {
                let Some(to) = world.uploads.get(&id).cloned() else {
                    return Err(Failure::new(FailureKind::Unknown, "no such upload"));
                };
                let copied = original.copied(world)?;
                world.uploads.remove(&id);
                let made = Object {
                    etag: format!("{}-3", copied.digest()),
                    upload: Some(id),
                    // Its ETag does not identify its source.
                    mark,
                    ..copied
                };
                let meta = made.meta(&to.key);
                world.arrives(to, made);
                Ok(meta)
            })
            .await;
        self.others_write(copy, completed.is_ok());
        Ok(completed?)
    }
}

struct Original {
    from: Place,
    etag: String,
}

impl Original {
    fn of(copy: Copy<'_>) -> Self {
        Self {
            from: Place {
                bucket: copy.source.to_owned(),
                key: copy.from.to_owned(),
            },
            etag: copy.etag.to_owned(),
        }
    }

    /// The object that a copy would create now.
    fn copied(&self, world: &World) -> Result<Object, Failure> {
        let from = &self.from;
        match world.objects.get(from) {
            None => Err(Failure::new(FailureKind::Missing, from.to_string())),
            Some(source) if source.etag != self.etag => {
                Err(Failure::new(FailureKind::SourceChanged, from.to_string()))
            }
            Some(source) => Ok(Object {
                upload: None,
                mark: None,
                is_recorded: false,
                is_strangers: false,
                ..source.clone()
            }),
        }
    }
}

/// Applies an effect and checks that every recording is still whole.
fn happen<T>(
    sim: &Sim,
    what: &str,
    effect: impl FnOnce(&mut World) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let (answer, replaced, robbed) = {
        let mut world = sim.world();
        let answer = effect(&mut world);
        let replaced = std::mem::take(&mut world.replaced);
        (answer, replaced, world.robbed.take())
    };
    if let Some(place) = robbed {
        sim.broken(format!("{place} of another program is deleted"));
    }
    for replaced in replaced {
        let loses = !replaced.takes.is_empty();
        let judged = sim.ledger().manifests.replaces(&replaced.at, loses);
        match judged {
            Err(how) => sim.broken(how),
            Ok(()) => {
                for number in replaced.takes {
                    sim.world().give_up(number);
                }
            }
        }
    }
    let lost = sim.world().lost().map(|take| take.named.clone());
    if let Some(named) = lost {
        sim.broken(format!("after {what} {named} is whole nowhere"));
    }
    answer
}

fn missing(key: &str) -> Failure {
    Failure::new(FailureKind::Missing, key)
}

#[async_trait]
impl ObjectStore for SimBucket {
    async fn head(&self, key: &str) -> Result<Option<ObjectMeta>, Failure> {
        let place = self.place(key);
        let blind = self.sim.planted == Planted::BlindVerify;
        let storm = self.sim.world().storm;
        let denied =
            self.sim.happens(storm / 4.0) && self.sim.ledger().manifests.is_committed_to(&place);
        if denied {
            self.sim
                .tell(format!("head {place}: nothing is there, it says"));
            return self.ask("head", key, |_| Ok(None)).await;
        }
        self.ask("head", key, |world| {
            if blind && let Some(imagined) = world.imagined.get(&place) {
                return Ok(Some(imagined.meta(key)));
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
        attributes: &Attributes,
    ) -> Result<ObjectMeta, Failure> {
        let place = self.place(key);
        let object = Object {
            mark: attributes.metadata.get(MARK).cloned(),
            ..Object::new(&String::from_utf8_lossy(&content))
        };
        self.change("put", key, move |world| {
            let meta = object.meta(&place.key);
            world.arrives(place, object);
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

    async fn list_folder(&self, folder: &str, _after: Option<&str>) -> Result<Names, Failure> {
        self.ask("list", folder, |world| {
            let is_in = |place: &&Place| {
                let below = place.key.strip_prefix(folder);
                place.bucket == self.name && below.is_some_and(|name| !name.contains('/'))
            };
            let keys = world.objects.keys().filter(is_in);
            Ok(Names {
                keys: keys.map(|place| place.key.clone()).collect(),
                next: None,
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
        _known: Option<&Extras>,
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
        _known: Option<&Extras>,
        note: Option<&str>,
    ) -> Result<Option<ObjectMeta>, Failure> {
        let place = self.place(copy.to);
        let found = self
            .ask("look", copy.to, |world| {
                Ok(world.objects.get(&place).cloned())
            })
            .await?;
        let is_ours = |found: &Object| {
            let meta = found.meta(copy.to);
            (meta.size, meta.etag.as_str()) == (copy.size, copy.etag)
                || meta.is_marked(copy.mark)
                || note.is_some() && found.upload.as_deref() == note
        };
        if let Some(found) = found.filter(is_ours) {
            return Ok(Some(found.meta(copy.to)));
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

    fn lingers(&self) -> Duration {
        LINGERS
    }

    async fn delete(&self, keys: &[String]) -> Result<Vec<(String, Failure)>, Failure> {
        let named = keys.join(" ");
        let spared = if self.sim.world().storm > 0.0 && self.sim.happens(0.05) {
            self.sim.any(keys)
        } else {
            None
        };
        let seen: Vec<_> = {
            let world = self.sim.world();
            let places = keys.iter().map(|key| self.place(key));
            places
                .map(|place| (world.objects.get(&place).cloned(), place))
                .collect()
        };
        self.change("delete", &named, move |world| {
            let mut left = Vec::new();
            for (object, place) in seen {
                if spared.as_ref() == Some(&place.key) {
                    let why = Failure::new(FailureKind::Unavailable, "not now");
                    left.push((place.key, why));
                } else {
                    world.deleted(&place, object.as_ref());
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
        metadata: &BTreeMap<String, String>,
    ) -> Result<(), Failure> {
        let place = self.place(key);
        self.ask("set metadata", key, |world| {
            let object = world.objects.get_mut(&place).ok_or_else(|| missing(key))?;
            object.mark = metadata.get(MARK).cloned();
            Ok(())
        })
        .await
    }

    fn url(&self, key: &str) -> String {
        format!("https://{}.example.com/{key}", self.name)
    }

    fn signed_url(&self, key: &str, _lifetime: Duration, _now: Timestamp) -> String {
        self.url(key)
    }

    fn copy_domain(&self) -> String {
        "the only one".to_owned()
    }
}
