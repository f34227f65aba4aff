//! A recorder reuses a key for another recording.

use aftertake::store::lists::TaskRow;
use aftertake::store::operator::Operator;

use super::film::Film;
use super::scene::{Scene, rule};
use crate::support::obs_recording::RECORDED;
use crate::support::recording::place;
use crate::support::sink::Reply;

fn rules(policy: &str) -> String {
    format!("[{{ name: keep, steps: [{{ rename: {{ to: 'kept/', on_conflict: {policy} }} }}] }}]")
}

/// Pairs of recordings under one key; the second appears after the first was moved.
fn pairs() -> Vec<(&'static str, Film, Film)> {
    let mp4 = |mark| Film::mp4(mark, "r/a.mp4", 500);
    let large = |mark| Film::mp4(mark, "r/a.mp4", 1150);
    let hls = |mark| Film::hls(mark, "r/x/a.m3u8", 3);
    let part = |number| (format!("n{number}.ts"), format!("other segment {number}"));
    let other_names = Film::playlist("two", "r/x/a.m3u8", "", (1..4).map(part).collect());
    vec![
        ("mp4 of another job", mp4("one"), mp4("two").ending(90)),
        (
            "mp4 by parts of another job",
            large("one"),
            large("two").ending(90),
        ),
        ("hls of another job", hls("one"), hls("two").ending(90)),
        (
            "mp4 without jobs",
            mp4("one").of_job(""),
            mp4("two").of_job("").ending(90),
        ),
        (
            "hls without jobs",
            hls("one").of_job(""),
            hls("two").of_job("").ending(90),
        ),
        (
            "hls of the same job that holds nothing of the old",
            hls("one").of_job("j"),
            other_names.of_job("j").ending(90),
        ),
        (
            "mp4 of the same job with another start",
            mp4("one").of_job("j"),
            mp4("two").of_job("j").starting(Some(60)).ending(90),
        ),
        (
            "hls of the same job with another start",
            hls("one").of_job("j"),
            hls("two").of_job("j").starting(Some(60)).ending(90),
        ),
        (
            "mp4 of the same job with the same start",
            mp4("one").of_job("j"),
            mp4("two").of_job("j").ending(90),
        ),
        (
            "mp4 of the same job without starts",
            mp4("one").of_job("j").starting(None),
            mp4("two").of_job("j").starting(None).ending(90),
        ),
        (
            "hls of the same job without starts",
            hls("one").of_job("j").starting(None),
            hls("two").of_job("j").starting(None).ending(90),
        ),
        (
            "hls of another job that begins as the old",
            hls("one"),
            hls("one").grown(5).of_job("another").in_room("room-two"),
        ),
    ]
}

/// Moves the first, records the second under the same key, and moves that.
async fn moved(policy: &str, films: &[Film; 2], at: &str) -> Scene {
    let scene = Scene::new(&rules(policy)).await;
    let [first, second] = films;
    scene.record(first);
    let life = scene.serve().await;
    life.announce(first).await;
    life.rest(at).await;
    assert_eq!(scene.task(first).state, "done", "{at}");
    scene.record(second);
    scene.guard(films);
    life.announce(second).await;
    life.rest(at).await;
    life.stop().await;
    scene
}

#[tokio::test]
async fn another_recording_under_a_used_key_does_not_replace_the_first_at_its_target() {
    for (name, first, mut second) in pairs() {
        // It is another recording, even if it begins the same.
        second.forget();
        let films = [first, second];
        let scene = moved("fail", &films, name).await;
        let places = scene.account(&films, &[], name);
        assert_eq!(places[1], films[1].at, "{name}");
        let task = scene.task(&films[1]);
        assert_eq!(task.state, "dead", "{name}");
        let why = task.failure.unwrap().reason;
        assert!(why.contains("kept/"), "{name}: {why}");
    }
}

#[tokio::test]
async fn another_recording_under_a_used_key_moves_under_a_new_name() {
    for (name, first, mut second) in pairs() {
        second.forget();
        let films = [first, second];
        let scene = moved("keep_both", &films, name).await;
        let places = scene.account(&films, &[], name);
        assert!(
            places.iter().all(|one| one.key.starts_with("kept")),
            "{name}: {places:?}"
        );
        assert_eq!(scene.task(&films[1]).state, "done", "{name}");
    }
}

/// The first one's next step is tried again once the second one is moved, too.
#[tokio::test]
async fn recordings_of_one_job_with_different_starts_are_each_told_of_where_they_are() {
    for make in [
        |mark: &str| Film::mp4(mark, "r/a.mp4", 500),
        |mark: &str| Film::hls(mark, "r/x/a.m3u8", 3),
    ] {
        let first = make("one").of_job("j");
        let second = make("two").of_job("j").starting(Some(60)).ending(90);
        let keep = "{ rename: { to: 'kept/', on_conflict: keep_both } }";
        let notify = "{ notify: { destination: lms, body: { at: '{{ object.key }}' } } }";
        let rules = [
            rule("room-one", &format!("{keep}, {notify}")),
            rule("room-two", keep),
        ];
        let scene = Scene::new(&format!("[{}]", rules.join(", "))).await;
        scene.sink.then(Reply::status(503).held());
        scene.record(&first);
        let life = scene.serve().await;
        life.announce(&first).await;
        scene.sink.received(1).await;
        scene.record(&second);
        life.announce(&second).await;
        let is_moved = |task: &TaskRow| task.rule == "of-room-two" && task.state == "done";
        life.until("second", |tasks| tasks.iter().any(is_moved))
            .await;
        scene.sink.release(1);
        life.rest("both").await;
        life.stop().await;
        let films = [first, second];
        let places = scene.account(&films, &[], "one job");
        assert_ne!(places[0], places[1]);
        // The message is sent again.
        let told = scene.sink.requests();
        assert_eq!(told.len(), 2);
        for one in told {
            let body = String::from_utf8_lossy(&one.body).into_owned();
            assert!(body.contains(&places[0].key), "{body} {places:?}");
        }
        for (film, place) in films.iter().zip(places) {
            let id = scene.task(film).id;
            let shown = scene.test_service.operator().task(id).unwrap().unwrap();
            assert_eq!(shown.place, Some(place), "{film}");
        }
    }
}

#[tokio::test]
async fn segment_that_is_late_is_not_taken_from_the_recording_that_had_its_key_before() {
    let first = || Film::hls("one", "r/x/a.m3u8", 3);
    let second = || Film::hls("two", "r/x/a.m3u8", 3).ending(90);
    late_segment(first(), second()).await;
    let later = second().of_job("j").starting(Some(60));
    late_segment(first().of_job("j"), later).await;
}

async fn late_segment(first: Film, mut second: Film) {
    second.forget();
    let scene =
        Scene::new("[{ name: keep, steps: [{ rename: { to: 'kept/{{ room_id }}/' } }] }]").await;
    scene.record(&first);
    let life = scene.serve().await;
    life.announce(&first).await;
    life.rest("first").await;
    let late = place(RECORDED, "r/x/3.ts");
    scene.record(&second);
    scene.obs.world(|world| {
        world.bucket(&late.bucket).objects.remove(&late.key);
    });
    life.announce(&second).await;
    let waits = |task: &TaskRow| {
        task.failure
            .as_ref()
            .is_some_and(|why| why.reason.contains("3.ts"))
    };
    life.until("the segment is late", |tasks| tasks.iter().any(waits))
        .await;
    scene.put(&late, "two segment 3");
    life.rest("second").await;
    life.stop().await;
    let films = [first, second];
    let places = scene.account(&films, &[], "late segment");
    let keys: Vec<&str> = places.iter().map(|one| &*one.key).collect();
    assert_eq!(keys, ["kept/room-one/a.m3u8", "kept/room-two/a.m3u8"]);
}

/// Even after the longest time that a recorder may take.
#[tokio::test]
async fn segment_that_never_comes_is_not_taken_from_the_recording_that_had_its_key_before() {
    for lines in ["", "#EXT-X-MAP:URI=\"init.mp4\"\n"] {
        let film = |mark: &str| {
            let part = |name: &str| (name.to_owned(), format!("{mark} {name}"));
            let parts = ["init.mp4", "1.ts", "2.ts"].map(part).to_vec();
            Film::playlist(mark, "r/x/a.m3u8", lines, parts)
        };
        let (first, second) = (film("one"), film("two").ending(90));
        let at = "[{ name: keep, steps: [{ rename: { to: 'kept/{{ room_id }}/' } }] }]";
        let mut scene = Scene::new(at).await;
        scene.more = "source_grace: 0s";
        scene.record(&first);
        let life = scene.serve().await;
        life.announce(&first).await;
        life.rest("first").await;
        scene.record(&second);
        scene.obs.world(|world| {
            let recorded = &mut world.bucket(RECORDED).objects;
            recorded.remove("r/x/init.mp4").unwrap();
        });
        let before = scene.objects();
        life.announce(&second).await;
        life.rest("second").await;
        life.stop().await;
        assert_eq!(scene.objects(), before, "nothing is moved");
        let task = scene.task(&second);
        assert_eq!(task.state, "dead");
        let (why, other) = (task.failure.unwrap().reason, scene.task(&first).id);
        assert!(why.contains("r/x/init.mp4"), "{why}");
        assert!(
            why.contains(&format!("{other} moved what was there of another job")),
            "{why}"
        );
    }
}

#[tokio::test]
async fn recording_that_grew_is_renewed_at_its_target() {
    for job in ["j", ""] {
        for policy in ["fail", "keep_both"] {
            let at = format!("{policy}, job {job:?}");
            let scene = Scene::new(&rules(policy)).await;
            let mut film = Film::hls("one", "r/x/a.m3u8", 2).of_job(job);
            scene.record(&film);
            let life = scene.serve().await;
            life.announce(&film).await;
            life.rest(&at).await;
            for segments in 3..6 {
                film = film.grown(segments).in_room(&format!("room-{segments}"));
                scene.append(&film);
                scene.guard(std::slice::from_ref(&film));
                life.announce(&film).await;
                life.rest(&at).await;
                let places = scene.account(std::slice::from_ref(&film), &[], &at);
                assert_eq!(places[0].key, "kept/a.m3u8", "{at}");
                assert_eq!(scene.task(&film).state, "done", "{at}");
            }
            life.stop().await;
        }
    }
}
