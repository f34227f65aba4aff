//! Says where the program crashed. The words of a crash may hold a value of the rules file,
//! so only those that are part of the program are shown.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, Write};
use std::panic::{self, PanicHookInfo};

use crate::model::failure::crash;

/// From now on standard error shows where a crash happened, and its message only if that is part
/// of the program.
pub fn tell_places_only() {
    panic::set_hook(Box::new(|panic| {
        // Nobody may read it any more.
        let _ = io::stderr().write_all(told(panic).as_bytes());
    }));
}

fn told(panic: &PanicHookInfo<'_>) -> String {
    let place = panic.location().map(ToString::to_string);
    let place = place.unwrap_or_else(|| "a place unknown".to_owned());
    let mut told = format!("crashed at {place}: {}\n", crash(panic.payload()));
    let trace = Backtrace::capture();
    if trace.status() == BacktraceStatus::Captured {
        told.push_str(&trace.to_string());
    }
    told
}
