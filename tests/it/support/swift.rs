//! A distributed object store with an S3 interface: `OpenStack` Swift, with a device in each of three zones.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/swift");
/// What `scripts/swift` ends with where Swift cannot be installed.
const NOT_INSTALLED: i32 = 3;

/// The store; it ends with the value.
#[derive(Debug)]
pub struct Swift {
    dir: TempDir,
}

impl Swift {
    pub const BUCKET: &str = "archive";
    pub const KEY: &str = "test:tester";
    pub const SECRET: &str = "testing";
    pub const REGION: &str = "us-east-1";

    /// With an empty bucket; none, which is said, on a machine on which Swift cannot be installed.
    pub fn start() -> Option<Self> {
        let swift = Self { dir: tempfile::tempdir().unwrap() };
        swift.begin().then_some(swift)
    }

    fn begin(&self) -> bool {
        let done = Command::new(SCRIPT).arg("start").arg(self.dir.path()).output().unwrap();
        if done.status.code() == Some(NOT_INSTALLED) {
            eprintln!("left out, as Swift is not here: {}", String::from_utf8_lossy(&done.stderr));
            return false;
        }
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        true
    }

    pub fn url(&self) -> String {
        fs::read_to_string(self.dir.path().join("url")).unwrap().trim().to_owned()
    }

    pub fn stop(&self) {
        assert!(Command::new(SCRIPT).arg("stop").arg(self.dir.path()).status().unwrap().success());
    }

    /// Goes on with what was in it when it was stopped.
    pub fn go_on(&self) {
        assert!(self.begin());
    }

    /// The server of one of the three devices dies.
    pub fn kill_device(&self, number: u32) {
        let file = self.dir.path().join(format!("object-{number}.pid"));
        let pid: i32 = fs::read_to_string(&file).unwrap().trim().parse().unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
        fs::remove_file(file).unwrap();
    }

    /// Where one of its devices keeps what it has.
    pub fn device(&self, number: u32) -> PathBuf {
        self.dir.path().join(format!("d{number}"))
    }

    /// Changes the bytes of everything that one device has.
    pub fn damage_device(&self, number: u32) -> usize {
        let mut damaged = 0;
        let mut dirs = vec![self.device(number).join("objects")];
        while let Some(dir) = dirs.pop() {
            for entry in fs::read_dir(&dir).unwrap().map(Result::unwrap) {
                let path = entry.path();
                if path.is_dir() {
                    dirs.push(path);
                } else if path.extension().is_some_and(|end| end == "data") {
                    damaged += usize::from(flip(&path));
                }
            }
        }
        damaged
    }
}

/// One bit in the middle, in place.
fn flip(path: &Path) -> bool {
    use std::os::unix::fs::FileExt as _;
    let file = fs::File::options().read(true).write(true).open(path).unwrap();
    let (middle, mut byte) = (file.metadata().unwrap().len() / 2, [0]);
    if file.read_at(&mut byte, middle).unwrap() == 0 {
        return false;
    }
    file.write_at(&[byte[0] ^ 1], middle).unwrap() == 1
}

impl Drop for Swift {
    fn drop(&mut self) {
        drop(Command::new(SCRIPT).arg("stop").arg(self.dir.path()).status());
    }
}
