//! The verb `rebuild`: make the index anew from the tree, or report where the two differ. Never changes the tree.

use std::ops::ControlFlow;
use std::process::ExitCode;

use anyhow::Context as _;
use tokio::runtime::Handle;

use super::api::Api;
use super::config::{Config, wrong_with};
use super::exit::{Exit, UsageError};
use super::options;
use super::out::{stderr_line, stdout};
use super::progress::Progress;
use crate::archive::escape::shown;
use crate::archive::quantity::{count, size};
use crate::disk::{ArchiveId, Base, marker};
use crate::index::LedgerCopy;
use crate::lifecycle::archiving::{LearnedObjects, learn_objects};
use crate::lifecycle::retention::carry_over;
use crate::replicate::backfill::BURSTS;
use crate::sync::check::{all_places, check_hour, check_sums};
use crate::sync::rebuild::{RebuildObserver, rebuild};
use crate::sync::startup::{self, Locked};
use crate::wire::{CheckLine, IndexDifference};

#[derive(Debug, Clone, Copy, clap::Args)]
pub struct RebuildArgs {
    /// Change nothing; report every difference between index and tree, and exit with 1 if there is one
    #[arg(long)]
    pub check: bool,
    /// Give this archive a new id, after it was copied together with .gapless
    #[arg(long, conflicts_with = "check")]
    pub new_id: bool,
    /// First ask the bucket which hours it has, so that an archive of which nothing is left is listed again
    #[arg(long, conflicts_with = "check")]
    pub from_archive: bool,
}

pub async fn run(config: &Config, args: RebuildArgs) -> anyhow::Result<ExitCode> {
    match (Api::running(config).await, args.check) {
        (Some(daemon), true) => ask(config, &daemon).await,
        (Some(daemon), false) => {
            anyhow::bail!(
                "the daemon at {} has the index open; stop it first (it repairs its index itself)",
                daemon.address()
            )
        }
        (None, check) => {
            if let Some(wrong) = wrong_with(&config.base_dir) {
                anyhow::bail!("{wrong}; --base-dir says where the archive is");
            }
            let config = config.clone();
            tokio::task::spawn_blocking(
                move || {
                    if check { check_offline(&config) } else { rebuild_offline(&config, args) }
                },
            )
            .await
            .context("the work crashed")?
        }
    }
}

struct ProgressObserver(Progress);

impl RebuildObserver for ProgressObserver {
    fn begin(&self, hours: u64) {
        self.0.start(Some(hours), "hours");
    }

    fn hour_done(&self, _files: u64) {
        self.0.advance(1);
    }
}

/// Notes what objects of the bucket hold. What was noted before something failed stays, and the next run goes on from there.
fn learn(config: &Config, base: &Base) -> anyhow::Result<LearnedObjects> {
    let Some(bucket) = options::bucket(config)? else {
        return Err(UsageError(
            "no bucket is named; set archive.bucket, and archive.endpoint unless it is Amazon's".to_owned(),
        )
        .into());
    };
    let (streams, progress) = (options::learned_streams(config), Progress::stderr());
    progress.start(None, "objects");
    let (mut told, mut learned) = (0, 0);
    let each = |found: &LearnedObjects| {
        progress.advance(found.listed.saturating_sub(told));
        (told, learned) = (found.listed, found.learned);
        ControlFlow::Continue(())
    };
    let done = Handle::current().block_on(learn_objects(&bucket, base, &streams, true, each));
    progress.finish();
    done.with_context(|| {
        format!(
            "the index is as it was; {} of the bucket noted before, and the next run goes on",
            count(learned, "object")
        )
    })
}

fn rebuild_offline(config: &Config, args: RebuildArgs) -> anyhow::Result<ExitCode> {
    let began = std::time::Instant::now();
    let locked = Locked::acquire(&config.base_dir, &config.state_dir)?;
    let path = locked.index_path();
    let options = options::index(config);
    // A readable index says whether this is the disk that it belongs to.
    let mut ledger = LedgerCopy::default();
    if path.exists() {
        let index = locked.open_index(options.clone())?;
        locked.identify_renewed(&index)?;
        ledger = index.copy_ledger().unwrap_or_default();
        index.close();
    }
    let learned = if args.from_archive { Some(learn(config, &locked.base)?) } else { None };
    let carry = |base: &Base| carry_over(base, &[BURSTS]);
    if args.new_id {
        let id = ArchiveId::random();
        marker::renew(&locked.base, id, carry)?;
        tracing::info!(name: "archive_id_changed", %id, "this archive has an id of its own now");
    }
    let observer = ProgressObserver(Progress::stderr());
    let rebuilt = rebuild(&locked.base, &path, &options, config.crawl.threads, ledger, &observer)?;
    observer.0.finish();
    // From here on nothing is of a former id: not before, or a kill would leave an index without an archive.
    marker::finish(&locked.base, carry)?;
    if marker::read(&locked.base)?.is_none() {
        let index = locked.open_index(options)?;
        locked.identify(&index)?;
        index.close();
    }
    let seconds = began.elapsed().as_secs_f64();
    let mut out = stdout();
    if config.json {
        let mut report = serde_json::json!({
            "hours": rebuilt.hours, "files": rebuilt.files, "index_bytes": rebuilt.index_bytes, "seconds": seconds
        });
        if let Some(LearnedObjects { listed, learned, unread, .. }) = &learned {
            report["objects"] = serde_json::json!({ "listed": listed, "learned": learned, "unread": unread });
        }
        out.json(&report)?;
    } else {
        if let Some(LearnedObjects { listed, learned, unread, .. }) = &learned {
            writeln!(
                out,
                "{} in the bucket, {learned} of them not known before, {unread} that cannot be read",
                count(*listed, "object")
            )?;
        }
        writeln!(
            out,
            "{} in {} indexed in {seconds:.2} s; the index has {}",
            count(rebuilt.files, "file"),
            count(rebuilt.hours, "hour"),
            size(rebuilt.index_bytes)
        )?;
    }
    let is_whole = learned.is_none_or(|learned| learned.unread == 0);
    Ok(if is_whole { Exit::Done.into() } else { Exit::DataWrong.into() })
}

/// Prints differences as they are found and the end.
struct Report<'c> {
    config: &'c Config,
    differences: u64,
}

impl Report<'_> {
    fn difference(&mut self, difference: &IndexDifference) -> anyhow::Result<()> {
        self.differences += 1;
        let mut out = stdout();
        if self.config.json {
            out.json(difference)?;
        } else {
            writeln!(out, "{:<18} {}  ({})", difference.kind, shown(&difference.path), difference.detail)?;
        }
        Ok(())
    }

    fn end(self, hours: u64, files: u64) -> ExitCode {
        stderr_line(format_args!(
            "{} in {} compared, {}",
            count(files, "file"),
            count(hours, "hour"),
            count(self.differences, "difference")
        ));
        if self.differences == 0 { Exit::Done.into() } else { Exit::DataWrong.into() }
    }
}

fn check_offline(config: &Config) -> anyhow::Result<ExitCode> {
    startup::require_index(&config.state_dir)?;
    let locked = Locked::acquire(&config.base_dir, &config.state_dir)?;
    let path = locked.index_path();
    // A check changes nothing, and opening an index writes to it: a copy is opened, and a damaged one is reported, not set aside.
    let copy = path.with_extension("redb.check");
    std::fs::copy(&path, &copy).with_context(|| format!("the index cannot be copied to {}", copy.display()))?;
    let opened = crate::index::Index::open_unchanged(&copy, options::index(config));
    std::fs::remove_file(&copy).with_context(|| format!("{} cannot be removed", copy.display()))?;
    let index = opened?;
    let mut report = Report { config, differences: 0 };
    let progress = Progress::stderr();
    let places = all_places(&locked.base, &index)?;
    progress.start(Some(places.len() as u64), "hours");
    let (mut hours, mut files) = (0, 0);
    for place in &places {
        let (found, count) = check_hour(&locked.base, &index, place)?;
        (hours, files) = (hours + 1, files + count);
        found.iter().try_for_each(|difference| report.difference(difference))?;
        progress.advance(1);
    }
    progress.finish();
    check_sums(&index)?.iter().try_for_each(|difference| report.difference(difference))?;
    Ok(report.end(hours, files))
}

async fn ask(config: &Config, daemon: &Api) -> anyhow::Result<ExitCode> {
    let mut lines = daemon.get("api/v1/check").ask().await?;
    let mut report = Report { config, differences: 0 };
    while let Some(line) = lines.line().await? {
        match serde_json::from_str(&line).context("the daemon answered something else than expected")? {
            CheckLine::Difference(difference) => report.difference(&difference)?,
            CheckLine::Done { hours, files } => return Ok(report.end(hours, files)),
            CheckLine::Failed { why } => anyhow::bail!("the check could not be completed: {why}"),
        }
    }
    anyhow::bail!("the daemon ended before the check was complete")
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use crate::disk::{ArchiveId, BaseIdentity, DiskError, marker};
    use crate::index::{IndexOptions, LedgerCopy};
    use crate::sync::rebuild::{RebuildObserver, rebuild};
    use crate::sync::startup::Locked;

    /// By kill -9.
    #[derive(Debug)]
    struct Killed;

    impl From<DiskError> for Killed {
        fn from(error: DiskError) -> Self {
            panic!("{error}");
        }
    }

    struct Silent;

    impl RebuildObserver for Silent {
        fn begin(&self, _hours: u64) {}

        fn hour_done(&self, _files: u64) {}
    }

    fn options() -> IndexOptions {
        IndexOptions { cache_bytes: 1 << 20, ..IndexOptions::default() }
    }

    /// The steps of `gapless rebuild`, of which so many are left until it is killed; true if it came to its end.
    fn rebuilt(locked: &Locked, new_id: Option<ArchiveId>, steps: u32) -> bool {
        let left = Cell::new(steps);
        let step = || {
            left.set(left.get().checked_sub(1).ok_or(Killed)?);
            Ok::<_, Killed>(())
        };
        let all = || {
            let index = locked.open_index(options()).unwrap();
            locked.identify_renewed(&index).unwrap();
            index.close();
            step()?;
            if let Some(id) = new_id {
                marker::renew(&locked.base, id, |_| step())?;
            }
            step()?;
            rebuild(&locked.base, &locked.index_path(), &options(), 1, LedgerCopy::default(), &Silent).unwrap();
            marker::finish(&locked.base, |_| step())
        };
        all().is_ok()
    }

    #[test]
    fn an_archive_whose_new_id_was_interrupted_anywhere_is_not_locked_out() {
        let id = |number: u8| ArchiveId::from_bytes([number; 16]);
        for (first, second) in (0..5).flat_map(|first| (0..6).map(move |second| (first, second))) {
            let tree = tempfile::tempdir().unwrap();
            let own = tree.path().join(marker::OWN_DIR);
            let locked = Locked::acquire(tree.path(), &own).unwrap();
            let node = || {
                let index = locked.open_index(options()).unwrap();
                let identity = locked.identify(&index);
                index.close();
                identity
            };
            let before = node().unwrap();
            rebuilt(&locked, Some(id(1)), first);
            if let Err(error) = node() {
                assert!(error.to_string().contains("`gapless rebuild` completes it"), "{first} {second}: {error}");
            }
            let again = (second > 0).then(|| id(2));
            rebuilt(&locked, again, second);
            assert!(rebuilt(&locked, None, 99), "{first} {second}");
            let after = node().unwrap();
            let known = [before, BaseIdentity::Marked(id(1)), BaseIdentity::Marked(id(2))];
            assert!(known.contains(&after), "{first} {second}: {after:?}");
            assert_eq!(marker::ids(&locked.base).unwrap().unwrap().former, None);
        }
    }
}
