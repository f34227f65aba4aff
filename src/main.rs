//! The `aftertake` binary: passes its arguments to the command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    aftertake::cli::run(std::env::args_os())
}
