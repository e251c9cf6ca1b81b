//! What a cut is made of: of each stretch the segments of its best sequence, and what is not there.

use std::collections::{BTreeSet, HashMap};

use super::hour_media::FactsState;
use super::learn::First;
use super::{Playback, PlaybackError, check_implicit};
use crate::archive::{Container, Edges, Hash, Quality, SequencePiece, Stream, Timestamp};
use crate::play::playlist::cut::{CutHoleReason, file_name, lacks};
use crate::play::playlist::master::is_silent;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CutAsk {
    /// Of what.
    pub stream: Stream,
    /// The stretches, one after the other. Where an end is not given the first or the last segment there is is meant.
    pub ranges: Vec<(Option<Timestamp>, Option<Timestamp>)>,
    /// Whether it may be cut around what is not there.
    pub allow_holes: bool,
}

/// What a cut is made of.
#[derive(Debug, Clone)]
pub struct CutPlan {
    /// Of what.
    pub stream: Stream,
    /// One after the other; at least one, and none without a segment.
    pub clips: Vec<CutClip>,
}

/// One stretch of it.
#[derive(Debug, Clone)]
pub struct CutClip {
    /// From when on.
    pub start: Timestamp,
    /// Until when.
    pub end: Timestamp,
    /// The segments; the first and the last may reach beyond.
    pub pieces: Vec<SequencePiece>,
}

impl Playback {
    /// What a cut is made of.
    pub fn cut(&self, ask: &CutAsk) -> Result<CutPlan, PlaybackError> {
        let nothing = || PlaybackError::Nothing(ask.stream.clone());
        let mut extent = None;
        let mut lacking: Vec<CutHoleReason> = Vec::new();
        let mut clips = Vec::new();
        let mut hours = 0;
        for (start, end) in &ask.ranges {
            if (start.is_none() || end.is_none()) && extent.is_none() {
                extent = self.extent(&ask.stream)?;
            }
            check_implicit(*start, *end, extent)?;
            let (first, last) = (extent.map(|all| all.0), extent.map(|all| all.1));
            let (start, end) = start.or(first).zip(end.or(last)).ok_or_else(nothing)?;
            let sequence = self.sequence(&ask.stream, start, end)?;
            lacking.extend(lacks(&sequence, start, end));
            hours += sequence.iter().flatten().map(|piece| piece.hour).collect::<BTreeSet<_>>().len();
            if hours > self.options.max_hours.saturating_add(1) {
                return Err(PlaybackError::TooManyHours { got: hours as u64, limit: self.options.max_hours as u64 });
            }
            let pieces: Vec<SequencePiece> = sequence.into_iter().flatten().collect();
            if pieces.is_empty() {
                return Err(nothing());
            }
            clips.push(CutClip { start, end, pieces });
        }
        if ask.allow_holes || lacking.is_empty() {
            Ok(CutPlan { stream: ask.stream.clone(), clips })
        } else {
            Err(PlaybackError::Holes { stream: ask.stream.clone(), lacking })
        }
    }

    /// What is heard with a cut whose pictures have no sound, where sound was recorded apart from them.
    pub fn sound_of(&self, plan: &CutPlan, allow_holes: bool) -> Result<Option<CutPlan>, PlaybackError> {
        let channel = &plan.stream.channel;
        let qualities = self.keeper.index().catalog().qualities(channel.as_str());
        let mut qualities: Vec<Quality> = qualities.iter().filter_map(|name| Quality::new(name).ok()).collect();
        // The default one comes first by its name.
        qualities.retain(Quality::is_called_sound);
        qualities.sort_unstable();
        let pieces: Vec<&SequencePiece> = plan.clips.iter().flat_map(|clip| &clip.pieces).collect();
        if qualities.is_empty() || !is_silent(&self.sampled(&plan.stream, &pieces)) {
            return Ok(None);
        }
        let ranges: Vec<_> = plan.clips.iter().map(|clip| (Some(clip.start), Some(clip.end))).collect();
        for quality in qualities {
            let stream = Stream { channel: channel.clone(), quality };
            match self.cut(&CutAsk { stream, ranges: ranges.clone(), allow_holes }) {
                Err(PlaybackError::Nothing(_)) => {}
                Ok(sound) if !plan.clips.is_sorted_by_key(|clip| clip.start) => {
                    drop(sound);
                    return Err(PlaybackError::NotOneFile(
                        "its sound lies apart, and its stretches do not follow each other in time",
                    ));
                }
                found => return found.map(Some),
            }
        }
        Ok(None)
    }

    /// What is known of the ends of the segments of a stretch. Where nobody has looked they are, as long as a list would.
    pub fn edges(&self, stream: &Stream, clip: &CutClip) -> Result<HashMap<Hash, Edges>, PlaybackError> {
        let found = self.found(stream, clip)?.into_iter();
        Ok(found.filter_map(|(hash, state)| Some((hash, state.edges()?))).collect())
    }

    fn found(&self, stream: &Stream, clip: &CutClip) -> Result<HashMap<Hash, FactsState>, PlaybackError> {
        let hours = self.window(stream, clip.start, clip.end)?;
        self.learner.learn(stream, &hours, (clip.start, clip.end), First::Oldest);
        let mut found = HashMap::new();
        for (hour, media) in hours.iter().filter_map(|hour| Some((hour, hour.media()?))) {
            let files = hour.files().iter().enumerate();
            found.extend(files.filter_map(|(at, file)| Some((file.key.hash, media.found(at)?))));
        }
        Ok(found)
    }
}

impl Playback {
    /// How many bytes at the beginning of each file of a rough cut are left out, so that all of them make one file: in MP4 the initialisation
    /// segments of all but the first.
    pub fn left_out(&self, plan: &CutPlan) -> Result<Vec<u64>, PlaybackError> {
        let pieces = || plan.clips.iter().flat_map(|clip| &clip.pieces);
        if pieces().all(|piece| piece.file.key.container == Container::Ts) {
            return Ok(pieces().map(|_| 0).collect());
        }
        if pieces().any(|piece| piece.file.key.container == Container::Ts) {
            return Err(PlaybackError::NotOneFile("some of its segments are in MP4 and others in MPEG-TS"));
        }
        let (mut first, mut left_out) = (None, Vec::new());
        for clip in &plan.clips {
            let found = self.found(&plan.stream, clip)?;
            for piece in &clip.pieces {
                let state = match found.get(&piece.file.key.hash).ok_or(PlaybackError::StillReading)? {
                    read @ FactsState::Edges(_) => *read,
                    // How much is left out is not taken from a manifest. All of the file is read for the cut anyway.
                    _ => self.learner.read_anywhere(&plan.stream, piece),
                };
                let edges = state.edges().ok_or(PlaybackError::StillReading)?;
                let broken = PlaybackError::NotOneFile("one of its segments is no fragmented MP4");
                let init = edges.init.ok_or(broken)?;
                match first {
                    None => left_out.push(0),
                    Some(same) if same == init => left_out.push(init.length().into()),
                    Some(_) => {
                        return Err(PlaybackError::NotOneFile(
                            "its initialisation segment changes, as another encoding begins",
                        ));
                    }
                }
                first = first.or(Some(init));
            }
        }
        Ok(left_out)
    }
}

impl CutPlan {
    /// The files, relative to the base, and their lengths.
    pub fn files(&self) -> impl Iterator<Item = (String, u64)> {
        let pieces = self.clips.iter().flat_map(|clip| &clip.pieces);
        pieces.map(|piece| (format!("{}/{}/{}", self.stream, piece.hour, piece.file.name()), piece.file.size))
    }

    /// What its files are in.
    pub fn container(&self) -> Container {
        let mut pieces = self.clips.iter().flat_map(|clip| &clip.pieces);
        pieces.next().map_or_else(Container::default, |piece| piece.file.key.container)
    }

    /// What the cut is called: from the beginning of the first to the end of the last stretch.
    pub fn name(&self, extension: &str) -> String {
        let (channel, quality) = (self.stream.channel.as_str(), self.stream.quality.as_str());
        let start = self.clips.first().map_or(Timestamp::MIN, |clip| clip.start);
        let end = self.clips.last().map_or(Timestamp::MIN, |clip| clip.end);
        file_name(channel, quality, start, end, extension)
    }
}
