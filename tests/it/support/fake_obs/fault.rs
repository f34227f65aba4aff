//! Faults that can strike one request.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::request::Recorded;

/// OBS's error codes by status.
const REFUSALS: [(u16, &str); 8] = [
    (400, "InvalidRequest"),
    (403, "AccessDenied"),
    (404, "NoSuchKey"),
    (405, "MethodNotAllowed"),
    (409, "OperationAborted"),
    (412, "PreconditionFailed"),
    (500, "InternalError"),
    (503, "ServiceUnavailable"),
];

#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// Not carried out; an error document with this status and code.
    Refuse(u16, &'static str),
    /// Carried out; then an error document with this status and code.
    RefuseAfter(u16, &'static str),
    /// Not carried out; 200 with an error document.
    ErrorInside(&'static str),
    /// Carried out; 200 with an error document.
    ErrorInsideAfter(&'static str),
    /// Not carried out; 200 with an empty body.
    NothingInside,
    /// Carried out; 200 with an empty body.
    NothingInsideAfter,
    /// Not carried out; a proxy's error page with this status.
    Page(u16),
    /// Carried out; then a proxy's error page with this status.
    PageAfter(u16),
    /// Not carried out; the connection closes.
    DropBefore,
    /// Carried out; the connection closes.
    DropAfter,
    /// Carried out; 200 and half of the body, then the connection closes.
    CutAnswer,
    /// Not carried out; a redirect to this URL.
    Redirect(&'static str),
    /// Not carried out; asked to slow down for this many seconds.
    Wait(u32),
    /// Not carried out; never answered.
    SilentBefore,
    /// Carried out; never answered.
    SilentAfter,
    /// Carried out; 200 and half of the body, the rest never comes.
    StallAnswer,
    /// A read sees the world before its latest mutation.
    Stale,
    /// Carried out when the gate opens, unless the client is gone by then.
    Hold(Gate),
    /// Carried out; answered when the gate opens.
    HoldAfter(Gate),
    /// Reads its source at once; takes effect and is answered when the gate opens, even if the
    /// client is gone by then.
    Slow(Gate),
    /// Accepted, and answered as `Lost` says; carried out when the test says so, even if the
    /// client is gone by then.
    Late(Lost),
}

/// The response to a request that is carried out late.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Lost {
    /// The connection closes.
    Dropped,
    /// Never answered.
    Silent,
    /// An error document with this status and code.
    Refused(u16, &'static str),
}

/// Holds requests until the test opens it.
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

    /// Waits until a request is held. Times out, so that a broken client fails the test
    /// instead of hanging it.
    pub(crate) async fn reached(&self) {
        let reached = tokio::time::timeout(Duration::from_mins(1), self.reached.acquire());
        reached.await.unwrap().unwrap().forget();
    }

    /// Lets one request pass.
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
    /// Matching requests to let pass first.
    passes: usize,
}

impl Fault {
    /// Every response that OBS or a proxy can give, with the effect and without it, and no
    /// response at all.
    pub(crate) fn every_answer() -> Vec<Self> {
        let refused = REFUSALS.map(|(status, code)| Self::Refuse(status, code));
        let after = REFUSALS.map(|(status, code)| Self::RefuseAfter(status, code));
        let others = [
            Self::Page(403),
            Self::PageAfter(502),
            Self::DropBefore,
            Self::DropAfter,
            Self::ErrorInside("InternalError"),
            Self::ErrorInsideAfter("InternalError"),
            Self::NothingInside,
            Self::NothingInsideAfter,
        ];
        refused.into_iter().chain(after).chain(others).collect()
    }

    /// Whether only a client's timeout ends the request.
    pub(crate) fn is_silence(&self) -> bool {
        matches!(
            self,
            Self::SilentBefore | Self::SilentAfter | Self::StallAnswer | Self::Late(Lost::Silent)
        )
    }
}

impl Planned {
    pub(super) fn new(wanted: impl Fn(&Recorded) -> bool + Send + 'static, fault: Fault) -> Self {
        Self {
            wanted: Box::new(wanted),
            fault,
            once: true,
            passes: 0,
        }
    }

    /// Lets this many matching requests pass first.
    pub(super) fn after(mut self, passes: usize) -> Self {
        self.passes = passes;
        self
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

    /// Removes and returns the first fault that strikes this request.
    pub(super) fn take(planned: &mut Vec<Self>, request: &Recorded) -> Option<Fault> {
        let place = planned.iter_mut().position(|one| one.strikes(request))?;
        if planned[place].once {
            Some(planned.remove(place).fault)
        } else {
            Some(planned[place].fault.clone())
        }
    }

    fn strikes(&mut self, request: &Recorded) -> bool {
        if !(self.wanted)(request) {
            return false;
        }
        let strikes = self.passes == 0;
        self.passes = self.passes.saturating_sub(1);
        strikes
    }
}
