//! A real browser without a window: Chromium, told what to do by its driver. Nothing of either is left with the value.

use std::future::Future;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use axum::http::Method;
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use parking_lot::{Mutex, MutexGuard};
use reqwest::Url;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::{SOON, TestNode, eventually};

/// What a browser takes to start on a machine that is busy.
const STARTS_WITHIN: Duration = Duration::from_secs(60);
/// Two at the same time would take the memory of all other tests.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A browser with one page.
pub struct Browser {
    client: Client,
    runtime: Runtime,
    driver: Child,
    port: u16,
    session: String,
    _profile: TempDir,
    _turn: MutexGuard<'static, ()>,
}

/// A command that the driver has beside those of the standard.
#[derive(Debug)]
struct Custom {
    path: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for Custom {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, <Url as std::str::FromStr>::Err> {
        base.join(&format!("session/{}/{}", session.unwrap(), self.path))
    }

    fn method_and_body(&self, _url: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.body.to_string()))
    }
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
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
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
        let wanted = json!({
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
        });
        let Value::Object(wanted) = wanted else { unreachable!() };
        let builder = ClientBuilder::new(HttpConnector::new()).capabilities(wanted).to_owned();
        let connecting = async {
            let client = builder.connect(&format!("http://{address}")).await.unwrap();
            let session = client.session_id().await.unwrap().unwrap();
            (client, session)
        };
        let (client, session) = runtime.block_on(connecting);
        let browser = Self { client, runtime, driver, port, session, _profile: profile, _turn: turn };
        // A window has a least width; a page may have any.
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        browser.devtools("Emulation.setDeviceMetricsOverride", &size);
        browser
    }

    fn wait<T>(&self, work: impl Future<Output = Result<T, fantoccini::error::CmdError>>) -> T {
        self.runtime.block_on(work).unwrap()
    }

    fn custom(&self, path: &'static str, body: Value) -> Value {
        self.wait(self.client.issue_cmd(Custom { path, body }))
    }

    /// A command of the browser's own tools.
    pub fn devtools(&self, command: &str, parameters: &Value) -> Value {
        self.custom("goog/cdp/execute", json!({ "cmd": command, "params": parameters }))
    }

    /// Opens a page of a node.
    pub fn open(&self, node: &TestNode, path: &str) {
        // Another fragment of the same page would not load it.
        self.wait(self.client.goto("about:blank"));
        self.wait(self.client.goto(&format!("http://{}{path}", node.address)));
    }

    /// What a function body returns in the page.
    #[track_caller]
    pub fn run(&self, script: &str) -> Value {
        self.wait(self.client.execute(script, Vec::new()))
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
        self.custom("actions", json!({ "actions": [{ "type": "key", "id": "keys", "actions": keys }] }));
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
        self.custom("actions", json!({ "actions": [mouse] }));
    }

    /// Turns the wheel there.
    pub fn wheel(&self, (x, y): (i64, i64), by: i64) {
        let turn = json!([{ "type": "scroll", "x": x, "y": y, "deltaX": 0, "deltaY": by, "duration": 0 }]);
        self.custom("actions", json!({ "actions": [{ "type": "wheel", "id": "wheel", "actions": turn }] }));
    }

    /// The same while Ctrl is held.
    pub fn wheel_with_ctrl(&self, (x, y): (i64, i64), by: i64) {
        let pause = || json!({ "type": "pause", "duration": 0 });
        let ctrl = "\u{e009}";
        let keys = json!([{ "type": "keyDown", "value": ctrl }, pause(), { "type": "keyUp", "value": ctrl }]);
        let turn =
            json!([pause(), { "type": "scroll", "x": x, "y": y, "deltaX": 0, "deltaY": by, "duration": 0 }, pause()]);
        let both = json!([{ "type": "key", "id": "keys", "actions": keys }, { "type": "wheel", "id": "wheel", "actions": turn }]);
        self.custom("actions", json!({ "actions": both }));
    }

    /// What the page and the browser have complained of since this was last asked.
    pub fn log(&self) -> Vec<String> {
        let entries = self.custom("se/log", json!({ "type": "browser" }));
        let entries = entries.as_array().cloned().unwrap_or_default();
        entries.iter().filter(|entry| entry["level"] == "SEVERE").map(|entry| entry["message"].to_string()).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Told by hand, because nothing may fail here: the browser ends with its session.
        let ended = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).and_then(|mut stream| {
            stream.set_read_timeout(Some(SOON))?;
            let path = format!("/session/{}", self.session);
            stream.write_all(
                format!("DELETE {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n").as_bytes(),
            )?;
            BufReader::new(stream).read_line(&mut String::new())
        });
        if let Err(error) = ended {
            eprintln!("the browser did not end when it was told: {error}");
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
