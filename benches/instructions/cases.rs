//! The counted cases: the pure parts that every callback and every attempt use.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use aftertake::model::event::Event;
use aftertake::model::failure::{Failure, FailureKind};
use aftertake::model::id::TaskId;
use aftertake::model::plan::Turn;
use aftertake::model::recorder::Recorder;
use aftertake::model::retry::{Jitter, RetryPolicy};
use aftertake::model::step::Rendered;
use aftertake::model::task::{Lane, Outputs, StepNo};
use aftertake::model::time::Timestamp;
use aftertake::model::transition::{Budget, Hold, NextStep, OnFailure, Ran, settle};
use aftertake::recorder;
use aftertake::rules::context::Context;
use aftertake::rules::file::{RulesFile, parse};
use aftertake::rules::plan::plan;
use aftertake::rules::render::{Rendering, render};
use bytes::Bytes;

/// A callback as SparkRTC sends it.
const BODY: &[u8] =
    include_bytes!("../../tests/it/callbacks/03_sparkrtc_mp4_file_complete_large.json");

const NOW: Timestamp = Timestamp::from_millis(1_772_413_200_000);

/// Six rules, of which the first matches, with globs, bounds and an expression.
const RULES: &str = r#"
buckets: { abc-rtc-bucket2: { store: folder, path: ./a } }
destinations: { lms: { url: "https://lms.example.com/hooks" } }
rooms: [{ room: "test-*" }, { room: "*", tags: { department: other }, vars: { channel: lectures } }]
rules:
  - name: archive
    when: { format: [hls, mp4], duration: { at_least: 1s }, not: { room: "test-*" }, if: "height >= 100 and room.vars.channel == 'lectures'" }
    order_by: room_id
    steps:
      - rename: { to: "classes/{{ room_id | slug }}/{{ start_time | date('%Y-%m-%d', 'Asia/Shanghai') }}/{{ object.name }}" }
      - tag: by_room
      - notify: lms
      - id: own
        notify: { destination: lms, path: "/rooms/{{ room_id }}", headers: { X-Room: "{{ room_id }}" }, body: { room: "{{ room_id }}", seconds: "{{ record_duration }}", key: "{{ object.key }}", of: ["{{ rule }}", 1] } }
  - { name: other-room, when: { room: ["lab-?", "**/x"] }, steps: [{ notify: lms }] }
  - { name: other-key, when: { object: "Elsewhere/**/*.mp4" }, steps: [{ notify: lms }] }
  - { name: long, when: { duration: { at_least: 100h } }, steps: [{ notify: lms }] }
  - { name: low, when: { if: "height < 10 or 'x' in room_id" }, steps: [{ notify: lms }] }
  - { name: over, when: { event: CLOUD_RECORD_SERVER_OVER }, steps: [{ notify: lms }] }
"#;

type Call = Box<dyn Fn()>;

/// A name, and a function that prepares its call.
type Case = (&'static str, fn() -> Call);

const CASES: [Case; 7] = [
    ("parse", parse_body),
    ("plan", plan_event),
    ("settle", settle_attempts),
    ("render_rename", || render_step(0)),
    ("render_tag", || render_step(1)),
    ("render_notify", || render_step(2)),
    ("render_body", || render_step(3)),
];

pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    CASES.iter().map(|(name, _)| *name)
}

/// Makes this many calls, after a first one that initializes lazy values.
pub(crate) fn call(case: &str, calls: u64) {
    let found = CASES.iter().find(|(name, _)| *name == case);
    let (_, set_up) = found.unwrap_or_else(|| panic!("no case is called {case}"));
    let call = set_up();
    call();
    for _ in 0..calls {
        call();
    }
}

fn event(body: Bytes) -> Event {
    recorder::parse(Recorder::SparkRtc, &http::HeaderMap::new(), body, NOW)
        .expect("the sample is an event")
}

fn parse_body() -> Call {
    Box::new(|| {
        black_box(event(black_box(Bytes::from_static(BODY))));
    })
}

fn plan_event() -> Call {
    let rules = load().rules;
    let event = event(Bytes::from_static(BODY));
    assert_eq!(plan(&rules, &event, 0).tasks.len(), 1);
    Box::new(move || {
        black_box(plan(&rules, black_box(&event), 0));
    })
}

/// Every way a step can end.
fn settle_attempts() -> Call {
    let failed = |kind| Ran::Failed(Failure::new(kind, "destination lms answered 503"));
    let ends = [
        Ran::Passed,
        failed(FailureKind::Unavailable),
        failed(FailureKind::Refused),
        failed(FailureKind::Credentials),
        Ran::Interrupted,
        Ran::Cancelled,
    ];
    let policy = RetryPolicy::default();
    let next = NextStep {
        step: 1,
        lane: Lane::Destination("lms".into()),
        turn: Turn::NotNeeded,
        hold: Hold::Leave,
    };
    Box::new(move || {
        for ran in &ends {
            let standing = Budget {
                policy: &policy,
                tries: black_box(3),
                since: NOW,
                on_failure: OnFailure::Stop,
                next: Some(next.clone()),
                on_dead: None,
            };
            black_box(settle(standing, ran.clone(), NOW, Jitter::new(0.5)));
        }
    })
}

fn render_step(number: StepNo) -> Call {
    let file = load();
    let event = event(Bytes::from_static(BODY));
    let task = TaskId::derive(event.id, "archive", 0);
    let arcs = file.destinations.into_iter();
    let destinations: BTreeMap<_, _> = arcs.map(|(name, one)| (name, Arc::new(one))).collect();
    Box::new(move || {
        let outputs = Outputs::new();
        let context = Context {
            url: Some("https://b.obs.example.com/k".to_owned()),
            outputs: Some(&outputs),
            ..Context::before_running(black_box(&event), task)
        };
        let rule = &file.rules.rules[0];
        let rendered = render(&file.rules, rule, number, &context, &destinations);
        let expected = match number {
            0 => matches!(rendered, Ok(Rendering::Run(Rendered::Rename(_)))),
            1 => matches!(rendered, Ok(Rendering::Run(Rendered::Tag(_)))),
            _ => matches!(rendered, Ok(Rendering::Run(Rendered::Notify(_)))),
        };
        assert!(expected, "{rendered:?}");
        black_box(rendered).ok();
    })
}

fn load() -> RulesFile {
    let environment = BTreeMap::<&str, &str>::new();
    let file = parse("rules.yaml", RULES, Path::new(""), &environment);
    file.unwrap_or_else(|error| panic!("{error}"))
}
