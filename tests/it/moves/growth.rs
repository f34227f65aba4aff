//! A recorder that appends to a recording that was moved, or is about to be.

use super::film::Film;
use super::scene::{Scene, rule};
use crate::support::fake_obs::{Fault, Gate, Recorded};
use crate::support::obs_recording::RECORDED;

fn rename(to: &str) -> String {
    format!("{{ rename: {{ to: '{to}' }} }}")
}

/// Moves a growing recording: each time it has another segment and goes where its room's rule
/// says.
async fn grows(rules: &[(&str, &str)], at: &str) -> (Scene, Film) {
    let list: Vec<_> = rules
        .iter()
        .map(|(room, to)| rule(room, &rename(to)))
        .collect();
    let scene = Scene::new(&format!("[{}]", list.join(", "))).await;
    let mut film = Film::hls("g", "r/x/i.m3u8", 2).in_room(rules[0].0);
    scene.record(&film);
    let life = scene.serve().await;
    for (segments, (room, _)) in (2..).zip(rules) {
        if segments > 2 {
            film = film.grown(segments).in_room(room);
            scene.append(&film);
        }
        scene.guard(std::slice::from_ref(&film));
        life.announce(&film).await;
        life.rest(at).await;
        assert_eq!(
            scene.task(&film).state,
            "done",
            "{at}, {room}\n{}",
            scene.told()
        );
    }
    life.stop().await;
    (scene, film)
}

#[tokio::test]
async fn recording_that_grew_is_whole_when_it_is_renamed_within_its_folder() {
    for rules in [
        [("a", "kept/a.m3u8"), ("b", "r/x/b.m3u8")],
        [("a", "r/x/a.m3u8"), ("b", "r/x/b.m3u8")],
        [("a", "r/x/a.m3u8"), ("b", "kept/b.m3u8")],
    ] {
        let at = format!("{rules:?}");
        let (scene, film) = grows(&rules, &at).await;
        let places = scene.account(std::slice::from_ref(&film), &[], &at);
        assert_eq!(places[0].key, rules[1].1, "{at}");
    }
}

#[tokio::test]
async fn playlist_of_an_earlier_name_does_not_stay_behind() {
    let rules = [
        ("a", "kept/a.m3u8"),
        ("b", "kept/b.m3u8"),
        ("c", "kept/c.m3u8"),
    ];
    let (scene, film) = grows(&rules, "names").await;
    let places = scene.account(std::slice::from_ref(&film), &[], "names");
    assert_eq!(places[0].key, "kept/c.m3u8");
}

/// The first callback's task moves the recording as it is by then; nothing is left to move for the
/// second.
#[tokio::test]
async fn second_of_two_callbacks_that_wait_together_is_done_and_takes_its_other_steps() {
    let first = Film::hls("g", "r/x/i.m3u8", 2).in_room("a");
    let grown = first.grown(3).in_room("b");
    let file = Film::mp4("m", "r/i.mp4", 500).in_room("a");
    let again = file.clone().ending(3).in_room("b");
    for films in [[first, grown], [file, again]] {
        let steps = "{ rename: { to: 'kept/' } }, { tag: { tags: { room: '{{ room_id }}' } } }, { notify: lms }";
        let mut scene = Scene::new(&format!("[{{ name: keep, steps: [{steps}] }}]")).await;
        scene.more = "source_grace: 0s";
        scene.record(&films[0]);
        let gate = Gate::new();
        scene
            .obs
            .strike_first(|_: &Recorded| true, Fault::Hold(gate.clone()));
        let life = scene.serve().await;
        life.announce(&films[0]).await;
        gate.reached().await;
        scene.append(&films[1]);
        scene.guard(&films[1..]);
        life.announce(&films[1]).await;
        gate.open();
        life.rest("both").await;
        life.stop().await;
        let places = scene.account(&films[1..], &[], "both");
        for film in &films {
            let task = scene.task(film);
            assert_eq!(task.state, "done", "{film}\n{}", scene.told());
        }
        assert_eq!(scene.sink.count(), 2, "each sends its notification");
        scene.obs.world(|world| {
            let object = world.object(RECORDED, &places[0].key).unwrap();
            assert_eq!(object.tags["room"], "b");
        });
    }
}
