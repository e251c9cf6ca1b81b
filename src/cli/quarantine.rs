//! The verb `quarantine`: list, restore or delete damaged files. It needs no index: all of it lies beneath the base,
//! and a running daemon notices files that come back.

use std::path::Path;
use std::process::ExitCode;

use super::args::{QuarantineArgs, QuarantineVerb};
use super::config::Config;
use super::out::stdout;
use super::{Exit, UsageError};
use crate::archive::FilePlace;
use crate::archive::escape::{shown, unshown};
use crate::archive::quantity::{count, size};
use crate::disk::{Base, Quarantine};
use crate::sync::scrub::{QuarantineContents, list_of};
use crate::wire::{QuarantineList, QuarantinedFile};

/// Lists the quarantine, or changes it.
pub fn run(config: &Config, args: &QuarantineArgs) -> anyhow::Result<ExitCode> {
    let base = Base::open(&config.base_dir)?;
    match args.what.as_ref().unwrap_or(&QuarantineVerb::List) {
        QuarantineVerb::List => list(config, &base),
        QuarantineVerb::Restore { paths } => restore(&base, paths),
        QuarantineVerb::Purge { paths, healed } => purge(&base, paths, *healed),
    }
}

fn read(base: &Base) -> anyhow::Result<QuarantineList> {
    let kept = QuarantineContents::default();
    kept.look(base, &|_| false)?;
    Ok(list_of(&kept, usize::MAX))
}

fn list(config: &Config, base: &Base) -> anyhow::Result<ExitCode> {
    let list = read(base)?;
    let mut out = stdout();
    if config.json {
        out.json(&list)?;
        return Ok(Exit::Done.into());
    }
    for QuarantinedFile { kept, size: bytes, report } in &list.files {
        let fate = match &report.healed {
            Some(when) => format!("here again since {when}"),
            None if report.problem == "structure" => "not fetched again under this name".to_owned(),
            None => "not here again".to_owned(),
        };
        writeln!(out, "{}", shown(path_of(kept)))?;
        writeln!(out, "  lies in {}, {}, since {}", shown(kept), size(*bytes), report.at)?;
        writeln!(out, "  {}", report.faults.join("; "))?;
        writeln!(out, "  {fate}")?;
    }
    if list.count == 0 {
        writeln!(out, "the quarantine is empty")?;
    } else {
        writeln!(out, "{}, {}; {} not restored", count(list.count, "damaged file"), size(list.bytes), list.lost)?;
    }
    Ok(Exit::Done.into())
}

/// `CHANNEL/QUALITY/HOUR/NAME` of where something lies in the quarantine.
fn path_of(kept: &str) -> &str {
    kept.strip_prefix(".gapless/quarantine/").unwrap_or(kept)
}

fn restore(base: &Base, paths: &[String]) -> anyhow::Result<ExitCode> {
    let mut out = stdout();
    for path in paths.iter().map(|path| unshown(path)) {
        let FilePlace { hour: place, name } = place(&path)?;
        let hour = place.hour.to_string();
        let dir = base.make_dirs([place.stream.channel.as_str(), place.stream.quality.as_str(), &hour])?;
        if !Quarantine::of(base).put_back(&place, &dir, &name)? {
            anyhow::bail!("{path} is not in the quarantine; see `gapless quarantine list`");
        }
        writeln!(out, "restored {}", shown(&path))?;
    }
    Ok(Exit::Done.into())
}

fn purge(base: &Base, paths: &[String], healed: bool) -> anyhow::Result<ExitCode> {
    let mut all: Vec<String> = paths.iter().map(|path| unshown(path).into_owned()).collect();
    if healed {
        let files = read(base)?.files.into_iter().filter(|file| file.report.healed.is_some());
        all.extend(files.map(|file| path_of(&file.kept).to_owned()));
    }
    let mut out = stdout();
    for path in &all {
        let FilePlace { hour: place, name } = place(path)?;
        let Some(bytes) = Quarantine::of(base).delete(&place, &name)? else {
            anyhow::bail!("{path} is not in the quarantine; see `gapless quarantine list`");
        };
        writeln!(out, "deleted {}, {}", shown(path), size(bytes))?;
    }
    Ok(Exit::Done.into())
}

fn place(path: &str) -> Result<FilePlace, UsageError> {
    let within = path_of(path);
    FilePlace::parse(within).map_err(|error| {
        UsageError(format!(
            "{}: {error}; expected CHANNEL/QUALITY/HOUR/NAME as `gapless quarantine list` prints it",
            Path::new(path).display()
        ))
    })
}
