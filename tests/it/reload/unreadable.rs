//! Rules that are no longer in force and that can no longer be read in part.

use std::sync::Arc;

use aftertake::model::task::RevisionId;
use aftertake::model::transition::Transition;
use aftertake::model::wait::Outside;
use aftertake::rules::file;

use super::secrets::Files;
use crate::support::operator::why_waits;
use crate::support::sink::{Reply, Sink};
use crate::support::test_service::{Env, PATIENT, Running, TestService, parse};

/// Two rules, one of which uses a variable, and rules that use none.
fn rules(sink: &Sink) -> (String, String) {
    let destination = format!(
        "destinations: {{ lms: {{ url: '{}', allow_private: true, timeout: 1h, concurrency: 1 }} }}\n",
        sink.url("/"),
    );
    let old = format!(
        "{destination}rules:\n\
         - {{ name: plain, steps: [{{ notify: {{ destination: lms, path: '/plain' }} }}] }}\n\
         - {{ name: filled, steps: [{{ notify: {{ destination: lms, path: '/${{PART}}' }} }}] }}\n",
    );
    let new = format!("{destination}rules: [{{ name: new, steps: [{{ notify: lms }}] }}]\n");
    (old, new)
}

async fn start(test_service: &TestService, rules: &str) -> Running {
    let folder = test_service.rules().parent().unwrap().to_owned();
    let files = Arc::new(Files(folder.clone()));
    let file = file::parse("rules.yaml", rules, &folder, &*files).unwrap();
    test_service.start_on(file, files, PATIENT).await
}

fn revision(rules: &str) -> RevisionId {
    let env = Env::from([("PART", "x")]);
    parse(rules, &env).rules.revision
}

/// Each task's rule, state, tries and claims.
fn tasks(test_service: &TestService) -> Vec<(String, i64, i64, i64)> {
    let conn = test_service.database().sql();
    let mut rows = conn
        .prepare("SELECT rule, state, tries, attempt FROM tasks ORDER BY seq")
        .unwrap();
    let rows = rows.query_map([], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
    });
    rows.unwrap().map(Result::unwrap).collect()
}

#[tokio::test]
async fn rule_whose_variable_is_gone_holds_back_its_own_tasks_alone_until_it_is_back() {
    let test_service = TestService::new();
    let part = test_service.rules().with_file_name("PART");
    let sink = Sink::start([Reply::status(200).held()]).await;
    let (old, new) = rules(&sink);
    std::fs::write(&part, "filled").unwrap();
    let running = start(&test_service, &old).await;
    running.front.announce("a.mp4").await;
    running.front.announce("b.mp4").await;
    sink.received(1).await;
    std::fs::remove_file(&part).unwrap();
    test_service.reload(&running, &new).await;
    sink.release(1);

    let settled = running.store.settled(4).await;
    let waits = settled.iter().filter_map(|one| match one {
        Transition::Wait { on, why } => Some((on.clone(), why.clone())),
        _ => None,
    });
    let waits: Vec<_> = waits.collect();
    let revision = revision(&old);
    let on = Outside::Rule {
        revision,
        name: "filled".into(),
    };
    let why = format!(
        "rule \"filled\" of {revision}, which is no longer in force, cannot be read: the file that PART_FILE \
         names cannot be read: No such file or directory (os error 2); make the file readable, or set PART itself"
    );
    assert_eq!(
        waits,
        [(on.clone().into(), why.clone()), (on.into(), why.clone())]
    );
    let row = |rule: &str, state, tries, claims| (rule.to_owned(), state, tries, claims);
    let done = row("plain", 2, 1, 1);
    let waiting = row("filled", 0, 0, 1);
    let expected = [done.clone(), waiting.clone(), done.clone(), waiting.clone()];
    assert_eq!(tasks(&test_service), expected);
    let shown = test_service.tasks().swap_remove(1);
    assert_eq!((shown.due, why_waits(&shown)), (None, Some(why)));
    let metrics = running.front.ask("/metrics").await;
    let age = metrics
        .lines()
        .find_map(|line| line.strip_prefix("aftertake_oldest_waiting_age_seconds "));
    assert!(age.unwrap().parse::<f64>().unwrap() > 0.0, "{metrics}");
    running.service.drain().await;
    drop(running.store);

    // Another start finds the variable still missing and claims none of its tasks.
    let running = start(&test_service, &new).await;
    running.front.announce("c.mp4").await;
    running.store.settled(1).await;
    let expected = [
        done.clone(),
        waiting.clone(),
        done,
        waiting,
        row("new", 2, 1, 1),
    ];
    assert_eq!(tasks(&test_service), expected);
    std::fs::write(&part, "back").unwrap();
    test_service.reload(&running, &new).await;
    running.store.settled(3).await;
    running.service.drain().await;
    assert_eq!(test_service.states(), [("done", 0, 1); 5]);
    let targets: Vec<_> = sink.requests().into_iter().map(|one| one.target).collect();
    assert_eq!(targets, ["/plain", "/plain", "/", "/back", "/back"]);
}
