//! Gauges about index, crawl, watcher and disk, read when they are asked for.

use std::sync::atomic::Ordering;

use prometheus::{Gauge, Registry};

use super::visitor_metrics::VisitorMetrics;
use crate::index::Health;
use crate::sync::crawl::{Crawl, CrawlCounts, Keeper, Watch};
use crate::sync::scrub::{KeptFile, Scrub};

/// The gauges.
#[derive(Debug)]
pub struct NodeMetrics {
    ready: Gauge,
    index_bytes: Gauge,
    index_commits: Gauge,
    index_writable: Gauge,
    index_set_aside: Gauge,
    hours: Gauge,
    crawl_cycle: Gauge,
    crawl_done: Gauge,
    crawl_total: Gauge,
    crawl_errors: Gauge,
    crawl_doubts: Gauge,
    quarantine_files: Gauge,
    quarantine_bytes: Gauge,
    quarantine_unhealed: Gauge,
    flagged: Gauge,
    watches: Gauge,
    overflows: Gauge,
    unwatched: Gauge,
    disk_free: Gauge,
    disk_total: Gauge,
    disk_away: Gauge,
    cache_bytes: Gauge,
    unsettled: Gauge,
    visitors: VisitorMetrics,
}

fn gauge(registry: &Registry, name: &str, help: &str) -> prometheus::Result<Gauge> {
    let gauge = Gauge::new(name, help)?;
    registry.register(Box::new(gauge.clone()))?;
    Ok(gauge)
}

impl NodeMetrics {
    /// Registers the gauges.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let make = |name, help| gauge(registry, name, help);
        Ok(Self {
            ready: make("gapless_ready", "1 when the index has caught up with the disk")?,
            index_bytes: make("gapless_index_bytes", "Size of the index file in bytes")?,
            index_commits: make("gapless_index_commits", "Commits of the index since the start")?,
            index_writable: make("gapless_index_writable", "1 when the index is on disk and takes writes")?,
            index_set_aside: make("gapless_index_set_aside", "Damaged indexes set aside since the start")?,
            hours: make("gapless_hours", "Hour directories in the index")?,
            crawl_cycle: make("gapless_crawl_cycle", "Number of the crawl cycle that runs or was last")?,
            crawl_done: make("gapless_crawl_hours_done", "Hours looked at in this crawl cycle")?,
            crawl_total: make("gapless_crawl_hours", "Hours to look at in this crawl cycle")?,
            crawl_errors: make("gapless_crawl_errors", "Hours that the last crawl cycle could not look at")?,
            crawl_doubts: make(
                "gapless_crawl_doubts",
                "Channels of which so much is missing at once that it needs confirmation",
            )?,
            quarantine_files: make("gapless_quarantine_files", "Damaged files in the quarantine")?,
            quarantine_bytes: make("gapless_quarantine_bytes", "Their size in bytes")?,
            quarantine_unhealed: make("gapless_quarantine_unhealed_files", "Those whose name is not listed again")?,
            flagged: make("gapless_flagged_files", "Segments that the scrub found odd, and that stay where they are")?,
            watches: make("gapless_watches", "Directories that are watched")?,
            overflows: make("gapless_watch_overflows", "Overflows of the event queue since the start")?,
            unwatched: make("gapless_unwatched", "Directories that should be watched and are compared instead")?,
            disk_free: make("gapless_disk_free_bytes", "Free space on the archive's disk in bytes")?,
            disk_total: make("gapless_disk_bytes", "Size of the archive's disk in bytes")?,
            disk_away: make("gapless_disk_away", "1 when the archive's disk is not there")?,
            unsettled: make("gapless_coverage_unsettled_hours", "Hours whose coverage is still to be worked out")?,
            cache_bytes: make("gapless_listing_cache_bytes", "Bytes of listings that are kept")?,
            visitors: VisitorMetrics::register(registry)?,
        })
    }

    /// Sets those of the quarantine and of what is flagged. Before it was read nothing is known to lie there.
    #[expect(clippy::cast_precision_loss, reason = "gauges are floats; counts beyond 2^53 do not occur")]
    pub fn update_scrub(&self, scrub: &Scrub) {
        let kept = scrub.quarantine();
        let (files, bytes) = kept.count(|_| true);
        self.quarantine_files.set(files as f64);
        self.quarantine_bytes.set(bytes as f64);
        self.quarantine_unhealed.set(kept.count(KeptFile::is_lost).0 as f64);
        self.flagged.set(scrub.flagged().count() as f64);
    }

    /// Sets all other gauges.
    #[expect(clippy::cast_precision_loss, reason = "gauges are floats; counts beyond 2^53 do not occur")]
    pub fn update(&self, keeper: &Keeper, crawl: &Crawl, watch: &Watch, cache_bytes: usize) {
        let index = keeper.index();
        self.ready.set(f64::from(u8::from(*crawl.ready().borrow())));
        self.index_bytes.set(index.file_bytes() as f64);
        self.index_commits.set(index.commits() as f64);
        self.index_writable.set(f64::from(u8::from(index.health() == Health::Good)));
        self.index_set_aside.set(index.set_aside().len() as f64);
        self.hours.set(index.catalog().hour_count() as f64);
        if let Ok(hours) = index.unsettled_hours() {
            self.unsettled.set(hours as f64);
        }
        self.cache_bytes.set(cache_bytes as f64);

        let crawled = crawl.status();
        self.crawl_cycle.set(crawled.cycle as f64);
        self.crawl_done.set(crawled.done as f64);
        self.crawl_total.set(crawled.total as f64);
        self.crawl_errors.set(crawled.last.as_ref().map_or(0, |(found, _)| found.count(CrawlCounts::ERRORS)) as f64);

        self.visitors.update(&crawled.visitors);

        self.crawl_doubts.set(keeper.doubts().len() as f64);

        let watched = watch.status();
        self.watches.set(watched.watches.load(Ordering::Relaxed) as f64);
        self.overflows.set(watched.overflows.load(Ordering::Relaxed) as f64);
        self.unwatched.set(watched.unwatched.load(Ordering::Relaxed) as f64);

        let base = keeper.guard().base();
        self.disk_away.set(f64::from(u8::from(base.is_err())));
        if let Ok((free, total)) = base.map_err(drop).and_then(|base| base.free_space().map_err(drop)) {
            self.disk_free.set(free as f64);
            self.disk_total.set(total as f64);
        }
    }
}
