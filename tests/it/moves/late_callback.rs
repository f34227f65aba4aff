//! A recording was moved, its recorder has written another one under the key, and a later callback
//! about the first one comes.

use aftertake::clock;

use super::film::Film;
use super::process::Process;
use super::scene::{Scene, rule};
use crate::support::obs_recording::RECORDED;
use crate::support::operator::OneTask;
use crate::support::recording::place;

const POLICIES: [&str; 3] = ["fail", "keep_both", "overwrite"];

/// Pairs of recordings of two jobs, or of two starts, under one key.
fn pairs() -> Vec<[Film; 2]> {
    let mp4 = |mark| Film::mp4(mark, "r/a.mp4", 500);
    let hls = |mark, segments| Film::hls(mark, "r/x/a.m3u8", segments);
    let part = |number| (format!("n{number}.ts"), format!("other segment {number}"));
    let other_names = Film::playlist("two", "r/x/a.m3u8", "", (1..4).map(part).collect());
    let of_one_job = |[one, two]: [Film; 2]| [one.of_job("j"), two.of_job("j").starting(Some(60))];
    let pairs = [
        [mp4("one"), mp4("two")],
        [hls("one", 3), other_names],
        // Its playlist names everything that the first one names.
        [hls("one", 3), hls("two", 4)],
    ];
    let both = pairs.clone().into_iter().chain(pairs.map(of_one_job));
    both.map(|[one, two]| [one.in_room("one"), two.in_room("two").ending(90)])
        .collect()
}

/// The later callback about a recording, in another room.
fn later(film: &Film) -> Film {
    film.clone().ending(30).in_room("later")
}

async fn scene(policy: &str, moves_second: bool) -> Scene {
    let rename = format!("{{ rename: {{ to: 'kept/', on_conflict: {policy} }} }}");
    let notify = "{ notify: { destination: lms, body: { at: '{{ object.key }}' } } }";
    let mut rules = vec![
        rule("one", &rename),
        rule(
            "later",
            &format!("{rename}, {{ tag: {{ tags: {{ a: b }} }} }}, {notify}"),
        ),
    ];
    if moves_second {
        rules.push(rule("two", "{ rename: { to: 'second/' } }"));
    }
    let mut scene = Scene::new(&format!("[{}]", rules.join(", "))).await;
    scene.more = "source_grace: 0s";
    scene
}

/// Moves the first recording, and records the second one under its key.
async fn reused(scene: &Scene, [one, two]: &[Film; 2]) -> Process {
    scene.record(one);
    let life = scene.serve().await;
    life.announce(one).await;
    life.rest("first").await;
    assert_eq!(scene.task(one).state, "done", "{}", scene.told());
    scene.record(two);
    scene.guard(&[one.clone(), two.clone()]);
    life
}

/// Asserts that the first one is where it was moved, and that its later callback is done there.
fn assert_apart(scene: &Scene, [one, two]: &[Film; 2], moves_second: bool, at: &str) {
    let told = scene.told();
    let places = scene.account(&[one.clone(), two.clone()], &[], at);
    let kept = place(RECORDED, &format!("kept/{}", one.at.name()));
    let second = place(RECORDED, &format!("second/{}", two.at.name()));
    let expected = [
        kept.clone(),
        if moves_second { second } else { two.at.clone() },
    ];
    assert_eq!(places, expected, "{at}\n{told}");
    assert_eq!(scene.task(&later(one)).state, "done", "{at}\n{told}");
    let bodies = scene.sink.requests().into_iter().map(|one| one.body);
    let bodies: Vec<String> = bodies
        .map(|body| String::from_utf8_lossy(&body).into_owned())
        .collect();
    assert_eq!(bodies.len(), 1, "{at}");
    assert!(bodies[0].contains(&kept.key), "{at}: {bodies:?}");
    scene.obs.world(|world| {
        let tagged = |at: &_| {
            world
                .object(RECORDED, at)
                .is_some_and(|one| !one.tags.is_empty())
        };
        assert!(tagged(&places[0].key) && !tagged(&places[1].key), "{at}");
    });
}

#[tokio::test]
async fn later_callback_does_not_take_what_another_one_was_announced_for_at_its_key() {
    for policy in POLICIES {
        for moves_second in [false, true] {
            for films in pairs() {
                let at = format!("{policy}, {moves_second}, {} {}", films[0], films[1]);
                let scene = scene(policy, moves_second).await;
                let life = reused(&scene, &films).await;
                life.announce(&films[1]).await;
                life.rest(&at).await;
                life.announce(&later(&films[0])).await;
                life.rest(&at).await;
                life.stop().await;
                assert_apart(&scene, &films, moves_second, &at);
            }
        }
    }
}

/// Without that one's callback, one whose playlist names all that the first one names could be that
/// one, grown.
#[tokio::test]
async fn later_callback_that_comes_first_is_done_once_the_other_one_is_announced() {
    let films = pairs().into_iter();
    for films in films.filter(|[_, two]| two.objects().len() != 5) {
        let at = format!("{} {}", films[0], films[1]);
        let scene = scene("fail", false).await;
        let life = reused(&scene, &films).await;
        let late = later(&films[0]);
        life.announce(&late).await;
        life.rest(&at).await;
        let task = scene.task(&late);
        assert_eq!(task.state, "dead", "{at}\n{}", scene.told());
        life.announce(&films[1]).await;
        life.rest(&at).await;
        let mut operator = scene.test_service.operator();
        operator.retry_one(task.id, clock::now()).unwrap();
        life.rest(&at).await;
        life.stop().await;
        assert_apart(&scene, &films, false, &at);
    }
}

/// A rule that only tags does not find it there.
#[tokio::test]
async fn later_callback_does_not_tag_what_another_one_was_announced_for_at_its_key() {
    for films in pairs() {
        let rules = [
            rule("one", "{ rename: { to: 'kept/' } }"),
            rule("later", "{ tag: { tags: { a: b } } }"),
        ];
        let mut scene = Scene::new(&format!("[{}]", rules.join(", "))).await;
        scene.more = "source_grace: 0s";
        let life = reused(&scene, &films).await;
        life.announce(&films[1]).await;
        let late = later(&films[0]);
        life.announce(&late).await;
        life.rest("tag").await;
        life.stop().await;
        let why = scene.task(&late).failure.unwrap().reason;
        assert!(why.contains("kept/"), "{why}");
        scene.obs.world(|world| {
            let two = world.object(RECORDED, &films[1].at.key).unwrap();
            assert!(two.tags.is_empty());
        });
    }
}

/// The recorder has used the key for another one, and appends to the first one.
#[tokio::test]
async fn recording_that_grew_is_renewed_although_its_key_was_used_in_between() {
    for moves_second in [false, true] {
        let [one, two] = &pairs()[1];
        let scene = scene("fail", moves_second).await;
        let life = reused(&scene, &[one.clone(), two.clone()]).await;
        life.announce(two).await;
        life.rest("second").await;
        let grown = one.grown(5).in_room("later").ending(30);
        scene.obs.after_every_mutation(|_| {});
        scene.append(&grown);
        life.announce(&grown).await;
        life.rest("grown").await;
        life.stop().await;
        assert_eq!(scene.task(&grown).state, "done", "{}", scene.told());
        let kept = [place(RECORDED, "kept/a.m3u8")];
        assert_eq!(grown.places(&scene.objects()), kept, "{}", scene.told());
    }
}
