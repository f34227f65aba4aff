//! Memory and descriptors of a running program, and how many files this one may open.

use std::fmt;

use rustix::process::{Resource, getrlimit, setrlimit};

use crate::support::service_process::ServiceProcess;

/// Idle connections that may be kept to a destination. Its `concurrency` limits the busy ones;
/// one that was being opened while another became free is kept, too.
pub(crate) const KEPT: usize = 64;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    /// Resident memory in kB; below, its peak.
    pub(crate) memory: u64,
    pub(crate) most: u64,
    pub(crate) descriptors: usize,
}

impl Usage {
    pub(crate) fn of(served: &ServiceProcess) -> Self {
        let folder = format!("/proc/{}", served.child.id());
        let status = std::fs::read_to_string(format!("{folder}/status")).unwrap();
        let figure = |name: &str| {
            let mut lines = status.lines().filter_map(|line| line.strip_prefix(name));
            let figure = lines.next().unwrap().split_whitespace().nth(1);
            figure.unwrap().parse().unwrap()
        };
        let descriptors = std::fs::read_dir(format!("{folder}/fd")).unwrap().count();
        Self {
            memory: figure("VmRSS"),
            most: figure("VmHWM"),
            descriptors,
        }
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (memory, most) = (self.memory / 1024, self.most / 1024);
        let descriptors = self.descriptors;
        write!(
            f,
            "{memory} MiB (at most {most}), {descriptors} descriptors"
        )
    }
}

/// Waits until the program holds at most `rest`'s descriptors plus the kept connections.
pub(crate) async fn let_go(served: &ServiceProcess, rest: Usage) {
    let most = rest.descriptors + KEPT;
    let falls = async {
        while Usage::of(served).descriptors > most {
            tokio::task::yield_now().await;
        }
    };
    let fallen = tokio::time::timeout(crate::support::TOO_LONG, falls).await;
    assert!(
        fallen.is_ok(),
        "{} at rest, {rest} before",
        Usage::of(served)
    );
}

/// How many of the wanted connections this process can open; prints a notice if fewer.
#[expect(clippy::print_stdout, reason = "prints what is left out")]
pub(crate) fn connections(wanted: usize) -> usize {
    // For everything else that the tests open.
    const OTHERS: u64 = 500;
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // If the limit cannot be raised it stays as it was.
    let _ = setrlimit(Resource::Nofile, limit);
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    // Half: another test may be doing the same.
    let possible = (limit / 2).saturating_sub(OTHERS);
    let possible = usize::try_from(possible).unwrap_or(usize::MAX);
    if possible < wanted {
        println!("{possible} connections instead of {wanted}: the system allows no more files");
    }
    possible.min(wanted)
}
