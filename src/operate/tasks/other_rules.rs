//! Other rules under which stopped tasks continue.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;

use crate::model::restart::Restart;
use crate::model::task::RevisionId;
use crate::rules::file::{Lookup, Revision, RulesFile, parse_revision};
use crate::rules::restart::restart;
use crate::store::operator::{StoppedTask, Under};

pub struct OtherRules<'a> {
    file: &'a RulesFile,
    lookup: &'a dyn Lookup,
    /// The tasks' own rules, each parsed once.
    own: RefCell<HashMap<RevisionId, Result<Rc<Revision>, String>>>,
}

impl<'a> OtherRules<'a> {
    /// `lookup` gives the variables of the tasks' own rules.
    pub fn new(file: &'a RulesFile, lookup: &'a dyn Lookup) -> Self {
        Self {
            file,
            lookup,
            own: RefCell::default(),
        }
    }

    pub(super) fn with<T>(&self, run: impl FnOnce(&Under<'_>) -> T) -> T {
        run(&Under {
            revision: self.file.rules.revision,
            text: &self.file.rules.text,
            restart: &|stopped| self.restart(stopped),
        })
    }

    /// Reasons are masked: they quote patterns of the rules, which may come from the environment.
    fn restart(&self, stopped: &StoppedTask) -> Result<Restart, String> {
        let (task, event, place) = (&stopped.task, &stopped.event, stopped.place.as_ref());
        let stopped_at = match task.step {
            0 => None,
            _ => Some(self.stopped_at(stopped)?),
        };
        let restart = restart(&self.file.rules, event, task, stopped_at.as_deref(), place);
        restart.map_err(|reason| self.file.mask.apply(&reason).into_owned())
    }

    /// The id of the step at which the task stopped. Only the task's own rules have it.
    fn stopped_at(&self, stopped: &StoppedTask) -> Result<String, String> {
        let (rule, number) = (stopped.task.work.rule(), stopped.task.step);
        let own = self.own(stopped)?;
        let step = own.rule(&rule)?.steps.get(usize::from(number));
        let missing = || format!("its own rules have no step {number}");
        step.map(|step| step.id.clone()).ok_or_else(missing)
    }

    fn own(&self, stopped: &StoppedTask) -> Result<Rc<Revision>, String> {
        let revision = stopped.task.revision;
        let mut own = self.own.borrow_mut();
        let read = || {
            let text = stopped.rules.as_deref().unwrap_or_default();
            let rules = parse_revision(text, &self.file.rules.buckets, self.lookup);
            rules.map(Rc::new).map_err(|error| {
                let first = error.problems().first();
                let message = first.map_or("", |problem| problem.message.as_str());
                format!("its own rules, {revision}, cannot be read: {message}")
            })
        };
        own.entry(revision).or_insert_with(read).clone()
    }
}

impl fmt::Debug for OtherRules<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OtherRules")
            .field("revision", &self.file.rules.revision)
            .finish_non_exhaustive()
    }
}
