//! Agrees with a peer of our kind: one request when nothing differs, then the days, then the hours that do.

use super::memory::{ComparedHours, ComparedSubject, DigestPair};
use super::mirror_names::MirrorRound;
use super::owned_hours::{SharedLayout, told_apart};
use super::peer_state::Conflict;
use super::report::RoundError;
use super::shared::PeerJob;
use super::{budget, layout_exchange};
use crate::archive::placement::OwnedBy;
use crate::archive::totals::Digest;
use crate::archive::{Day, Hour, HourPlace, Stream};
use crate::disk::ArchiveId;
use crate::replicate::peer::PeerError;
use crate::wire::{DayDigests, HourDigests, QualityDigests};

/// Bytes of an answer: a page of ten thousand days has 1.5 MB.
const ANSWER_BYTES: usize = 8 << 20;
/// Pages of an answer: with more, a peer would keep us asking.
const PAGES: usize = 64;
/// Hours and requests after which a round begins with what it has found; the next one goes on. A peer that makes up days and
/// qualities costs so much and no more.
const MOST_HOURS: usize = 200_000;
pub(super) const MOST_REQUESTS: u64 = 20_000;
/// Hours of one day, in an answer: there are no more.
const HOURS: usize = 24;

/// How far a peer is followed: the epoch of its change log, and the number of the last change that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PeerCursor {
    pub(super) epoch: u64,
    pub(super) seq: u64,
}

#[derive(Debug)]
pub(super) enum SyncResult {
    /// The peer speaks only the fixed part.
    FixedPart,
    Itself,
    Differs(Differences),
}

/// What two lists of an hour have to add up to, for the pair of their digests to be settled.
#[derive(Debug, Clone, Copy)]
pub(super) struct Promise {
    pub(super) ours: Digest,
    pub(super) theirs: Digest,
}

#[derive(Debug, Default)]
pub(super) struct Differences {
    /// From where the peer can be followed.
    pub(super) cursor: Option<PeerCursor>,
    /// The hours, newest first, each with the digest that its list has to add up to.
    pub(super) places: Vec<(HourPlace, Promise)>,
    /// About how many segments are there and not here.
    pub(super) behind: u64,
    qualities: Vec<(ComparedSubject, DigestPair, Vec<DifferentDay>, bool)>,
}

#[derive(Debug)]
struct DifferentDay {
    subject: ComparedSubject,
    pair: DigestPair,
    hours: Vec<(HourPlace, DigestPair)>,
    /// Whether the digests of its hours add up to that of the day. A line that garbles, or a change in between, may
    /// have hidden one.
    adds_up: bool,
}

impl Differences {
    fn is_enough(&self, job: &PeerJob) -> bool {
        self.places.len() >= MOST_HOURS || job.report.requests >= MOST_REQUESTS
    }

    pub(super) fn settle(self, job: &PeerJob) {
        let (memory, era, name) = (&job.shared.memory, job.era, &job.peer().name);
        for (quality, pair, days, mut settled) in self.qualities {
            for day in days {
                let mut quiet = day.adds_up;
                for (place, of_hour) in day.hours {
                    if job.unsettled.contains(&place) {
                        quiet = false;
                    } else {
                        memory.settle(era, name, ComparedSubject::Hour(place), of_hour);
                    }
                }
                settled &= quiet;
                if quiet {
                    memory.settle(era, name, day.subject, day.pair);
                }
            }
            if settled {
                memory.settle(era, name, quality, pair);
            }
        }
    }
}

pub(super) async fn agree(job: &mut PeerJob) -> Result<SyncResult, RoundError> {
    let mut found = Differences::default();
    let mut after: Option<String> = None;
    let (mut names, mut has_all) = (None, false);
    let mut layout = SharedLayout::now(&job.shared);
    for page in 0..PAGES {
        let of_layout = layout.as_ref().map(SharedLayout::query);
        let query = query(of_layout.iter().flatten(), after.as_deref());
        let answer = job.shared.client.get_json(job.peer(), &["api", "v1", "digests"], &query, ANSWER_BYTES).await;
        job.asked();
        let answer: QualityDigests = match answer {
            Ok(answer) => answer,
            Err(error) if page == 0 && speaks_only_the_fixed_part(&error) => {
                // It does not say what it is called: its name in the list is all there is.
                let name = job.peer().name.clone();
                note_identity(job, None, Some(&name)).await?;
                return Ok(SyncResult::FixedPart);
            }
            Err(error) => return Err(error.into()),
        };
        if page == 0 {
            job.shared.client.identified(job.peer(), answer.instance);
            if answer.instance == Some(job.shared.parts.instance) {
                return Ok(SyncResult::Itself);
            }
            note_identity(job, answer.archive.as_deref(), answer.name.as_deref()).await?;
            layout_exchange::heed(job, answer.layout.as_ref()).await?;
            layout = layout.map(|layout| layout.with(answer.name.as_deref()));
            // What is read on later pages may be newer, which is no harm: a change that is known comes once more.
            found.cursor =
                u64::from_str_radix(&answer.epoch, 16).ok().map(|epoch| PeerCursor { epoch, seq: answer.seq });
            names = MirrorRound::begin(job, &answer).await?;
        }
        if let Some(names) = &mut names {
            for theirs in &answer.qualities {
                names.quality(job, theirs).await?;
            }
        }
        for theirs in answer.qualities {
            if found.is_enough(job) {
                job.is_partly_asked = true;
                break;
            }
            let Ok(stream) = Stream::new(&theirs.channel, &theirs.quality) else { continue };
            let layout = layout.as_ref();
            match layout.and(told_apart(&theirs)) {
                None => {
                    let all = AskedHours { hours: ComparedHours::whole(stream), layout };
                    quality(job, &all, &theirs.digest, &mut found).await?;
                }
                Some(owned) => {
                    for (owned_by, digest) in owned.into_iter().filter(|(_, digest)| *digest != Digest::default()) {
                        let hours = ComparedHours { stream: stream.clone(), owned_by: Some(owned_by) };
                        quality(job, &AskedHours { hours, layout }, &digest.to_string(), &mut found).await?;
                    }
                }
            }
        }
        after = answer.next;
        if after.is_none() {
            has_all = true;
            break;
        }
    }
    if let Some(names) = names {
        names.end(job, has_all).await?;
    }
    let horizon = job.shared.keeper.horizon();
    found.places.sort_unstable_by(|(a, _), (b, _)| {
        horizon.rank(a.hour).cmp(&horizon.rank(b.hour)).then_with(|| a.stream.cmp(&b.stream))
    });
    found.places.dedup_by(|(a, _), (b, _)| a == b);
    Ok(SyncResult::Differs(found))
}

/// Notes whether another node claims this node's name or archive id. It is fetched from all the same.
async fn note_identity(job: &mut PeerJob, archive: Option<&str>, name: Option<&str>) -> Result<(), RoundError> {
    let ours = job.shared.with_keeper(|keeper| Ok(keeper.index().archive()?)).await?;
    let ours = ours.map(|id| ArchiveId::from_bytes(id).to_string());
    let conflict = Conflict::between((ours.as_deref(), &job.shared.options.name), (archive, name));
    let known = job.followed.status().conflict;
    if let Some(why) = conflict.filter(|_| conflict != known) {
        tracing::warn!(name: "peer_conflict", peer = job.peer().name, %why, "another node claims this node's name or archive id");
    }
    job.leads = archive.filter(|theirs| ours.as_deref().is_some_and(|ours| *theirs < ours)).map(Into::into);
    let id = archive.and_then(|archive| archive.parse().ok());
    job.followed.update(|status| (status.archive, status.conflict) = (id, conflict));
    Ok(())
}

/// A peer that answers, but not this: an older node, another program, a plain file server. One that fails for the moment is
/// neither.
fn speaks_only_the_fixed_part(error: &PeerError) -> bool {
    match error.status() {
        Some(status) => !status.is_server_error() || status == reqwest::StatusCode::NOT_IMPLEMENTED,
        None => matches!(error, PeerError::Unexpected { .. }),
    }
}

/// What is asked about: all hours of a quality, or those that the same nodes own by this layout.
struct AskedHours<'l> {
    hours: ComparedHours,
    layout: Option<&'l SharedLayout>,
}

impl AskedHours<'_> {
    /// What tells the peer which hours are meant.
    fn query(&self) -> Vec<(&'static str, String)> {
        let of_layout = self.layout.map(SharedLayout::query);
        let owned_by = self.hours.owned_by.map(|owned_by| ("owned_by", owned_by.as_str().to_owned()));
        of_layout.into_iter().flatten().chain(owned_by).collect()
    }
}

fn query<'q>(
    of_layout: impl Iterator<Item = &'q (&'static str, String)>,
    after: Option<&'q str>,
) -> Vec<(&'q str, &'q str)> {
    of_layout.map(|(name, value)| (*name, value.as_str())).chain(after.map(|after| ("after", after))).collect()
}

async fn quality(
    job: &mut PeerJob,
    asked: &AskedHours<'_>,
    theirs: &str,
    found: &mut Differences,
) -> Result<(), RoundError> {
    let stream = &asked.hours.stream;
    let wants = &job.shared.options.wants;
    if !wants.channel(stream.channel.as_str()) || !wants.quality(stream.quality.as_str()) {
        return Ok(());
    }
    if budget::leaves_out(job, stream).await? {
        return Ok(());
    }
    let name = stream.to_string();
    let slots = asked.hours.owned_by.and_then(|owned_by| asked.layout?.slots(&stream.channel, owned_by));
    let ours = job.shared.with_keeper(move |keeper| match slots {
        Some(slots) => Ok(keeper.index().stream_sums_in(&name, &slots)?),
        None => Ok(keeper.index().stream_sums(&name)?),
    });
    let ours = ours.await?;
    let (subject, pair) =
        (ComparedSubject::Quality(asked.hours.clone()), DigestPair::of(&ours.total().digest.to_string(), theirs));
    if ours.total().digest.to_string() == theirs || job.shared.memory.is_settled(&job.peer().name, &subject, pair) {
        return Ok(());
    }
    let (channel, quality) = (stream.channel.as_str(), stream.quality.as_str());
    let path = ["api", "v1", "digests", channel, quality];
    let (mut after, mut days, mut all): (Option<String>, _, _) = (None, Vec::new(), true);
    let (mut sum, meant) = (Digest::default(), asked.query());
    for _ in 0..PAGES {
        let query = query(meant.iter(), after.as_deref());
        let answer: Result<DayDigests, _> = job.shared.client.get_json(job.peer(), &path, &query, ANSWER_BYTES).await;
        job.asked();
        let Some(answer) = or_reported(answer, job)? else {
            all = false;
            break;
        };
        for there in answer.days {
            if found.is_enough(job) {
                (all, job.is_partly_asked) = (false, true);
                break;
            }
            let Ok(at) = Day::parse(&there.day) else { continue };
            sum = sum.plus(Digest::parse(&there.digest).unwrap_or_default());
            let mine = ours.day(at).digest.to_string();
            let of_day = (ComparedSubject::Day(asked.hours.clone(), at), DigestPair::of(&mine, &there.digest));
            let has_nothing = asked.hours.owned_by == Some(OwnedBy::Others) && there.tombstones == Some(0);
            if has_nothing
                || mine == there.digest
                || job.shared.memory.is_settled(&job.peer().name, &of_day.0, of_day.1)
            {
                continue;
            }
            if job.leaves_future(at.first()) {
                job.report.future = job.report.future.saturating_add(hours_of_a_day(there.hours));
                // Their time may come: what was not compared is not settled.
                all = false;
                continue;
            }
            match day(job, asked, at, found).await? {
                Some((hours, of_hours)) => {
                    let adds_up = Digest::parse(&there.digest) == Some(of_hours);
                    days.push(DifferentDay { subject: of_day.0, pair: of_day.1, hours, adds_up });
                }
                None => all = false,
            }
        }
        after = answer.next;
        if after.is_none() {
            break;
        }
    }
    // The days add up to the quality, or else one may be hidden by a line that garbles, or have changed in between.
    all &= Digest::parse(theirs) == Some(sum);
    found.qualities.push((subject, pair, days, all));
    Ok(())
}

/// The hours of a day that differ, and what all of them add up to; `None` if that could not be found out, which is in the report.
async fn day(
    job: &mut PeerJob,
    asked: &AskedHours<'_>,
    day: Day,
    found: &mut Differences,
) -> Result<Option<(Vec<(HourPlace, DigestPair)>, Digest)>, RoundError> {
    let (stream, written, meant) = (&asked.hours.stream, day.to_string(), asked.query());
    let path = ["api", "v1", "digests", stream.channel.as_str(), stream.quality.as_str(), &written];
    let query = query(meant.iter(), None);
    let answer: Result<HourDigests, _> = job.shared.client.get_json(job.peer(), &path, &query, ANSWER_BYTES).await;
    job.asked();
    let Some(answer) = or_reported(answer, job)? else { return Ok(None) };
    let name = stream.to_string();
    let rows =
        job.shared.with_keeper(move |keeper| Ok(keeper.index().hour_rows(&name, day.first(), day.last())?)).await?;
    let (mut hours, mut sum, mut is_left) = (Vec::new(), Digest::default(), false);
    for theirs in answer.hours.into_iter().take(HOURS) {
        let Some(hour) = Hour::parse(&theirs.hour).ok().filter(|hour| Day::of(*hour) == day) else { continue };
        let Some(promised) = Digest::parse(&theirs.digest) else { continue };
        sum = sum.plus(Digest::of_name(&format!("{hour} {promised}")));
        let row = rows.iter().find(|(at, _)| *at == hour).map(|(_, row)| &row.totals);
        let mine_digest = row.map(|totals| totals.digest).unwrap_or_default();
        let mine = mine_digest.to_string();
        let place = HourPlace { stream: stream.clone(), hour };
        let (subject, pair) = (ComparedSubject::Hour(place.clone()), DigestPair::of(&mine, &theirs.digest));
        let options = &job.shared.options;
        if mine == theirs.digest
            || !options.wants.hour(hour)
            || !job.shared.keeps(&place)?
            || job.shared.memory.is_settled(&job.peer().name, &subject, pair)
        {
            continue;
        }
        let takes_files = job.takes_files(&place);
        if !takes_files && theirs.tombstones == Some(0) && job.layout_unusable().is_none() {
            continue;
        }
        if job.leaves_future(hour) {
            job.report.future = job.report.future.saturating_add(1);
            is_left = true;
            continue;
        }
        let here = row.map_or(0, crate::archive::digest_sums::replicated_files);
        if takes_files {
            found.behind = found.behind.saturating_add(theirs.files.saturating_sub(here).min(MOST_BEHIND));
        }
        found.places.push((place.clone(), Promise { ours: mine_digest, theirs: promised }));
        hours.push((place, pair));
    }
    // Nothing adds up to it: what was left is not settled, because its time may come.
    Ok(Some((hours, if is_left { Digest::default() } else { sum })))
}

/// How many hours of a day differ, as a peer says: no day has more than [`HOURS`].
fn hours_of_a_day(said: u64) -> u64 {
    said.min(HOURS as u64)
}

/// No hour holds more than this: what a peer says of its counts is only believed so far.
const MOST_BEHIND: u64 = 1_000_000;

/// What was asked for; nothing, and a line in the report, if only this one answer is bad.
pub(super) fn or_reported<T>(answer: Result<T, PeerError>, job: &mut PeerJob) -> Result<Option<T>, RoundError> {
    match answer.map_err(RoundError::from) {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.ends_the_round() => Err(error),
        Err(error) => {
            job.is_partly_asked = true;
            job.report.failed(error);
            Ok(None)
        }
    }
}

/// What the list of an hour has to add up to, asked for anew; nothing if that cannot be found out.
pub(super) async fn promised(job: &mut PeerJob, place: &HourPlace) -> Result<Option<Digest>, RoundError> {
    let (stream, day) = (&place.stream, Day::of(place.hour).to_string());
    let path = ["api", "v1", "digests", stream.channel.as_str(), stream.quality.as_str(), &day];
    let answer: Result<HourDigests, _> = job.shared.client.get_json(job.peer(), &path, &[], ANSWER_BYTES).await;
    job.asked();
    let Some(answer) = or_reported(answer, job)? else { return Ok(None) };
    let hour = place.hour.to_string();
    Ok(answer.hours.iter().find(|theirs| theirs.hour == hour).and_then(|theirs| Digest::parse(&theirs.digest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_has_no_more_hours_than_there_are_whatever_a_peer_says() {
        assert_eq!([0, 3, 24, 25, u64::MAX].map(hours_of_a_day), [0, 3, 24, 24, 24]);
    }
}
