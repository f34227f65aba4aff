//! Programs in a mount namespace of their own.

use std::process::Command;

/// Whether a process may create a mount namespace here.
pub(crate) fn may_mount() -> bool {
    let tried = Command::new("unshare").args(["-rm", "true"]).output();
    tried.is_ok_and(|tried| tried.status.success())
}

/// Runs these shell commands, which mount, and then the program.
pub(crate) fn after_mounts(mounts: &str, program: &Command) -> Command {
    let mut command = Command::new("unshare");
    command
        .args(["-rm", "sh", "-ec", &format!("{mounts}; exec \"$@\""), "sh"])
        .arg(program.get_program())
        .args(program.get_args());
    command
}
