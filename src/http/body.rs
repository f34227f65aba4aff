//! Reads a request's body whole, within a size and a time.
//!
//! warp's own filters either demand a length in advance or read without end, and know
//! no time limit.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::header::EXPECT;
use hyper::http::request::Parts;

/// Why a body was not read whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    TooLarge,
    TimedOut,
    /// The client broke off or sent what is no body.
    Broken,
}

/// How much is read of a body, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct BodyLimits {
    /// Bytes of a body that is taken.
    pub bytes: usize,
    /// Bytes that are read and dropped of a larger one. A client that writes its whole
    /// body before it reads only then gets to see the refusal: closing a connection
    /// with unread bytes resets it, and the answer with it.
    pub dropped: usize,
    /// The time for either.
    pub time: Duration,
}

/// The whole body of the request with this head.
pub(super) async fn whole(
    head: &Parts,
    mut body: Incoming,
    limits: BodyLimits,
) -> Result<Bytes, Cut> {
    if waits_for_consent(head) && body.size_hint().lower() > limits.bytes as u64 {
        return Err(Cut::TooLarge);
    }
    let read = Limited::new(&mut body, limits.bytes).collect();
    match tokio::time::timeout(limits.time, read).await {
        Err(_elapsed) => Err(Cut::TimedOut),
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            drop_rest(&mut body, limits).await;
            Err(Cut::TooLarge)
        }
        Ok(Err(_broken)) => Err(Cut::Broken),
    }
}

/// Whether the client sends its body only once it is told to go on: by not reading it
/// we spare both sides the transfer.
fn waits_for_consent(head: &Parts) -> bool {
    head.headers.contains_key(EXPECT)
}

async fn drop_rest(body: &mut Incoming, limits: BodyLimits) {
    let read = async {
        let mut left = limits.dropped;
        while let Some(Ok(frame)) = body.frame().await {
            let length = frame.data_ref().map_or(0, Bytes::len);
            match left.checked_sub(length) {
                Some(rest) => left = rest,
                None => return,
            }
        }
    };
    // Too slow is as good as too long: the answer follows either way.
    let _ = tokio::time::timeout(limits.time, read).await;
}
