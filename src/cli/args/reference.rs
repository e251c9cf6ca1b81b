//! Arguments of the verbs that print what shells and `man` know about this command line.

use std::path::PathBuf;

use clap_complete::Shell;

/// Arguments of `completions`.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct CompletionArgs {
    /// The shell
    pub shell: Shell,
}

/// Arguments of `man`.
#[derive(Debug, Clone, clap::Args)]
pub struct ManArgs {
    /// The directory, made if it is missing; files of the same names in it are replaced
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
}
