//! The verb `import`: recordings that ffmpeg, OBS or another program has made become segments of an archive.
//!
//! 1. A file is read once: hash, duration, whether it is whole. One that some process may still write to is left for later.
//! 2. Its start is found (`start_time`), from the archive where it goes on from what is there.
//! 3. It is published when the next one is known, up to whose start it lasts. It is linked or copied, and never replaces anything.
//! 4. An original is only removed with `--move`, after its content is durable in the archive.
//!
//! Neither index nor lock is needed: a daemon that runs sees the files as it sees those of a recorder, and otherwise the next one does.

mod args;
mod measured;
mod name_pattern;
mod original;
mod publish;
mod report;
mod start_time;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use chrono::{Local, LocalResult, NaiveDateTime, TimeZone as _};

use super::args::now;
use super::config::Config;
use super::exit::{Exit, UsageError};
use super::new_archive::{check_disk, check_move};
use super::out::stderr_line;
use crate::archive::escape::unshown;
use crate::archive::{FileName, Span, Stream, Timestamp, parse_file_name, time_input};
use crate::disk::{Base, DiskError};
pub use args::ImportArgs;
use name_pattern::{NamePattern, NameTime};
use original::{Original, OriginalContent, Writers};
use publish::{ArchiveHours, SegmentOfHour, Way};
use report::{Line, Outcome, Report};
use start_time::{Before, Placement, Recording, StartFrom, length, natural_order, place};

/// A name and the last change of a file that agree to this are not remarked on.
const AGREE: Span = Span::from_us(60_000_000);

pub fn run(config: &Config, args: &ImportArgs) -> anyhow::Result<ExitCode> {
    let stream = stream(args)?;
    let names = args.name_pattern.as_deref().map(NamePattern::new).transpose();
    let names = names.map_err(|why| UsageError(format!("--name-pattern {why}")))?;
    let zone = Zone::parse(&args.name_zone).map_err(UsageError)?;
    let base = Base::open(&config.base_dir)?;
    if args.moving && !args.dry_run {
        check_move(&base)?;
    }
    check_disk(config, &base)?;
    let run = Run {
        args,
        base: &base,
        names,
        zone,
        writers: Writers::now(),
        hours: ArchiveHours::new(&base, &stream),
        report: Report::new(config.json),
        before: None,
        waiting: None,
    };
    tokio::task::block_in_place(|| run.all())
}

fn stream(args: &ImportArgs) -> Result<Stream, UsageError> {
    let (channel, quality) = (unshown(&args.channel), unshown(&args.quality));
    let stream = Stream::new(&channel, &quality).map_err(|error| {
        UsageError(format!("--channel {channel:?} --quality {quality:?}: {error}; expected names of directories, such as desertbus and source"))
    })?;
    if stream.quality.is_chat() {
        return Err(UsageError(
            "--quality chat holds chat; recordings need another quality, such as source".to_owned(),
        ));
    }
    Ok(stream)
}

/// When a file begins, and who says so, if anybody does.
type Begins = Option<(Timestamp, StartFrom)>;

/// A file that was read and has its place, until the next one is known.
struct Waiting {
    original: Original,
    content: OriginalContent,
    placement: Placement,
    note: Option<String>,
}

struct Run<'a> {
    args: &'a ImportArgs,
    base: &'a Base,
    names: Option<NamePattern>,
    zone: Zone,
    writers: Writers,
    hours: ArchiveHours<'a>,
    report: Report,
    before: Option<Before>,
    waiting: Option<Waiting>,
}

impl Run<'_> {
    fn all(mut self) -> anyhow::Result<ExitCode> {
        for path in self.in_order() {
            match Original::open(&path) {
                Ok(original) => self.one(original)?,
                Err(why) => self.leave(&path, Outcome::Refused, Some(why))?,
            }
        }
        self.publish_waiting(None)?;
        stderr_line(format_args!("{}", self.report.summary(self.args.dry_run)));
        Ok(if self.report.refused > 0 { Exit::DataWrong } else { Exit::Done }.into())
    }

    /// In the order of time, as far as that is known without reading them; names count where copying has set the times of change.
    fn in_order(&self) -> Vec<PathBuf> {
        let by_change = self.args.start.is_none() && self.names.is_none();
        let mut files: Vec<(Option<std::time::SystemTime>, String, PathBuf)> = self
            .args
            .files
            .iter()
            .map(|path| {
                let changed = std::fs::metadata(path).and_then(|meta| meta.modified()).ok();
                (changed.filter(|_| by_change), path.to_string_lossy().into_owned(), path.clone())
            })
            .collect();
        files.sort_by(|one, other| one.0.cmp(&other.0).then_with(|| natural_order(&one.1, &other.1)));
        files.dedup_by(|one, other| one.2 == other.2);
        files.into_iter().map(|(.., path)| path).collect()
    }

    fn one(&mut self, mut original: Original) -> anyhow::Result<()> {
        let path = original.path.clone();
        if original.is_segment_of(self.base.path()) {
            let why = "it is a segment of this archive already; import takes recordings from elsewhere";
            return self.leave(&path, Outcome::Refused, Some(why.to_owned()));
        }
        if self.writers.may_grow(&original, now()) {
            return self.leave(&path, Outcome::BeingWritten, None);
        }
        let content = match original.read() {
            Ok(content) => content,
            Err(why) => return self.leave(&path, Outcome::Refused, Some(why)),
        };
        if !original.is_unchanged().unwrap_or_default() {
            return self.leave(&path, Outcome::BeingWritten, None);
        }
        let (begins, note) = match self.begins(&original, &content) {
            Ok(found) => found,
            Err(why) => return self.leave(&path, Outcome::Refused, Some(why)),
        };
        let recording = Recording { clock: content.clock, begins };
        let before = self.before(&recording)?;
        let placement = match place(&recording, before.as_ref(), now()) {
            Ok(placement) => placement,
            Err(why) => return self.leave(&path, Outcome::Refused, Some(why.to_string())),
        };
        if let Some(there) = self.hours.with_content(&content.hash, placement.start)? {
            self.publish_waiting(Some(&placement))?;
            return self.already_there(&original, &content, &there);
        }
        self.publish_waiting(Some(&placement))?;
        self.before = Some(Before { start: placement.start, length: placement.length, clock: content.clock });
        let note = note.filter(|_| placement.from != StartFrom::Continues);
        self.waiting = Some(Waiting { original, content, placement, note });
        Ok(())
    }

    /// When a file begins by what is known of it beside its time stamps, and what is to be said about that.
    fn begins(&self, original: &Original, content: &OriginalContent) -> Result<(Begins, Option<String>), String> {
        if let Some(start) = self.args.start {
            let is_first = self.before.is_none();
            return Ok((is_first.then_some((start, StartFrom::Given)), None));
        }
        let by_change = original.changed() - length(&content.clock);
        let Some(names) = &self.names else { return Ok((Some((by_change, StartFrom::LastChange)), None)) };
        let name = original.path.to_string_lossy();
        let pattern = self.args.name_pattern.as_deref().unwrap_or_default();
        let written = names.read(&name).ok_or_else(|| format!("its name is not one of --name-pattern {pattern}"))?;
        let start = self
            .zone
            .time(written, by_change)
            .ok_or("its name is a time that does not exist in its time zone (--name-zone)")?;
        let is_far = (start - by_change).us().abs() > AGREE.us();
        let remark = || {
            format!("by its last change it would start at {by_change}: is --name-zone {} right?", self.args.name_zone)
        };
        Ok((Some((start, StartFrom::Name)), is_far.then(remark)))
    }

    /// What a recording may go on from: the file before it, or what is in the archive.
    fn before(&mut self, recording: &Recording) -> Result<Option<Before>, DiskError> {
        let goes_on = self.before.is_some_and(|before| before.continued(recording).is_some());
        match recording.begins {
            Some((at, from)) if !goes_on && from != StartFrom::Given => {
                let there = self.hours.before(recording, at)?;
                Ok(there.filter(|there| there.continued(recording).is_some()).or(self.before).or(there))
            }
            _ => Ok(self.before),
        }
    }

    fn already_there(
        &mut self,
        original: &Original,
        content: &OriginalContent,
        there: &SegmentOfHour,
    ) -> anyhow::Result<()> {
        let outcome = if there.key.tombstone { Outcome::Hidden } else { Outcome::AlreadyThere };
        let (start, length) = (there.key.start(there.hour), there.key.duration());
        self.before = Some(Before { start, length, clock: content.clock });
        let mut note = None;
        if self.args.moving && !self.args.dry_run && outcome == Outcome::AlreadyThere {
            let removed = if self.hours.is_sound(there)? {
                original.remove(&self.base.path().join(self.hours.place(there.hour).path()))
            } else {
                Err("the one in the archive is damaged".to_owned())
            };
            note =
                Some(removed.map_or_else(
                    |why| format!("the original stays: {why}"),
                    |()| "the original was removed".to_owned(),
                ));
        }
        let line =
            Line::new(&original.path, outcome, note).lies(format!("{}/{}", self.hours.place(there.hour), there.name));
        Ok(self.report.add(&line, None)?)
    }

    fn leave(&mut self, path: &Path, outcome: Outcome, note: Option<String>) -> anyhow::Result<()> {
        // Earlier files are reported first.
        self.publish_waiting(None)?;
        Ok(self.report.add(&Line::new(path, outcome, note), None)?)
    }

    /// Publishes the file before, which lasts up to the next if that goes on from it.
    fn publish_waiting(&mut self, next: Option<&Placement>) -> anyhow::Result<()> {
        let Some(Waiting { mut original, content, placement, note }) = self.waiting.take() else { return Ok(()) };
        let placement = next.map_or(placement, |next| placement.up_to(next));
        let (hour, name) = placement.name(content.kind, content.container, content.hash);
        let place = self.hours.place(hour);
        let (outcome, remark) = if self.args.dry_run {
            (Outcome::Planned, None)
        } else {
            let way = Way::of(self.args, &original, self.base);
            match publish::publish(self.base, &place, &name, &mut original, &content, way)? {
                Ok(done) => done,
                Err(why) => {
                    return Ok(self.report.add(&Line::new(&original.path, Outcome::Refused, Some(why)), None)?);
                }
            }
        };
        if let FileName::Understood(key) = parse_file_name(&name) {
            self.hours.note(SegmentOfHour { hour, key, name: name.as_str().into() }, content.clock);
        }
        let notes: Vec<String> = [content.fault, note, remark].into_iter().flatten().collect();
        let joined = (!notes.is_empty()).then(|| notes.join("; "));
        let line = Line::new(&original.path, outcome, joined).placed(
            format!("{place}/{name}"),
            &placement,
            content.kind.as_str(),
            content.bytes,
        );
        Ok(self.report.add(&line, Some(&placement))?)
    }
}

/// The zone of the times in names: recorders write the local time of their machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Zone {
    /// That of this machine.
    Local,
    /// So far ahead of UTC.
    Ahead(Span),
}

impl Zone {
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "local" => Ok(Self::Local),
            text => time_input::offset(text)
                .map(Self::Ahead)
                .ok_or_else(|| format!("--name-zone {text:?}: expected local, utc, or an offset such as +01:00")),
        }
    }

    /// The time that a name means; of two, in the hour that daylight saving repeats, the one nearer to `about`.
    pub fn time(self, named: NameTime, about: Timestamp) -> Option<Timestamp> {
        let local = match named {
            NameTime::Utc(time) => return Some(time),
            NameTime::Local(local) => local,
        };
        match self {
            Self::Ahead(ahead) => Some(utc(local) - ahead),
            Self::Local => match Local.from_local_datetime(&local) {
                LocalResult::Single(time) => Some(Timestamp::from_us(time.timestamp_micros())),
                LocalResult::Ambiguous(one, other) => {
                    let both = [one, other].map(|time| Timestamp::from_us(time.timestamp_micros()));
                    both.into_iter().min_by_key(|time| (*time - about).us().abs())
                }
                LocalResult::None => None,
            },
        }
    }
}

fn utc(local: NaiveDateTime) -> Timestamp {
    Timestamp::from_us(local.and_utc().timestamp_micros())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_in_the_zone_that_was_named() {
        let local = Timestamp::from_us(1_573_613_708_000_000);
        let named = NameTime::Local(chrono::DateTime::from_timestamp_micros(local.us()).unwrap().naive_utc());
        let time = |zone: &str| Zone::parse(zone).unwrap().time(named, local).unwrap();
        assert_eq!((time("utc"), time("+00:00")), (local, local));
        assert_eq!(time("+01:00"), local - Span::from_us(3_600_000_000));
        assert_eq!(time("-0530"), local + Span::from_us(19_800_000_000));
        assert_eq!(Zone::Local.time(NameTime::Utc(local), local), Some(local));
        for wrong in ["", "CET", "1", "Europe/Berlin"] {
            assert!(Zone::parse(wrong).unwrap_err().contains("+01:00"), "{wrong}");
        }
    }
}
