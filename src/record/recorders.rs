//! The recorders of a node: those that its settings name, those that were started over the API, and which of both are stopped.
//!
//! 1. What is wanted follows from the settings and from [`SavedRecorders`] alone; whatever changes one of them ends and begins what differs
//!    from what runs, and lets the rest be.
//! 2. A channel that the settings name is recorded as they say; the API can stop it, and not lead it elsewhere.
//! 3. One that is changed begins anew at once: within the window of its playlist nothing is missed by that.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::job::{RecordParts, RecordedChannel};
use super::recorder::RecordOptions;
use super::saved_recorders::{RecorderChangeError, SavedRecorders, SavedRecordersFile};
use super::stream_process::StreamTools;
use crate::archive::Channel;

/// How long a recorder that is changed is waited for.
const ENDS_WITHIN: Duration = Duration::from_secs(10);

/// What is known of a recorder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecorderStatus {
    pub options: RecordOptions,
    /// The settings name it.
    pub is_in_settings: bool,
    pub is_stopped: bool,
}

/// All recorders of a node.
#[derive(Debug)]
pub struct Recorders {
    parts: Arc<RecordParts>,
    file: SavedRecordersFile,
    tasks: TaskTracker,
    ending: CancellationToken,
    handle: Handle,
    state: Mutex<RecordersState>,
}

#[derive(Debug)]
struct RecordersState {
    configured: BTreeMap<Channel, RecordOptions>,
    /// An error is why they are not known.
    saved: Result<SavedRecorders, Arc<RecorderChangeError>>,
    running: BTreeMap<Channel, RunningRecorder>,
}

#[derive(Debug)]
struct RunningRecorder {
    options: RecordOptions,
    is_stopped: bool,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Recorders {
    /// None runs yet. Blocks while what was saved is read. To be called within a runtime.
    pub fn new(parts: RecordParts, state_dir: &Path) -> Self {
        let state = RecordersState {
            configured: BTreeMap::new(),
            saved: Ok(SavedRecorders::default()),
            running: BTreeMap::new(),
        };
        Self {
            parts: Arc::new(parts),
            file: SavedRecordersFile::new(state_dir),
            tasks: TaskTracker::new(),
            ending: CancellationToken::new(),
            handle: Handle::current(),
            state: Mutex::new(state),
        }
    }

    /// Records what the settings name, in the place of what they named before, and what was started over the API. Blocks.
    pub fn configure(&self, configured: Vec<RecordOptions>) {
        let mut state = self.state.lock();
        state.configured = configured.into_iter().map(|options| (options.channel.clone(), options)).collect();
        state.saved = self.file.read().map_err(Arc::new);
        if let Err(error) = &state.saved {
            tracing::error!(name: "recorder_orders_unreadable", %error, "recorders that were started or stopped over the API are not known; all that the settings name is recorded");
        }
        self.settle(&mut state);
    }

    /// What brings streams that are no HLS.
    pub fn tools(&self) -> &StreamTools {
        &self.parts.tools
    }

    /// Records until then. Ends what runs.
    pub async fn run(&self, stop: CancellationToken) {
        stop.cancelled().await;
        self.ending.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    pub fn list(&self) -> Vec<RecorderStatus> {
        let state = self.state.lock();
        let wanted = state.wanted().into_iter();
        wanted
            .map(|(channel, (options, is_stopped))| {
                let is_in_settings = state.configured.contains_key(channel);
                RecorderStatus { options: options.clone(), is_in_settings, is_stopped }
            })
            .collect()
    }

    /// Records a channel; one that was started so before is led elsewhere by it. Blocks.
    pub fn start(&self, options: RecordOptions) -> Result<(), RecorderChangeError> {
        self.order(&options.channel.clone(), |state, saved| {
            if state.configured.contains_key(&options.channel) {
                return Err(RecorderChangeError::InSettings(options.channel.to_string()));
            }
            saved.stopped.remove(&options.channel);
            saved.started.insert(options.channel.clone(), options);
            Ok(())
        })
    }

    /// Goes on with a channel that was stopped. Blocks.
    pub fn resume(&self, channel: &Channel) -> Result<(), RecorderChangeError> {
        self.order(channel, |state, saved| {
            state.known(saved, channel)?;
            saved.stopped.remove(channel);
            Ok(())
        })
    }

    /// Stops a channel until it is started again. Blocks.
    pub fn stop(&self, channel: &Channel) -> Result<(), RecorderChangeError> {
        self.order(channel, |state, saved| {
            state.known(saved, channel)?;
            saved.stopped.insert(channel.clone());
            Ok(())
        })
    }

    /// Stops a channel that was started over the API, and saves nothing of it. What was recorded stays. Blocks.
    pub fn forget(&self, channel: &Channel) -> Result<(), RecorderChangeError> {
        self.order(channel, |state, saved| {
            state.known(saved, channel)?;
            if state.configured.contains_key(channel) {
                return Err(RecorderChangeError::InSettings(channel.to_string()));
            }
            saved.started.remove(channel);
            saved.stopped.remove(channel);
            Ok(())
        })
    }

    /// Changes what is saved; what is not on the disk does not count.
    fn order(
        &self,
        channel: &Channel,
        change: impl FnOnce(&RecordersState, &mut SavedRecorders) -> Result<(), RecorderChangeError>,
    ) -> Result<(), RecorderChangeError> {
        let mut state = self.state.lock();
        // Read anew: whoever has mended the file need not start the node again, and whoever has broken it loses nothing.
        let mut saved = self.file.read()?;
        change(&state, &mut saved)?;
        self.file.write(&saved)?;
        state.saved = Ok(saved);
        self.settle(&mut state);
        tracing::info!(name: "recorder_ordered", %channel, "a recorder was started, changed or stopped over the API");
        Ok(())
    }

    fn settle(&self, state: &mut RecordersState) {
        let wanted: BTreeMap<Channel, (RecordOptions, bool)> = state
            .wanted()
            .into_iter()
            .map(|(channel, (options, stopped))| (channel.clone(), (options.clone(), stopped)))
            .collect();
        let stays = |channel: &Channel, running: &RunningRecorder| {
            let same = |(options, is_stopped): &(RecordOptions, bool)| {
                running.options == *options && running.is_stopped == *is_stopped
            };
            wanted.get(channel).is_some_and(same)
        };
        let mut ended: BTreeMap<Channel, JoinHandle<()>> = BTreeMap::new();
        for (channel, running) in std::mem::take(&mut state.running) {
            if stays(&channel, &running) {
                state.running.insert(channel, running);
            } else {
                running.stop.cancel();
                ended.insert(channel, running.task);
            }
        }
        for (channel, (options, is_stopped)) in wanted {
            let before = ended.remove(&channel);
            state.running.entry(channel).or_insert_with(|| self.begin(options, is_stopped, before));
        }
    }

    /// Begins when the one before it has ended: both may listen at the same port.
    fn begin(&self, options: RecordOptions, is_stopped: bool, before: Option<JoinHandle<()>>) -> RunningRecorder {
        let stop = self.ending.child_token();
        let (channel, stopped) = (RecordedChannel::new(options.clone(), Arc::clone(&self.parts)), stop.clone());
        let work = async move {
            if let Some(before) = before
                && tokio::time::timeout(ENDS_WITHIN, before).await.is_err()
            {
                tracing::warn!(name: "recorder_still_ends", "a recorder was changed, and what it was before has not ended yet");
            }
            if is_stopped { channel.show_stopped(stopped).await } else { channel.record(stopped).await }
        };
        let task = self.tasks.spawn_on(work, &self.handle);
        RunningRecorder { options, is_stopped, stop, task }
    }
}

impl RecordersState {
    /// What is to be recorded, and whether it is stopped.
    fn wanted(&self) -> BTreeMap<&Channel, (&RecordOptions, bool)> {
        let saved = self.saved.as_ref().ok();
        let started = saved.into_iter().flat_map(|saved| &saved.started);
        // The settings come last, and so go before.
        let all = started.chain(&self.configured);
        let is_stopped = |channel| saved.is_some_and(|saved| saved.stopped.contains(channel));
        all.map(|(channel, options)| (channel, (options, is_stopped(channel)))).collect()
    }

    fn known(&self, saved: &SavedRecorders, channel: &Channel) -> Result<(), RecorderChangeError> {
        if self.configured.contains_key(channel) || saved.started.contains_key(channel) {
            return Ok(());
        }
        Err(RecorderChangeError::Unknown(channel.to_string()))
    }
}
