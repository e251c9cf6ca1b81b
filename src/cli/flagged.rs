//! The verb `flagged`: segments that the scrub found odd, and that stay where they are. Like the quarantine it needs no index: the list lies
//! beneath the base.

use std::process::ExitCode;

use super::Exit;
use super::config::Config;
use super::out::stdout;
use crate::disk::Base;
use crate::domain::escape::shown;
use crate::scrub::read_flagged;

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
    if list.left_out > 0 {
        writeln!(out, "{} segments are flagged; {} more were found in this cycle", list.count, list.left_out)?;
    } else {
        writeln!(out, "{} segments are flagged", list.count)?;
    }
    Ok(Exit::Done.into())
}
