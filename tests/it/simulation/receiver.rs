//! Destinations that fail, hang, accept a message without confirming it, answer that they want no more,
//! or refuse a message once or twice first.

use std::sync::Arc;
use std::time::Duration;

use aftertake::model::destination::Destination;
use aftertake::model::failure::{Failure, FailureKind};
use aftertake::outbound::{Answer, NoAnswer, Outbound, Request};
use async_trait::async_trait;
use http::{HeaderMap, HeaderValue, StatusCode};

use super::alive::Alive;
use super::sim::Sim;

/// All destinations, as one process sees them.
pub(super) struct Receivers {
    pub(super) sim: Arc<Sim>,
    pub(super) pulse: Arc<Alive>,
}

#[derive(Debug, Clone, Copy)]
struct Fate {
    /// Whether the receiver accepts the message.
    takes: bool,
    /// The response's status; `None` without a response.
    status: Option<u16>,
    /// Whether the client has to time out to find that out.
    hangs: bool,
}

impl Receivers {
    fn fate(&self, id: &str) -> Fate {
        if let Some(status) = self.refuses(id) {
            return Fate {
                takes: false,
                status: Some(status),
                hangs: false,
            };
        }
        let (takes, status, hangs) = if self.sim.happens(self.sim.world().storm) {
            match self.sim.between(0, 11) {
                0..=2 => (false, Some(503), false),
                3 => (true, Some(500), false),
                4 => (false, Some(429), false),
                5 => (false, Some(422), false),
                6 => (false, Some(302), false),
                7 => (false, Some(410), false),
                8 => (false, None, false),
                9 => (true, None, false),
                10 => (true, None, true),
                _ => (false, None, true),
            }
        } else {
            (true, Some(200), false)
        };
        Fate {
            takes,
            status,
            hangs,
        }
    }

    /// The status that refuses a message this time: some are refused once or twice.
    fn refuses(&self, id: &str) -> Option<u16> {
        let times = self.sim.between(0, 8).saturating_sub(6);
        let mut world = self.sim.world();
        if world.is_calm {
            return None;
        }
        let left = world.refusals.entry(id.to_owned()).or_insert(times);
        *left = left.checked_sub(1)?;
        drop(world);
        self.sim.any(&[503, 409])
    }
}

#[async_trait]
impl Outbound for Receivers {
    async fn send(&self, destination: &Destination, request: Request) -> Result<Answer, NoAnswer> {
        self.sim.step();
        self.pulse.begins().await;
        let id = request.headers["webhook-id"].to_str().unwrap_or_default();
        let name = &destination.name;
        let fate = self.fate(id);
        self.sim.tell(format!("{name} gets {id}: {fate:?}"));
        let begun = self.sim.ledger().sends(id);
        if let Err(how) = begun {
            self.sim.broken(how);
        }
        if fate.hangs {
            tokio::time::sleep(request.timeout).await;
        } else {
            let most = request.timeout.min(Duration::from_secs(3));
            self.sim.nap(Duration::ZERO, most).await;
        }
        let accepted = fate.status.is_some_and(|status| status < 300);
        if fate.takes {
            let mut world = self.sim.world();
            *world.delivered.entry(id.to_owned()).or_default() += 1;
        }
        self.sim.ledger().sent(id);
        self.pulse.goes_on().await;
        let Some(status) = fate.status else {
            let kind = if fate.hangs {
                FailureKind::Timeout
            } else {
                FailureKind::Unreachable
            };
            return Err(Failure::new(kind, format!("{name} does not answer")).into());
        };
        let mut headers = HeaderMap::new();
        if !accepted && self.sim.happens(0.3) {
            headers.insert("retry-after", HeaderValue::from_static("90"));
        }
        Ok(Answer {
            status: StatusCode::from_u16(status).unwrap_or_default(),
            headers,
            body: bytes::Bytes::new(),
        })
    }
}
