//! Callbacks while a command works through the whole store, against callbacks alone: how long
//! the slowest of a hundred waits for its answer, how many are refused, and how large the
//! database's log grows.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::Options;
use crate::accept::mute;
use crate::load::{Pressed, Until, drive, press};
use crate::report::{Report, megabytes};
use crate::service::{Deployment, Service, binary};

/// Callbacks a second when there are few.
const FEW: f64 = 200.0;

/// What a person does to everything, in this order: each finds what the one before has left.
const COMMANDS: [(&str, &[&str]); 5] = [
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
    ("backup", &["backup", COPY]),
];

/// What the backup is written to.
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
    // What waits is cancelled, so that a replay makes it again.
    run(&deployment, COMMANDS[1].1).wait().expect("it ends");
    let most = Until::Elapsed(options.time());
    let most = drive(service.callbacks, options.connections, &next, most).await;
    for (rate, name) in [
        (FEW, "at 200/s"),
        (most.per_second() / 2.0, "at half the rate"),
    ] {
        let load = Load {
            options,
            deployment: &deployment,
            service: &service,
            rate,
            next: &next,
        };
        let mut rounds: Vec<Rounds> = COMMANDS.iter().map(|_| Rounds::default()).collect();
        let mut three = Rounds::default();
        for _ in 0..options.rounds {
            for (rounds, (_, command)) in rounds.iter_mut().zip(COMMANDS) {
                load.round(rounds, &[command]).await;
            }
            load.round(&mut three, &[COMMANDS[1].1, COMMANDS[2].1, COMMANDS[0].1])
                .await;
        }
        let told = COMMANDS.iter().map(|(command, _)| *command).zip(rounds);
        for (command, rounds) in told.chain([("three commands", three)]) {
            rounds.tell(report, command, name);
        }
    }
    drop((service, mute));
    sweep(options, report, &deployment, &next).await;
}

/// What is measured beside a command.
struct Load<'a> {
    options: &'a Options,
    deployment: &'a Deployment,
    service: &'a Service,
    rate: f64,
    next: &'a Arc<AtomicU64>,
}

impl Load<'_> {
    async fn round(&self, rounds: &mut Rounds, commands: &[&[&str]]) {
        let alone = self.press().await;
        rounds.alone.push(alone.slowest_of_hundred());
        let mut running: Vec<Child> = commands
            .iter()
            .map(|one| run(self.deployment, one))
            .collect();
        let beside = self.press().await;
        rounds.beside.push(beside.slowest_of_hundred());
        rounds.refused += beside.refused;
        rounds.asked += beside.refused + beside.latencies.len() as u64;
        rounds.log = rounds.log.max(self.deployment.log_bytes());
        // What it has not done by then is left to the next round.
        for command in &mut running {
            let _ = command.kill();
            let _ = command.wait();
        }
        // The next backup writes to no file that is there.
        let _ = std::fs::remove_file(self.deployment.path().join(COPY));
    }

    async fn press(&self) -> Pressed {
        let (to, connections) = (self.service.callbacks, self.options.connections);
        press(to, connections, self.rate, self.options.time(), self.next).await
    }
}

impl Rounds {
    fn tell(self, report: &mut Report, command: &str, rate: &str) {
        report.ratio(
            &format!("p99 beside {command} : alone, {rate}"),
            "µs",
            &self.beside,
            &self.alone,
        );
        let (refused, asked) = (self.refused, self.asked);
        let detail = format!("of {asked} callbacks; the log was {}", megabytes(self.log));
        report.row(
            &format!("refused beside {command}, {rate}"),
            refused.to_string(),
            detail,
        );
    }
}

/// The same beside the sweep: a service that keeps nothing finds everything due when it starts.
async fn sweep(
    options: &Options,
    report: &mut Report,
    deployment: &Deployment,
    next: &Arc<AtomicU64>,
) {
    run(deployment, COMMANDS[1].1).wait().expect("it ends");
    let mut rounds = Rounds::default();
    let keeping = deployment.serve().await;
    for _ in 0..options.rounds {
        let alone = few(options, deployment, &keeping, next).press().await;
        rounds.alone.push(alone.slowest_of_hundred());
    }
    drop(keeping);
    let sweeping = deployment
        .serve_with(&["--retention", "1s", "--dedup-horizon", "1s"])
        .await;
    let beside = few(options, deployment, &sweeping, next).press().await;
    rounds.beside.push(beside.slowest_of_hundred());
    rounds.refused = beside.refused;
    rounds.asked = beside.refused + beside.latencies.len() as u64;
    rounds.log = deployment.log_bytes();
    rounds.tell(report, "the sweep", "at 200/s");
}

fn few<'a>(
    options: &'a Options,
    deployment: &'a Deployment,
    service: &'a Service,
    next: &'a Arc<AtomicU64>,
) -> Load<'a> {
    Load {
        options,
        deployment,
        service,
        rate: FEW,
        next,
    }
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
