//! The screen of a node: problems first, then disk, index and crawl with its visitors, the jobs, the other nodes, and what there is.

use super::table::{ColourWriter, TextTable, Tone};
use crate::archive::problems::Severity;
use crate::archive::quantity::{count, exact_length, length, size};
use crate::archive::{Hour, Timestamp};
use crate::wire::{
    ArchiveReport, ArchiveShare, CrawlReport, DayCoverage, JobReport, LayoutSummary, PeerReport, ProblemReport,
    RecorderSkewReport, Status, StreamStatus,
};

pub(super) fn lines(status: &Status, now: Timestamp, paint: ColourWriter) -> (Vec<String>, Vec<String>) {
    let screen = Screen { now, paint };
    let problems = screen.head(status).into_iter().chain(screen.problems(status)).collect();
    let blocks = [
        screen.state(status),
        screen.visitors(&status.crawl),
        screen.jobs(&status.jobs),
        screen.peers(&status.peers),
        screen.streams(&status.streams),
        screen.sources(status),
    ];
    let mut lines = Vec::new();
    for block in blocks.into_iter().filter(|block| !block.is_empty()) {
        lines.push(String::new());
        lines.extend(block);
    }
    (problems, lines)
}

struct Screen {
    now: Timestamp,
    paint: ColourWriter,
}

impl Screen {
    fn plain(&self, text: &str) -> String {
        self.paint.words(Tone::Plain, text)
    }

    /// A line of the node itself: what, its state, and more.
    fn line(&self, what: &str, tone: Tone, state: &str, more: &[String]) -> String {
        let what = self.paint.words(Tone::Faint, &format!("{what:<9}"));
        let words: Vec<String> =
            std::iter::once(self.paint.words(tone, state)).chain(more.iter().map(|more| self.plain(more))).collect();
        what + &words.join("  ")
    }

    fn head(&self, status: &Status) -> Vec<String> {
        let (tone, ready) = if status.ready { (Tone::Good, "ready") } else { (Tone::Busy, "not ready") };
        let runs = format!("  runs for {}", self.ago(status.started));
        let name = self.paint.words(Tone::Title, &status.name);
        let ready = self.paint.words(tone, ready);
        vec![format!("{name}  gapless {}  {ready}{runs}", self.plain(&status.version))]
    }

    fn problems(&self, status: &Status) -> Vec<String> {
        let line = |tone, level: &str, what: &str| {
            format!("{} {}", self.paint.words(tone, &format!("{level}:")), self.plain(what))
        };
        if status.problems.is_empty() && !status.troubles.is_empty() {
            // A node of a version that has no list of problems.
            return status.troubles.iter().map(|trouble| line(Tone::Bad, "wrong", trouble)).collect();
        }
        if status.problems.is_empty() {
            let (tone, words) = if status.ready {
                (Tone::Good, "all is well")
            } else {
                (Tone::Busy, "no problem is known yet: the index is catching up with the disk")
            };
            return vec![self.paint.words(tone, words)];
        }
        let of_problem = |problem: &ProblemReport| {
            let tone = if problem.level == Severity::Notice.into() { Tone::Busy } else { Tone::Bad };
            let advice = problem.advice.iter().map(|advice| format!("  → {}", self.plain(advice)));
            std::iter::once(line(tone, &self.plain(&problem.level.to_string()), &problem.what))
                .chain(advice)
                .collect::<Vec<_>>()
        };
        status.problems.iter().flat_map(of_problem).collect()
    }

    fn state(&self, status: &Status) -> Vec<String> {
        let (disk, index, watch) = (&status.disk, &status.index, &status.watch);
        let mut space = vec![status.base_dir.clone()];
        if let (Some(free), Some(total)) = (disk.free_bytes, disk.total_bytes) {
            space.push(format!("{} free of {}", size(free), size(total)));
        }
        if let (Some(own), Some(fetched), Some(other)) = (disk.own_bytes, disk.fetched_bytes, disk.other_bytes) {
            space.push(format!(
                "{} own, {} from other nodes, {} used by everything else",
                size(own),
                size(fetched),
                size(other)
            ));
        }
        let mut index_details = vec![size(index.file_bytes), format!("change {}", index.seq)];
        index_details.extend(index.set_aside.iter().map(|aside| format!("set aside: {aside}")));
        let mut watch_details = vec![count(watch.events, "event")];
        watch_details.extend((watch.overflows > 0).then(|| count(watch.overflows, "overflow")));
        watch_details.extend((watch.unwatched > 0).then(|| format!("{} compared instead", watch.unwatched)));
        let mut lines = vec![
            self.line("disk", good_if(disk.state == "there"), &disk.state, &space),
            self.line("index", good_if(index.state == "good"), &index.state, &index_details),
            self.crawl(&status.crawl),
            self.line("watch", Tone::Plain, &format!("{} directories", watch.watches), &watch_details),
        ];
        lines.extend(status.bucket.as_ref().map(|bucket| self.bucket(bucket)));
        lines.extend(status.layout.as_ref().map(|layout| self.layout(layout, status.peers.len())));
        lines
    }

    fn layout(&self, layout: &LayoutSummary, peers: usize) -> String {
        let mut more = vec![format!("version {}", layout.version)];
        more.extend(layout.hash.as_ref().map(|hash| hash.get(..12).unwrap_or(hash).to_owned()));
        more.push(format!("{} of {} have the same", layout.same, count(peers as u64, "peer")));
        more.extend((layout.refused > 0).then(|| format!("{} refused", layout.refused)));
        self.line("layout", good_if(layout.state == "known" && layout.refused == 0), &layout.state, &more)
    }

    fn bucket(&self, bucket: &ArchiveReport) -> String {
        let share = |share: &ArchiveShare| format!("{}, {}", count(share.hours, "hour"), size(share.bytes));
        let mut more = bucket.bucket.clone().into_iter().collect::<Vec<_>>();
        if bucket.waiting.hours > 0 {
            let oldest = bucket.waiting_since.map(|since| format!(", sealed up to {} ago", self.ago(since)));
            more.push(format!("{} to be uploaded{}", share(&bucket.waiting), oldest.unwrap_or_default()));
        }
        more.extend((bucket.lost > 0).then(|| format!("{} lost", count(bucket.lost, "object"))));
        more.extend(bucket.last_read_back.map(|last| format!("last read back {} ago", self.ago(last))));
        if let Some(failing) = &bucket.failing {
            more.push(format!("{} for {}: {}", failing.reason, self.ago(failing.since), failing.why));
        }
        self.line("bucket", good_if(bucket.failing.is_none() && bucket.lost == 0), &share(&bucket.archived), &more)
    }

    fn crawl(&self, crawl: &CrawlReport) -> String {
        let tone = match crawl.state.as_str() {
            "resting" => Tone::Good,
            "walking" | "catching-up" => Tone::Busy,
            _ => Tone::Bad,
        };
        let hours = format!("{} of {} hours", crawl.hours_done, crawl.hours_total);
        let mut more = vec![format!("cycle {}", crawl.cycle), hours];
        more.extend(crawl.seconds_left.map(|left| format!("{} left", length(left))));
        more.extend(self.until(crawl.next_cycle).map(|next| format!("next in {next}")));
        if let Some(last) = &crawl.last {
            more.push(format!("last {:.2} s, {} new, {} gone", last.seconds, last.files_put, last.files_removed));
            more.extend((last.errors > 0).then(|| count(last.errors, "error")));
        }
        self.line("crawl", tone, &crawl.state, &more)
    }

    fn visitors(&self, crawl: &CrawlReport) -> Vec<String> {
        let titles = ["task", "state", "cycle", "done", "left", "next in", "found"];
        let mut table = TextTable::new(self.paint, &titles, &[2, 3]);
        for visitor in &crawl.visitors {
            let works = crawl.works.as_ref() == Some(&visitor.name);
            let (tone, state) = match (works, visitor.running, visitor.cycle) {
                (true, _, _) => (Tone::Busy, "working"),
                (_, true, _) => (Tone::Busy, "its turn later"),
                (_, _, 0) => (Tone::Plain, "not begun"),
                _ => (Tone::Good, "resting"),
            };
            let share = visitor.share_done.filter(|_| visitor.running);
            let next = if visitor.running { visitor.next_work } else { visitor.next_cycle };
            let mut found: Vec<String> = visitor
                .found
                .iter()
                .filter(|(_, count)| **count > 0)
                .map(|(what, count)| format!("{count} {what}"))
                .collect();
            found.extend(visitor.last_error.clone());
            let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
            table.row([
                self.plain(&visitor.name),
                self.paint.words(tone, state),
                self.plain(&visitor.cycle.to_string()),
                self.plain(&or_none(share.map(|share| format!("{:.1} %", share * 100.0)))),
                self.plain(&or_none(visitor.seconds_left.filter(|_| visitor.running).map(length))),
                self.plain(&or_none(self.until(next))),
                self.paint.words(
                    if visitor.last_error.is_some() { Tone::Bad } else { Tone::Plain },
                    &or_none(Some(found.join(", ")).filter(|found| !found.is_empty())),
                ),
            ]);
        }
        table.lines()
    }

    fn jobs(&self, jobs: &[JobReport]) -> Vec<String> {
        let mut table =
            TextTable::new(self.paint, &["job", "state", "since", "next in", "failed", "what it does"], &[4]);
        for job in jobs {
            let (tone, state) = match (job.overdue_seconds, job.state.as_str()) {
                (Some(_), _) => (Tone::Bad, "hangs"),
                (_, "working") => (Tone::Busy, "working"),
                (_, state @ ("backing-off" | "stalled" | "ended")) => (Tone::Bad, state),
                (_, state) => (Tone::Good, state),
            };
            let next = self.until(job.next).filter(|_| job.state != "working");
            let mut doing = job.doing.clone();
            if job.state == "working" && job.total > 0 {
                doing = format!("{doing} ({} of {})", job.done, job.total);
            }
            if let Some(error) = job.error.as_ref().filter(|_| job.failures > 0) {
                doing = format!("{doing}; {error}");
            }
            let failed =
                if job.failures > 0 { (Tone::Bad, job.failures.to_string()) } else { (Tone::Plain, "-".into()) };
            table.row([
                self.plain(&job.name()),
                self.paint.words(tone, state),
                self.plain(&self.ago(job.since)),
                self.plain(&next.unwrap_or_else(|| "-".to_owned())),
                self.paint.words(failed.0, &failed.1),
                self.plain(&doing),
            ]);
        }
        table.lines()
    }

    fn peers(&self, peers: &[PeerReport]) -> Vec<String> {
        let titles = ["peer", "state", "fetched", "size", "errors", "last round", "lag"];
        let mut table = TextTable::new(self.paint, &titles, &[2, 3, 4]);
        for peer in peers {
            let tone = match peer.state.as_str() {
                "following" | "resting" | "itself" => Tone::Good,
                "round" | "new" => Tone::Busy,
                _ => Tone::Bad,
            };
            let round = if peer.state == "round" {
                format!("{} of {} h", peer.hours_done, peer.hours_total)
            } else {
                peer.complete_round.map_or_else(|| "-".to_owned(), |time| format!("{} ago", self.ago(time)))
            };
            let lag = if peer.behind_segments > 0 { Tone::Bad } else { Tone::Plain };
            table.row([
                self.plain(&peer.name),
                self.paint.words(tone, &peer.state),
                self.plain(&peer.fetched_in_all.to_string()),
                self.plain(&size(peer.bytes_in_all)),
                self.plain(&peer.errors_in_all.to_string()),
                self.plain(&round),
                self.paint.words(lag, &behind(peer)),
            ]);
        }
        let mut lines = table.lines();
        for (peer, skew) in peers.iter().flat_map(|peer| peer.skews.iter().map(move |skew| (peer, skew))) {
            let (ms, than) =
                (skew.later_seconds.abs() * 1e3, if skew.later_seconds < 0.0 { "earlier" } else { "later" });
            let RecorderSkewReport { channel, quality, segments, .. } = skew;
            let name = &peer.name;
            lines.push(format!(
                "{channel}/{quality}: the recording of {name} begins {ms:.0} ms {than} than the one here (median of {segments})"
            ));
        }
        lines
    }

    fn streams(&self, streams: &[StreamStatus]) -> Vec<String> {
        let titles = ["channel/quality", "files", "size", "last day", "hours"];
        let mut table = TextTable::new(self.paint, &titles, &[1, 2]);
        for stream in streams {
            let name = format!("{}/{}", stream.channel, stream.quality);
            let or_none = |hour: Option<Hour>| hour.map_or_else(|| "-".to_owned(), |hour| hour.to_string());
            let mut hours = format!("{} to {}", or_none(stream.first_hour), or_none(stream.last_hour));
            for (number, what) in [(stream.bad, "bad name"), (stream.tombstones, "tombstone")] {
                if number > 0 {
                    hours = format!("{hours}, {}", count(number, what));
                }
            }
            let (tone, day) = stream.last_day.as_ref().map_or((Tone::Plain, "-".to_owned()), day);
            table.row([
                self.plain(&name),
                self.plain(&stream.segments.to_string()),
                self.plain(&size(stream.bytes)),
                self.paint.words(tone, &day),
                self.plain(&hours),
            ]);
        }
        table.lines()
    }

    fn sources(&self, status: &Status) -> Vec<String> {
        let line = |source: &crate::wire::SourceReport| {
            let mut more = vec![source.place.clone(), format!("{} known", source.peers)];
            more.extend(source.read.map(|time| format!("read {} ago", self.ago(time))));
            more.extend(source.remembered.then(|| "from before the last start".to_owned()));
            self.line("nodes", good_if(source.error.is_none()), &source.kind, &more)
        };
        status.sources.iter().map(line).collect()
    }

    /// How long ago that was.
    fn ago(&self, time: Timestamp) -> String {
        length((self.now - time).seconds())
    }

    /// How long it is until then.
    fn until(&self, time: Option<Timestamp>) -> Option<String> {
        Some(length((time? - self.now).seconds()))
    }
}

fn good_if(good: bool) -> Tone {
    if good { Tone::Good } else { Tone::Bad }
}

/// What there is of the last day.
fn day(day: &DayCoverage) -> (Tone, String) {
    if day.holes == 0 {
        return (Tone::Good, "complete".to_owned());
    }
    (Tone::Bad, format!("{}, {}", count(day.holes, "hole"), exact_length(day.hole_seconds)))
}

/// How far behind another node this one is.
fn behind(peer: &PeerReport) -> String {
    match (peer.behind_segments, peer.behind_seconds) {
        (0, seconds) if seconds < 1.0 => "nothing is missing".to_owned(),
        (0, seconds) => format!("behind for {}", length(seconds)),
        (segments, seconds) => format!("{} behind, for {}", count(segments, "segment"), length(seconds)),
    }
}

#[cfg(test)]
mod tests {
    use console::{measure_text_width, strip_ansi_codes};
    use serde_json::json;

    use super::*;

    fn status() -> Status {
        let job = |kind: &str, of: Option<&str>, state: &str, doing: &str| {
            json!({
                "kind": kind, "of": of, "state": state, "doing": doing, "since": "2019-11-13T02:00:00.000000Z",
                "next": "2019-11-13T02:10:30.000000Z", "done": 3, "total": 10, "steps": 4, "failures": 0, "failures_in_all": 0,
                "worked_seconds": 1.0, "deadline_seconds": 60.0
            })
        };
        let visitor = |name: &str, running: bool| {
            json!({
                "name": name, "cycle": 3, "running": running, "hours_done": 4, "share_done": 0.455, "worked_seconds": 1.0,
                "seconds_left": 172_800.0, "minimum_cycle_seconds": 300.0, "next_work": "2019-11-13T02:02:09.000000Z",
                "next_cycle": "2019-11-13T02:04:00.000000Z", "found": { "read": 7, "put": 0 }, "history": []
            })
        };
        let peer = |name: &str, state: &str| {
            json!({
                "name": name, "url": "http://a", "state": state, "trusted": true, "rounds": 3, "failures": 0,
                "hours_done": 4, "hours_total": 9, "fetched": 1, "bytes": 2, "requests": 3, "seconds": 4.0,
                "fetched_in_all": 12_000, "bytes_in_all": 1_u64 << 33, "tombstones_in_all": 0, "errors_in_all": 1,
                "behind_segments": 0, "behind_seconds": 0.0, "complete_round": "2019-11-13T01:59:00.000000Z"
            })
        };
        let stream = |quality: &str| {
            json!({
                "channel": "desertbus", "quality": quality, "hours": 100, "first_hour": "2019-11-09T00",
                "last_hour": "2019-11-13T02", "segments": 86_400, "bytes": 1_u64 << 40, "seconds": 1.0, "bad": 0,
                "tombstones": 0, "last_day": { "covered_seconds": 86_000.0, "holes": 1, "hole_seconds": 8.5 }
            })
        };
        let told = json!({
            "name": "hut", "version": "0.1.0", "started": "2019-11-10T02:00:00.000000Z", "base_dir": "/archive", "ready": true,
            "index": { "state": "good", "file_bytes": 1 << 24, "epoch": "00", "seq": 12_345, "set_aside": [] },
            "crawl": { "state": "resting", "cycle": 3, "hours_done": 400, "hours_total": 400,
                "next_cycle": "2019-11-13T02:04:00.000000Z", "works": "scrub",
                "visitors": [visitor("reconcile", false), visitor("scrub", true)] },
            "watch": { "watches": 9, "events": 1_000, "overflows": 0, "unwatched": 0 },
            "disk": { "state": "there", "free_bytes": 1_u64 << 41, "total_bytes": 1_u64 << 43 },
            "jobs": [
                job("backfill", Some("north"), "waiting", "following"),
                job("backfill", Some("south"), "working", "compares and fetches"),
                job("maps", None, "waiting", "the maps are as the archive is"),
                job("reasons", None, "resting", "up to date"),
                job("retention", None, "waiting", "waits for the next run"),
                job("sentinel", None, "waiting", "the disk is available"),
            ],
            "peers": [peer("north", "following"), peer("south", "round")],
            "streams": [stream("source"), stream("480p")],
            "troubles": []
        });
        serde_json::from_value(told).unwrap()
    }

    /// All lines of a screen.
    fn lines(status: &Status, now: Timestamp, paint: ColourWriter) -> Vec<String> {
        let (problems, others) = super::lines(status, now, paint);
        problems.into_iter().chain(others).collect()
    }

    fn at(minute: i64) -> Timestamp {
        Timestamp::parse("2019-11-13T02:00:00").unwrap() + crate::archive::Span::from_us(minute * 60_000_000)
    }

    #[test]
    fn a_usual_node_is_one_screen() {
        let lines = lines(&status(), at(2), ColourWriter { colour: false });
        let text = lines.join("\n");
        assert!(lines.len() <= 28, "{}\n{text}", lines.len());
        for line in &lines {
            assert!(measure_text_width(line) <= 80, "{line}");
        }
        for words in [
            "hut  gapless 0.1.0  ready  runs for 3days 2m",
            "all is well",
            "next in 2m",
            "backfill north  waiting  2m     8m 30s        -  following",
            "backfill south  working  2m     -",
            "compares and fetches (3 of 10)",
            "4 of 9 h",
            "3m ago",
            "reconcile  resting      3       -  -      2m       7 read",
            "scrub      working      3  45.5 %  2days  9s       7 read",
            "1 hole, 8.5 s",
            "2019-11-09T00 to 2019-11-13T02",
        ] {
            assert!(text.contains(words), "{words} in\n{text}");
        }
    }

    #[test]
    fn colour_changes_no_word_and_strange_names_steer_nothing() {
        let mut status = status();
        let problem =
            |level: &str, what: &str| json!({ "kind": "peer", "level": level, "what": what, "advice": "\u{9b}5m" });
        let problems = json!([problem("error", "\u{1b}[2Jno"), problem("notice", "look")]);
        status.problems = serde_json::from_value(problems).unwrap();
        status.name = "\u{9b}5m\r".to_owned();
        status.peers[0].name = "\u{202e}evil".to_owned();
        status.jobs[0].of = Some("\u{202e}evil".to_owned());
        (status.jobs[0].failures, status.jobs[0].error) = (2, Some("\u{7}it\nrains".to_owned()));
        status.jobs[1].overdue_seconds = Some(100.0);
        let plain = lines(&status, at(2), ColourWriter { colour: false }).join("\n");
        assert!(!plain.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}'), "{plain:?}");
        assert!(
            plain.contains("error: \\x1b[2Jno\n  → \\x9b5m\nnotice: look") && plain.contains("\\x07it\\nrains"),
            "{plain}"
        );
        assert!(plain.contains("hangs"), "{plain}");
        let colourful = lines(&status, at(2), ColourWriter { colour: true }).join("\n");
        assert_ne!(colourful, plain);
        assert_eq!(strip_ansi_codes(&colourful), plain);
    }

    #[test]
    fn all_is_well_only_where_nothing_is_known_to_be_wrong() {
        let shown = |status: &Status| lines(status, at(2), ColourWriter { colour: false }).join("\n");
        let mut status = status();
        status.ready = false;
        assert!(!shown(&status).contains("all is well"));
        status.ready = true;
        status.problems =
            serde_json::from_value(json!([{ "kind": "empty", "level": "notice", "what": "nothing" }])).unwrap();
        assert!(shown(&status).contains("notice: nothing") && !shown(&status).contains("all is well"));
        status.problems.clear();
        status.troubles.push("of an older node".to_owned());
        assert!(shown(&status).contains("wrong: of an older node"), "a node that has no list of problems");
    }
}
