//! What can go wrong with one request.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::request::Recorded;

/// What happens to a request instead of its answer.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// Not carried out; an error document with this status and code.
    Refuse(u16, &'static str),
    /// Carried out; then an error document with this status and code.
    RefuseAfter(u16, &'static str),
    /// Not carried out; 200 with an error document.
    ErrorInside(&'static str),
    /// Not carried out; 200 with an empty body.
    NothingInside,
    /// Not carried out; the connection closes.
    DropBefore,
    /// Carried out; the connection closes.
    DropAfter,
    /// Carried out; 200 and half of the body, then the connection closes.
    CutAnswer,
    /// Not carried out; a redirect to there.
    Redirect(&'static str),
    /// Not carried out; asked to slow down, and for so many seconds.
    Wait(u32),
    /// Not carried out; no answer ever.
    SilentBefore,
    /// Carried out; no answer ever.
    SilentAfter,
    /// Carried out; 200 and half of the body, and never the rest.
    StallAnswer,
    /// A read sees the world before its latest mutation.
    Stale,
    /// Carried out when the gate opens, unless the client is gone by then.
    Hold(Gate),
    /// Carried out; answered when the gate opens.
    HoldAfter(Gate),
}

/// Holds requests back until the test opens it.
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    reached: Arc<Semaphore>,
    open: Arc<Semaphore>,
}

impl Gate {
    pub(crate) fn new() -> Self {
        Self {
            reached: Arc::new(Semaphore::new(0)),
            open: Arc::new(Semaphore::new(0)),
        }
    }

    /// Waits until a request stands before it. Gives up on one that never comes, so that
    /// a broken client is a failed test, not one without end.
    pub(crate) async fn reached(&self) {
        let reached = tokio::time::timeout(Duration::from_mins(1), self.reached.acquire());
        reached.await.unwrap().unwrap().forget();
    }

    /// Lets one request through.
    pub(crate) fn open(&self) {
        self.open.add_permits(1);
    }

    pub(super) async fn pass(&self) {
        self.reached.add_permits(1);
        self.open.acquire().await.unwrap().forget();
    }
}

/// A fault that waits for its request.
pub(super) struct Planned {
    wanted: Box<dyn Fn(&Recorded) -> bool + Send>,
    fault: Fault,
    once: bool,
}

impl Fault {
    /// Whether nothing but a client's own clock ends the request.
    pub(crate) fn is_silence(&self) -> bool {
        matches!(
            self,
            Self::SilentBefore | Self::SilentAfter | Self::StallAnswer
        )
    }
}

impl Planned {
    pub(super) fn new(wanted: impl Fn(&Recorded) -> bool + Send + 'static, fault: Fault) -> Self {
        Self {
            wanted: Box::new(wanted),
            fault,
            once: true,
        }
    }

    pub(super) fn always(
        wanted: impl Fn(&Recorded) -> bool + Send + 'static,
        fault: Fault,
    ) -> Self {
        Self {
            once: false,
            ..Self::new(wanted, fault)
        }
    }

    /// Takes the first fault that strikes this request.
    pub(super) fn take(planned: &mut Vec<Self>, request: &Recorded) -> Option<Fault> {
        let place = planned.iter().position(|one| (one.wanted)(request))?;
        if planned[place].once {
            Some(planned.remove(place).fault)
        } else {
            Some(planned[place].fault.clone())
        }
    }
}
