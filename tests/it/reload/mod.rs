//! Reloading the rules file while the service runs.

mod names;
mod program;
mod refused;
mod secrets;
mod under_load;
mod unreadable;

use crate::support::test_service::{Running, TestService};

impl TestService {
    /// Puts these rules in force and asserts that they are accepted.
    async fn reload(&self, running: &Running, rules: &str) {
        self.write(rules);
        let (status, said) = running.front.reload().await;
        assert_eq!(status, 200, "{said}");
    }
}
