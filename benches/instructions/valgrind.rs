//! Counts instructions with valgrind, which works in containers and virtual machines, where the
//! processor's counter is mostly hidden.

use std::fs;
use std::process::{Command, Stdio};

/// Calls to count; differences between calls average out.
const CALLS: u64 = 200;

/// The version; `None` if valgrind is not installed.
pub(crate) fn version() -> Option<String> {
    let output = Command::new("valgrind").arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// Instructions per call of this case. Startup and setup are in both counts and cancel out.
pub(crate) fn count(case: &str) -> u64 {
    instructions(case, CALLS).saturating_sub(instructions(case, 0)) / CALLS
}

/// Instructions of this program when it makes this many calls.
fn instructions(case: &str, calls: u64) -> u64 {
    let report = tempfile::NamedTempFile::new().expect("a temporary file");
    let itself = std::env::current_exe().expect("a program knows its own path");
    let output = Command::new("valgrind")
        .arg("--tool=callgrind")
        .arg(format!("--callgrind-out-file={}", report.path().display()))
        .arg(itself)
        .args(["--case", case, "--calls", &calls.to_string()])
        .stdin(Stdio::null())
        .output()
        .expect("valgrind was there a moment ago");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "valgrind failed on {case}: {said}");
    let report = fs::read_to_string(report.path()).expect("valgrind writes its report");
    let total = report.lines().find_map(|line| line.strip_prefix("totals:"));
    let total = total.and_then(|total| total.trim().parse().ok());
    total.unwrap_or_else(|| panic!("valgrind's report on {case} has no total: {said}"))
}
