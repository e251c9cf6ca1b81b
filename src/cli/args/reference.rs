//! Arguments of the verbs that print what shells and `man` know about this command line.

use std::path::PathBuf;

use clap_complete::Shell;

/// Where completions go on most systems; the Debian package brings them.
pub const COMPLETION_EXAMPLES: &str = "Examples:
  source <(gapless completions bash)                              for this shell only
  gapless completions bash > ~/.local/share/bash-completion/completions/gapless
  gapless completions zsh > ~/.zfunc/_gapless                     with fpath+=~/.zfunc before compinit
  gapless completions fish > ~/.config/fish/completions/gapless.fish";

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
