//! Callbacks while a command works through the whole store, against callbacks alone: the p99
//! latency, how many are refused, and how large the WAL grows.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use crate::Options;
use crate::accept::mute;
use crate::load::{Pressed, Until, drive, press};
use crate::report::{Report, megabytes};
use crate::service::{Deployment, Service, binary};

/// Callbacks per second at the low rate.
const FEW: f64 = 200.0;

/// Commands on everything, in this order: each works on what the previous one left.
const COMMANDS: [(&str, &[&str]); 4] = [
    (
        "events replay --all",
        &[
            "events",
            "replay",
            "--all",
            "--yes",
            "--rules",
            "rules.yaml",
        ],
    ),
    ("tasks cancel", &["tasks", "cancel", "--yes"]),
    (
        "tasks retry",
        &["tasks", "retry", "--state", "cancelled", "--yes"],
    ),
    ("tasks list --room", &["tasks", "list", "--room", "nobody"]),
];

/// How often to read the size of the WAL.
const LOOK_EVERY: Duration = Duration::from_millis(20);

const COPY: &str = "copy.db";

/// Rounds of one command at one rate, with it and without.
#[derive(Default)]
struct Rounds {
    alone: Vec<f64>,
    beside: Vec<f64>,
    refused: u64,
    asked: u64,
    log: u64,
}

pub(crate) async fn measure(options: &Options, report: &mut Report) {
    let next = Arc::new(AtomicU64::new(0));
    let (mute, receiver) = mute().await;
    let deployment = Deployment::new();
    deployment.rules(receiver, 1);
    let service = deployment.serve().await;
    let all = Until::Sent(options.filled / 5);
    drive(service.callbacks, options.connections, &next, all).await;
    // Waiting tasks are cancelled, so that a replay creates them again.
    run(&deployment, COMMANDS[1].1).wait().expect("it ends");
    let most = Until::Elapsed(options.time());
    let most = drive(service.callbacks, options.connections, &next, most).await;
    let half = most.per_second() / 2.0;
    let half_named = format!("at half the rate, {half:.0}/s");
    let rates = [(FEW, "at 200/s"), (half, half_named.as_str())];
    let load = |rate| Load {
        options,
        deployment: &deployment,
        service: &service,
        rate,
        next: &next,
    };
    // Before the load at half the rate, which makes the store several times larger.
    for (rate, name) in rates {
        load(rate).backups(report, name).await;
    }
    for (rate, name) in rates {
        load(rate).commands(report, name).await;
    }
    drop((service, mute));
    run(&deployment, COMMANDS[1].1).wait().expect("it ends");
    for rate in rates {
        sweep(options, report, &deployment, &next, rate).await;
    }
}

/// What a command is measured against.
struct Load<'a> {
    options: &'a Options,
    deployment: &'a Deployment,
    service: &'a Service,
    rate: f64,
    next: &'a Arc<AtomicU64>,
}

impl Load<'_> {
    async fn commands(&self, report: &mut Report, name: &str) {
        let mut rounds: Vec<Rounds> = COMMANDS.iter().map(|_| Rounds::default()).collect();
        let mut three = Rounds::default();
        for _ in 0..self.options.rounds {
            for (rounds, (_, command)) in rounds.iter_mut().zip(COMMANDS) {
                self.round(rounds, &[command]).await;
            }
            self.round(&mut three, &[COMMANDS[1].1, COMMANDS[2].1, COMMANDS[0].1])
                .await;
        }
        let told = COMMANDS.iter().map(|(command, _)| *command).zip(rounds);
        for (command, rounds) in told.chain([("three commands", three)]) {
            rounds.tell(report, command, name);
        }
    }

    async fn round(&self, rounds: &mut Rounds, commands: &[&[&str]]) {
        let alone = self.press().await;
        rounds.alone.push(alone.slowest_of_hundred());
        let mut running: Vec<Child> = commands
            .iter()
            .map(|one| run(self.deployment, one))
            .collect();
        rounds.add(&self.press().await);
        // The next round does what is not done by now.
        for command in &mut running {
            let _ = command.kill();
            let _ = command.wait();
        }
    }

    /// Measures until the backup ends: it then checks the copy and checkpoints the WAL.
    async fn backups(&self, report: &mut Report, name: &str) {
        let mut rounds = Rounds::default();
        let mut copied = Vec::new();
        let copy = self.deployment.path().join(COPY);
        for _ in 0..self.options.rounds {
            let alone = self.press().await;
            rounds.alone.push(alone.slowest_of_hundred());
            let mut running = run(self.deployment, &["backup", COPY]);
            let backup = tokio::task::spawn_blocking(move || {
                let begun = Instant::now();
                let status = running.wait();
                assert!(status.is_ok_and(|status| status.success()), "a backup");
                begun.elapsed()
            });
            let mut beside = Pressed::default();
            while !backup.is_finished() {
                beside.add(self.press().await);
            }
            rounds.add(&beside);
            let took = backup.await.expect("it ends").as_secs_f64();
            let size = std::fs::metadata(&copy).map_or(0, |copy| copy.len());
            copied.push(format!("{} in {took:.1} s", megabytes(size)));
            // A backup refuses to overwrite a file.
            let _ = std::fs::remove_file(&copy);
        }
        rounds.tell(report, "backup", name);
        let (last, others) = copied.split_last().expect("a round");
        report.row(&format!("backup, {name}"), last.clone(), others.join(", "));
    }

    async fn press(&self) -> Pressed {
        let (to, connections) = (self.service.callbacks, self.options.connections);
        let load = press(to, connections, self.rate, self.options.time(), self.next);
        tokio::pin!(load);
        let mut log = 0;
        loop {
            tokio::select! {
                mut pressed = &mut load => {
                    pressed.log = log;
                    return pressed;
                }
                () = tokio::time::sleep(LOOK_EVERY) => log = log.max(self.deployment.log_bytes()),
            }
        }
    }
}

impl Rounds {
    fn add(&mut self, beside: &Pressed) {
        self.beside.push(beside.slowest_of_hundred());
        self.refused += beside.refused;
        self.asked += beside.refused + beside.latencies.len() as u64;
        self.log = self.log.max(beside.log);
    }

    fn tell(self, report: &mut Report, command: &str, rate: &str) {
        report.ratio(
            &format!("p99 beside {command} : alone, {rate}"),
            "µs",
            &self.beside,
            &self.alone,
        );
        let (refused, asked) = (self.refused, self.asked);
        let detail = format!(
            "of {asked} callbacks; the log was {} at the most",
            megabytes(self.log)
        );
        report.row(
            &format!("refused beside {command}, {rate}"),
            refused.to_string(),
            detail,
        );
    }
}

/// The same during the sweep: with no retention, everything is due when the service starts.
async fn sweep(
    options: &Options,
    report: &mut Report,
    deployment: &Deployment,
    next: &Arc<AtomicU64>,
    (rate, name): (f64, &str),
) {
    let mut rounds = Rounds::default();
    for alone in served(options, deployment, next, rate, &[]).await {
        rounds.alone.push(alone.slowest_of_hundred());
    }
    let flags = ["--retention", "1s", "--dedup-horizon", "1s"];
    for beside in served(options, deployment, next, rate, &flags).await {
        rounds.add(&beside);
    }
    rounds.tell(report, "the sweep", name);
    let removed = deployment.swept_events().unwrap_or_default();
    let detail = "events, until the service was stopped".to_owned();
    let row = format!("removed by the sweep, {name}");
    report.row(&row, removed.to_string(), detail);
}

/// Rounds of load on a service with these flags, which is then stopped in order.
async fn served(
    options: &Options,
    deployment: &Deployment,
    next: &Arc<AtomicU64>,
    rate: f64,
    flags: &[&str],
) -> Vec<Pressed> {
    let service = deployment.serve_with(flags).await;
    let mut rounds = Vec::new();
    for _ in 0..options.rounds {
        let load = Load {
            options,
            deployment,
            service: &service,
            rate,
            next,
        };
        rounds.push(load.press().await);
    }
    service.stop();
    rounds
}

fn run(deployment: &Deployment, command: &[&str]) -> Child {
    Command::new(binary())
        .args(command)
        .args(["--store", "sqlite:aftertake.db"])
        .current_dir(deployment.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts")
}
