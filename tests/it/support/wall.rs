//! A clock whose wall time a test sets. Elapsed time stays real.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use aftertake::clock::{self, Clock};
use aftertake::model::moment::{Moment, Present};
use aftertake::model::retry::Jitter;
use aftertake::model::time::Timestamp;
use async_trait::async_trait;
use tokio::sync::watch;

#[derive(Default)]
pub(crate) struct Wall {
    /// Milliseconds ahead of the real time.
    ahead: AtomicI64,
    set: watch::Sender<()>,
}

impl Wall {
    pub(crate) fn ahead(hours: i64) -> Arc<Self> {
        let wall = Arc::new(Self::default());
        wall.set(hours);
        wall
    }

    /// Sets it this many hours ahead of the real time.
    pub(crate) fn set(&self, hours: i64) {
        self.ahead.store(hours * 3_600_000, Ordering::SeqCst);
        self.set.send_replace(());
    }
}

#[async_trait]
impl Clock for Wall {
    fn now(&self) -> Timestamp {
        let ahead = self.ahead.load(Ordering::SeqCst);
        Timestamp::from_millis(clock::now().millis() + ahead)
    }

    fn moment(&self) -> Moment {
        clock::moment()
    }

    fn jitter(&self) -> Jitter {
        Jitter::MOST
    }

    async fn set_since(&self, earlier: Present) -> Present {
        let mut set = self.set.subscribe();
        loop {
            let present = self.present();
            // The test's thread may be suspended in between.
            if present.set_by(earlier).abs() > 1_800_000 {
                return present;
            }
            let _ = set.changed().await;
        }
    }
}
