//! The demo's webhook receiver, on its own port. It refuses the first requests for one room, as a
//! receiver does while it restarts.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use serde_json::Value;
use tokio::net::TcpListener;
use warp::Filter;
use warp::http::{HeaderMap, StatusCode};

#[derive(Debug, Clone)]
pub(super) struct Received {
    pub(super) webhook_id: String,
    pub(super) signed: bool,
    pub(super) status: u16,
    pub(super) body: Value,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Receiver {
    requests: Arc<Mutex<Vec<Received>>>,
    /// Number of requests still to refuse, by room.
    refusals: Arc<Mutex<HashMap<String, u32>>>,
}

impl Receiver {
    /// A receiver that answers the first `count` requests about `room` with 503.
    pub(super) fn refusing_first(room: &str, count: u32) -> Self {
        let refusals = Arc::new(Mutex::new(HashMap::from([(room.to_owned(), count)])));
        Self {
            requests: Arc::default(),
            refusals,
        }
    }

    /// Serves until the process ends. Returns the address.
    pub(super) async fn serve(&self) -> io::Result<SocketAddr> {
        let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let receiver = self.clone();
        let route = warp::post()
            .and(warp::header::headers_cloned())
            .and(warp::body::bytes())
            .map(move |headers: HeaderMap, body: Bytes| receiver.answer(&headers, &body));
        tokio::spawn(warp::serve(route).incoming(listener).run());
        Ok(address)
    }

    pub(super) fn requests(&self) -> Vec<Received> {
        self.requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn answer(&self, headers: &HeaderMap, body: &[u8]) -> StatusCode {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let status = self.status_for(body.pointer("/data/room_id").and_then(Value::as_str));
        let received = Received {
            webhook_id: text(headers, "webhook-id"),
            signed: headers.contains_key("webhook-signature"),
            status: status.as_u16(),
            body,
        };
        self.requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(received);
        status
    }

    fn status_for(&self, room: Option<&str>) -> StatusCode {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        match room.and_then(|room| refusals.get_mut(room)) {
            Some(left) if *left > 0 => {
                *left -= 1;
                StatusCode::SERVICE_UNAVAILABLE
            }
            _ => StatusCode::NO_CONTENT,
        }
    }
}

fn text(headers: &HeaderMap, name: &str) -> String {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
        .to_owned()
}
