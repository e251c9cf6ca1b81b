//! An archive changed behind everybody's back: random edits by plain file operations, none of them as a recorder works.
//!
//! What an edit wants to do and cannot (a name that is taken, a directory that has become a file) is not done.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, FileTimes};
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{CWD, FileType, Mode, RenameFlags, mknodat, renameat_with};

use super::archive::hash_text;
use super::trouble::{Chance, set_mode};

/// A kind of edit, by its name.
type Edit = (&'static str, fn(&mut Hand) -> io::Result<()>);

const EDITS: &[Edit] = &[
    ("files added", Hand::add_files),
    ("an hour added", Hand::add_hour),
    ("a file removed", Hand::remove_file),
    ("files removed and added, with the directory's time set back", Hand::in_the_same_time),
    ("a file renamed", Hand::rename_file),
    ("a file moved to another hour", Hand::move_file),
    ("a file grown in place", Hand::grow),
    ("a file truncated in place", Hand::truncate),
    ("a file replaced by another of the same name", Hand::replace),
    ("an hour removed", Hand::remove_hour),
    ("an hour renamed or moved", Hand::move_hour),
    ("an hour emptied", Hand::empty_hour),
    ("two hours exchanged", Hand::exchange),
    ("an hour replaced by a copy with other sizes", Hand::other_copy),
    ("a quality renamed", Hand::rename_quality),
    ("a quality removed", Hand::remove_quality),
    ("a channel renamed", Hand::rename_channel),
    ("a file where a directory belongs", Hand::file_for_directory),
    ("a directory where a file belongs", Hand::directory_for_file),
    ("links", Hand::links),
    ("names that are not UTF-8", Hand::not_text),
    ("tombstones", Hand::tombstones),
    ("temporaries", Hand::temporaries),
    ("extras deep beneath", Hand::extras),
    ("names that differ in case", Hand::case),
    ("long names", Hand::long_names),
    ("a pipe", Hand::pipe),
    ("times from the future and the past", Hand::other_times),
];

/// Edits an archive; remembers what it did.
#[derive(Debug)]
pub struct Hand {
    base: PathBuf,
    pub chance: Chance,
    number: usize,
    pub did: Vec<String>,
}

impl Hand {
    pub fn new(base: &Path, chance: Chance) -> Self {
        Self { base: base.to_owned(), chance, number: 0, did: Vec::new() }
    }

    /// Does so many random things, some of them in directories that nobody can read meanwhile.
    pub fn work(&mut self, edits: usize) {
        let closed = self.some_dir(3).filter(|_| self.chance.below(2) == 0);
        for _ in 0..edits {
            let (name, edit) = EDITS[self.chance.below(EDITS.len())];
            self.number += 1;
            let result = edit(self);
            self.did.push(format!("{name}: {result:?}"));
            if let Some(dir) = closed.as_ref().filter(|dir| dir.is_dir()) {
                set_mode(dir, 0o755 * u32::from(self.number.is_multiple_of(2)));
            }
        }
        // It may be elsewhere by now.
        for depth in 1..=3 {
            self.dirs(depth).iter().for_each(|dir| set_mode(dir, 0o755));
        }
    }

    /// Directories so many levels beneath the base, by whatever name.
    fn dirs(&self, depth: usize) -> Vec<PathBuf> {
        let mut level = vec![self.base.clone()];
        for _ in 0..depth {
            level = level.iter().flat_map(|dir| entries(dir, |kind| kind.is_dir())).collect();
            level.retain(|path| !path.ends_with(".gapless"));
        }
        level
    }

    fn some_dir(&mut self, depth: usize) -> Option<PathBuf> {
        let all = self.dirs(depth);
        all.get(self.chance.below(all.len().max(1))).cloned()
    }

    fn some_hour(&mut self) -> io::Result<PathBuf> {
        self.some_dir(3).ok_or(io::ErrorKind::NotFound.into())
    }

    fn some_file(&mut self) -> io::Result<PathBuf> {
        let hour = self.some_hour()?;
        let files = entries(&hour, |kind| kind.is_file());
        files.get(self.chance.below(files.len().max(1))).cloned().ok_or(io::ErrorKind::NotFound.into())
    }

    /// A path that names an hour, which may be there or not.
    fn some_place(&mut self) -> io::Result<PathBuf> {
        let quality = self.some_dir(2).ok_or(io::ErrorKind::NotFound)?;
        Ok(quality.join(format!("2021-03-0{}T{:02}", 1 + self.chance.below(3), self.chance.below(24))))
    }

    fn content(&mut self) -> Vec<u8> {
        vec![0x47; 188 * (1 + self.chance.below(5))]
    }

    /// A name as recorders give them.
    fn fresh_name(&mut self) -> String {
        let kind = ["full", "full", "suspect", "partial", "temp"][self.chance.below(5)];
        let hash = hash_text(self.number.to_string().as_bytes());
        let (minute, second) = (self.chance.below(60), self.chance.below(60));
        match self.chance.below(8) {
            0 => format!("{minute:02}:{second:02}-{hash}.json"),
            1 => format!("{minute:02}:{second:02}.{:06}-2.0-{kind}-{hash}.ts", self.number),
            2 => format!("odd {} \"%41\n.ts", self.number),
            _ => format!("{minute:02}:{second:02}-2.0-{kind}-{hash}.ts"),
        }
    }

    fn put(&mut self, dir: &Path, name: impl AsRef<OsStr>) -> io::Result<()> {
        let content = self.content();
        fs::create_dir_all(dir)?;
        fs::write(dir.join(name.as_ref()), content)
    }

    fn add_files(&mut self) -> io::Result<()> {
        let hour = self.some_hour()?;
        for _ in 0..=self.chance.below(4) {
            let name = self.fresh_name();
            self.put(&hour, name)?;
            self.number += 1;
        }
        Ok(())
    }

    fn add_hour(&mut self) -> io::Result<()> {
        let (place, name) = (self.some_place()?, self.fresh_name());
        self.put(&place, name)
    }

    fn remove_file(&mut self) -> io::Result<()> {
        fs::remove_file(self.some_file()?)
    }

    fn in_the_same_time(&mut self) -> io::Result<()> {
        let file = self.some_file()?;
        let hour = file.parent().unwrap();
        let before = hour.metadata()?.modified()?;
        fs::remove_file(&file)?;
        let name = self.fresh_name();
        self.put(hour, name)?;
        File::open(hour)?.set_times(FileTimes::new().set_modified(before))
    }

    fn rename_file(&mut self) -> io::Result<()> {
        let (file, name) = (self.some_file()?, self.fresh_name());
        fs::rename(&file, file.with_file_name(name))
    }

    fn move_file(&mut self) -> io::Result<()> {
        let (file, hour) = (self.some_file()?, self.some_hour()?);
        fs::rename(&file, hour.join(file.file_name().unwrap()))
    }

    /// A file whose size changes leaves no trace in its directory; something that comes and goes there does.
    fn resize(&mut self, size: impl Fn(u64) -> u64) -> io::Result<()> {
        let path = self.some_file()?;
        let file = File::options().write(true).open(&path)?;
        file.set_len(size(file.metadata()?.len()))?;
        let passing = path.with_file_name("passing");
        fs::write(&passing, "")?;
        fs::remove_file(passing)
    }

    fn grow(&mut self) -> io::Result<()> {
        self.resize(|size| size + 188)
    }

    fn truncate(&mut self) -> io::Result<()> {
        self.resize(|size| size / 2)
    }

    fn replace(&mut self) -> io::Result<()> {
        let (file, content) = (self.some_file()?, self.content());
        let beside = file.with_file_name(".beside");
        fs::write(&beside, content)?;
        fs::rename(beside, file)
    }

    fn remove_hour(&mut self) -> io::Result<()> {
        fs::remove_dir_all(self.some_hour()?)
    }

    fn move_hour(&mut self) -> io::Result<()> {
        let (hour, place) = (self.some_hour()?, self.some_place()?);
        fs::rename(hour, place)
    }

    fn empty_hour(&mut self) -> io::Result<()> {
        let hour = self.some_hour()?;
        entries(&hour, |kind| kind.is_file()).into_iter().try_for_each(fs::remove_file)
    }

    fn exchange(&mut self) -> io::Result<()> {
        let (one, other) = (self.some_hour()?, self.some_hour()?);
        Ok(renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE)?)
    }

    fn other_copy(&mut self) -> io::Result<()> {
        let hour = self.some_hour()?;
        let (before, copy) = (hour.metadata()?.modified()?, hour.with_file_name("copy"));
        fs::create_dir(&copy)?;
        for file in entries(&hour, |kind| kind.is_file()) {
            let content = self.content();
            fs::write(copy.join(file.file_name().unwrap()), content)?;
        }
        fs::remove_dir_all(&hour)?;
        fs::rename(&copy, &hour)?;
        File::open(&hour)?.set_times(FileTimes::new().set_modified(before))
    }

    fn rename_quality(&mut self) -> io::Result<()> {
        let quality = self.some_dir(2).ok_or(io::ErrorKind::NotFound)?;
        let name = ["source", "Source", "480p", "chat", "q\"u%41", ".hidden"][self.chance.below(6)];
        fs::rename(&quality, quality.with_file_name(name))
    }

    fn remove_quality(&mut self) -> io::Result<()> {
        if self.chance.below(3) > 0 {
            return Ok(());
        }
        fs::remove_dir_all(self.some_dir(2).ok_or(io::ErrorKind::NotFound)?)
    }

    fn rename_channel(&mut self) -> io::Result<()> {
        let channel = self.some_dir(1).ok_or(io::ErrorKind::NotFound)?;
        let names: [&[u8]; 6] = [b"one", b"One", "z\u{308}wei".as_bytes(), b"\xff\xfe", b".away", b"three"];
        fs::rename(&channel, channel.with_file_name(OsStr::from_bytes(names[self.chance.below(6)])))
    }

    fn file_for_directory(&mut self) -> io::Result<()> {
        let depth = if self.chance.below(4) == 0 { 2 } else { 3 };
        let dir = self.some_dir(depth).ok_or(io::ErrorKind::NotFound)?;
        fs::remove_dir_all(&dir)?;
        fs::write(dir, "not a directory")
    }

    fn directory_for_file(&mut self) -> io::Result<()> {
        let (file, name) = (self.some_file()?, self.fresh_name());
        fs::remove_file(&file)?;
        self.put(&file, name)
    }

    fn links(&mut self) -> io::Result<()> {
        use std::os::unix::fs::symlink;
        let (file, hour, place, name) = (self.some_file()?, self.some_hour()?, self.some_place()?, self.fresh_name());
        symlink(&file, hour.join(&name))?;
        symlink("nowhere", hour.join(format!("0{name}")))?;
        symlink(&hour, &place)?;
        symlink(".", self.base.join(format!("loop{}", self.number)))?;
        // What was a file is a link to itself, elsewhere.
        let moved = self.base.join(format!("moved{}.ts", self.number));
        fs::rename(&file, &moved)?;
        symlink(moved, file)
    }

    fn not_text(&mut self) -> io::Result<()> {
        let odd = |text: &str| OsString::from_vec([b"\xff", text.as_bytes()].concat());
        let (hour, name) = (self.some_hour()?, self.fresh_name());
        self.put(&hour, odd(&name))?;
        let above = hour.parent().unwrap();
        self.put(&above.join(odd("2021-03-01T00")), &name)?;
        self.put(&self.base.join(odd("channel")).join("source/2021-03-01T00"), &name)
    }

    fn tombstones(&mut self) -> io::Result<()> {
        let file = self.some_file()?;
        let tombstone = file.with_extension("tombstone");
        if tombstone.exists() { fs::remove_file(tombstone) } else { fs::write(tombstone, "") }
    }

    fn temporaries(&mut self) -> io::Result<()> {
        let hour = self.some_hour()?;
        for name in
            [".hidden.ts", "00:00-2.0-temp-abc.ts", "00:00-2.0-temp-.ts", "a.ts.part", ".gapless-1-1.tmp", "b.TS"]
        {
            self.put(&hour, name)?;
        }
        Ok(())
    }

    fn extras(&mut self) -> io::Result<()> {
        let name = self.fresh_name();
        let deep = self.base.join("extras/a/b/c/2021-03-01T00").join(format!("d{}/e/f", self.number));
        self.put(&deep, &name)?;
        let hour = self.some_hour()?;
        self.put(&hour.join("2021-03-01T00"), &name)
    }

    fn case(&mut self) -> io::Result<()> {
        let file = self.some_file()?;
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        for other in [name.to_uppercase(), name.to_lowercase()] {
            self.put(file.parent().unwrap(), other)?;
        }
        self.put(&self.base.join("ONE/SOURCE/2021-03-01T01"), &name)?;
        self.put(&self.base.join("one/source/2021-03-01t01"), &name)
    }

    fn long_names(&mut self) -> io::Result<()> {
        let hour = self.some_hour()?;
        self.put(&hour, format!("{:x<252}.ts", self.number))?;
        self.put(&hour, format!("{:é<126}.ts", self.number % 10))?;
        self.put(&hour, format!("00:0{}-2.{:0<236}-temp-x.ts", self.number % 10, 0))?;
        self.put(&self.base.join("l".repeat(255)).join("q".repeat(255)).join("2021-03-01T02"), "00:00-empty.ts")
    }

    fn pipe(&mut self) -> io::Result<()> {
        let (hour, name) = (self.some_hour()?, self.fresh_name());
        mknodat(CWD, hour.join(name), FileType::Fifo, Mode::RWXU, 0)?;
        mknodat(CWD, self.some_place()?, FileType::Fifo, Mode::RWXU, 0)?;
        Ok(())
    }

    fn other_times(&mut self) -> io::Result<()> {
        let year = Duration::from_secs(365 * 86400);
        let (file, hour) = (self.some_file()?, self.some_hour()?);
        for (path, time) in
            [(&file, SystemTime::now() + year), (&hour, SystemTime::now() + year), (&hour, SystemTime::UNIX_EPOCH)]
        {
            if self.chance.below(2) == 0 {
                File::open(path)?.set_times(FileTimes::new().set_modified(time))?;
            }
        }
        Ok(())
    }
}

/// Paths right beneath a directory; nothing where it cannot be read.
fn entries(dir: &Path, wanted: impl Fn(fs::FileType) -> bool) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let found = entries.filter_map(Result::ok).filter(|entry| entry.file_type().is_ok_and(&wanted));
    let mut paths: Vec<PathBuf> = found.map(|entry| entry.path()).collect();
    paths.sort_unstable();
    paths
}
