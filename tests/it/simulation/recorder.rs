//! What recorders do: record, overwrite, append, share objects, and post callbacks.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aftertake::model::recording::Place;
use aftertake::model::time::Timestamp;
use serde_json::json;

use super::recording::{Part, Take};
use super::rules;
use super::run_log::RunLog;
use super::sim::Sim;

/// Rooms of recordings. The first two move to a folder per event, the shelves to one common
/// folder.
const ROOMS: [&str; 6] = ["move-a", "move-b", "stay", "shelf-1", "shelf-2", "shelf-3"];

/// Rooms for recordings that share objects: none overwrites what another one shares.
const SHARED: [&str; 5] = ["move-a", "move-b", "stay", "shelf-1", "shelf-2"];

/// The room of recordings that all have one name and replace each other.
const OVER: &str = "over";

/// How late a recording appears at most.
const LATE: Duration = Duration::from_mins(5);

#[derive(Clone)]
pub(super) struct Callback {
    body: String,
    /// The recording that it named.
    named: Place,
    job: Option<String>,
    room: &'static str,
}

impl RunLog {
    pub(super) async fn record_anew(&mut self) {
        let number = self.sim.world().number();
        // Names repeat in other folders.
        let mut key = format!("r/{number}/{}", number % 2);
        if self.sim.happens(0.2) {
            key = format!("r/{number}/v{number}");
        }
        let place = |key| Place {
            bucket: "recorded".into(),
            key,
        };
        let take = match self.sim.between(0, 4) {
            0 | 1 => {
                let (segments, encrypted) = (self.sim.between(1, 5), self.sim.happens(0.6));
                let take = Take::hls(place(format!("{key}.m3u8")), number, segments, encrypted);
                let job = self.sim.happens(0.7).then(|| format!("job {number}"));
                Take { job, ..take }
            }
            big => Take::mp4(place(format!("{key}.mp4")), number, big == 2),
        };
        let shares = take.is_media_playlist() && self.sim.happens(0.5);
        let rooms = if shares { &SHARED[..] } else { &ROOMS[..] };
        let room = self.sim.any(rooms).unwrap_or_default();
        self.appear(take.clone());
        self.announce(&take, room).await;
        if shares {
            self.share(&take).await;
        }
    }

    /// Recordings with the same name come one after the other. Each replaces the one before, while a
    /// person cancels and retries their tasks.
    pub(super) async fn replace_each_other(&mut self) {
        for _ in 0..self.sim.between(2, 4) {
            let number = self.sim.world().number();
            let named = Place {
                bucket: "recorded".into(),
                key: format!("r/{number}/over.m3u8"),
            };
            let (segments, encrypted) = (self.sim.between(1, 6), self.sim.happens(0.3));
            let take = Take::counted(named, number, segments, encrypted);
            let job = self.sim.happens(0.7).then(|| format!("job {number}"));
            let take = Take { job, ..take };
            self.sim.record(take.clone(), false);
            self.announce(&take, OVER).await;
            for _ in 0..self.sim.between(0, 3) {
                self.pass(Duration::from_millis(300)).await;
                self.intervene();
            }
        }
    }

    /// A person cancels or retries one of the tasks that replace each other.
    fn intervene(&mut self) {
        let cancels = self.sim.happens(0.5);
        let tasks = self.sim.ledger().of_rule(rules::REPLACES, !cancels);
        match self.sim.any(&tasks) {
            Some(id) if cancels => self.cancel_one(id),
            Some(id) => self.retry_one(id),
            None => {}
        }
    }

    /// The recording appears at once, late or never.
    fn appear(&self, take: Take) {
        let rewrites = self.sim.happens(0.3);
        match self.sim.between(0, 19) {
            0 => {}
            1..=3 => later(&self.sim, move |sim| sim.record(take, rewrites)),
            _ => self.sim.record(take, rewrites),
        }
    }

    /// The recorder overwrites an earlier recording.
    pub(super) async fn record_again(&mut self) {
        let takes = self.sim.world().takes.clone();
        let mp4s: Vec<_> = takes.iter().filter(|take| take.parts.is_empty()).collect();
        if let Some(earlier) = self.sim.any(&mp4s) {
            let named = earlier.named.clone();
            let number = self.sim.world().number();
            let take = Take::mp4(named, number, self.sim.happens(0.3));
            self.sim.record(take.clone(), false);
            let room = self.sim.any(&ROOMS).unwrap_or_default();
            self.announce(&take, room).await;
        }
    }

    /// The recorder appends segments to an earlier recording.
    pub(super) async fn record_more(&mut self) {
        let lists = self.playlists();
        // With a master playlist, that would name what another recording has become.
        let is_alone = |take: &&Take| {
            let mut names = lists.iter().flat_map(|other| other.parts_at(&other.named));
            !names.any(|(at, _)| at == take.named)
        };
        let newest = lists.iter().filter(|take| take.is_media_playlist());
        let newest: Vec<_> = newest.filter(is_alone).collect();
        let Some(earlier) = self.sim.any(&newest) else {
            return;
        };
        let room = self.room_of(&earlier.named).unwrap_or("stay");
        let (number, segments) = (self.sim.world().number(), self.sim.between(1, 3));
        let take = earlier.grown(number, segments);
        self.sim.record(take.clone(), self.sim.happens(0.3));
        self.announce(&take, room).await;
    }

    /// The newest take of each playlist whose parts have unique names.
    fn playlists(&self) -> Vec<Take> {
        let world = self.sim.world();
        let newest: BTreeMap<_, _> = world.takes.iter().map(|take| (&take.named, take)).collect();
        let is_one =
            |take: &&Take| !take.parts.is_empty() && !world.reused.contains(take.named.folder());
        newest.into_values().filter(is_one).cloned().collect()
    }

    fn room_of(&self, named: &Place) -> Option<&'static str> {
        let mut of_it = self.callbacks.iter().filter(|one| one.named == *named);
        of_it.next().map(|callback| callback.room)
    }

    /// A recorder shares objects of an earlier recording, which may have moved since.
    pub(super) async fn record_beside(&mut self) {
        let mut lists = self.playlists();
        lists.retain(|take| {
            let room = self.room_of(&take.named);
            take.is_media_playlist() && room != Some("shelf-3") && room != Some(OVER)
        });
        if let Some(earlier) = self.sim.any(&lists) {
            self.share(&earlier).await;
        }
    }

    /// Another recording appears in this one's folder and names some of its objects.
    async fn share(&mut self, with: &Take) {
        let (number, segments) = (self.sim.world().number(), self.sim.between(1, 3));
        let take = match self.sim.between(0, 5) {
            // A live playlist and a full one.
            0 | 1 => with.sibling(number, segments, |_| true),
            2 | 3 if self.may_have_master(with) => with.master(number),
            3..=5 if with.job.is_some() && self.was_moved(with) => {
                return self.succeed(with.successor(number)).await;
            }
            _ => with.sibling(number, segments, |part: &Part| !part.is_segment()),
        };
        // A recording without a job could belong to any: nothing would tell whose segments they are.
        let is_another = take.is_media_playlist() && self.sim.happens(0.3);
        let another = with.job.as_ref().filter(|_| is_another);
        let another = another.map(|_| format!("job {number}"));
        let job = another.or_else(|| with.job.clone());
        let take = Take { job, ..take };
        self.appear(take.clone());
        let room = self.sim.any(&SHARED).unwrap_or_default();
        self.announce(&take, room).await;
    }

    /// Whether it was moved, along with everything announced in its folder.
    fn was_moved(&self, take: &Take) -> bool {
        let world = self.sim.world();
        let is_beside = |one: &&Callback| one.named.folder() == take.named.folder();
        let mut beside = self.callbacks.iter().filter(is_beside);
        beside.all(|one| world.was_moved(&one.named)) && world.is_free(take)
    }

    /// Whether it has a unique name and has appeared.
    fn may_have_master(&self, take: &Take) -> bool {
        let has_appeared = self
            .sim
            .world()
            .takes
            .iter()
            .any(|one| one.main == take.main);
        has_appeared && take.named.name().starts_with('v')
    }

    /// Another job reuses the names of segments: its playlist appears first, its segments late or
    /// never.
    async fn succeed(&mut self, take: Take) {
        let job = Some(format!("job {}", self.sim.world().number()));
        let take = Take { job, ..take };
        let folder = take.named.folder().to_owned();
        self.sim.world().reused.insert(folder);
        self.sim.world().write(&take.named, &take.main);
        if self.sim.happens(0.5) {
            let take = take.clone();
            later(&self.sim, move |sim| sim.record(take, false));
        } else {
            let precious = false;
            self.sim.world().takes.push(Take {
                precious,
                ..take.clone()
            });
        }
        let room = self.sim.any(&SHARED).unwrap_or_default();
        self.announce(&take, room).await;
    }

    async fn announce(&mut self, take: &Take, room: &'static str) {
        self.tell_of(take.named.clone(), take.job.clone(), room)
            .await;
    }

    /// Another event for the same recording.
    pub(super) async fn announce_anew(&mut self) {
        let mut callbacks = self.callbacks.clone();
        callbacks.retain(|callback| callback.room != OVER);
        let Some(Callback { named, job, .. }) = self.sim.any(&callbacks) else {
            return;
        };
        let rooms = if named.extension() == "m3u8" {
            &SHARED[..]
        } else {
            &ROOMS[..]
        };
        let room = self.sim.any(rooms).unwrap_or_default();
        self.sim.world().told_again.insert(named.clone());
        self.tell_of(named, job, room).await;
    }

    async fn tell_of(&mut self, named: Place, job: Option<String>, room: &'static str) {
        let number = i64::try_from(self.sim.world().number()).unwrap();
        let end = Timestamp::from_millis((1_772_413_200 + number) * 1000);
        let body = json!({
            "event_type": "RECORD_FILE_COMPLETE", "obs_bucket": named.bucket, "obs_object": named.key,
            "room_id": room, "job_id": job, "start_time": "2026-03-02T01:00:00Z", "end_time": end.to_string(),
        });
        let body = body.to_string();
        self.callbacks.push(Callback {
            body: body.clone(),
            named,
            job,
            room,
        });
        self.post(body).await;
    }

    pub(super) async fn announce_again(&mut self) {
        if let Some(callback) = self.sim.any(&self.callbacks) {
            self.post(callback.body).await;
        }
    }
}

/// Runs `what` after a while.
fn later(sim: &Arc<Sim>, what: impl FnOnce(&Sim) + Send + 'static) {
    let sim = Arc::clone(sim);
    tokio::spawn(async move {
        sim.nap(Duration::ZERO, LATE).await;
        what(&sim);
    });
}
