//! Reports where the program crashed. A panic message may contain a secret of the rules file, so
//! only messages that are constants of the program are shown.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, Write};
use std::panic::{self, PanicHookInfo};

use crate::model::failure::crash;

/// Sets a panic hook that prints the place, and the message only if it is a constant.
pub fn tell_places_only() {
    panic::set_hook(Box::new(|panic| {
        // Standard error may be closed.
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
