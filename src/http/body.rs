//! Reads a whole request body, limited in size and time.
//!
//! warp's own filters need a length in advance or read without limit, and have no timeout.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::header::EXPECT;
use hyper::http::request::Parts;

/// Why a body was not read completely.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// It has more than this number of bytes.
    TooLarge(usize),
    TimedOut,
    /// The client closed the connection or sent an invalid body.
    Broken,
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge(limit) => write!(f, "body too large: it may have {limit} bytes"),
            Self::TimedOut => f.write_str("body did not arrive in time"),
            Self::Broken => f.write_str("body broken off"),
        }
    }
}

/// Limits for reading a body.
#[derive(Debug, Clone, Copy)]
pub struct BodyLimits {
    /// Largest accepted body in bytes.
    pub bytes: usize,
    /// Bytes of a larger body that are read and dropped. A client that writes its whole body before
    /// it reads sees our refusal only then: closing a connection with unread bytes resets it, and
    /// the response is lost.
    pub dropped: usize,
    /// Timeout for each.
    pub time: Duration,
}

pub(super) async fn whole(
    head: &Parts,
    mut body: Incoming,
    limits: BodyLimits,
) -> Result<Bytes, Cut> {
    if waits_for_consent(head) && body.size_hint().lower() > limits.bytes as u64 {
        return Err(Cut::TooLarge(limits.bytes));
    }
    let read = Limited::new(&mut body, limits.bytes).collect();
    match tokio::time::timeout(limits.time, read).await {
        Err(_elapsed) => Err(Cut::TimedOut),
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            drop_rest(&mut body, limits).await;
            Err(Cut::TooLarge(limits.bytes))
        }
        Ok(Err(_broken)) => Err(Cut::Broken),
    }
}

/// Whether the client waits for `100 Continue`. If we do not read the body, it is never sent.
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
    // A timeout changes nothing: the refusal follows either way.
    let _ = tokio::time::timeout(limits.time, read).await;
}
