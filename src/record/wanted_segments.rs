//! The segments of one playlist that are to be here: which of them are due, which are under way, and what becomes of one that does not come.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use tokio::time::Instant;

use super::follow::listed_name;
use super::last_listed::ListedName;
use super::playlist::{ListedSegment, MediaList};
use super::run_placement::RunPlacement;
use super::start_times::StartTime;
use crate::archive::hole_reasons::HoleReason;
use crate::archive::{Hash, Span, Timestamp};

/// The first wait before a segment is tried again, and the longest.
const RETRY: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(8));

/// What takes longer keeps nobody from coming, as far as there are no more than [`MOST_UNDER_WAY`].
const SLOW_AFTER: Duration = Duration::from_secs(10);
const MOST_UNDER_WAY: usize = 16;

/// The run of a segment, and its number.
pub type SegmentNumber = (u64, u64);

/// A segment that is to be here.
#[derive(Debug, Clone)]
pub struct WantedSegment {
    pub listed: ListedSegment,
    /// What its addresses are relative to.
    pub base: Arc<Url>,
    pub run: u64,
    pub placement: Arc<RunPlacement>,
    pub time: StartTime,
    pub since: Instant,
    pub not_before: Instant,
    pub attempts: u32,
    /// What was said when the disk was full: without that it might be here, whatever it fails by later.
    pub no_room: Option<String>,
    /// Of what came last and is not `full`.
    pub before: Option<(Hash, u64)>,
    /// That was cut off.
    pub is_cut: bool,
}

impl WantedSegment {
    /// One of a run that was listed just now.
    pub fn new(
        (run, listed): (u64, ListedSegment),
        base: Arc<Url>,
        placement: Arc<RunPlacement>,
        time: StartTime,
        now: Instant,
    ) -> Self {
        Self {
            listed,
            base,
            run,
            placement,
            time,
            since: now,
            not_before: now,
            attempts: 0,
            no_room: None,
            before: None,
            is_cut: false,
        }
    }

    pub fn number(&self) -> SegmentNumber {
        (self.run, self.listed.sequence)
    }

    /// What is not here of it, and why.
    pub fn missing(&self, why: &str) -> MissingSegment {
        let (reason, why) = match &self.no_room {
            Some(no_room) => (HoleReason::DiskFull, no_room.clone()),
            None => (HoleReason::NotReceived, why.to_owned()),
        };
        let (start, duration) = (self.placement.start(&self.time), self.listed.duration);
        MissingSegment { name: listed_name(&self.listed), start, duration, reason, why }
    }
}

/// A segment that is given up.
#[derive(Debug)]
pub struct MissingSegment {
    pub name: ListedName,
    pub start: Timestamp,
    pub duration: Span,
    pub reason: HoleReason,
    pub why: String,
}

/// One that is fetched now.
#[derive(Debug)]
struct UnderWay {
    begun: Instant,
    /// If it does not come.
    missing: MissingSegment,
    /// It has failed before.
    has_failed: bool,
    /// Where the playlist says by now that it is.
    renewed: Option<(Arc<Url>, ListedSegment)>,
}

#[derive(Debug, Default)]
pub struct WantedSegments {
    waiting: BTreeMap<SegmentNumber, WantedSegment>,
    under_way: BTreeMap<SegmentNumber, UnderWay>,
}

impl WantedSegments {
    pub fn insert(&mut self, wanted: WantedSegment) {
        self.waiting.insert(wanted.number(), wanted);
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.under_way.is_empty()
    }

    /// Takes out what is to be fetched now, so that no more than `most` are under way: the newest first, but where the oldest of a run has to come
    /// alone. Says when something else will be due.
    pub fn begin_due(&mut self, now: Instant, most: usize) -> (Vec<WantedSegment>, Option<Instant>) {
        // Of the newest run that has to wait for its first segment.
        let alone = self.waiting.values().rev().find_map(|wanted| Some((wanted.run, wanted.placement.alone_until()?)));
        let most = if alone.is_some() { 1 } else { most };
        let is_due = |one: &WantedSegment| one.not_before <= now && alone.is_none_or(|(run, _)| one.run == run);
        let mut due: Vec<SegmentNumber> =
            self.waiting.values().filter(|one| is_due(one)).map(WantedSegment::number).collect();
        if alone.is_none() {
            due.reverse();
        }
        // What takes long is not to keep others from coming.
        let quick = self.under_way.values().filter(|one| now < one.begun + SLOW_AFTER).count();
        let room = most.saturating_sub(quick).min(MOST_UNDER_WAY.saturating_sub(self.under_way.len()));
        let slow = self.under_way.values().map(|one| one.begun + SLOW_AFTER).filter(|slow| *slow > now).min();
        let slow = slow.filter(|_| due.len() > room);
        due.truncate(room);
        let begun: Vec<_> = due.iter().filter_map(|number| self.waiting.remove(number)).collect();
        for wanted in &begun {
            let missing = wanted.missing("it had not come when its playlist was given up");
            let has_failed = wanted.attempts > 0;
            self.under_way.insert(wanted.number(), UnderWay { begun: now, missing, has_failed, renewed: None });
        }
        let later = self.waiting.values().map(|wanted| wanted.not_before).filter(|later| *later > now).min();
        (begun, later.into_iter().chain(alone.map(|(_, until)| until)).chain(slow).min())
    }

    /// It is under way no more. Where the playlist has named another address meanwhile, it has that now.
    pub fn returned(&mut self, wanted: &mut WantedSegment) {
        let renewed = self.under_way.remove(&wanted.number()).and_then(|one| one.renewed);
        if let Some((base, listed)) = renewed {
            wanted.readdress(base, &listed);
        }
    }

    /// It is tried again, later each time.
    pub fn again(&mut self, mut wanted: WantedSegment, now: Instant) {
        let wait = RETRY.0 * 2_u32.saturating_pow(wanted.attempts.min(8).saturating_sub(1));
        wanted.not_before = now + wait.min(RETRY.1);
        self.waiting.insert(wanted.number(), wanted);
    }

    /// Takes over where a newer playlist says that they are: addresses may hold for minutes only.
    pub fn readdress(&mut self, run: u64, base: &Arc<Url>, list: &MediaList) {
        for listed in &list.segments {
            let number = (run, listed.sequence);
            if let Some(wanted) = self.waiting.get_mut(&number) {
                wanted.readdress(Arc::clone(base), listed);
            } else if let Some(one) = self.under_way.get_mut(&number) {
                one.renewed = Some((Arc::clone(base), listed.clone()));
            }
        }
    }

    /// Gives up what has not come although it was asked for; what was listed just now may be anywhere.
    pub fn give_up_failed(&mut self, why: &str) -> Vec<MissingSegment> {
        self.waiting.retain(|_, wanted| wanted.attempts > 0 && (wanted.before.is_none() || wanted.is_cut));
        self.under_way.retain(|_, one| one.has_failed);
        self.give_up(why)
    }

    /// Gives up all that has not come.
    pub fn give_up(&mut self, why: &str) -> Vec<MissingSegment> {
        let under_way = std::mem::take(&mut self.under_way).into_values().map(|one| one.missing);
        let waiting = std::mem::take(&mut self.waiting).into_values().map(|wanted| wanted.missing(why));
        under_way.chain(waiting).collect()
    }
}

impl WantedSegment {
    /// What tells its time stays: the name is made of that.
    fn readdress(&mut self, base: Arc<Url>, listed: &ListedSegment) {
        self.base = base;
        let ListedSegment { uri, range, cipher, map, said_sequence, .. } = listed.clone();
        (self.listed.uri, self.listed.range, self.listed.cipher, self.listed.map) = (uri, range, cipher, map);
        self.listed.said_sequence = said_sequence;
    }
}

#[cfg(test)]
mod tests {
    use super::super::playlist::{HlsPlaylist, PlaylistPlace, parse_playlist};
    use super::super::start_times::StartSource;
    use super::*;

    fn list(text: &str) -> MediaList {
        let segments = text.split_whitespace().map(|uri| format!("#EXTINF:2,\n{uri}")).collect::<Vec<_>>().join("\n");
        let Ok(HlsPlaylist::Media(list)) = parse_playlist(
            format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n{segments}").as_bytes(),
            PlaylistPlace::default(),
        ) else {
            panic!()
        };
        list
    }

    fn base(host: &str) -> Arc<Url> {
        Arc::new(Url::parse(&format!("http://{host}/")).unwrap())
    }

    fn wanted(all: &mut WantedSegments, run: u64, list: &MediaList, placement: &Arc<RunPlacement>) {
        for listed in &list.segments {
            let time = StartTime {
                start: Timestamp::from_us(0),
                source: StartSource::Untold,
                is_doubtful: false,
                moved: Span::default(),
            };
            let now = Instant::now();
            all.insert(WantedSegment::new((run, listed.clone()), base("one"), Arc::clone(placement), time, now));
        }
    }

    fn begun(all: &mut WantedSegments) -> Vec<WantedSegment> {
        all.begin_due(Instant::now(), 4).0
    }

    fn uris(begun: &[WantedSegment]) -> Vec<&str> {
        begun.iter().map(|wanted| &*wanted.listed.uri).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_of_a_run_comes_alone_but_holds_up_nobody_for_long() {
        let mut all = WantedSegments::default();
        let placement = Arc::new(RunPlacement::begin(Timestamp::MIN));
        wanted(&mut all, 0, &list("a b c d e f"), &placement);
        let (first, wake) = all.begin_due(Instant::now(), 4);
        assert_eq!(uris(&first), ["a"]);
        assert_eq!(uris(&begun(&mut all)), [""; 0], "it trickles");
        tokio::time::sleep_until(wake.unwrap()).await;
        assert_eq!(uris(&begun(&mut all)), ["f", "e", "d"], "the newest first, and four at once");
    }

    #[tokio::test(start_paused = true)]
    async fn the_newest_come_first_where_times_are_known_and_what_failed_comes_later_each_time() {
        let mut all = WantedSegments::default();
        wanted(&mut all, 0, &list("a b c d e f"), &Arc::new(RunPlacement::told()));
        let mut first = begun(&mut all);
        assert_eq!(uris(&first), ["f", "e", "d", "c"]);
        assert_eq!(uris(&begun(&mut all)), [""; 0]);
        let mut failed = first.remove(0);
        for mut came in first {
            all.returned(&mut came);
        }
        for mut came in begun(&mut all) {
            all.returned(&mut came);
        }
        for wait in [250, 500, 1_000, 2_000, 4_000, 8_000, 8_000] {
            all.returned(&mut failed);
            failed.attempts += 1;
            all.again(failed, Instant::now());
            let (none, due) = all.begin_due(Instant::now(), 4);
            assert!(none.is_empty());
            assert_eq!(due, Some(Instant::now() + Duration::from_millis(wait)));
            tokio::time::sleep_until(due.unwrap()).await;
            failed = begun(&mut all).remove(0);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_is_the_one_of_the_newest_playlist_also_where_it_is_fetched_just_then() {
        let mut all = WantedSegments::default();
        wanted(&mut all, 7, &list("a?sig=1 b?sig=1"), &Arc::new(RunPlacement::told()));
        let mut one = all.begin_due(Instant::now(), 1).0.remove(0);
        assert_eq!(one.listed.uri, "b?sig=1");
        all.readdress(7, &base("two"), &list("a?sig=2 b?sig=2 c?sig=2"));
        all.readdress(8, &base("other-run"), &list("x y"));
        all.returned(&mut one);
        assert_eq!((&*one.listed.uri, one.base.host_str()), ("b?sig=2", Some("two")));
        let rest = begun(&mut all);
        assert_eq!((uris(&rest), rest[0].base.host_str()), (vec!["a?sig=2"], Some("two")));
    }

    #[tokio::test(start_paused = true)]
    async fn segments_that_trickle_do_not_keep_others_from_coming_for_long() {
        let mut all = WantedSegments::default();
        let names: Vec<String> = (0..40).map(|number| format!("s{number}")).collect();
        wanted(&mut all, 0, &list(&names.join(" ")), &Arc::new(RunPlacement::told()));
        let mut counts = vec![begun(&mut all).len()];
        for _ in 0..4 {
            let (none, wake) = all.begin_due(Instant::now(), 4);
            assert!(none.is_empty());
            let Some(wake) = wake else { break };
            tokio::time::sleep_until(wake).await;
            counts.push(begun(&mut all).len());
        }
        assert_eq!(counts, [4, 4, 4, 4, 0], "and no more than sixteen");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_given_up_is_all_that_has_not_come() {
        let mut all = WantedSegments::default();
        wanted(&mut all, 0, &list("a b c"), &Arc::new(RunPlacement::told()));
        let mut came = all.begin_due(Instant::now(), 1).0.remove(0);
        all.returned(&mut came);
        let mut full = all.begin_due(Instant::now(), 1).0.remove(0);
        all.returned(&mut full);
        full.no_room = Some("no room".to_owned());
        all.again(full, Instant::now());
        let under_way = all.begin_due(Instant::now(), 1).0;
        assert_eq!(uris(&under_way), ["a"]);
        let missing = all.give_up("why");
        let reasons: Vec<_> = missing.iter().map(|one| one.reason).collect();
        assert_eq!(reasons, [HoleReason::NotReceived, HoleReason::DiskFull]);
        assert!(all.is_empty());
    }
}
