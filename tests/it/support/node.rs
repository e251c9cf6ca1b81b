//! The real program: run to its end, or as a daemon that is asked over its socket.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustls::ClientConfig;
use tempfile::TempDir;

use super::authority::{Authority, Credentials};
use super::{Connection, SOON, TestArchive, TestResponse, eventually};

/// What SIGTERM is given: what is promised (10 s) and a little for the machine.
const ENDS_WITHIN: Duration = Duration::from_secs(12);

/// A run that has ended.
#[derive(Debug)]
pub struct Outcome {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Outcome {
    /// The lines of stdout; the exit code must be this one.
    #[track_caller]
    pub fn lines(&self, code: i32) -> Vec<&str> {
        assert_eq!(self.code, code, "{}\n{}", self.out, self.err);
        self.out.lines().collect()
    }

    #[track_caller]
    pub fn json(&self, code: i32) -> serde_json::Value {
        assert_eq!(self.code, code, "{}\n{}", self.out, self.err);
        serde_json::from_str(&self.out).unwrap()
    }
}

fn command(base: &Path) -> Command {
    command_through(&[], base)
}

/// The program, started by another one that takes it and its arguments as its last arguments and becomes it.
fn command_through(wrapper: &[String], base: &Path) -> Command {
    let mut words = wrapper.iter().map(String::as_str).chain([env!("CARGO_BIN_EXE_gapless")]);
    let mut command = Command::new(words.next().unwrap());
    command.args(words);
    // Nothing that is set where the tests run counts.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("GAPLESS_")) {
        command.env_remove(name);
    }
    command.arg("--base-dir").arg(base).stdin(Stdio::null());
    command
}

/// Runs `gapless --base-dir BASE ARGS…` to its end.
pub fn gapless(base: &Path, args: &[&str]) -> Outcome {
    finish(command(base).args(args))
}

/// Begins `gapless --base-dir BASE ARGS…`, which says all into a file, for whoever ends it.
pub fn gapless_begun(base: &Path, args: &[&str], said: fs::File) -> Child {
    command(base).args(args).stdout(said.try_clone().unwrap()).stderr(said).spawn().unwrap()
}

/// The same, started by another program that becomes it, such as `prlimit`.
pub fn gapless_through(wrapper: &[&str], base: &Path, args: &[&str]) -> Outcome {
    let wrapper: Vec<String> = wrapper.iter().map(|&word| word.to_owned()).collect();
    finish(command_through(&wrapper, base).args(args))
}

/// The same with this text on stdin.
pub fn gapless_reading(base: &Path, args: &[&str], text: &str) -> Outcome {
    use std::io::Write as _;
    let mut command = command(base);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    ended(child.wait_with_output().unwrap())
}

/// The same where whoever was to read stdout has enough before the first line, as behind `| head -0`.
pub fn gapless_unheard(base: &Path, args: &[&str]) -> Outcome {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = command(base);
    command.args(args).stdout(writer).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    ended(child.wait_with_output().unwrap())
}

fn finish(command: &mut Command) -> Outcome {
    ended(command.output().unwrap())
}

fn ended(output: std::process::Output) -> Outcome {
    Outcome {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// How a node is to be started.
#[derive(Debug)]
pub struct Plan {
    base: PathBuf,
    listen: String,
    state: Option<PathBuf>,
    flags: Vec<OsString>,
    env: Vec<(String, String)>,
    config: Option<String>,
    wrapper: Vec<String>,
    trust: Option<Arc<ClientConfig>>,
}

impl Plan {
    /// A flag, or a flag's value.
    pub fn flag(mut self, flag: impl Into<OsString>) -> Self {
        self.flags.push(flag.into());
        self
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The text of a configuration file.
    pub fn config(mut self, text: &str) -> Self {
        self.config = Some(text.to_owned());
        self
    }

    /// Elsewhere than at any free port of this machine.
    pub fn listen(mut self, address: &str) -> Self {
        address.clone_into(&mut self.listen);
        self
    }

    pub fn state_dir(mut self, dir: &Path) -> Self {
        self.state = Some(dir.to_owned());
        self
    }

    /// With this certificate, asked by clients that trust this authority.
    pub fn encrypted(mut self, shown: &Credentials, authority: &Authority) -> Self {
        self.trust = Some(authority.trust());
        let (certificate, key) = (&shown.certificate, &shown.key);
        self.flag("--tls-certificate").flag(certificate).flag("--tls-key").flag(key)
    }

    /// Starts it by way of another program that becomes it, such as `setpriv`.
    pub fn through(mut self, wrapper: &[&str]) -> Self {
        self.wrapper = wrapper.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// Starts it; it must come to listen.
    #[track_caller]
    pub fn start(self) -> TestNode {
        let scratch = tempfile::tempdir().unwrap();
        let stderr = scratch.path().join("stderr");
        let mut command = self.command(scratch.path());
        let mut child = command.stdout(Stdio::piped()).stderr(fs::File::create(&stderr).unwrap()).spawn().unwrap();
        let (tell, told) = mpsc::channel();
        let out = child.stdout.take().unwrap();
        std::thread::spawn(move || {
            let mut line = String::new();
            let read = BufReader::new(out).read_line(&mut line);
            // The test may have given up waiting.
            tell.send(read.map(|_| line)).unwrap_or_default();
        });
        let line = told.recv_timeout(SOON).unwrap_or_else(|_| Ok("no line within the deadline".to_owned())).unwrap();
        let before = if self.trust.is_some() { "listening on https://" } else { "listening on http://" };
        let address = line.trim_end().strip_prefix(before).and_then(|text| text.parse().ok());
        let Some(address) = address else {
            child.kill().unwrap();
            panic!("the node does not listen: {line:?}\n{}", fs::read_to_string(&stderr).unwrap());
        };
        TestNode { child, address, base: self.base, state: self.state, trust: self.trust, scratch }
    }

    /// Starts it; it must end by itself.
    pub fn refused(self) -> Outcome {
        let scratch = tempfile::tempdir().unwrap();
        finish(&mut self.command(scratch.path()))
    }

    fn command(&self, scratch: &Path) -> Command {
        let mut command = command_through(&self.wrapper, &self.base);
        command.args(["node", "--listen", &self.listen]).args(&self.flags);
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        if let Some(state) = &self.state {
            command.arg("--state-dir").arg(state);
        }
        if let Some(text) = &self.config {
            let file = scratch.join("config.toml");
            fs::write(&file, text).unwrap();
            command.arg("--config").arg(file);
        }
        command
    }
}

/// A daemon that runs; killed with the value.
#[derive(Debug)]
pub struct TestNode {
    child: Child,
    pub address: SocketAddr,
    base: PathBuf,
    state: Option<PathBuf>,
    trust: Option<Arc<ClientConfig>>,
    scratch: TempDir,
}

impl TestNode {
    pub fn plan(archive: &TestArchive) -> Plan {
        Self::plan_at(archive.path())
    }

    pub fn plan_at(base: &Path) -> Plan {
        Plan {
            base: base.to_owned(),
            listen: "127.0.0.1:0".to_owned(),
            state: None,
            flags: Vec::new(),
            env: Vec::new(),
            config: None,
            wrapper: Vec::new(),
            trust: None,
        }
    }

    /// With nothing but what it needs. It listens, but the first crawl may not be done.
    #[track_caller]
    pub fn start(archive: &TestArchive) -> Self {
        Self::plan(archive).start()
    }

    pub fn get(&self, path: &str) -> TestResponse {
        self.get_with(path, &[])
    }

    /// Under a layout a node that has just begun says to ask again, and whoever asks does.
    pub fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> TestResponse {
        loop {
            let answer = self.request("GET", path, headers);
            if answer.status != 503 || !String::from_utf8_lossy(&answer.body).contains("has just begun") {
                return answer;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Sends JSON, with a token if there is one.
    pub fn post(&self, path: &str, token: Option<&str>, json: &serde_json::Value) -> TestResponse {
        self.send("POST", path, token, json)
    }

    /// Sends JSON by any method.
    pub fn send(&self, method: &str, path: &str, token: Option<&str>, json: &serde_json::Value) -> TestResponse {
        let bearer = token.map(|token| format!("Bearer {token}"));
        let headers: Vec<(&str, &str)> = bearer.iter().map(|value| ("Authorization", value.as_str())).collect();
        self.connect().with_body(method, path, &headers, json.to_string().as_bytes())
    }

    /// The token that the node made for commands on this machine.
    pub fn own_token(&self) -> String {
        let state = self.state.clone().unwrap_or_else(|| self.base.join(".gapless"));
        fs::read_to_string(state.join("daemon.token")).unwrap()
    }

    /// One request on a connection of its own.
    pub fn request(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> TestResponse {
        self.connect().request(method, path, headers)
    }

    pub fn connect(&self) -> Connection {
        match &self.trust {
            Some(trust) => Connection::encrypted(self.address, trust).unwrap(),
            None => Connection::open(self.address),
        }
    }

    /// Sends these bytes and gives back all that comes until the node closes the connection.
    pub fn raw(&self, bytes: &[u8]) -> Vec<u8> {
        let mut connection = self.connect();
        connection.send(bytes);
        connection.read_to_end()
    }

    /// What `/files/{place}` lists; nothing after `files` for the channels.
    #[track_caller]
    pub fn files(&self, place: &str) -> Vec<String> {
        self.get(format!("/files/{}", super::quoted(place)).trim_end_matches('/')).list()
    }

    /// What an hour lists, tombstones included.
    #[track_caller]
    pub fn files_with_tombstones(&self, hour: &str) -> Vec<String> {
        self.get(&format!("/files/{}?tombstones=true", super::quoted(hour))).list()
    }

    /// Waits for the index to have caught up with the disk.
    #[track_caller]
    pub fn wait_ready(&self) {
        eventually(SOON * 2, || self.get("/readyz").status == 200);
    }

    /// Runs another verb on the same directories.
    pub fn run(&self, args: &[&str]) -> Outcome {
        let mut command = command(&self.base);
        if let Some(state) = &self.state {
            command.arg("--state-dir").arg(state);
        }
        finish(command.args(args))
    }

    /// The index equals the tree.
    #[track_caller]
    pub fn check(&self) {
        let outcome = self.run(&["rebuild", "--check"]);
        assert_eq!((outcome.code, outcome.out.as_str()), (0, ""), "{}", outcome.err);
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Memory of its own in KiB. The pages of the program, 60 MiB of one that is not optimised, are the kernel's to drop.
    pub fn own_memory_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// How many descriptors it has open.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().count()
    }

    /// All it has written to stderr.
    pub fn log(&self) -> String {
        fs::read_to_string(self.scratch.path().join("stderr")).unwrap()
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.pid().cast_signed()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Whether it has ended, however it did.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// `kill -9`; returns when it is gone.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM; it must end with 0 within what is promised. Says how long that took.
    #[track_caller]
    pub fn terminate(mut self) -> Duration {
        let begun = Instant::now();
        self.signal(Signal::TERM);
        self.expect_end();
        begun.elapsed()
    }

    /// It must end with 0 within what is promised, after it was told to.
    #[track_caller]
    pub fn expect_end(&mut self) {
        let mut status = None;
        eventually(ENDS_WITHIN, || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        assert_eq!(status.and_then(|status| status.code()), Some(0));
    }
}

impl Drop for TestNode {
    fn drop(&mut self) {
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait()) {
            eprintln!("the node cannot be ended: {error}");
        }
        if std::thread::panicking() {
            eprintln!("--- stderr of the node:\n{}---", self.log());
        }
    }
}
