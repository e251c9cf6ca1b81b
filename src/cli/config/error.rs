//! What is wrong with a setting or the file, and where it stands.

use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{}, line {line}: {problem}", file.display())]
    InFile { file: PathBuf, line: usize, problem: String },
    #[error("cannot read the configuration file {}", file.display())]
    Unreadable { file: PathBuf, source: std::io::Error },
    /// The base directory is not one, so that no file lies beneath it.
    #[error("{0}; correct --base-dir or GAPLESS_BASE_DIR, or the rights of that directory")]
    Base(String),
    #[error("there is no configuration file {}; correct --config or GAPLESS_CONFIG", .0.display())]
    NoFile(PathBuf),
    #[error("{origin}: {problem}")]
    Given { origin: String, problem: String },
}
