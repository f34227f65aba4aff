//! What must hold once everything is at rest.
use crate::support::operator::OneTask;

use std::time::Duration;

use aftertake::clock::Clock;
use aftertake::model::attempt::Outcome;
use aftertake::model::failure::{Failure, FailureKind};
use aftertake::model::id::TaskId;
use aftertake::model::moves::MovePhase;
use aftertake::model::recording::Place;
use aftertake::model::transition::OnFailure;
use aftertake::model::work::NOTICE;
use aftertake::store::Figures;
use aftertake::store::lists::{Page, TaskDetail, TaskFilter};
use aftertake::store::operator::RetryOutcome;

use super::checked_store::now;
use super::keys::Manifests;
use super::recording::Take;
use super::rules;
use super::run_log::RunLog;
use super::sim::Sim;
use super::world::World;
use crate::support::operator::why_waits;

/// How often every dead task is retried.
const ROUNDS: u32 = 2;

/// Polls in one round before it is given up, half an hour apart.
const LOOKS: u32 = 100;

/// Queries for rows that must not exist, each with what they would mean.
const LEFT: [(&str, &str); 7] = [
    (
        "a turn that is held",
        "SELECT count(*) FROM recordings WHERE turn IS NOT NULL",
    ),
    (
        // Tasks behind a dead task that cannot be helped wait for a person.
        "a task that waits or runs",
        "SELECT count(*) FROM tasks t WHERE state < 2 AND NOT EXISTS (SELECT 1 FROM orders o JOIN tasks d ON d.seq = o.head \
         WHERE o.id = t.blocked_by AND d.state = 3 AND d.failure LIKE '%has replaced the recording%')",
    ),
    (
        "an order whose head is not dead",
        "SELECT count(*) FROM orders JOIN tasks ON seq = head WHERE state <> 3",
    ),
    (
        "a note of an upload",
        "SELECT count(*) FROM moves WHERE upload IS NOT NULL",
    ),
    (
        "a manifest in the making",
        "SELECT count(*) FROM moves WHERE phase = 4",
    ),
    (
        "a key that no move holds",
        "SELECT count(*) FROM keys k WHERE used IS NOT NULL AND NOT EXISTS (SELECT 1 FROM moves m WHERE m.task = k.task AND m.phase < 2)",
    ),
    (
        "a count that is wrong",
        "SELECT count(*) FROM counts c WHERE c.tasks <> (SELECT count(*) FROM tasks t WHERE t.state = c.state)",
    ),
];

impl RunLog {
    /// Waits until nothing is left to do; retries dead tasks and cleans up as a person does.
    pub(super) async fn come_to_rest(&mut self) {
        for round in 0..2 * ROUNDS {
            self.wait().await;
            // A response from before may have paused a lane meanwhile.
            self.resume_all();
            // Tasks that die in the last round create notices, which then die for the first time.
            let notices = round >= ROUNDS;
            for id in self.stopped(notices) {
                let outcome = self.operator.retry_one(id, self.sim.now()).unwrap();
                if outcome == RetryOutcome::Requeued {
                    self.sim.tell(format!("last retry {id}"));
                    self.sim.ledger().requeued(id);
                }
            }
            self.life.changed.notify_one();
        }
        self.wait().await;
    }

    async fn wait(&self) {
        for _ in 0..LOOKS {
            if self.sim.verdict().is_err() {
                return;
            }
            let figures = self.figures();
            if figures.ready + figures.running == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_mins(30)).await;
        }
    }

    fn figures(&self) -> Figures {
        let at = self.sim.now();
        let figures = self.shelf.with(|store| now(store.figures(at)));
        figures.unwrap()
    }

    fn tasks(&self) -> Vec<TaskDetail> {
        let rows = self
            .operator
            .tasks(&TaskFilter::default(), Page::newest(10_000))
            .unwrap();
        let detail = |id| {
            self.operator
                .task(id)
                .unwrap()
                .expect("a task that is listed")
        };
        rows.into_iter().map(|row| detail(row.id)).collect()
    }

    /// The tasks that a person retries: dead ones, and cancelled ones that left objects half
    /// moved; with `notices`, only notices.
    fn stopped(&self, notices: bool) -> Vec<TaskId> {
        let is_stopped = |task: &TaskDetail| match task.row.state {
            _ if notices && !task.row.rule.starts_with(NOTICE) => false,
            "dead" => true,
            "cancelled" => is_half_moved(task),
            _ => false,
        };
        let stopped = self.tasks().into_iter().filter(is_stopped);
        stopped.map(|task| task.row.id).collect()
    }

    pub(super) fn check(&self) {
        let conn = self.shelf.database.sql();
        for (what, sql) in LEFT {
            let left: i64 = conn.query_row(sql, [], |row| row.get(0)).unwrap();
            if left != 0 {
                self.sim.broken(format!("{what} is left ({left})"));
            }
        }
        let tasks = self.tasks();
        for task in &tasks {
            if let Err(how) = ended_well(task, &self.sim) {
                let row = &task.row;
                let told = format!("{} of {:?} is {}: {how}", row.id, row.rule, row.state);
                self.sim.broken(told);
            }
        }
        let found = every_take_is_in_one_place(&self.sim.world(), &self.sim.ledger().manifests);
        if let Err(how) = found {
            self.sim.broken(how);
        }
        self.nothing_is_left_untold(&tasks);
    }

    /// Every copy belongs to a recording that is there, or a task names it as left. The history of
    /// tasks that are done may be pruned, which then name nothing.
    fn nothing_is_left_untold(&self, tasks: &[TaskDetail]) {
        let (world, ledger) = (self.sim.world(), self.sim.ledger());
        let manifests = &ledger.manifests;
        let was_told = |place: &Place| {
            self.sim.forgets && (manifests.kept.contains(place) || manifests.left.contains(place))
        };
        let untold = world.copied().find(|place| {
            let is_main = world.is_main(place) && manifests.told.contains(*place);
            let is_of_one = is_main || world.is_named(place);
            !is_of_one && !was_told(place) && !tasks.iter().any(|task| says(task, place))
        });
        let untold = untold.cloned();
        drop((world, ledger));
        if let Some(place) = untold {
            self.sim.broken(format!(
                "the copy at {place} belongs to no recording that is there, and no task names it"
            ));
        }
    }
}

/// Whether the task names this place as one where something is left.
fn says(task: &TaskDetail, place: &Place) -> bool {
    let place = place.to_string();
    let row = &task.row;
    let failure = row.failure.as_ref().map(|failure| &failure.reason);
    let waits = why_waits(row);
    let mut texts = failure.into_iter().chain(&row.leaves).chain(&waits);
    let left = task
        .outputs
        .values()
        .any(|output| output.to_string().contains(&place));
    left || texts.any(|text| text.contains(&place))
}

fn is_half_moved(task: &TaskDetail) -> bool {
    let open = |phase| matches!(phase, MovePhase::Planned | MovePhase::Copied);
    task.moves.iter().any(|one| open(one.phase))
}

/// Checks that the task's rule and attempts explain its end.
fn ended_well(task: &TaskDetail, sim: &Sim) -> Result<(), String> {
    if is_half_moved(task) {
        return Err("it has objects half moved".to_owned());
    }
    for attempt in &task.attempts {
        let hook = task.row.id.webhook_id(attempt.step);
        let told = attempt.action == "notify" && attempt.outcome == Outcome::Succeeded;
        if told && !sim.world().delivered.contains_key(&hook) {
            return Err(format!("{hook} was never delivered"));
        }
    }
    match (task.row.state, &task.row.failure) {
        // Its attempts may be pruned already.
        ("done", _) if sim.forgets => Ok(()),
        ("done", _) => passed_every_step(task),
        ("dead", Some(why)) if is_for_good(why, &sim.world(), sim.forgets) => Ok(()),
        ("dead", why) => Err(format!("nothing speaks against it any more: {why:?}")),
        _ => Ok(()),
    }
}

/// Whether a task may stay dead for this reason although there are no more faults.
fn is_for_good(why: &Failure, world: &World, forgets: bool) -> bool {
    match why.kind {
        FailureKind::AlreadyMoved => true,
        // A recording that never appeared, that another one replaced, or whose later take was moved
        // by a late task of its first event: the later event then finds nothing at the place it
        // names.
        FailureKind::Missing | FailureKind::NotThereYet => {
            let mut takes = world
                .takes
                .iter()
                .filter(|take| is_about(why, take))
                .peekable();
            takes.peek().is_none() || takes.any(|take| may_miss(take, world, forgets))
        }
        // A conflict with an existing object at the target.
        FailureKind::Conflict => {
            let mut objects = world.objects.keys();
            objects.any(|place| why.reason.contains(&place.to_string()))
        }
        _ => false,
    }
}

/// Whether the reason names the take or one of its parts, where it was recorded.
fn is_about(why: &Failure, take: &Take) -> bool {
    let mut parts = take.parts_at(&take.named).map(|(place, _)| place.key);
    why.reason.contains(&take.named.key) || parts.any(|key| why.reason.contains(&key))
}

/// Whether an event of the take may find nothing at the place it names. Shared objects are missing
/// if another job took them along, or if the history of that is pruned.
fn may_miss(take: &Take, world: &World, forgets: bool) -> bool {
    let is_again = |other: &Take| other.named == take.named && other.main != take.main;
    let named_by = |other: &Take| other.parts_at(&other.named).any(|(at, _)| at == take.named);
    let of_another = |other: &Take| {
        let mut shared = other.parts.iter().filter(|part| part.is_segment());
        other.job.is_some() && other.job != take.job && shared.any(|part| take.parts.contains(part))
    };
    let mut others = world.takes.iter();
    let is_anothers = take.job.is_some() && world.takes.iter().any(of_another);
    let is_missed = take.is_apart && (forgets || is_anothers);
    let is_told_twice = world.told_again.contains(&take.named);
    !take.precious || is_missed || is_told_twice || others.any(|one| is_again(one) || named_by(one))
}

fn passed_every_step(task: &TaskDetail) -> Result<(), String> {
    let passes = |step: u16, may_fail: bool| {
        let mut tries = task.attempts.iter().filter(|one| one.step == step);
        tries.any(|one| match one.outcome {
            Outcome::Succeeded | Outcome::Skipped(_) => true,
            Outcome::Failed(_) => may_fail,
            Outcome::Interrupted => false,
        })
    };
    // It was planned under one of these rules files; all have the same last step.
    let fits = (0..rules::COUNT).any(|number| {
        let rules = &rules::loaded(number).revision.rules;
        let steps = rules.rule(&task.row.rule).map(|rule| &rule.steps);
        let steps = steps.into_iter().flatten();
        let mut numbered = (0..).zip(steps);
        numbered.all(|(number, step)| passes(number, step.on_failure == OnFailure::Continue))
    });
    if fits {
        Ok(())
    } else {
        Err("not every step of it has passed".to_owned())
    }
}

/// Checks that every recording that must not be lost is whole at one place, has nothing elsewhere, and
/// is where the store says. If two renames died and were retried, each may have completed a copy;
/// the journals then name both places.
fn every_take_is_in_one_place(world: &World, manifests: &Manifests) -> Result<(), String> {
    if let Some((id, place)) = world.uploads.first_key_value() {
        return Err(format!("upload {id} to {place} is open"));
    }
    let Manifests { told, kept, .. } = manifests;
    // Shared objects stay until the last recording is moved.
    let is_left = |place: &Place| told.contains(place) || world.is_named(place);
    for take in world.takes.iter().filter(|take| take.precious) {
        let named = &take.named;
        let whole = world.whole(take);
        let is_told = |place: &Place| told.contains(place);
        match &whole[..] {
            // What was appended, or shares objects that moved, has not been moved yet.
            [] if (take.has_grown || take.is_apart) && world.objects.contains_key(named) => {}
            [] => return Err(format!("{named} is whole nowhere")),
            [place] if place == named || is_told(place) => {}
            [place] => return Err(format!("{named} is at {place}, and no journal says so")),
            places if places.iter().all(is_left) => {}
            places => return Err(format!("{named} is whole at {places:?}")),
        }
        for content in take.contents() {
            let copies = world.copies(content);
            let is_known = |place: &&Place| kept.contains(place) || is_left(place);
            if copies.len() > 1 && !copies.iter().all(is_known) {
                return Err(format!("{named} is at {whole:?}, and a part at {copies:?}"));
            }
        }
    }
    Ok(())
}
