//! A command that prints the address of a stream, such as `streamlink --stream-url`: run again whenever the address is no good any more.
//!
//! 1. No shell is between: each word is an argument. It ends with everything that it started.
//! 2. It has [`PATIENCE`], and prints [`MOST`] bytes at most. The last line that is an address of http or https is the address.
//! 3. What it says of its failures is repeated without what may be secret in addresses; its words are never shown, but for the first.

use std::fmt;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::time::timeout;

use super::source_address::{SourceAddress, SourceProtocol};
use crate::net::without_secrets;
use crate::process::{Process, ProcessError, ProcessOrder, last_words};

/// How long it may take: sites are slow, and a stream waits.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes that it may print.
const MOST: usize = 64 << 10;
/// Words that it may have, and bytes of all of them.
const WORDS: (usize, usize) = (64, 16 << 10);
/// What it said at its end is there when it has ended.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// What such programs look for: their settings, their language, and the way out.
const ENVIRONMENT: [&str; 14] = [
    "HOME",
    "LANG",
    "LC_ALL",
    "XDG_CONFIG_HOME",
    "XDG_CACHE_HOME",
    "TMPDIR",
    // Programs read them in either spelling.
    "http_proxy",
    "HTTP_PROXY",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "no_proxy",
    "NO_PROXY",
];

/// What an operator wrote as a command.
#[derive(Clone, PartialEq, Eq)]
pub struct AddressCommand(Vec<String>);

/// Why a command gave no address.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    #[error("{0}; a command is a program and its arguments, without a shell")]
    Start(#[from] ProcessError),
    #[error("{program} took longer than {} s to print an address, and was stopped", PATIENCE.as_secs())]
    TooSlow { program: String },
    #[error("{program} printed more than {MOST} bytes where an address was expected, and was stopped")]
    TooLong { program: String },
    #[error("{program} failed{}", reason(said))]
    Failed { program: String, said: String },
    #[error("{program} printed no address of http or https{}", reason(said))]
    NoAddress { program: String, said: String },
}

fn reason(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!(": {said}") }
}

impl AddressCommand {
    /// An error is what was expected.
    pub fn new(words: Vec<String>) -> Result<Self, &'static str> {
        let bytes: usize = words.iter().map(String::len).sum();
        if words.first().is_none_or(String::is_empty) {
            return Err("a program and its arguments, such as streamlink --stream-url URL best");
        }
        if words.len() > WORDS.0 || bytes > WORDS.1 || words.iter().any(|word| word.contains('\0')) {
            return Err("at most 64 words and 16 KiB");
        }
        Ok(Self(words))
    }

    fn program(&self) -> &str {
        self.0.first().map_or("", String::as_str)
    }

    /// Runs it, and gives the address that it printed.
    pub async fn address(&self) -> Result<SourceAddress, CommandError> {
        let program = self.program().to_owned();
        let order = ProcessOrder {
            program: &program,
            args: self.0.get(1..).unwrap_or_default(),
            environment: &ENVIRONMENT,
            stdin: Stdio::null(),
            stdout: Stdio::piped(),
            niceness: 0,
        };
        let mut process = Process::start(order)?;
        let words = tokio::spawn(last_words(process.stderr.take()));
        let working = async {
            let mut printed = Vec::new();
            if let Some(output) = process.stdout.take() {
                output.take(MOST as u64 + 1).read_to_end(&mut printed).await.unwrap_or_default();
            }
            if printed.len() > MOST {
                return Err(CommandError::TooLong { program: program.clone() });
            }
            let is_done = process.ended().await.is_ok_and(|status| status.success());
            Ok((String::from_utf8_lossy(&printed).into_owned(), is_done))
        };
        let outcome = timeout(PATIENCE, working).await;
        process.end().await;
        let (printed, is_done) = outcome.map_err(|_| CommandError::TooSlow { program: program.clone() })??;
        let said = timeout(LAST_WORDS, words).await.ok().and_then(Result::ok).unwrap_or_default();
        let said = last_line(&said).or_else(|| last_line(&printed)).unwrap_or_default();
        if !is_done {
            return Err(CommandError::Failed { program, said });
        }
        address_in(&printed).ok_or(CommandError::NoAddress { program, said })
    }
}

/// The last line that is an address which can be asked.
fn address_in(printed: &str) -> Option<SourceAddress> {
    let of_line = |line: &str| SourceAddress::parse(line.trim()).ok();
    printed.lines().rev().filter_map(of_line).find(|source| source.protocol() == SourceProtocol::Hls)
}

/// The last line that says something, without secrets.
fn last_line(said: &str) -> Option<String> {
    let line = said.lines().rev().map(str::trim).find(|line| !line.is_empty())?;
    let word = |word: &str| if word.contains("://") { without_secrets(word) } else { word.to_owned() };
    Some(line.split(' ').map(word).collect::<Vec<_>>().join(" ").chars().take(300).collect())
}

impl fmt::Display for AddressCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the address that {} prints", self.program())
    }
}

impl fmt::Debug for AddressCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AddressCommand({})", self.program())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn run(script: &str) -> Result<String, String> {
        let command = AddressCommand::new(["sh", "-c", script].map(str::to_owned).to_vec()).unwrap();
        let found = command.address().await;
        found.map(|source| source.url().to_string()).map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn the_last_address_that_is_printed_counts() {
        let printed = run("echo found one; echo http://one.example/a; echo https://two.example/b?key; echo bye").await;
        assert_eq!(printed.unwrap(), "https://two.example/b?key");
    }

    #[tokio::test]
    async fn what_goes_wrong_is_said_without_secrets() {
        for (script, expected) in [
            ("echo x; echo no stream at https://h/a?secret >&2; exit 1", "sh failed: no stream at https://h/a"),
            ("echo error: no streams; exit 1", "sh failed: error: no streams"),
            ("echo rtmp://h/live/secret", "sh printed no address of http or https"),
            ("yes", "sh printed more than 65536 bytes"),
        ] {
            let said = run(script).await.unwrap_err();
            assert!(said.starts_with(expected), "{script}: {said}");
        }
        let missing = AddressCommand::new(vec!["no-such-program-here".to_owned()]).unwrap();
        let said = missing.address().await.unwrap_err().to_string();
        assert!(said.contains("no-such-program-here cannot be started: there is no such program"), "{said}");
        assert!(AddressCommand::new(vec![]).is_err() && AddressCommand::new(vec![String::new()]).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_command_that_never_ends_is_stopped_with_all_that_it_started() {
        let dir = tempfile::tempdir().unwrap();
        let written = dir.path().join("pid");
        let said = run(&format!("sleep 1000 & echo $! > {}; wait", written.display())).await.unwrap_err();
        assert!(said.contains("took longer than 30 s"), "{said}");
        let left = std::fs::read_to_string(written).map_or(String::new(), |pid| format!("/proc/{}/cwd", pid.trim()));
        // What is killed and not collected yet stands nowhere; the clock of the test stands still, and the system's does not.
        let stands = || !left.is_empty() && std::fs::read_link(&left).is_ok();
        for _ in (0..600).take_while(|_| stands()) {
            std::thread::sleep(Duration::from_millis(100));
        }
        assert!(!stands());
    }
}
