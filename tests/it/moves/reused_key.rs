//! A recorder reuses a key for another recording.

use aftertake::store::lists::TaskRow;

use super::film::Film;
use super::scene::Scene;
use crate::support::obs_recording::RECORDED;
use crate::support::recording::place;

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

#[tokio::test]
async fn segment_that_is_late_is_not_taken_from_the_recording_that_had_its_key_before() {
    let first = Film::hls("one", "r/x/a.m3u8", 3);
    let mut second = Film::hls("two", "r/x/a.m3u8", 3).ending(90);
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
