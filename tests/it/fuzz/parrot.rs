//! An OBS with preset responses that remembers the last request.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use std::time::Duration;

use aftertake::model::bucket::{Addressing, ObsBucket, Timeouts};
use aftertake::object::obs::ObsStore;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::fake_obs::{ACCESS_KEY, SECRET_KEY, store_with};

/// Serves as long as the runtime that started it.
pub(super) struct Parrot {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// The next response, complete.
    answer: Vec<u8>,
    heard: Vec<u8>,
}

impl Parrot {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(talk(stream, Arc::clone(&shared)));
            }
        });
        Self { address, state }
    }

    /// A client of bucket `b1`.
    pub(super) fn store(&self) -> ObsStore {
        let access = ObsBucket {
            endpoint: format!("http://{}", self.address).parse().unwrap(),
            access_key: ACCESS_KEY.to_owned(),
            secret_key: SECRET_KEY.to_owned().into(),
            security_token: None,
            addressing: Addressing::Path,
            copy_part_above: 1000,
            part_size: 300,
            timeouts: Timeouts {
                lifetime: Duration::ZERO,
                ..Timeouts::default()
            },
        };
        store_with("b1", &access)
    }

    /// Sets the response from now on; `fields` are lines that end in CR LF.
    pub(super) fn say(&self, status: u16, fields: &str, body: &[u8]) {
        let length = body.len();
        let head = format!("HTTP/1.1 {status} x\r\n{fields}content-length: {length}\r\n\r\n");
        self.state.lock().unwrap().answer = [head.as_bytes(), body].concat();
    }

    pub(super) fn heard(&self) -> Vec<u8> {
        self.state.lock().unwrap().heard.clone()
    }
}

async fn talk(mut stream: TcpStream, state: Arc<Mutex<State>>) {
    let mut request = Vec::new();
    while let Ok(1..) = stream.read_buf(&mut request).await {
        let Some(body) = whole(&request) else {
            continue;
        };
        let answer = {
            let mut state = state.lock().unwrap();
            state.heard = body;
            state.answer.clone()
        };
        request.clear();
        if stream.write_all(&answer).await.is_err() {
            return;
        }
    }
}

/// The request's body, if it has arrived completely.
fn whole(request: &[u8]) -> Option<Vec<u8>> {
    let end = request.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&request[..end]).to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    let body = &request[end..];
    (body.len() >= length.unwrap_or(0)).then(|| body.to_vec())
}
