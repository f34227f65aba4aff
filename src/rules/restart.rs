//! Where a stopped task continues under the rules of another revision.
//!
//! Steps are matched by id, because numbers change when a step is inserted. Finished steps are not
//! repeated; steps not yet begun run whole.

use super::plan::{lane_and_turn, plan, skipped};
use super::rule::{Rule, RuleSet};
use crate::model::event::Event;
use crate::model::recording::Place;
use crate::model::restart::Restart;
use crate::model::task::{StepNo, Task};

/// Where `task` continues under `rules`, or why it cannot. `stopped_at` is the id of the step
/// where it stopped; `None` for a task that passed no step and starts anew.
pub fn restart(
    rules: &RuleSet,
    event: &Event,
    task: &Task,
    stopped_at: Option<&str>,
    place: Option<&Place>,
) -> Result<Restart, String> {
    let name = &*task.work.rule();
    let rule = rules.rules.iter().find(|rule| rule.name == *name);
    let rule = rule.ok_or_else(|| format!("the rules file has no rule {name:?}"))?;
    accept(rules, event, task)?;
    let step = match stopped_at {
        None => 0,
        Some(id) => number_of(rule, id)
            .ok_or_else(|| format!("rule {name:?} has no step {id:?} any more"))?,
    };
    let (lane, turn) = rule
        .steps
        .get(usize::from(step))
        .and_then(|step| lane_and_turn(step, place))
        .ok_or_else(|| format!("rule {name:?} needs a recording, and the event names none"))?;
    let renames = (0..)
        .zip(&rule.steps)
        .filter_map(|(number, one)| (number >= step && one.action.moves()).then_some(number));
    Ok(Restart {
        step,
        lane,
        turn,
        renames: renames.collect(),
    })
}

/// Refuses when the rule would not be planned for the event now.
fn accept(rules: &RuleSet, event: &Event, task: &Task) -> Result<(), String> {
    let plan = plan(rules, event, task.generation);
    let name = &*task.work.rule();
    let skipped = skipped(rules, event)
        .into_iter()
        .find(|one| one.rule == *name);
    if let Some(skipped) = skipped {
        let reason = skipped.reason;
        return Err(format!("rule {name:?} does not match any more: {reason}"));
    }
    let planned = plan.tasks.into_iter().find(|one| one.rule == *name);
    match planned.and_then(|planned| planned.dead_on_arrival) {
        Some(doom) => Err(doom.to_string()),
        None => Ok(()),
    }
}

fn number_of(rule: &Rule, id: &str) -> Option<StepNo> {
    let number = rule.steps.iter().position(|step| step.id == id)?;
    StepNo::try_from(number).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::TaskId;
    use crate::model::plan::Turn;
    use crate::model::task::{Lane, Outputs, RevisionId};
    use crate::model::work::Work;
    use crate::rules::fixtures::{event, glob, notify_step, rename_step, rule, rules, tag_step};
    use crate::rules::rule::Step;

    fn task(event: &Event, name: &str) -> Task {
        Task {
            id: TaskId::derive(event.id, name, 0),
            event: event.id,
            work: Work::Rule(name.to_owned()),
            generation: 0,
            revision: RevisionId::of("old"),
            step: 1,
            tries: 3,
            since: event.received,
            outputs: Outputs::new(),
            lane: Lane::Destination("lms".into()),
            recording: None,
        }
    }

    fn restarted(steps: Vec<Step>, stopped_at: Option<&str>) -> Result<Restart, String> {
        let event = event();
        let rule = rule(steps);
        let task = task(&event, &rule.name);
        let place = Place {
            bucket: "elsewhere".into(),
            key: "k".into(),
        };
        restart(&rules(vec![rule]), &event, &task, stopped_at, Some(&place))
    }

    #[test]
    fn task_goes_on_at_the_step_with_the_id_of_the_one_it_stopped_at() {
        let steps = || {
            let last = notify_step("again", "crm");
            vec![
                tag_step(),
                rename_step("x/"),
                notify_step("tell", "lms"),
                last,
            ]
        };
        let bucket = || Lane::Bucket("elsewhere".into());
        let destination = |name: &str| Lane::Destination(name.into());
        for (stopped_at, step, lane, turn, renames) in [
            (None, 0, bucket(), Turn::Needed, vec![1]),
            (Some("rename"), 1, bucket(), Turn::Needed, vec![1]),
            (Some("tell"), 2, destination("lms"), Turn::NotNeeded, vec![]),
            (
                Some("again"),
                3,
                destination("crm"),
                Turn::NotNeeded,
                vec![],
            ),
        ] {
            let expected = Restart {
                step,
                lane,
                turn,
                renames,
            };
            assert_eq!(restarted(steps(), stopped_at), Ok(expected));
        }
    }

    #[test]
    fn task_is_refused_whose_rule_is_gone_or_lost_the_step_or_does_not_match_any_more() {
        let steps = vec![notify_step("tell", "lms")];
        assert_eq!(
            restarted(steps, Some("rename")),
            Err("rule \"archive\" has no step \"rename\" any more".to_owned())
        );
        let event = event();
        let steps = || vec![notify_step("tell", "lms")];
        let mut narrow = rule(steps());
        narrow.when.matchers = vec![glob("room", "room_id", &["lab-*"])];
        for (rule, name, reason) in [
            (
                rule(steps()),
                "gone",
                "the rules file has no rule \"gone\"".to_owned(),
            ),
            (
                narrow,
                "archive",
                "rule \"archive\" does not match any more: room \"class-7\" matches none of lab-*"
                    .to_owned(),
            ),
        ] {
            let refused = restart(&rules(vec![rule]), &event, &task(&event, name), None, None);
            assert_eq!(refused, Err(reason));
        }
    }

    #[test]
    fn task_is_refused_that_would_touch_a_bucket_that_is_not_configured() {
        let mut event = event();
        event.fields.bucket = Some("strange".to_owned());
        let rule = rule(vec![rename_step("x/")]);
        let task = task(&event, &rule.name);
        let place = event.fields.place();
        let refused = restart(&rules(vec![rule]), &event, &task, None, place.as_ref());
        let reason = refused.unwrap_err();
        assert!(
            reason.contains("bucket \"strange\" is not configured"),
            "{reason}"
        );
    }
}
