//! Learns which names a peer has, under a layout, so that this node can answer for it: by the digests of the round that is done anyway, and
//! by the changes that are followed anyway.
//!
//! 1. What a peer says that a quality adds up to is compared with what its mirror here adds up to. Where they are equal that is all, and it
//!    costs no request.
//! 2. Where they differ, the days that do are asked about, and then the names of the hours that do, many hours in one answer.
//! 3. A peer whose index is still catching up with its disk does not say what it has no more, and is not asked.
//! 4. Nothing is downloaded, and nothing is concluded from it but what is answered to those who read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::digest_sync::or_reported;
use super::report::RoundError;
use super::shared::PeerJob;
use crate::archive::name::is_too_long_to_hide;
use crate::archive::totals::Digest;
use crate::archive::{AnyFile, Day, Hour, HourChange, HourContents, HourPlace, Stream};
use crate::index::StreamSums;
use crate::sync::crawl::{CrawlError, Mirror};
use crate::wire::{ChangeKind, ChangeRecord, DayDigests, HourDigests, HourFile, QualityDigest, QualityDigests};

/// Bytes of an answer with days or digests.
const ANSWER_BYTES: usize = 8 << 20;
/// Bytes of an answer with names: a day of the usual segments has 4 MB, an hour of 100,000 files 14.
const NAMES_BYTES: usize = 64 << 20;
/// Pages of days.
const PAGES: usize = 64;
/// Requests of a round about names; the next round goes on.
const MOST_REQUESTS: u64 = 20_000;
/// Qualities that are looked at of one peer.
const MOST_STREAMS: usize = 10_000;

/// One round about the names of a peer.
pub(super) struct MirrorRound {
    mirror: Arc<Mirror>,
    listed: BTreeSet<Stream>,
    is_whole: bool,
    requests: u64,
}

impl MirrorRound {
    /// With a peer that has said this; nothing without a layout, and of a peer that does not know all that it has.
    pub(super) async fn begin(job: &PeerJob, answer: &QualityDigests) -> Result<Option<Self>, RoundError> {
        if !answer.complete {
            return Ok(None);
        }
        let Some(mirror) = mirror_of(job).await? else { return Ok(None) };
        mirror.is_called(answer.name.as_deref());
        Ok(Some(Self { mirror, listed: BTreeSet::new(), is_whole: true, requests: 0 }))
    }

    /// What the peer has of a quality.
    pub(super) async fn quality(&mut self, job: &mut PeerJob, theirs: &QualityDigest) -> Result<(), RoundError> {
        let Ok(stream) = Stream::new(&theirs.channel, &theirs.quality) else { return Ok(()) };
        if self.listed.len() >= MOST_STREAMS || self.requests >= MOST_REQUESTS {
            self.is_whole = false;
            return Ok(());
        }
        let known = self.sums(job, &stream).await?;
        let is_same = known.total().digest.to_string() == theirs.digest;
        self.listed.insert(stream.clone());
        if is_same { Ok(()) } else { self.days(job, &stream, &known).await }
    }

    /// After all qualities: what the peer has named none of is not there any more.
    pub(super) async fn end(self, job: &mut PeerJob, has_all: bool) -> Result<(), RoundError> {
        if !has_all || !self.is_whole {
            return Ok(());
        }
        let mirror = Arc::clone(&self.mirror);
        let listed = self.listed;
        blocking(job, move || {
            for stream in mirror.index().catalog().streams() {
                if listed.contains(&stream) {
                    continue;
                }
                let hours = mirror.hours(&stream.to_string(), Hour::MIN, Hour::MAX);
                let nothing = |hour| (HourPlace { stream: stream.clone(), hour }, HourContents::default());
                mirror.set(&hours.into_iter().map(nothing).collect::<Vec<_>>())?;
            }
            Ok(())
        })
        .await
    }

    async fn sums(&self, job: &PeerJob, stream: &Stream) -> Result<Arc<StreamSums>, RoundError> {
        let (mirror, name) = (Arc::clone(&self.mirror), stream.to_string());
        blocking(job, move || Ok(mirror.index().stream_sums(&name)?)).await
    }

    fn asked(&mut self, job: &mut PeerJob) {
        job.asked();
        self.requests += 1;
    }

    async fn days(&mut self, job: &mut PeerJob, stream: &Stream, known: &StreamSums) -> Result<(), RoundError> {
        let path = ["api", "v1", "digests", stream.channel.as_str(), stream.quality.as_str()];
        let (mut after, mut theirs, mut has_all): (Option<String>, BTreeMap<Day, String>, bool) =
            (None, BTreeMap::new(), false);
        for _ in 0..PAGES {
            let query: Vec<(&str, &str)> = after.iter().map(|after| ("after", after.as_str())).collect();
            let answer: Result<DayDigests, _> =
                job.shared.client.get_json(job.peer(), &path, &query, ANSWER_BYTES).await;
            self.asked(job);
            let Some(answer) = or_reported(answer, job)? else { break };
            if !answer.complete {
                break;
            }
            theirs.extend(answer.days.into_iter().filter_map(|day| Some((Day::parse(&day.day).ok()?, day.digest))));
            after = answer.next;
            if after.is_none() {
                has_all = true;
                break;
            }
        }
        self.is_whole &= has_all;
        if has_all {
            let gone = known.days(None).map(|(day, _)| day).filter(|day| !theirs.contains_key(day));
            for day in gone.collect::<Vec<_>>() {
                self.take(job, stream, day, BTreeMap::new(), &BTreeSet::new()).await?;
            }
        }
        // The newest first: it is what is looked at.
        for (day, digest) in theirs.into_iter().rev() {
            if known.day(day).digest.to_string() == digest {
                continue;
            }
            if self.requests >= MOST_REQUESTS {
                self.is_whole = false;
                break;
            }
            self.day(job, stream, day).await?;
        }
        Ok(())
    }

    async fn day(&mut self, job: &mut PeerJob, stream: &Stream, day: Day) -> Result<(), RoundError> {
        let written = day.to_string();
        let path = ["api", "v1", "digests", stream.channel.as_str(), stream.quality.as_str(), &written];
        let answer: Result<HourDigests, _> = job.shared.client.get_json(job.peer(), &path, &[], ANSWER_BYTES).await;
        self.asked(job);
        let Some(answer) = or_reported(answer, job)?.filter(|answer| answer.complete) else { return Ok(()) };
        let hours = answer.hours.iter().filter_map(|there| Some((Hour::parse(&there.hour).ok()?, &there.digest)));
        let theirs: BTreeMap<Hour, &String> = hours.filter(|(hour, _)| Day::of(*hour) == day).collect();
        let (mirror, name) = (Arc::clone(&self.mirror), stream.to_string());
        let rows = blocking(job, move || Ok(mirror.index().hour_rows(&name, day.first(), day.last())?)).await?;
        let known: BTreeMap<Hour, Digest> = rows.into_iter().map(|(hour, row)| (hour, row.totals.digest)).collect();
        let differs = |hour: &Hour, digest: &String| known.get(hour).is_none_or(|known| known.to_string() != *digest);
        let mut wanted: BTreeSet<Hour> =
            theirs.iter().filter(|(hour, digest)| differs(hour, digest)).map(|(hour, _)| *hour).collect();
        let there: BTreeSet<Hour> = theirs.keys().copied().collect();
        let mut is_first = true;
        while is_first || !wanted.is_empty() {
            let named = if wanted.is_empty() { BTreeMap::new() } else { self.names(job, &path, &wanted).await? };
            // An older node passes over the question; one that says nothing more has no more to say.
            let is_over = named.is_empty();
            wanted.retain(|hour| !named.contains_key(hour));
            self.take(job, stream, day, named, &there).await?;
            is_first = false;
            if is_over {
                break;
            }
        }
        Ok(())
    }

    async fn names(
        &mut self,
        job: &mut PeerJob,
        path: &[&str],
        wanted: &BTreeSet<Hour>,
    ) -> Result<BTreeMap<Hour, HourContents>, RoundError> {
        let hours: Vec<String> = wanted.iter().map(Hour::to_string).collect();
        let named = hours.iter().map(|hour| ("hour", hour.as_str()));
        let query: Vec<(&str, &str)> = std::iter::once(("names", "true")).chain(named).collect();
        let answer: Result<HourDigests, _> = job.shared.client.get_json(job.peer(), path, &query, NAMES_BYTES).await;
        self.asked(job);
        let Some(answer) = or_reported(answer, job)?.filter(|answer| answer.complete) else {
            return Ok(BTreeMap::new());
        };
        let most = job.shared.client.limits().file_bytes;
        let read = |there: crate::wire::HourDigest| {
            let hour = Hour::parse(&there.hour).ok().filter(|hour| wanted.contains(hour))?;
            Some((hour, contents(&there.names?, most)))
        };
        Ok(answer.hours.into_iter().filter_map(read).collect())
    }

    /// Writes down what the peer has of a day: of these hours what it named, and of hours that are not there nothing.
    async fn take(
        &self,
        job: &PeerJob,
        stream: &Stream,
        day: Day,
        named: BTreeMap<Hour, HourContents>,
        there: &BTreeSet<Hour>,
    ) -> Result<(), RoundError> {
        let (mirror, stream, there) = (Arc::clone(&self.mirror), stream.clone(), there.clone());
        blocking(job, move || {
            let place = |hour| HourPlace { stream: stream.clone(), hour };
            let known = mirror.hours(&stream.to_string(), day.first(), day.last());
            let gone = known.into_iter().filter(|hour| !there.contains(hour));
            let gone = gone.map(|hour| (place(hour), HourContents::default()));
            let now = named.into_iter().map(|(hour, contents)| (place(hour), contents));
            Ok(mirror.set(&gone.chain(now).collect::<Vec<_>>())?)
        })
        .await
    }
}

/// What has changed on a peer that is followed. What cannot be written down now is found by the next round.
pub(super) async fn heed(job: &PeerJob, changes: &[ChangeRecord]) {
    if changes.is_empty() {
        return;
    }
    let most = job.shared.client.limits().file_bytes;
    let mut by_hour: BTreeMap<HourPlace, Vec<HourChange>> = BTreeMap::new();
    for change in changes {
        let place = Stream::new(&change.channel, &change.quality).ok().zip(Hour::parse(&change.hour).ok());
        let Some(((stream, hour), file)) = place.zip(replicated(&change.name, change.size, most)) else { continue };
        let change = match change.change {
            ChangeKind::Put => HourChange::Put(file),
            ChangeKind::Removed => HourChange::Remove(file),
        };
        by_hour.entry(HourPlace { stream, hour }).or_default().push(change);
    }
    let taken = async {
        let Some(mirror) = mirror_of(job).await? else { return Ok(()) };
        blocking(job, move || Ok(mirror.change(by_hour)?)).await
    };
    let done: Result<(), RoundError> = taken.await;
    if let Err(error) = done {
        tracing::debug!(name: "mirror_not_changed", peer = job.peer().name, %error, "what changed on a peer is not known here until the next round");
    }
}

/// The mirror of the peer, if there are mirrors.
async fn mirror_of(job: &PeerJob) -> Result<Option<Arc<Mirror>>, RoundError> {
    let Some(mirrors) = job.shared.parts.mirrors.get() else { return Ok(None) };
    let peer = job.peer().name.clone();
    blocking(job, move || Ok(Some(mirrors.of(&peer)?))).await
}

async fn blocking<T: Send + 'static>(
    job: &PeerJob,
    work: impl FnOnce() -> Result<T, CrawlError> + Send + 'static,
) -> Result<T, RoundError> {
    job.shared.blocking(move || Ok(work()?)).await
}

fn contents(files: &[HourFile], most: u64) -> HourContents {
    let files = files.iter().filter_map(|file| replicated(&file.name, file.size, most));
    let segments = files.filter_map(|file| if let AnyFile::Segment(file) = file { Some(file) } else { None });
    HourContents::new(segments.collect(), Vec::new())
}

/// A name that nodes take from one another. One of them is not believed to have more bytes than a file may have.
fn replicated(name: &str, size: u64, most: u64) -> Option<AnyFile> {
    let file = AnyFile::read(name, size.min(most)).filter(|_| !is_too_long_to_hide(name))?;
    matches!(file, AnyFile::Segment(_)).then_some(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::test_names::hash_text;

    #[test]
    fn what_a_peer_names_is_taken_if_nodes_replicate_it_and_no_size_is_believed_beyond_the_limit() {
        let segment = format!("10:00-2.0-full-{}.ts", hash_text(1));
        let named = |name: &str, size| HourFile { name: name.to_owned(), size };
        let files =
            [named(&segment, u64::MAX), named("odd.ts", 1), named(".hidden", 1), named("a.ts.tmp", 1), named("", 1)];
        let found = contents(&files, 1_000);
        assert_eq!((found.listed(true), found.files()[0].size), (vec![segment], 1_000));
    }
}
