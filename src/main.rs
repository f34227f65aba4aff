//! The `aftertake` binary: passes its arguments to the command line.

use std::process::ExitCode;

use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    aftertake::cli::run(std::env::args_os())
}
