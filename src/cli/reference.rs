//! The verbs `completions` and `man`: the command line as shells and `man` read it, from the same definition by which it is parsed.
//!
//! They need neither an archive nor settings, so that a package can be made where there are none.

use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Command;
use clap_complete::Shell;

use super::exit::Exit;
use super::out::raw_stdout;

pub fn completions(args: CompletionArgs, program: &mut Command) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, program, "gapless", &mut script);
    match raw_stdout().write_all(&script) {
        // The reader closed the pipe.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        written => written.context("cannot print the completions")?,
    }
    Ok(Exit::Done.into())
}

pub fn man(args: &ManArgs, program: Command) -> anyhow::Result<ExitCode> {
    let directory = &args.directory;
    fs::create_dir_all(directory).with_context(|| format!("cannot make the directory {}", directory.display()))?;
    clap_mangen::generate_to(program, directory)
        .with_context(|| format!("cannot write manual pages into {}", directory.display()))?;
    Ok(Exit::Done.into())
}

#[derive(Debug, Clone, Copy, clap::Args)]
pub struct CompletionArgs {
    /// The shell
    pub shell: Shell,
}

#[derive(Debug, Clone, clap::Args)]
pub struct ManArgs {
    /// The directory, made if it is missing; files of the same names in it are replaced
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::command::Args;

    #[test]
    fn every_verb_has_a_manual_page_with_its_flags_and_those_of_every_verb() {
        let directory = tempfile::tempdir().unwrap();
        let below = directory.path().join("man1");
        man(&ManArgs { directory: below.clone() }, Args::command()).unwrap();
        let page = |name: &str| fs::read_to_string(below.join(name)).unwrap();
        for verb in Args::command().get_subcommands() {
            let text = page(&format!("gapless-{}.1", verb.get_name()));
            assert!(text.contains(r"\-\-base\-dir"), "{}", verb.get_name());
        }
        assert!(page("gapless-cut.1").contains(r"\-\-type"));
        assert!(page("gapless-retention-plan.1").contains("What would be deleted now"));
        assert!(page("gapless.1").contains("gapless demo"));
    }
}
