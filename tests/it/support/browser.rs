//! A real browser without a window: Chromium, told what to do by its driver. Nothing of either is left with the value.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{SOON, TestNode, eventually};

/// What a browser takes to start on a machine that is busy.
const STARTS_WITHIN: Duration = Duration::from_secs(60);
/// Two at the same time would take the memory of all other tests.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A browser with one page.
pub struct Browser {
    driver: Child,
    address: SocketAddr,
    session: String,
    _profile: TempDir,
    _turn: MutexGuard<'static, ()>,
}

/// A request to the driver, and the value of its answer. Drivers have a connection for each, and say how long an answer is.
fn ask(address: SocketAddr, method: &str, path: &str, body: &Value) -> io::Result<Result<Value, String>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(STARTS_WITHIN))?;
    let body = body.to_string();
    let length = body.len();
    stream.write_all(
        format!("{method} /{path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}").as_bytes(),
    )?;
    let mut answer = BufReader::new(stream);
    let (mut line, mut status, mut length) = (String::new(), String::new(), 0);
    while answer.read_line(&mut line)? > 2 {
        if status.is_empty() {
            status = line.trim_end().to_owned();
        } else if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
        line.clear();
    }
    let mut text = vec![0; length];
    answer.read_exact(&mut text)?;
    let value = serde_json::from_slice::<Value>(&text)?["value"].take();
    Ok(if status.contains(" 200 ") { Ok(value) } else { Err(format!("{method} {path}: {status}: {value}")) })
}

impl Browser {
    /// With a page of this size in pixels.
    #[track_caller]
    pub fn start(width: u32, height: u32) -> Self {
        let turn = ONE_AT_A_TIME.lock();
        let profile = tempfile::tempdir().unwrap();
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let mut command = Command::new("chromedriver");
        command.arg(format!("--port={port}")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // What it starts goes with it.
        let driver = command.process_group(0).env("TMPDIR", profile.path()).env("TZ", "Asia/Kolkata").spawn();
        let driver = driver.unwrap_or_else(|error| {
            panic!(
                "cannot start chromedriver ({error}); these tests need Debian's packages chromium and chromium-driver"
            )
        });
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        eventually(STARTS_WITHIN, || TcpStream::connect(address).is_ok());
        let data = profile.path().join("profile");
        let mut arguments = vec![
            "--headless=new".to_owned(),
            format!("--window-size={width},{height}"),
            format!("--user-data-dir={}", data.display()),
            "--disable-dev-shm-usage".to_owned(),
            "--disable-gpu".to_owned(),
            "--hide-scrollbars".to_owned(),
        ];
        if rustix::process::geteuid().is_root() {
            arguments.push("--no-sandbox".to_owned());
        }
        let options = json!({
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
        });
        let wanted = json!({ "capabilities": { "alwaysMatch": options } });
        let session = ask(address, "POST", "session", &wanted).unwrap().unwrap();
        let session = session["sessionId"].as_str().unwrap().to_owned();
        let browser = Self { driver, address, session, _profile: profile, _turn: turn };
        // A window has a least width; a page may have any.
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        browser.devtools("Emulation.setDeviceMetricsOverride", &size);
        browser
    }

    #[track_caller]
    fn command(&self, path: &str, body: &Value) -> Value {
        let path = format!("session/{}/{path}", self.session);
        ask(self.address, "POST", &path, body).unwrap().unwrap_or_else(|error| panic!("{error}"))
    }

    /// A command of the browser's own tools.
    pub fn devtools(&self, command: &str, parameters: &Value) -> Value {
        self.command("goog/cdp/execute", &json!({ "cmd": command, "params": parameters }))
    }

    /// Opens a page of a node.
    pub fn open(&self, node: &TestNode, path: &str) {
        // Another fragment of the same page would not load it.
        self.command("url", &json!({ "url": "about:blank" }));
        self.command("url", &json!({ "url": format!("http://{}{path}", node.address) }));
    }

    /// What a function body returns in the page.
    #[track_caller]
    pub fn run(&self, script: &str) -> Value {
        self.command("execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// What an expression is, as text; empty for what there is not.
    #[track_caller]
    pub fn text(&self, expression: &str) -> String {
        self.run(&format!("const found = {expression}; return found == null ? '' : String(found)"))
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// Waits until an expression is true.
    #[track_caller]
    pub fn wait_until(&self, expression: &str) {
        let mut last = Value::Null;
        let begun = std::time::Instant::now();
        while begun.elapsed() < SOON * 2 {
            last = self.run(&format!("return {expression}"));
            if last == json!(true) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let page = self.text("document.body.innerText");
        panic!("this did not come true: {expression} (it is {last})\n{page}\n{:?}", self.log());
    }

    /// Presses a key; those without a letter by their code in the standard.
    pub fn press(&self, key: &str) {
        let keys = json!([{ "type": "keyDown", "value": key }, { "type": "keyUp", "value": key }]);
        self.command("actions", &json!({ "actions": [{ "type": "key", "id": "keys", "actions": keys }] }));
    }

    /// Moves the pointer to a place in the page.
    pub fn point(&self, (x, y): (i64, i64)) {
        self.pointer(&json!([{ "type": "pointerMove", "duration": 0, "x": x, "y": y }]));
    }

    /// Clicks where the pointer is.
    pub fn click(&self) {
        self.pointer(&json!([{ "type": "pointerDown", "button": 0 }, { "type": "pointerUp", "button": 0 }]));
    }

    /// Drags from one place to another.
    pub fn drag(&self, (x, y): (i64, i64), by: i64) {
        self.pointer(&json!([
            { "type": "pointerMove", "duration": 0, "x": x, "y": y }, { "type": "pointerDown", "button": 0 },
            { "type": "pointerMove", "duration": 50, "x": x + by, "y": y }, { "type": "pointerUp", "button": 0 },
        ]));
    }

    fn pointer(&self, steps: &Value) {
        let mouse =
            json!({ "type": "pointer", "id": "mouse", "parameters": { "pointerType": "mouse" }, "actions": steps });
        self.command("actions", &json!({ "actions": [mouse] }));
    }

    /// Turns the wheel there.
    pub fn wheel(&self, (x, y): (i64, i64), by: i64) {
        let turn = json!([{ "type": "scroll", "x": x, "y": y, "deltaX": 0, "deltaY": by, "duration": 0 }]);
        self.command("actions", &json!({ "actions": [{ "type": "wheel", "id": "wheel", "actions": turn }] }));
    }

    /// The same while Ctrl is held.
    pub fn wheel_with_ctrl(&self, (x, y): (i64, i64), by: i64) {
        let pause = || json!({ "type": "pause", "duration": 0 });
        let ctrl = "\u{e009}";
        let keys = json!([{ "type": "keyDown", "value": ctrl }, pause(), { "type": "keyUp", "value": ctrl }]);
        let turn =
            json!([pause(), { "type": "scroll", "x": x, "y": y, "deltaX": 0, "deltaY": by, "duration": 0 }, pause()]);
        let both = json!([{ "type": "key", "id": "keys", "actions": keys }, { "type": "wheel", "id": "wheel", "actions": turn }]);
        self.command("actions", &json!({ "actions": both }));
    }

    /// What the page and the browser have complained of since this was last asked.
    pub fn log(&self) -> Vec<String> {
        let entries = self.command("se/log", &json!({ "type": "browser" }));
        let entries = entries.as_array().cloned().unwrap_or_default();
        entries.iter().filter(|entry| entry["level"] == "SEVERE").map(|entry| entry["message"].to_string()).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The browser ends with its session. Nothing may fail here.
        let ended = ask(self.address, "DELETE", &format!("session/{}", self.session), &json!({}));
        if !matches!(ended, Ok(Ok(_))) {
            eprintln!("the browser did not end when it was told: {ended:?}");
        }
        let group = Pid::from_raw(self.driver.id().cast_signed());
        if let Some(Err(error)) = group.map(|group| kill_process_group(group, Signal::KILL)) {
            eprintln!("the browser's driver cannot be ended: {error}");
        }
        if let Err(error) = self.driver.wait() {
            eprintln!("the browser's driver cannot be waited for: {error}");
        }
    }
}
