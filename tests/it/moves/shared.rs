//! Two recordings that share objects: an init segment, a key, the segments of a live playlist.

use super::film::Film;
use super::scene::{Scene, rule};

const INIT_AND_KEY: &str = "init and key";
const LINES: &str = "#EXT-X-MAP:URI=\"init.mp4\"\n#EXT-X-KEY:METHOD=AES-128,URI=\"k.key\"\n";

/// A playlist with an init segment, a key, and these segments.
fn playlist(mark: &str, key: &str, segments: &[&str]) -> Film {
    let shared = ["init.mp4", "k.key"].iter().chain(segments);
    let parts = shared.map(|name| ((*name).to_owned(), format!("content of {name}")));
    Film::playlist(mark, key, LINES, parts.collect())
}

/// Two recordings in one folder: with different segments, and with the same ones.
fn pairs() -> [(&'static str, [Film; 2]); 2] {
    [
        (
            INIT_AND_KEY,
            [
                playlist("one", "r/x/a.m3u8", &["a1.m4s", "a2.m4s"]),
                playlist("two", "r/x/b.m3u8", &["b1.m4s", "b2.m4s"]),
            ],
        ),
        (
            "segments of a live list and of the whole",
            [
                playlist("live", "r/x/live.m3u8", &["2.m4s", "3.m4s"]),
                playlist("whole", "r/x/whole.m3u8", &["1.m4s", "2.m4s", "3.m4s"]),
            ],
        ),
    ]
}

async fn scene_of(films: &[Film; 2]) -> Scene {
    let to = "{ rename: { to: 'kept/{{ room_id }}/' } }";
    let rules = films.each_ref().map(|film| rule(&film.room, to));
    let mut scene = Scene::new(&format!("[{}]", rules.join(", "))).await;
    scene.more = "source_grace: 0s";
    scene
}

/// Asserts that both are whole at their targets.
fn assert_each_has_its_own(scene: &Scene, films: &[Film; 2], at: &str) {
    scene.assert_never_lost(films, at);
    let objects = scene.objects();
    for film in films {
        let task = scene.task(film);
        assert_eq!(task.state, "done", "{at}: {film}\n{}", scene.told());
        let at_target = |place: &aftertake::model::recording::Place| {
            place.key.starts_with(&format!("kept/{}/", film.room))
        };
        let places = film.places(&objects);
        assert!(
            places.iter().any(at_target),
            "{at}: {film} is at {places:?}"
        );
    }
}

#[tokio::test]
async fn recordings_that_share_objects_move_one_after_the_other() {
    for (name, films) in pairs() {
        for backwards in [false, true] {
            let at = format!("{name}, backwards: {backwards}");
            let scene = scene_of(&films).await;
            scene.record_all(&films);
            scene.guard(&films);
            let life = scene.serve().await;
            let mut order = vec![&films[0], &films[1]];
            if backwards {
                order.reverse();
            }
            for film in order {
                life.announce(film).await;
                life.rest(&at).await;
                scene.assert_never_lost(&films, &at);
            }
            life.stop().await;
            assert_each_has_its_own(&scene, &films, &at);
        }
    }
}

#[tokio::test]
async fn recordings_that_share_objects_move_at_the_same_time() {
    for (name, films) in pairs() {
        let scene = scene_of(&films).await;
        scene.record_all(&films);
        scene.guard(&films);
        let life = scene.serve().await;
        life.announce_all(&films).await;
        life.rest(name).await;
        life.stop().await;
        assert_each_has_its_own(&scene, &films, name);
    }
}

/// The second playlist did not exist when the first was moved with all that it named. An init segment
/// and a key may belong to all jobs; the segments of another job are another recording's.
#[tokio::test]
async fn recording_whose_objects_another_job_took_along_finds_all_but_segments() {
    for (name, films) in pairs() {
        let scene = scene_of(&films).await;
        let life = scene.serve().await;
        scene.record(&films[0]);
        life.announce(&films[0]).await;
        life.rest(name).await;
        scene.guard(&films[..1]);
        scene.append_to(&films[1], &films[0]);
        life.announce(&films[1]).await;
        life.rest(name).await;
        life.stop().await;
        scene.assert_never_lost(&films[..1], name);
        if name == INIT_AND_KEY {
            assert_each_has_its_own(&scene, &films, name);
            continue;
        }
        let task = scene.task(&films[1]);
        assert_eq!(task.state, "dead", "{name}");
        let (why, other) = (task.failure.unwrap().reason, scene.task(&films[0]).id);
        assert!(why.contains(&other.to_string()), "{name}: {why}");
    }
}

/// The same within one job.
#[tokio::test]
async fn recording_whose_objects_another_one_took_along_finds_them() {
    for (name, films) in pairs() {
        let films = films.map(|film| film.of_job("j"));
        let scene = scene_of(&films).await;
        let life = scene.serve().await;
        scene.record(&films[0]);
        life.announce(&films[0]).await;
        life.rest(name).await;
        scene.append_to(&films[1], &films[0]);
        life.announce(&films[1]).await;
        life.rest(name).await;
        life.stop().await;
        assert_each_has_its_own(&scene, &films, name);
    }
}
