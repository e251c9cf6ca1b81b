//! Gathers what is wrong with this node: what each part of it reports about itself, and what the rules of [`problems`] make of the archive.
//! The status, its page and the metrics all report this one list.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use prometheus::{IntGaugeVec, Opts, Registry};

use super::app::App;
use super::coverage::MOST_HOURS;
use super::layout_problems::of_layout;
use crate::archive::coverage::{CoverageKind, Stretch, Window};
use crate::archive::problems::video::{
    DAY, DayGaps, HourSpans, bad_names, disk_full, empty, holes, paused, silent, twice_before,
};
use crate::archive::problems::{NodeProblem, ProblemKind, Severity, in_order, layout};
use crate::archive::quantity::{count, size};
use crate::archive::time::HOUR_US;
use crate::archive::{Hour, Span, Stream, Timestamp};
use crate::index::{Health, Index};
use crate::sync::crawl::{CrawlStatus, MassLoss};
use crate::sync::scrub::KeptFile;
use crate::wire::{DiskStatus, JobReport, PeerReport, RetentionReport, SourceReport, StreamStatus};

use ProblemKind as Kind;
use Severity::{Error, Warning};

/// Streams whose names are looked at for examples; all are counted.
const MOST_WITH_EXAMPLES: usize = 50;
/// How long the gauges hold for scrapers: totals of all days are added up for them.
const FRESH: Duration = Duration::from_secs(30);

/// What the parts of a node report about themselves.
pub(super) struct Reports<'r> {
    pub(super) crawl: &'r CrawlStatus,
    pub(super) doubts: &'r [MassLoss],
    pub(super) disk: &'r DiskStatus,
    pub(super) streams: &'r [StreamStatus],
    pub(super) peers: &'r [PeerReport],
    pub(super) sources: &'r [SourceReport],
    pub(super) retention: &'r RetentionReport,
    pub(super) jobs: &'r [JobReport],
}

/// All problems, most important first.
pub(super) fn gather(app: &App, reports: &Reports<'_>, now: Timestamp) -> Vec<NodeProblem> {
    let mut found: Vec<NodeProblem> = of_machinery(app, reports).collect();
    found.extend(reports.peers.iter().flat_map(of_peer));
    found.extend(app.node.auth.troubles().into_iter().map(|why| NodeProblem::new(Kind::Tokens, Warning, why)));
    found.extend(reports.sources.iter().flat_map(of_source));
    found.extend(of_retention(reports.retention));
    found.extend(of_jobs(reports.jobs, &found));
    found.extend(of_layout(
        &app.node.layouts,
        app.node.handoffs.as_ref().and_then(|handoffs| handoffs.stuck()),
        &app.node.name,
        reports.peers,
    ));
    found.extend(of_scrub(app, reports.crawl));
    found.extend(of_archive(app, reports, now));
    in_order(found)
}

/// Disk, index, crawl and watcher.
fn of_machinery(app: &App, reports: &Reports<'_>) -> impl Iterator<Item = NodeProblem> {
    let away = app.node.keeper.guard().base().err().map(|away| {
        let what = format!("the archive is not there: {}", away.reason);
        NodeProblem::new(Kind::ArchiveAway, Error, what).at(app.node.base_dir.display().to_string())
    });
    let doubts = reports
        .doubts
        .iter()
        .map(|doubt| NodeProblem::new(Kind::MissingFiles, Error, doubt.to_string()).at(doubt.channel.to_string()));
    let index = match app.node.keeper.index().health() {
        Health::Good => None,
        Health::Stalled { why } => Some(why),
        Health::InMemory { why } => Some(format!("the index is kept in memory and lost at the end: {why}")),
    };
    let crawl =
        [reports.crawl.trouble.clone(), reports.crawl.last.as_ref().and_then(|(found, _)| found.last_error.clone())];
    let simple = |kind, severity| move |why: String| NodeProblem::new(kind, severity, why);
    let doubts: Vec<NodeProblem> = doubts.collect();
    (away.into_iter().chain(doubts))
        .chain(index.map(simple(Kind::Index, Error)))
        .chain(app.node.watch.status().trouble().map(simple(Kind::Watch, Warning)))
        .chain(crawl.into_iter().flatten().map(simple(Kind::Crawl, Warning)))
}

fn of_peer(peer: &PeerReport) -> Vec<NodeProblem> {
    let named =
        |kind, why: &String| NodeProblem::new(kind, Warning, format!("{}: {why}", peer.name)).at(peer.name.clone());
    let since = peer.complete_round;
    let failed = peer.error.as_ref().map(|why| NodeProblem { since, ..named(Kind::Peer, why) });
    let conflict = peer.conflict.as_ref().map(|why| named(Kind::PeerConflict, why));
    let held = peer.bursts.iter().map(|burst| {
        let what = format!("tombstones wait for confirmation: {burst}");
        NodeProblem::new(Kind::HeldTombstones, Warning, what).at(peer.name.clone())
    });
    let full = peer.strangers_full.as_ref().map(|why| named(Kind::PeerBudget, why));
    failed.into_iter().chain(conflict).chain(held).chain(full).collect()
}

fn of_source(source: &SourceReport) -> Vec<NodeProblem> {
    let problem = |what: String| NodeProblem::new(Kind::PeerList, Warning, what).at(source.place.clone());
    let failing = source.error.as_ref().map(|error| {
        let since = source.failing_since;
        let known = match (source.peers, source.remembered) {
            (0, _) => "no nodes are known from there".to_owned(),
            (count, false) => format!("the nodes known from there ({count}) go on"),
            (count, true) => format!("the nodes known from before the last start ({count}) go on"),
        };
        let begun = since.map_or_else(|| "now".to_owned(), |since| since.to_string());
        NodeProblem {
            since,
            ..problem(format!("the list of nodes in the {}, since {begun}: {error}; {known}", source.kind))
        }
    });
    let left_out = source.left_out.iter().map(|why| problem(format!("a node is left out: {why}")));
    failing.into_iter().chain(left_out).collect()
}

fn of_retention(retention: &RetentionReport) -> Vec<NodeProblem> {
    let problem = |what: String| NodeProblem::new(Kind::Retention, Warning, what);
    let mut found: Vec<NodeProblem> =
        retention.doubt.iter().chain(&retention.error).map(|why| problem(format!("retention: {why}"))).collect();
    found.extend(retention.unusable_records.iter().map(|record| {
        let what = format!("nothing is deleted: the record '{}' cannot be relied on ({})", record.name, record.why);
        NodeProblem { severity: Error, ..problem(what) }.advise("look at it, then `gapless retention accept`")
    }));
    if let (Some(why), None) = (&retention.clock, &retention.doubt) {
        found.push(NodeProblem { severity: Error, ..problem(format!("nothing is deleted: {why}")) });
    }
    if retention.last_copies > 0 {
        let what = format!(
            "retention: {} segments stay as the last copies, such as {}",
            retention.last_copies,
            retention.first_last_copies.join(", ")
        );
        found.push(NodeProblem {
            count: Some(retention.last_copies),
            ..NodeProblem::new(Kind::LastCopies, Warning, what)
        });
    }
    let unproven = retention.unproven_copies.iter().map(|why| format!("retention: {why}"));
    found.extend(unproven.map(|what| NodeProblem::new(Kind::LastCopies, Warning, what)));
    found
}

/// Jobs that hang, and those that fail for a reason that is not among `found`.
fn of_jobs(jobs: &[JobReport], found: &[NodeProblem]) -> Vec<NodeProblem> {
    let of_job = |job: &JobReport| {
        let problem = |what: String| NodeProblem::new(Kind::Job, Error, what).at(job.name());
        let hangs = job.overdue_seconds.map(|silent| {
            problem(format!(
                "{}: {}, without any progress for {silent:.0} s; it should show some after {:.0} s",
                job.name(),
                job.doing,
                job.deadline_seconds
            ))
        });
        let error = job.error.as_ref().filter(|_| job.failures > 0);
        let error = error.filter(|error| !found.iter().any(|known| known.what.contains(error.as_str())));
        let fails = error.map(|error| {
            let since = job.error_time;
            NodeProblem { severity: Warning, since, ..problem(format!("{}: {error}", job.name())) }
        });
        hangs.into_iter().chain(fails).collect::<Vec<_>>()
    };
    jobs.iter().flat_map(of_job).collect()
}

/// What only a person can decide or mend: damaged files that wait, and such that nobody has.
fn of_scrub(app: &App, crawl: &CrawlStatus) -> Vec<NodeProblem> {
    let problem =
        |files: u64, what: String| NodeProblem { count: Some(files), ..NodeProblem::new(Kind::Damaged, Warning, what) };
    let scrub = crawl.visitors.iter().find(|visitor| visitor.name == "scrub");
    let waiting = scrub.map_or(0, |visitor| visitor.state.found.count("waiting"));
    let (lost, bytes) = app.node.scrub.quarantine().count(|file: &KeptFile| file.is_lost() && !file.is_bad_by_name());
    let mut found = Vec::new();
    if waiting > 0 {
        let what = format!(
            "scrub: {} stay where they are, because so many look like a bad disk",
            count(waiting, "damaged file")
        );
        found.push(problem(waiting, what).advise("look at the disk first, then `gapless scrub --yes`"));
    }
    if lost > 0 {
        let what = format!(
            "scrub: {} ({}) in the quarantine, and no other copy is here",
            count(lost, "damaged file"),
            size(bytes)
        );
        found.push(problem(lost, what).advise("`gapless quarantine` lists them"));
    }
    found
}

/// What is recorded, once it is known what is here.
fn of_archive(app: &App, reports: &Reports<'_>, now: Timestamp) -> Vec<NodeProblem> {
    let thresholds = &app.node.thresholds;
    let mut found: Vec<NodeProblem> = reports
        .disk
        .free_bytes
        .and_then(|free| disk_full(free, thresholds, !reports.peers.is_empty()))
        .into_iter()
        .collect();
    if !app.node.crawl.is_ready() || reports.disk.state != "there" {
        return found;
    }
    let index = app.node.keeper.index();
    found.extend(silent(&app.gauges.latest.ends(index, app.node.keeper.horizon()), now, thresholds, |stream, hour| {
        past_hour(index, stream, hour)
    }));
    let named = |status: &StreamStatus| Stream { channel: status.channel.clone(), quality: status.quality.clone() };
    let days = reports.streams.iter().filter_map(|status| {
        let day = status.last_day.as_ref()?;
        Some((named(status), DayGaps { covered_seconds: day.covered_seconds, missing_seconds: day.hole_seconds }))
    });
    found.extend(holes(&days.collect::<Vec<_>>(), thresholds, |stream| paused_lately(index, stream, now)));
    let with_odd = reports.streams.iter().filter(|status| status.bad > 0).take(MOST_WITH_EXAMPLES);
    let odd = with_odd.filter_map(|status| index.odd_names(&named(status), status.bad, status.segments).ok());
    found.extend(odd.map(|odd| bad_names(&odd, now)));
    let channels = index.catalog().channels().into_iter().collect();
    let misplaced = layout::misplaced(&(app.node.misplaced)(), &channels);
    if channels.is_empty() && misplaced.is_empty() {
        found.push(empty(&app.node.base_dir.display().to_string()));
    }
    found.extend(misplaced);
    found
}

/// What was recorded in an hour; nothing if there is nothing of the stream in the week before it.
fn past_hour(index: &Index, stream: &Stream, hour: Hour) -> Option<HourSpans> {
    let name = stream.to_string();
    if index.catalog().hours(&name, hour.earlier(7 * 24)..=hour).is_empty() {
        return None;
    }
    let view = index.hour(&name, hour).ok()?;
    let video = view.iter().flat_map(|view| view.contents.visible()).filter(|file| file.key.kind.is_video());
    Some(video.map(|file| (file.key.start(hour), file.key.end(hour))).collect())
}

/// How much of the last day lies in regular pauses.
fn paused_lately(index: &Index, stream: &Stream, now: Timestamp) -> Span {
    let holes = |days: i64| {
        let shift = Span::from_us(days * DAY.us());
        let (from, to) = (now - shift - DAY, now - shift);
        // Of earlier days what is missing at the edges of the window counts as well.
        let edges = days > 0;
        let window = Window { from: Some(from), to: Some(to), edge_from: edges, edge_to: edges, last: None };
        let found = index.coverage(stream, &window, MOST_HOURS).ok()?;
        let holes = found.coverage.holes_within(CoverageKind::Raw, &window).into_iter();
        Some(holes.map(|hole| Stretch { start: hole.start + shift, end: hole.end + shift }).collect::<Vec<_>>())
    };
    let Some(today) = holes(0).filter(|holes| holes.iter().any(|hole| hole.length().us() >= HOUR_US)) else {
        return Span::default();
    };
    let before = twice_before(|days| {
        let hour = (now - Span::from_us((days + 1) * DAY.us())).hour();
        let is_old_enough = !index.catalog().hours(&stream.to_string(), hour.earlier(7 * 24)..=hour).is_empty();
        if is_old_enough { holes(days) } else { None }
    });
    before.map_or_else(Span::default, |before| paused(&today, &before))
}

/// The gauge `gapless_problems`: how many problems of each kind and level there are.
#[derive(Debug)]
pub struct ProblemMetrics {
    gauge: IntGaugeVec,
    set: Mutex<Option<Instant>>,
}

impl ProblemMetrics {
    /// Registers it.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let help = "Problems of this kind and level, as in the status; level notice is worth a look, no more";
        let gauge = IntGaugeVec::new(Opts::new("gapless_problems", help), &["kind", "level"])?;
        registry.register(Box::new(gauge.clone()))?;
        Ok(Self { gauge, set: Mutex::default() })
    }

    /// Whether it was set long ago.
    pub(super) fn is_stale(&self) -> bool {
        let set = self.set.lock();
        set.is_none_or(|set| set.elapsed() > FRESH)
    }

    /// Sets it.
    pub(super) fn set(&self, problems: &[NodeProblem]) {
        let mut set = self.set.lock();
        for kind in Kind::ALL {
            for severity in Severity::ALL {
                let of_both = problems.iter().filter(|problem| (problem.kind, problem.severity) == (*kind, severity));
                let labels = [kind.as_str(), severity.as_str()];
                self.gauge.with_label_values(&labels).set(i64::try_from(of_both.count()).unwrap_or(i64::MAX));
            }
        }
        *set = Some(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::test_node::TestNode;
    use super::*;
    use crate::archive::Span;

    /// The hour of a moment so many minutes ago, and the name of a segment that starts then.
    fn minutes_ago(minutes: i64) -> (String, String) {
        let start = super::super::status::now() - Span::from_us(minutes * 60_000_000);
        let text = start.to_string();
        let name = format!("{}-2.0-full-{}.ts", &text[14..26], "A".repeat(43));
        (text[..13].to_owned(), name)
    }

    async fn status(node: &TestNode) -> serde_json::Value {
        serde_json::from_slice(&node.ask("/api/v1/status", &[]).await.2).unwrap()
    }

    fn kinds(status: &serde_json::Value) -> Vec<(&str, &str)> {
        let problems = status["problems"].as_array().unwrap().iter();
        problems.map(|problem| (problem["kind"].as_str().unwrap(), problem["level"].as_str().unwrap())).collect()
    }

    #[tokio::test]
    async fn a_recorder_that_died_is_a_problem_as_soon_as_it_is_known_what_is_here() {
        let node = TestNode::new();
        let (hour, name) = minutes_ago(24);
        node.put(&format!("cam/source/{hour}"), [name.as_str()]);
        assert_eq!(kinds(&status(&node).await), []);
        node.catch_up().await;
        let told = status(&node).await;
        assert_eq!(kinds(&told), [("silent", "warning")], "{told}");
        let problem = &told["problems"][0];
        assert_eq!(problem["where"], "cam/source");
        assert!(problem["what"].as_str().unwrap().starts_with("cam/source: no new segment for 2"), "{problem}");
        assert!(problem["since"].is_string() && problem["advice"].is_string(), "{problem}");
        assert_eq!(told["troubles"].as_array().unwrap().len(), 1, "{told}");
        let (now, newest) = minutes_ago(1);
        node.put(&format!("cam/source/{now}"), [newest.as_str()]);
        let again = status(&node).await;
        assert!(!kinds(&again).contains(&("silent", "warning")), "it writes again: {again}");
    }

    #[tokio::test]
    async fn names_that_are_not_understood_are_reported_and_counted_and_old_ones_call_nobody() {
        let node = TestNode::new();
        let (hour, _) = minutes_ago(0);
        node.put(&format!("cam/source/{hour}"), ["seg00001.ts", "seg00002.ts"]);
        let good = format!("00:00.000000-2.0-full-{}.ts", "A".repeat(43));
        node.put("old/source/2019-11-13T02", ["garbage.ts", good.as_str(), &good.replace("00:00", "00:02")]);
        node.catch_up().await;
        let told = status(&node).await;
        assert_eq!(kinds(&told), [("bad-names", "warning"), ("bad-names", "notice")], "{told}");
        let problem = &told["problems"][0];
        assert_eq!((&problem["where"], &problem["count"]), (&json!("cam/source"), &json!(2)));
        assert_eq!(problem["examples"][0], format!("cam/source/{hour}/seg00001.ts"));
        assert_eq!(problem["page"], "docs/names.md");
        assert_eq!(told["troubles"].as_array().unwrap().len(), 1, "a notice is none: {told}");
        let metrics = String::from_utf8(node.ask("/metrics", &[]).await.2).unwrap();
        for line in [
            "gapless_problems{kind=\"bad-names\",level=\"warning\"} 1",
            "gapless_problems{kind=\"bad-names\",level=\"notice\"} 1",
            "gapless_problems{kind=\"silent\",level=\"warning\"} 0",
        ] {
            assert!(metrics.contains(line), "{line} in {metrics}");
        }
    }

    #[tokio::test]
    async fn an_empty_archive_is_not_called_well() {
        let node = TestNode::new();
        node.catch_up().await;
        let told = status(&node).await;
        assert_eq!((kinds(&told), &told["troubles"]), (vec![("empty", "notice")], &json!([])));
    }

    #[test]
    fn a_failing_job_is_a_problem_unless_somebody_reported_it_already() {
        let job = |kind: &str, error: &str, overdue: Option<f64>| {
            let job = json!({
                "kind": kind, "of": null, "state": "working", "doing": "draws", "since": "2019-11-13T02:00:00.000000Z", "done": 0,
                "total": 0, "steps": 4, "failures": 1, "failures_in_all": 1, "worked_seconds": 1.0, "deadline_seconds": 60.0,
                "error": error, "overdue_seconds": overdue
            });
            serde_json::from_value::<JobReport>(job).unwrap()
        };
        let reported = [NodeProblem::new(Kind::Peer, Warning, "a: no answer")];
        let found = of_jobs(&[job("backfill", "no answer", None), job("maps", "no room", Some(90.0))], &reported);
        let lines: Vec<&str> = found.iter().map(|problem| problem.what.as_str()).collect();
        assert_eq!(
            lines,
            ["maps: draws, without any progress for 90 s; it should show some after 60 s", "maps: no room"]
        );
    }
}
