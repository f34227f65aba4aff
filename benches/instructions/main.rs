//! Counts the instructions of what every callback goes through, and fails if they grow.
//!
//! Reads no clock, so a busy machine gives the same result: the program runs itself under
//! valgrind, once with many calls and once with none, and takes the difference. Counts depend on
//! the compiler and slightly on the processor (libc chooses its `memcpy` by it), which the
//! tolerance covers; the baseline names its compiler.

#![expect(clippy::print_stdout, reason = "a benchmark's figures are its output")]
#![expect(
    clippy::print_stderr,
    reason = "the reason for missing figures is printed, too"
)]

mod baseline;
mod cases;
mod valgrind;

use std::process::ExitCode;

use clap::Parser;

use crate::baseline::Baseline;

#[derive(Debug, Clone, Parser)]
#[command(about = "Counts the instructions of what every callback goes through", long_about = None)]
struct Options {
    /// Make the current counts the baseline.
    #[arg(long)]
    bless: bool,
    /// Fail if counting is impossible here.
    #[arg(long)]
    required: bool,
    /// Only make the calls of this case (internal).
    #[arg(long, hide = true)]
    case: Option<String>,
    /// Number of calls.
    #[arg(long, hide = true, default_value_t = 0)]
    calls: u64,
    /// Passed by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    if let Some(case) = &options.case {
        cases::call(case, options.calls);
        return ExitCode::SUCCESS;
    }
    match run(&options) {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(Trouble::Uncounted(why)) if !options.required => {
            eprintln!("nothing was counted: {why}");
            ExitCode::SUCCESS
        }
        Err(Trouble::Uncounted(why) | Trouble::Refused(why)) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

enum Trouble {
    /// Nothing can be counted or compared here.
    Uncounted(String),
    /// A count has grown.
    Refused(String),
}

fn run(options: &Options) -> Result<String, Trouble> {
    let version = valgrind::version()
        .ok_or_else(|| Trouble::Uncounted("valgrind is not installed".to_owned()))?;
    let count = |case| (case, valgrind::count(case));
    let counts: Vec<_> = cases::names().map(count).collect();
    if options.bless {
        let path = baseline::write(&version, &counts);
        return Ok(format!("{} is renewed", path.display()));
    }
    let baseline = Baseline::read().map_err(Trouble::Uncounted)?;
    let compared = baseline.compare(&counts);
    let (table, way_out) = (&compared.table, baseline.way_out(&version));
    match (compared.refused, baseline.is_by(&version)) {
        (true, true) => Err(Trouble::Refused(format!("{table}\n{way_out}"))),
        // A newer compiler is no reason to refuse a change.
        (true, false) => Ok(format!("{table}\nnot refused: {way_out}")),
        (false, _) => Ok(compared.table),
    }
}
