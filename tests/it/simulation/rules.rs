//! The rules files that are in force one after the other.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use aftertake::model::bucket::Bucket;
use aftertake::model::destination::Destination;
use aftertake::model::task::RevisionId;
use aftertake::recorder::Callers;
use aftertake::rules::file::{self, Revision, parse_revision};

use crate::support::test_service::Env;

/// Everything at once: renames with further steps, a second rule for the same recordings, rules that
/// share a target folder with one policy each, tags, orders that pass dead tasks and orders that
/// dead tasks block, lanes with limits. `source_grace` is
/// shorter than a recording may be late: some tasks wait long enough, others die, and a retry takes
/// what is shared from where it was moved.
const FIRST: &str = "
buckets:
  recorded: { store: folder, path: recorded, concurrency: 2, source_grace: 20s }
  archive: { store: folder, path: archive, concurrency: 3 }
destinations:
  lms: { url: 'https://lms.example.com/hook', timeout: 15s, concurrency: 2, breaker: { failures: 3, longest: 2m } }
  slow: { url: 'https://slow.example.com/hook', timeout: 1m, concurrency: 1, rate: 10/m }
  ops: { url: 'https://ops.example.com/hook' }
retry: { first: 2s, longest: 5m, tries: 4, give_up_after: 12h }
rules:
  - name: keep
    when: { room: 'move-*' }
    on_dead: ops
    steps:
      - rename: { to: 'classes/{{ room_id }}/{{ event_id }}/', bucket: archive }
        timeout: 40s
      - tag: { tags: { room: '{{ room_id }}' } }
      - notify: lms
  - name: rival
    when: { room: 'move-b' }
    steps: [{ rename: { to: 'rival/{{ event_id }}/' } }]
  - name: shelve
    when: { room: shelf-1 }
    steps: [{ rename: { to: shelf/, bucket: archive } }, { notify: lms }]
  - name: shelve-both
    when: { room: shelf-2 }
    steps: [{ rename: { to: shelf/, bucket: archive, on_conflict: keep_both } }]
  - name: shelve-over
    when: { room: shelf-3 }
    steps: [{ rename: { to: shelf/, bucket: archive, on_conflict: overwrite } }]
  - name: replace
    when: { room: over }
    steps: [{ rename: { to: over/, bucket: archive, on_conflict: overwrite }, timeout: 40s }, { notify: lms }]
  - name: index
    steps: [{ tag: { tags: { seen: 'yes' } } }, { notify: { destination: lms }, on_failure: continue }]
  - name: announce
    order_by: room_id
    on_dead: ops
    steps: [{ notify: slow, on_failure: continue }, { id: again, notify: lms }]
  - name: strict
    when: { room: ['move-a', 'stay'] }
    order_by: room_id
    order_blocks: true
    retry: { tries: 2 }
    steps: [{ notify: lms }]
";

/// The rules that may overwrite. Only the second one leads to its target.
const SHELVES_OVER: &str = "shelve-over";
pub(super) const REPLACES: &str = "replace";

pub(super) struct Loaded {
    pub(super) callers: Callers,
    pub(super) revision: Arc<Revision>,
    pub(super) buckets: BTreeMap<String, Arc<Bucket>>,
    pub(super) destinations: BTreeMap<String, Arc<Destination>>,
}

/// The first file; one with fewer tries and other steps; one without the slow destination.
static ALL: LazyLock<[Loaded; 3]> = LazyLock::new(|| {
    let fewer = FIRST
        .replace("tries: 4", "tries: 2")
        .replace(
            "'classes/{{ room_id }}/{{ event_id }}/'",
            "'kept/{{ event_id }}/'",
        )
        .replace("{ notify: slow, on_failure: continue }, ", "");
    let without = fewer
        .lines()
        .filter(|line| !line.contains("  slow: {"))
        .collect::<Vec<_>>();
    [FIRST, &fewer, &without.join("\n")].map(load)
});

fn load(text: &str) -> Loaded {
    let file = file::parse("rules.yaml", text, Path::new(""), &Env::new());
    let file = file.unwrap_or_else(|error| panic!("{error}"));
    let shared = |(name, one)| (name, Arc::new(one));
    Loaded {
        callers: file.callers,
        revision: Arc::new(Revision::in_force(file.rules, file.mask)),
        buckets: file.buckets.into_iter().map(shared).collect(),
        destinations: file
            .destinations
            .into_iter()
            .map(|(name, one)| (name, Arc::new(one)))
            .collect(),
    }
}

pub(super) fn loaded(number: usize) -> &'static Loaded {
    &ALL[number]
}

pub(super) const COUNT: usize = 3;

/// The tries of the rule's steps.
pub(super) fn tries(revision: RevisionId, rule: &str) -> u32 {
    let all = ALL.iter().map(|one| &one.revision.rules);
    let mut of = all.filter(|rules| rules.revision == revision);
    let found = of.next().and_then(|rules| rules.rule(rule));
    found.map_or(0, |rule| rule.retry.tries)
}

/// Whether the rule may overwrite an object at its target.
pub(super) fn overwrites(rule: &str) -> bool {
    [SHELVES_OVER, REPLACES].contains(&rule)
}

/// Parses rules that are no longer in force.
pub(super) fn reread(text: &str, in_force: &Loaded) -> Result<Revision, String> {
    let buckets = in_force.buckets.keys().cloned().collect();
    parse_revision(text, &buckets, &Env::new()).map_err(|error| error.to_string())
}
