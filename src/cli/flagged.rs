//! The verb `flagged`: segments that the scrub found odd, and that stay where they are. Like the quarantine it needs no index: the list lies
//! beneath the base.

use std::process::ExitCode;

use super::Exit;
use super::config::Config;
use super::out::stdout;
use crate::archive::escape::shown;
use crate::archive::quantity::count;
use crate::disk::Base;
use crate::sync::scrub::read_flagged;

/// Lists what is flagged.
pub fn run(config: &Config) -> anyhow::Result<ExitCode> {
    let list = read_flagged(&Base::open(&config.base_dir)?)?;
    let mut out = stdout();
    if config.json {
        out.json(&list)?;
        return Ok(Exit::Done.into());
    }
    for file in &list.files {
        writeln!(out, "{}", shown(&file.path))?;
        writeln!(out, "  {} since {}: {}", file.problem, file.at, file.faults.join("; "))?;
    }
    let (flagged, left_out) = (count(list.count, "segment"), list.left_out);
    let more = if left_out > 0 { format!("; {left_out} more were found in this cycle") } else { String::new() };
    writeln!(out, "{flagged} flagged{more}")?;
    Ok(Exit::Done.into())
}
