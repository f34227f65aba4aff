//! Tasks of a recording that another one has replaced at its target.

use aftertake::model::recording::Replaced;
use aftertake::store::lists::TaskRow;
use aftertake::store::operator::Operator;

use super::film::Film;
use super::scene::{Scene, rule};
use crate::support::fake_obs::Object;
use crate::support::obs_recording::RECORDED;
use crate::support::recording::place;
use crate::support::sink::Reply;

const KEPT: &str = "{ rename: { to: 'kept/', on_conflict: overwrite } }, { notify: lms }";

/// Next steps, and the requests that they may send.
const NEXT: [&str; 4] = [
    "{ id: again, rename: { to: 'final/' } }",
    "{ tag: { tags: { a: b } } }",
    "{ id: again, notify: lms }",
    "{ id: again, notify: { destination: lms, body: { at: '{{ object.key }}' } } }",
];

/// An object that somebody puts at the recording's old key.
const OTHER: &str = "another recording";

#[tokio::test]
async fn later_steps_of_a_replaced_recording_touch_nothing_and_name_what_replaced_it() {
    for next in NEXT {
        for [one, two] in [
            [
                Film::mp4("one", "r/a.mp4", 500),
                Film::mp4("two", "s/a.mp4", 500),
            ],
            [
                Film::hls("one", "r/a.m3u8", 3),
                Film::hls("two", "s/a.m3u8", 2),
            ],
        ] {
            let (one, two) = (one.in_room("one"), two.in_room("two"));
            let rules = [
                format!(
                    "{{ name: of-one, when: {{ room: one }}, on_dead: lms, steps: [{KEPT}, {next}] }}"
                ),
                rule("two", "{ rename: { to: 'kept/', on_conflict: overwrite } }"),
            ];
            let scene = Scene::new(&format!("[{}]", rules.join(", "))).await;
            scene.sink.then(Reply::status(200).held());
            scene.record_all(&[one.clone(), two.clone()]);
            let life = scene.serve().await;
            life.announce(&one).await;
            scene.sink.received(1).await;
            life.announce(&two).await;
            let replaced = |row: &&TaskRow| row.rule == "of-two";
            life.until(next, |rows| {
                rows.iter()
                    .find(replaced)
                    .is_some_and(|row| row.state == "done")
            })
            .await;
            let named = one.at.clone();
            scene
                .obs
                .world(|world| world.put(RECORDED, &named.key, Object::text(OTHER)));
            let before = scene.objects();
            scene.sink.release(1);
            life.rest(next).await;
            life.stop().await;

            let by = scene.task(&two).id;
            let mut tasks = scene.test_service.tasks().into_iter();
            let task = tasks.find(|task| task.rule == "of-one").unwrap();
            assert_eq!(task.state, "dead", "{next}");
            let why = task.failure.unwrap().reason;
            assert!(why.contains(&by.to_string()), "{next}: {why}");
            assert_eq!(scene.objects(), before, "{next}: {why}");
            // The second request is the notice of the dead task.
            let told = scene.sink.requests();
            assert_eq!(told.len(), 2, "{next}");
            let notice = String::from_utf8_lossy(&told[1].body);
            assert!(notice.contains(&task.id.to_string()), "{next}: {notice}");
            let shown = scene
                .test_service
                .operator()
                .task(task.id)
                .unwrap()
                .unwrap();
            let replaced = Replaced { by, in_part: false };
            assert_eq!(shown.replaced, Some(replaced), "{next}");
            let kept = place(RECORDED, &named.key.replace("r/", "kept/"));
            assert_eq!(shown.place, Some(kept), "{next}");
        }
    }
}

/// Another recording is now at the old key.
#[tokio::test]
async fn replay_of_a_replaced_recording_does_not_take_what_has_come_to_its_old_key() {
    let (one, two) = (
        Film::mp4("one", "r/a.mp4", 500).in_room("one"),
        Film::mp4("two", "s/a.mp4", 500).in_room("two"),
    );
    let keep = "{ rename: { to: 'kept/', on_conflict: overwrite } }";
    let rules = [rule("one", keep), rule("two", keep)].join(", ");
    let scene = Scene::new(&format!("[{rules}]")).await;
    scene.record_all(&[one.clone(), two.clone()]);
    let life = scene.serve().await;
    for film in [&one, &two] {
        life.announce(film).await;
        life.rest("moved").await;
    }
    scene
        .obs
        .world(|world| world.put(RECORDED, "r/a.mp4", Object::text(OTHER)));
    let before = scene.objects();
    let event = scene.task(&one).event.to_string();
    std::fs::write(scene.test_service.rules(), scene.text()).unwrap();
    let rules = scene.test_service.rules();
    let replay = [
        "events",
        "replay",
        &event,
        "--all",
        "--rules",
        rules.to_str().unwrap(),
    ];
    scene.test_service.aftertake(&replay);
    life.rest("replayed").await;
    life.stop().await;
    assert_eq!(scene.objects(), before, "{}", scene.told());
    let by = scene.task(&two).id.to_string();
    let mut tasks = scene.test_service.tasks().into_iter();
    let dead = tasks.find(|task| task.state == "dead").unwrap();
    assert!(dead.failure.unwrap().reason.contains(&by));
}
