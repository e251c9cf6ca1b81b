//! The pace of the crawl as it is configured: at the start, and again whenever the node rereads its configuration (SIGHUP).

use super::args::Args;
use super::config::Config;
use crate::sync::crawl::{CrawlPace, Pacing, ReadAllowance};

/// What the configuration says.
pub fn of(config: &Config) -> CrawlPace {
    let (crawl, scrub) = (&config.crawl, &config.scrub);
    let cycles = [
        ("reconcile", crawl.minimum_cycle),
        ("census", config.census.minimum_cycle),
        ("scrub", scrub.minimum_cycle),
        ("facts", config.facts.minimum_cycle),
        ("housekeeping", config.housekeeping.minimum_cycle),
    ];
    let limit = |rate: u64| Some(rate).filter(|rate| *rate > 0);
    CrawlPace {
        cpu_share: crawl.cpu_share,
        slice: crawl.slice,
        adaptive: crawl.adaptive,
        threads: crawl.threads,
        cycles: cycles.into_iter().map(|(name, least)| (name.to_owned(), least)).collect(),
        reading: ReadAllowance {
            bytes_per_second: limit(scrub.bytes_per_second),
            files_per_second: limit(scrub.files_per_second as u64),
        },
    }
}

/// Reads the configuration again. What cannot be read changes nothing; what belongs to the pace counts from the next slice on, and
/// what was changed over the API is as the file says again.
pub fn reload(args: &Args, pacing: &Pacing) {
    let read = Config::load(args);
    match read {
        Ok(config) => {
            pacing.set(of(&config));
            tracing::info!(name: "configuration_read", "configuration reloaded: the pace of the crawl applies now, everything else from the next start");
        }
        Err(error) => {
            tracing::error!(name: "configuration_refused", %error, "the new configuration is invalid and was not applied");
        }
    }
}
