//! How long does the best sequence of six hours take, 10,800 segments, from a real archive? Warm, and with nothing kept; and a playlist of
//! a day, put together from hours that are kept.

#![expect(clippy::expect_used, reason = "a bench stops where something is wrong")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use gapless::archive::{HourPlace, Span, Stream, Timestamp};
use gapless::disk::{Base, BaseGuard, BaseIdentity};
use gapless::index::{Index, IndexOptions};
use gapless::jobs::{Stop, SystemClock};
use gapless::play::playback::{Ask, Playback, PlaybackOptions};
use gapless::sync::crawl::{Keeper, Watch, WatchOptions};

/// A day.
const HOURS: u32 = 24;
/// Segments of 2 s, none missing.
const PER_HOUR: u32 = 1_800;

struct Day {
    keeper: Arc<Keeper>,
    stream: Stream,
    start: Timestamp,
}

impl Day {
    /// Files that hold nothing that is understood, which is known of each after the first list.
    fn new(directory: &tempfile::TempDir) -> Self {
        let stream = Stream::parse("bench/source").expect("a stream");
        let base = directory.path().join("base");
        let mut places = Vec::new();
        for number in 0..HOURS {
            let hour = support::hour(number);
            let place = base.join(format!("{stream}/{hour}"));
            std::fs::create_dir_all(&place).expect("a directory");
            for segment in 0..PER_HOUR {
                std::fs::write(place.join(support::name(number, segment)), b"bench").expect("a file");
            }
            places.push(HourPlace { stream: stream.clone(), hour });
        }
        let index = Index::open(&directory.path().join("index.redb"), IndexOptions::default()).expect("an index");
        let guard = BaseGuard::new(Base::open(&base).expect("a base"), BaseIdentity::Unmarked { channels: Vec::new() });
        let keeper = Arc::new(Keeper::new(Arc::new(index), Arc::new(guard)));
        // Directories are trusted when they are 2 s old.
        std::thread::sleep(Duration::from_secs(3));
        keeper.reconcile(&places, true).expect("indexed");
        Self { keeper, stream, start: support::hour(0).start() + Span::from_us(1) }
    }

    fn playback(&self) -> Playback {
        let options = PlaybackOptions { max_hours: 240, cache: 128 << 20 };
        Playback::new(Arc::clone(&self.keeper), Arc::new(SystemClock::new()), options)
    }

    fn end(&self, hours: i64) -> Timestamp {
        self.start + Span::from_us(hours * 3_600_000_000)
    }

    fn six_hours(&self, playback: &Playback) -> usize {
        let found = playback.sequence(&self.stream, self.start, self.end(6)).expect("told");
        assert!(found.iter().all(Option::is_some), "nothing is missing");
        found.len()
    }

    fn all(&self, playback: &Playback, earlier: i64) -> usize {
        let end = self.end(24) + Span::from_us(-earlier);
        let ask = Ask {
            stream: self.stream.clone(),
            start: Some(self.start),
            end: Some(end),
            gaps: false,
            apart: false,
            peers: false,
        };
        playback.playlist(&ask).expect("told").plain().iter().map(bytes::Bytes::len).sum()
    }
}

fn main() {
    let directory = tempfile::tempdir().expect("a directory");
    let day = Day::new(&directory);
    let stop = Stop::new();
    let options = WatchOptions { hours_per_quality: 100, max_watches: 1_000, window: Duration::from_millis(10) };
    let watch = Arc::new(Watch::new(Arc::clone(&day.keeper), options, stop.clone()));
    std::thread::scope(|scope| {
        scope.spawn(|| watch.run());
        // Until the watches are placed, and that the hours were compared counts no more.
        std::thread::sleep(Duration::from_secs(2));
        while !(0..HOURS).all(|number| day.keeper.is_fresh("bench/source", support::hour(number))) {
            std::thread::sleep(Duration::from_millis(50));
        }
        questions(&day);
        stop.stop();
        watch.wake();
    });
}

fn questions(day: &Day) {
    let warm = day.playback();
    assert_eq!(day.six_hours(&warm), 6 * PER_HOUR as usize);
    support::measure("best sequence of 6 h, warm", || day.six_hours(&warm));
    day.all(&warm, 0);
    support::measure("playlist of 24 h, again", || day.all(&warm, 0));
    let mut earlier = 0;
    support::measure("playlist of 24 h, another window of known hours", || {
        earlier = earlier % 1_000_000 + 1;
        day.all(&warm, earlier)
    });
    support::measure_with("best sequence of 6 h, nothing kept", || day.playback(), |cold| day.six_hours(cold));
    support::measure_with("playlist of 24 h, nothing kept", || day.playback(), |cold| day.all(cold, 0));
}
