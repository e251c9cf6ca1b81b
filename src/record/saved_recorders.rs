//! Recorders that were started over the API, beside those of the settings, and which of all were stopped. Saved in the state directory, so that
//! a node that starts anew records what it recorded before.
//!
//! 1. The file is `recorders.json`, readable by its owner alone: addresses of streams hold keys.
//! 2. A change is on the disk before it counts.
//! 3. One that cannot be read is never written over: nothing is changed until somebody has mended or removed it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::recorder::{RecordOptions, RecordSource};
use super::source_address::SourceAddress;
use super::source_headers::SourceHeaders;
use crate::archive::{Channel, Quality};
use crate::disk::{Base, DiskError, atomic};

/// What the file is called.
const NAME: &str = "recorders.json";
/// Recorders that may be started over the API: far more than one machine records.
const MOST: usize = 1_000;

/// What was started and stopped over the API.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SavedRecorders {
    pub started: BTreeMap<Channel, RecordOptions>,
    pub stopped: BTreeSet<Channel>,
}

/// The same as it is written.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRecorders {
    started: Vec<WrittenRecorder>,
    stopped: Vec<Channel>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRecorder {
    channel: Channel,
    source: String,
    qualities: Vec<Quality>,
    #[serde(default)]
    skip_ads: bool,
}

/// Why a recorder was not started, stopped or forgotten.
#[derive(Debug, thiserror::Error)]
pub enum RecorderChangeError {
    #[error("no recorder has the channel {0:?}")]
    Unknown(String),
    #[error(
        "the channel {0:?} is recorded because the settings name it; change its [[record]] there and have the node read them again"
    )]
    InSettings(String),
    #[error("{MOST} recorders were started over the API already; forget those that are not needed any more")]
    TooMany,
    #[error("{} cannot be read: {why}; mend or remove it. Until then no order is taken", file.display())]
    Unreadable { file: PathBuf, why: String },
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// Reads and writes them.
#[derive(Debug)]
pub(super) struct SavedRecordersFile {
    dir: PathBuf,
}

impl SavedRecordersFile {
    pub(super) fn new(state_dir: &Path) -> Self {
        Self { dir: state_dir.to_owned() }
    }

    /// What was saved; nothing where there is no file. Blocks.
    pub(super) fn read(&self) -> Result<SavedRecorders, RecorderChangeError> {
        let file = self.dir.join(NAME);
        let unreadable = |why: String| RecorderChangeError::Unreadable { file: file.clone(), why };
        let bytes = match std::fs::read(&file) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(SavedRecorders::default()),
            Err(error) => return Err(unreadable(error.to_string())),
        };
        let written: WrittenRecorders =
            serde_json::from_slice(&bytes).map_err(|error| unreadable(error.to_string()))?;
        let mut saved = SavedRecorders { stopped: written.stopped.into_iter().collect(), ..SavedRecorders::default() };
        for WrittenRecorder { channel, source, qualities, skip_ads: skips_ads } in written.started {
            let source = SourceAddress::parse(&source).map_err(|error| unreadable(error.to_string()))?;
            let (source, headers) = (RecordSource::Address(source), SourceHeaders::default());
            saved.started.insert(
                channel.clone(),
                RecordOptions { channel, source, headers, ca_file: None, qualities, skips_ads },
            );
        }
        Ok(saved)
    }

    /// Blocks.
    pub(super) fn write(&self, saved: &SavedRecorders) -> Result<(), RecorderChangeError> {
        if saved.started.len() > MOST {
            return Err(RecorderChangeError::TooMany);
        }
        // Commands are named by the settings alone.
        let started = saved.started.values().filter_map(|options| match &options.source {
            RecordSource::Command(_) => None,
            RecordSource::Address(source) => Some(WrittenRecorder {
                channel: options.channel.clone(),
                source: source.url().to_string(),
                qualities: options.qualities.clone(),
                skip_ads: options.skips_ads,
            }),
        });
        let written = WrittenRecorders { started: started.collect(), stopped: saved.stopped.iter().cloned().collect() };
        let unwritable = |error: serde_json::Error| RecorderChangeError::Unreadable {
            file: self.dir.join(NAME),
            why: error.to_string(),
        };
        let bytes = serde_json::to_vec_pretty(&written).map_err(unwritable)?;
        let Some(dir) = Base::open(&self.dir)?.dir(Path::new(""))? else {
            return Err(unwritable_dir(&self.dir));
        };
        Ok(atomic::replace_secret(&dir, NAME.as_ref(), &bytes)?)
    }
}

fn unwritable_dir(dir: &Path) -> RecorderChangeError {
    RecorderChangeError::Unreadable { file: dir.join(NAME), why: "its directory is not there".to_owned() }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn options(channel: &str, source: &str) -> RecordOptions {
        RecordOptions {
            channel: Channel::new(channel).unwrap(),
            source: RecordSource::Address(SourceAddress::parse(source).unwrap()),
            headers: SourceHeaders::default(),
            qualities: vec![Quality::new("source").unwrap()],
            ca_file: None,
            skips_ads: channel == "a",
        }
    }

    #[test]
    fn what_was_saved_is_read_as_it_was_written_and_by_nobody_else() {
        let dir = tempfile::tempdir().unwrap();
        let file = SavedRecordersFile::new(dir.path());
        assert_eq!(file.read().unwrap(), SavedRecorders::default());
        let mut saved = SavedRecorders::default();
        for name in ["a", "b"] {
            let options = options(name, "https://user:secret@h/live.m3u8?key=x");
            saved.started.insert(options.channel.clone(), options);
        }
        saved.stopped.insert(Channel::new("c").unwrap());
        file.write(&saved).unwrap();
        assert_eq!(file.read().unwrap(), saved);
        let mode = std::fs::metadata(dir.path().join(NAME)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn what_cannot_be_read_is_said_with_its_file_and_no_secret() {
        let dir = tempfile::tempdir().unwrap();
        let file = SavedRecordersFile::new(dir.path());
        for text in [
            "",
            "{",
            "[]",
            "{\"started\": [], \"stopped\": [], \"more\": 1}",
            "{\"started\": [], \"stopped\": [\"../x\"]}",
            "{\"started\": [{\"channel\": \"a\", \"source\": \"gopher://u:secret@h\", \"qualities\": []}], \"stopped\": []}",
        ] {
            std::fs::write(dir.path().join(NAME), text).unwrap();
            let said = file.read().unwrap_err().to_string();
            assert!(said.contains("recorders.json cannot be read") && !said.contains("secret"), "{text}: {said}");
        }
        std::fs::remove_file(dir.path().join(NAME)).unwrap();
        std::fs::create_dir(dir.path().join(NAME)).unwrap();
        assert!(matches!(file.read(), Err(RecorderChangeError::Unreadable { .. })));
    }

    #[test]
    fn more_recorders_than_any_machine_needs_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let mut saved = SavedRecorders::default();
        for number in 0..=MOST {
            let options = options(&format!("c{number}"), "https://h/x");
            saved.started.insert(options.channel.clone(), options);
        }
        assert!(matches!(SavedRecordersFile::new(dir.path()).write(&saved), Err(RecorderChangeError::TooMany)));
        assert!(!dir.path().join(NAME).exists());
    }
}
