//! What causes trouble: mounts that fill up, vanish or turn read-only, rights that are missing, and chance.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{SOON, TestNode, eventually};

/// Ways that only root may go; a test that cannot go them says why and ends.
pub fn may_mount() -> bool {
    let dir = tempfile::tempdir().unwrap();
    let mount = Mount::try_tmpfs(dir.path(), "1m");
    if let Err(why) = &mount {
        eprintln!("SKIPPED: nothing can be mounted here: {why}");
    }
    mount.is_ok()
}

/// Something mounted; unmounted with the value.
#[derive(Debug)]
pub struct Mount(PathBuf);

impl Mount {
    fn try_tmpfs(at: &Path, size: &str) -> Result<Self, String> {
        run("mount", &["-t", "tmpfs", "-o", &format!("size={size},mode=755"), "tmpfs", text(at)])?;
        Ok(Self(at.to_owned()))
    }

    /// An empty file system of this size (`8m`), which lies in memory.
    pub fn tmpfs(at: &Path, size: &str) -> Self {
        Self::try_tmpfs(at, size).unwrap()
    }

    /// The directory `from`, seen at `at` as well.
    pub fn bind(from: &Path, at: &Path) -> Self {
        run("mount", &["--bind", text(from), text(at)]).unwrap();
        Self(at.to_owned())
    }

    pub fn read_only(&self) {
        run("mount", &["-o", "remount,bind,ro", text(&self.0)]).unwrap();
    }

    pub fn writable(&self) {
        run("mount", &["-o", "remount,bind,rw", text(&self.0)]).unwrap();
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily: a process may still have files open there.
        if let Err(why) = run("umount", &["-l", text(&self.0)]) {
            eprintln!("{why}");
        }
    }
}

/// Programs that make root obey the modes of files like anybody else.
pub const WITHOUT_PRIVILEGE: &[&str] =
    &["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search", "--"];

/// Whether [`WITHOUT_PRIVILEGE`] has the effect that it should have.
pub fn may_drop_privilege() -> bool {
    let dir = tempfile::tempdir().unwrap();
    set_mode(dir.path(), 0);
    let mut words = WITHOUT_PRIVILEGE.iter().copied().chain(["ls", text(dir.path())]);
    let denied = Command::new(words.next().unwrap()).args(words).output();
    set_mode(dir.path(), 0o700);
    let works = denied.as_ref().is_ok_and(|output| String::from_utf8_lossy(&output.stderr).contains("denied"));
    if !works {
        eprintln!("SKIPPED: modes cannot be made to count here: {denied:?}");
    }
    works
}

pub fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Writes to a hidden file until there is no room left; gives room back with the value.
#[derive(Debug)]
pub struct Filler(PathBuf);

impl Filler {
    pub fn fill(dir: &Path) -> Self {
        use std::io::Write as _;
        let path = dir.join(".filler");
        let mut file = fs::File::create(&path).unwrap();
        for size in [1 << 20, 4096] {
            while file.write_all(&vec![1; size]).is_ok() {}
        }
        Self(path)
    }

    pub fn give_room(self) {
        fs::remove_file(self.0).unwrap();
    }
}

/// Runs a program that must succeed.
pub fn run(program: &str, args: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(args).output().map_err(|error| format!("{program}: {error}"))?;
    let failed = || format!("{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    if output.status.success() { Ok(()) } else { Err(failed()) }
}

pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Waits until the index is on disk and takes writes.
#[track_caller]
pub fn wait_for_a_good_index(node: &TestNode) {
    eventually(SOON * 2, || node.get("/api/v1/status").json()["index"]["state"] == "good");
}

/// The node lives, and nothing in it has panicked outside what is guarded.
#[track_caller]
pub fn is_alive(node: &TestNode) {
    assert_eq!(node.get("/healthz").status, 200);
    assert!(!node.log().contains("crashed"), "{}", node.log());
}

/// Numbers that look like chance and come again with the same seed.
#[derive(Debug)]
pub struct Chance(u64);

impl Chance {
    /// From `GAPLESS_SEED`, or a new one; printed, so that what went wrong can be had again.
    pub fn new(test: &str) -> Self {
        Self::from(test, "GAPLESS_SEED")
    }

    /// The same from another variable.
    pub fn from(test: &str, variable: &str) -> Self {
        let given = std::env::var(variable).ok().and_then(|text| text.parse().ok());
        let seed = given.unwrap_or_else(rand::random);
        eprintln!("{test}: {variable}={seed}");
        Self(seed)
    }

    /// With a seed that somebody else tells.
    pub fn of(seed: u64) -> Self {
        Self(seed)
    }

    pub fn below(&mut self, end: usize) -> usize {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % end as u64).unwrap()
    }
}
