//! Callers that post callbacks one after the other and record the responses.

use std::collections::BTreeMap;
use std::sync::Arc;

use aftertake::clock;
use aftertake::model::id::EventId;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::support::event;
use crate::support::in_time;
use crate::support::service_process::ServiceProcess;

#[derive(Debug, Clone)]
pub(crate) struct Post {
    pub(crate) lane: usize,
    pub(crate) number: usize,
    pub(crate) id: EventId,
    /// `None` when no response came.
    pub(crate) status: Option<u16>,
}

/// One caller's posts on one connection to one process.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) process: u32,
    pub(crate) port: u16,
    pub(crate) posts: Vec<Post>,
}

pub(crate) struct Load {
    stop: CancellationToken,
    answered: watch::Sender<BTreeMap<u16, usize>>,
    calls: Vec<JoinHandle<Option<Call>>>,
}

/// The body of a callback, from the caller and the number of its post.
type Write = dyn Fn(usize, usize) -> String + Send + Sync;

impl Load {
    /// Starts this many callers, each with post number `first`.
    pub(crate) fn start(
        served: &ServiceProcess,
        callers: usize,
        first: usize,
        write: impl Fn(usize, usize) -> String + Send + Sync + 'static,
    ) -> Self {
        Self::resume(served, vec![first; callers], write)
    }

    /// Starts one caller for each number of a first post.
    pub(crate) fn resume(
        served: &ServiceProcess,
        first: Vec<usize>,
        write: impl Fn(usize, usize) -> String + Send + Sync + 'static,
    ) -> Self {
        let (stop, answered) = (CancellationToken::new(), watch::Sender::default());
        let write: Arc<Write> = Arc::new(write);
        let start = |(lane, first)| {
            let caller = Caller {
                lane,
                process: served.child.id(),
                address: served.public.clone(),
                stop: stop.clone(),
                answered: answered.clone(),
                write: Arc::clone(&write),
            };
            tokio::spawn(caller.post_from(first))
        };
        let calls = first.into_iter().enumerate().map(start).collect();
        Self {
            stop,
            answered,
            calls,
        }
    }

    /// Waits until this many responses had this status.
    pub(crate) async fn answered(&self, status: u16, count: usize) {
        let mut answered = self.answered.subscribe();
        let enough = |all: &BTreeMap<u16, usize>| all.get(&status).is_some_and(|n| *n >= count);
        in_time(answered.wait_for(enough)).await.unwrap();
    }

    pub(crate) fn count(&self, status: u16) -> usize {
        self.answered.borrow().get(&status).copied().unwrap_or(0)
    }

    /// Stops every caller after its current post.
    pub(crate) async fn stop(self) -> Vec<Call> {
        self.stop.cancel();
        let mut calls = Vec::new();
        for call in self.calls {
            calls.extend(call.await.unwrap());
        }
        calls
    }
}

struct Caller {
    lane: usize,
    process: u32,
    address: String,
    stop: CancellationToken,
    answered: watch::Sender<BTreeMap<u16, usize>>,
    write: Arc<Write>,
}

impl Caller {
    /// Posts until stopped or unanswered; `None` if the connection is refused.
    async fn post_from(self, first: usize) -> Option<Call> {
        let stream = TcpStream::connect(&self.address).await.ok()?;
        let mut call = Call {
            process: self.process,
            port: stream.local_addr().unwrap().port(),
            posts: Vec::new(),
        };
        let mut stream = BufReader::new(stream);
        for number in first.. {
            if self.stop.is_cancelled() {
                break;
            }
            let body = (self.write)(self.lane, number);
            let id = id_of(&body);
            let status = exchange(&mut stream, &body).await.ok();
            let lane = self.lane;
            call.posts.push(Post {
                lane,
                number,
                id,
                status,
            });
            let Some(status) = status else { break };
            self.answered
                .send_modify(|all| *all.entry(status).or_default() += 1);
        }
        Some(call)
    }
}

pub(crate) fn id_of(body: &str) -> EventId {
    event(body.to_owned(), clock::now()).id
}

pub(crate) fn request(body: &str) -> String {
    format!(
        "POST /callbacks/sparkrtc HTTP/1.1\r\nhost: here\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Sends a callback; returns the status. A 503 must have a `Retry-After`.
pub(crate) async fn exchange(
    stream: &mut BufReader<TcpStream>,
    body: &str,
) -> std::io::Result<u16> {
    stream.write_all(request(body).as_bytes()).await?;
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    let head = head.to_lowercase();
    let field = |name: &str| {
        let lines = head.lines();
        let mut values = lines.filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        values.next().map(|value| value.parse::<usize>().unwrap())
    };
    let mut rest = vec![0; field("content-length").unwrap()];
    stream.read_exact(&mut rest).await?;
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    if status == 503 {
        assert_eq!(field("retry-after"), Some(5));
    }
    Ok(status)
}
