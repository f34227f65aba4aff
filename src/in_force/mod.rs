//! What a rules file puts in force, replaced as one.
//!
//! Whoever needs it looks it up once for each callback or step, and so sees one file
//! whole: its callers and rules, and its buckets and destinations.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use http::HeaderMap;

use super::reach;
use crate::http::callback::Gate;
use crate::http::gate::RulesGate;
use crate::http::reload::RulesInForce;
use crate::model::failure::Failure;
use crate::model::recorder::Recorder;
use crate::model::secret::Mask;
use crate::model::task::Lane;
use crate::model::time::Timestamp;
use crate::recorder::Refusal;
use crate::rules::file::{Lookup, Revision, RulesFile, parse_revision};
use crate::store::{Arrival, Store, Unavailable};
use crate::worker::lane::Limits;
use crate::worker::{self, InForceNow, Parse, Revisions};

/// What a rules file puts in force.
pub(super) struct InForce {
    gate: RulesGate,
    steps: Arc<worker::InForce>,
}

/// What is in force at present.
pub(super) struct Present(RwLock<Arc<InForce>>);

/// A rules file that is ready to be put in force.
pub(super) struct Ready {
    pub(super) in_force: InForce,
    /// Each with what it can take.
    pub(super) lanes: Vec<(Lane, Limits)>,
}

impl Ready {
    /// Opens what `file` names. `hidden` is hidden beside its own secrets. Fails with why a
    /// bucket cannot work as it is configured.
    pub(super) fn new(
        file: RulesFile,
        lookup: Arc<dyn Lookup + Send + Sync>,
        hidden: &Mask,
    ) -> Result<Self, Failure> {
        let (buckets, destinations) = (file.buckets, file.destinations);
        let mask = file.mask.and(hidden);
        let names = buckets.keys().cloned().collect();
        let lanes = reach::lanes(&buckets, &destinations);
        let reach = reach::reach(buckets, destinations).map_err(|failure| Failure {
            reason: mask.apply(&failure.reason).into_owned(),
            ..failure
        })?;
        let parse = parser(names, mask.clone(), lookup);
        let rules = Arc::new(Revision::in_force(file.rules, mask));
        let steps = worker::InForce {
            reach,
            revisions: Revisions::new(Arc::clone(&rules), parse),
        };
        let gate = RulesGate {
            callers: file.callers,
            rules,
        };
        let in_force = InForce {
            gate,
            steps: Arc::new(steps),
        };
        Ok(Self { in_force, lanes })
    }

    /// Stores what must be known before the first callback is judged by it: the text of
    /// the rules, and which lanes there are.
    pub(super) async fn store(&self, store: &dyn Store) -> Result<(), Unavailable> {
        let rules = &self.in_force.gate.rules.rules;
        store
            .keep_revision(rules.revision, rules.text.clone())
            .await?;
        let known = self.lanes.iter().map(|(lane, _)| lane.clone()).collect();
        for lane in store.mark_unknown_lanes(known).await? {
            tracing::warn!(%lane, "tasks wait: the name is not in the rules file");
        }
        Ok(())
    }
}

impl InForce {
    /// What operators are told of it, when it is in force since `loaded`.
    pub(super) fn since(&self, loaded: Timestamp) -> RulesInForce {
        let revision = self.gate.rules.rules.revision;
        RulesInForce { revision, loaded }
    }

    /// Hides the secrets of this file and of all before it.
    pub(super) fn mask(&self) -> &Mask {
        &self.gate.rules.mask
    }
}

impl Present {
    pub(super) fn new(in_force: InForce) -> Arc<Self> {
        Arc::new(Self(RwLock::new(Arc::new(in_force))))
    }

    pub(super) fn get(&self) -> Arc<InForce> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn replace(&self, in_force: InForce) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(in_force);
    }

    /// The part that workers look up.
    pub(super) fn steps(self: &Arc<Self>) -> InForceNow {
        let present = Arc::clone(self);
        Arc::new(move || Arc::clone(&present.get().steps))
    }
}

impl Gate for Present {
    fn admit(
        &self,
        from: Recorder,
        headers: &HeaderMap,
        body: Bytes,
        received: Timestamp,
    ) -> Result<Arrival, Refusal> {
        self.get().gate.admit(from, headers, body, received)
    }
}

/// Parses rules that are no longer in force. `mask` hides what the file in force hides;
/// what came from the environment into the old rules alone is hidden, too.
fn parser(buckets: BTreeSet<String>, mask: Mask, lookup: Arc<dyn Lookup + Send + Sync>) -> Parse {
    Box::new(move |text| {
        let revision =
            parse_revision(text, &buckets, &*lookup).map_err(|error| error.to_string())?;
        let mask = mask.and(&revision.mask);
        Ok(Revision { mask, ..revision })
    })
}
