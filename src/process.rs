//! A process of another program: started with next to nothing, and never left behind.
//!
//! 1. It leads a group of its own, so that whatever it starts ends with it.
//! 2. Its environment is empty but for the path on which programs are found, and what its order names; it stands in the root directory.
//! 3. Whoever drops it kills the group. The runtime collects what is left of it, so that no zombie stays.

use std::io::ErrorKind;
use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process_group, setpriority_process};
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

/// Where programs are found if nothing was said.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";
/// So much of the end of what it says is kept: an error is in the last lines, and a flood must not fill the memory.
const KEPT: usize = 4 << 10;

/// Why a program does not run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{program} cannot be started: {why}")]
pub struct ProcessError {
    /// The program.
    pub program: String,
    /// What the system said.
    pub why: String,
}

/// What is to run.
#[derive(Debug)]
pub struct ProcessOrder<'o> {
    pub program: &'o str,
    pub args: &'o [String],
    /// Variables of this process's environment that it gets as well.
    pub environment: &'o [&'o str],
    pub stdin: Stdio,
    /// What it writes is read from its pipe, or goes to a file.
    pub stdout: Stdio,
    /// How much it stands back behind others, as of `nice`.
    pub niceness: i32,
}

/// A process that runs.
#[derive(Debug)]
pub struct Process {
    child: Child,
    group: Option<Pid>,
    pub stdin: Option<ChildStdin>,
    pub stdout: Option<ChildStdout>,
    pub stderr: Option<ChildStderr>,
}

impl Process {
    pub fn start(order: ProcessOrder<'_>) -> Result<Self, ProcessError> {
        let program = order.program;
        let kept = order.environment.iter().filter_map(|name| Some((*name, std::env::var_os(name)?)));
        let started = Command::new(program)
            .args(order.args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_else(|| PATH.into()))
            .envs(kept)
            .current_dir("/")
            .stdin(order.stdin)
            .stdout(order.stdout)
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn();
        let mut child = started.map_err(|error| ProcessError {
            program: program.to_owned(),
            why: match error.kind() {
                ErrorKind::NotFound => "there is no such program".to_owned(),
                ErrorKind::PermissionDenied => "it may not be executed".to_owned(),
                _ => error.to_string(),
            },
        })?;
        let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if order.niceness != 0
            && let Err(error) = setpriority_process(group, order.niceness)
        {
            tracing::debug!(name: "process_priority_kept", program, %error, "a process runs with the priority of the node");
        }
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        Ok(Self { child, group, stdin, stdout, stderr })
    }

    /// Waits until it has ended by itself.
    pub async fn ended(&mut self) -> std::io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Ends it and everything it started; when this returns nothing is left of it.
    pub async fn end(mut self) {
        self.kill();
        if let Err(error) = self.child.wait().await {
            tracing::warn!(name: "process_not_collected", %error, "it is not known how a process ended");
        }
    }

    fn kill(&mut self) {
        if let Some(group) = self.group.take() {
            // There may be nobody left in it.
            kill_process_group(group, Signal::KILL).ok();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Takes all that is said, and keeps the end of it.
pub async fn last_words(stderr: Option<ChildStderr>) -> String {
    let Some(mut stderr) = stderr else { return String::new() };
    let (mut kept, mut piece) = (Vec::new(), vec![0; 16 << 10]);
    while let Ok(read @ 1..) = stderr.read(&mut piece).await {
        kept.extend_from_slice(piece.get(..read).unwrap_or_default());
        if kept.len() > KEPT {
            kept.drain(..kept.len() - KEPT);
        }
    }
    String::from_utf8_lossy(&kept).trim().to_owned()
}
