//! The figures of a run, as a table or as JSON.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use serde_json::{Value, json};

use crate::Options;

#[derive(Debug, Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    name: String,
    figure: String,
    detail: String,
}

impl Report {
    /// Adds a ratio, from rounds of ours and of the counterpart.
    pub(crate) fn ratio(&mut self, name: &str, unit: &str, ours: &[f64], theirs: &[f64]) {
        let figure = format!("{:.2}", median(ours) / median(theirs));
        let detail = format!("{} against {} {unit}", spread(ours), spread(theirs));
        self.row(name, figure, detail);
    }

    /// Adds a figure, from rounds.
    pub(crate) fn figure(&mut self, name: &str, unit: &str, rounds: &[f64]) {
        let figure = format!("{:.0} {unit}", median(rounds));
        self.row(name, figure, spread(rounds));
    }

    /// Adds the median and the p99.
    pub(crate) fn percentiles(&mut self, name: &str, mut times: Vec<Duration>) {
        times.sort_unstable();
        let at = |share: usize| milliseconds(times[(times.len() - 1) * share / 100]);
        self.row(name, format!("p50 {}", at(50)), format!("p99 {}", at(99)));
    }

    pub(crate) fn row(&mut self, name: &str, figure: String, detail: String) {
        eprintln!("{name}: {figure} ({detail})");
        self.rows.push(Row {
            name: name.to_owned(),
            figure,
            detail,
        });
    }

    pub(crate) fn text(&self, options: &Options) -> String {
        let mut text = String::from("| what | figure | measured |\n|---|---|---|\n");
        for row in &self.rows {
            let _ = writeln!(text, "| {} | {} | {} |", row.name, row.figure, row.detail);
        }
        for (what, value) in circumstances(options) {
            let _ = write!(text, "\n{what}: {value}");
        }
        text
    }

    pub(crate) fn json(&self, options: &Options) -> Value {
        let row =
            |row: &Row| json!({ "what": row.name, "figure": row.figure, "measured": row.detail });
        json!({
            "rows": self.rows.iter().map(row).collect::<Vec<_>>(),
            "circumstances": circumstances(options).into_iter().collect::<BTreeMap<_, _>>(),
        })
    }
}

pub(crate) fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The median with the minimum and maximum.
fn spread(figures: &[f64]) -> String {
    let least = figures.iter().copied().fold(f64::INFINITY, f64::min);
    let most = figures.iter().copied().fold(0.0, f64::max);
    format!("{:.0} [{least:.0}–{most:.0}]", median(figures))
}

pub(crate) fn milliseconds(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1000.0)
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
pub(crate) fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

fn circumstances(options: &Options) -> [(&'static str, String); 6] {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let cpu = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let cpu = cpu.unwrap_or_default().trim_start_matches(['\t', ':', ' ']);
    [
        ("aftertake", env!("CARGO_PKG_VERSION").to_owned()),
        ("sqlite", rusqlite::version().to_owned()),
        (
            "kernel",
            read("/proc/sys/kernel/osrelease").trim().to_owned(),
        ),
        ("processor", format!("{cores} cores of {cpu}")),
        (
            "rounds",
            format!("{} of {} s each side", options.rounds, options.seconds),
        ),
        (
            "load",
            format!(
                "{} connections, {} in a filled store",
                options.connections, options.filled
            ),
        ),
    ]
}
