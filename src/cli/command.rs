//! The whole command line: which verbs there are, and which of their flags are settings. Every verb's own arguments stand in its file.

mod examples;

use clap::{Parser, Subcommand};

use super::archiving::ArchiveArgs;
use super::args::Common;
use super::backfill::BackfillArgs;
use super::config::GivenSettings;
use super::coverage::CoverageArgs;
use super::crawl::CrawlArgs;
use super::cut::CutArgs;
use super::demo::DemoArgs;
use super::diff::DiffArgs;
use super::doctor::DoctorArgs;
use super::explain::ExplainArgs;
use super::holes::{HolesArgs, TimespansArgs};
use super::import::ImportArgs;
use super::layout::LayoutArgs;
use super::ls::LsArgs;
use super::node::NodeArgs;
use super::rebuild::RebuildArgs;
use super::record::RecordArgs;
use super::reference::{CompletionArgs, ManArgs};
use super::retention::{RetentionArgs, RetentionVerb};
use super::scrub::{QuarantineArgs, ScrubArgs};
use super::seal::{ManifestArgs, SealArgs};
use super::status::StatusArgs;
use super::tombstone::TombstoneArgs;

const EXAMPLES: &str = "Examples:
  gapless demo                           see what it does, in a temporary directory
  gapless node --base-dir /srv/archive   run a node; open http://127.0.0.1:8000/
  gapless record mine https://live.example/live.m3u8     record a live stream
  gapless import --channel mine --quality source *.ts    take in recordings
  gapless holes mine/source --from yesterday             list what is missing, why
  gapless doctor                         check the archive and this machine

Times: 2019-11-13T02:55:08 (UTC), 2019-11-13 03:55+01:00, 1h ago, yesterday, now.
Exit codes: 0 done; 1 done, but something is wrong with the data;
2 wrong usage or configuration; 3 could not be done.
Documentation: docs/commands.md, docs/configuration.md";

/// Keeps archives of live streams complete: indexes, serves and replicates recorded segments, and shows what is missing.
#[derive(Debug, Parser)]
#[command(
    name = "gapless",
    version,
    max_term_width = 100,
    after_help = EXAMPLES
)]
pub struct Args {
    #[command(flatten)]
    pub common: Common,
    #[command(subcommand)]
    pub verb: Verb,
}

#[derive(Debug, Clone, Subcommand)]
pub enum Verb {
    /// Try gapless: three nodes on this machine whose recorders miss segments, in a temporary directory
    #[command(
        long_about = "Show what gapless does: three nodes on this machine, north, south and west, each with a recorder of its own that \
                      misses things. What is recorded is generated, a test picture in H.264 that the page plays. Open the address that is printed and watch \
                      holes appear and be filled. Everything lies in a temporary directory, which is removed at the end; ctrl-C ends it. \
                      Nothing else is touched: --base-dir, --state-dir and the settings of nodes play no part. Of what the nodes log, warnings are shown; --log shows more.",
        after_help = examples::DEMO
    )]
    Demo(DemoArgs),
    /// Run the daemon: index the archive, serve it over HTTP, fetch what is missing
    #[command(after_help = examples::NODE)]
    Node(NodeArgs),
    /// Rebuild the index from the files; the daemon must be stopped
    #[command(after_help = examples::REBUILD)]
    Rebuild(RebuildArgs),
    /// Fetch from other nodes what is missing here
    #[command(after_help = examples::BACKFILL)]
    Backfill(BackfillArgs),
    /// Show which hours are due for deletion, delete them, or list deleted ones
    #[command(after_help = examples::RETENTION)]
    Retention(RetentionArgs),
    /// Answer questions raised by the running daemon's crawl
    #[command(after_help = examples::CRAWL)]
    Crawl(CrawlArgs),
    /// Take recordings of ffmpeg, OBS or another program into the archive, as segments with their names
    #[command(after_help = examples::IMPORT)]
    Import(ImportArgs),
    /// Record a live stream (HLS) into the archive
    #[command(after_help = examples::RECORD)]
    Record(RecordArgs),
    /// List channels, qualities, hours or segments
    #[command(after_help = examples::LS)]
    Ls(LsArgs),
    /// Compare this archive with another node; changes nothing
    #[command(after_help = examples::DIFF)]
    Diff(DiffArgs),
    /// Explain a file, or which segments cover a time, and why
    #[command(after_help = examples::EXPLAIN)]
    Explain(ExplainArgs),
    /// List the holes of a channel and quality: start, end, seconds, reason
    #[command(after_help = examples::HOLES)]
    Holes(HolesArgs),
    /// List the longest stretches without a hole: start, end and seconds of each
    #[command(after_help = examples::TIMESPANS)]
    Timespans(TimespansArgs),
    /// Write a stretch of time to one video file
    #[command(after_help = examples::CUT)]
    Cut(CutArgs),
    /// Show what each hour has and lacks; write Prometheus gauges and maps
    #[command(after_help = examples::COVERAGE)]
    Coverage(CoverageArgs),
    /// Hide segments on every node, list hidden ones, or delete their bytes here
    #[command(after_help = examples::TOMBSTONE)]
    Tombstone(TombstoneArgs),
    /// Check segments against their hashes now; damaged ones go to the quarantine
    #[command(after_help = examples::SCRUB)]
    Scrub(ScrubArgs),
    /// List, restore or delete damaged files
    #[command(after_help = examples::QUARANTINE)]
    Quarantine(QuarantineArgs),
    /// List segments that the scrub found odd but left in place
    #[command(after_help = examples::FLAGGED)]
    Flagged,
    /// Write manifests of hours that are over, with the SHA-256 of every file
    #[command(after_help = examples::SEAL)]
    Seal(SealArgs),
    /// Take sealed hours to a bucket, read them back, and bring back what is missing here
    #[command(after_help = examples::ARCHIVE)]
    Archive(ArchiveArgs),
    /// Say which nodes keep what, and plan and apply changes; owners fetch, and what lies elsewhere leaves when all of its owners have it
    #[command(after_help = examples::LAYOUT)]
    Layout(LayoutArgs),
    /// Print the manifest of a sealed hour, for `sha256sum -c`
    #[command(after_help = examples::MANIFEST)]
    Manifest(ManifestArgs),
    /// Show the state of the node on one screen
    #[command(after_help = examples::STATUS)]
    Status(StatusArgs),
    /// Check limits, disk, index, clock and peers, and say how to fix what is wrong
    #[command(after_help = examples::DOCTOR)]
    Doctor(DoctorArgs),
    /// Print completions of this command line for a shell
    #[command(after_help = examples::COMPLETIONS)]
    Completions(CompletionArgs),
    /// Write manual pages, one for each command, into a directory
    #[command(after_help = examples::MAN)]
    Man(ManArgs),
}

impl Args {
    /// What it says of settings.
    pub fn settings(&self) -> GivenSettings {
        let is_demo = matches!(self.verb, Verb::Demo(_));
        GivenSettings { common: self.common.clone(), flags: self.flags(), is_demo }
    }

    /// Settings that were given as flags: key and text.
    fn flags(&self) -> Vec<(&'static str, String)> {
        let mut given = vec![("log", self.common.log.clone())];
        if let Verb::Node(node) = &self.verb {
            given.push(("listen", node.listen.clone()));
            given.push(("name", node.name.clone()));
            given.push(("http.write_tokens", node.write_tokens.clone()));
            given.push(("http.read_tokens", node.read_tokens.clone()));
            given.push(("http.tls_certificate", node.tls_certificate.clone()));
            given.push(("http.tls_key", node.tls_key.clone()));
        }
        if let Verb::Diff(DiffArgs { rules, .. }) | Verb::Explain(ExplainArgs { rules, .. }) = &self.verb {
            given.push(("backfill.token_file", rules.trust.token_file.clone()));
        }
        if let Verb::Backfill(backfill) = &self.verb {
            given.push(("name", backfill.name.clone()));
        }
        if let Verb::Doctor(doctor) = &self.verb {
            given.extend(doctor.settings());
        }
        given.push(("backfill.ca_file", self.ca_file()));
        if let Verb::Node(NodeArgs { peers, .. })
        | Verb::Backfill(BackfillArgs { peers, .. })
        | Verb::Retention(RetentionArgs { verb: RetentionVerb::Run { peers, .. }, .. }) = &self.verb
        {
            given.push(("backfill.token_file", peers.trust.token_file.clone()));
            given.push(("backfill.peers", Some(peers.peer.join(",")).filter(|peers| !peers.is_empty())));
            given.push(("backfill.node_file", peers.node_file.clone()));
            given.push(("backfill.node_database", peers.node_database.clone()));
            given.push(("backfill.tombstones_from", peers.distrust_tombstones.then(|| "none".to_owned())));
        }
        given.into_iter().filter_map(|(key, value)| value.map(|text| (key, text))).collect()
    }

    fn ca_file(&self) -> Option<String> {
        match &self.verb {
            Verb::Node(NodeArgs { peers, .. })
            | Verb::Backfill(BackfillArgs { peers, .. })
            | Verb::Retention(RetentionArgs { verb: RetentionVerb::Run { peers, .. } }) => peers.trust.ca_file.clone(),
            Verb::Status(status) => status.node.ca_file.clone(),
            Verb::Doctor(doctor) => doctor.trust.ca_file.clone(),
            Verb::Diff(DiffArgs { rules, .. }) | Verb::Explain(ExplainArgs { rules, .. }) => {
                rules.trust.ca_file.clone()
            }
            Verb::Tombstone(tombstone) => tombstone.what.node().ca_file.clone(),
            Verb::Demo(_)
            | Verb::Scrub(_)
            | Verb::Seal(_)
            | Verb::Archive(_)
            | Verb::Manifest(_)
            | Verb::Quarantine(_)
            | Verb::Flagged
            | Verb::Rebuild(_)
            | Verb::Retention(_)
            | Verb::Crawl(_)
            | Verb::Import(_)
            | Verb::Record(_)
            | Verb::Ls(_)
            | Verb::Cut(_)
            | Verb::Holes(_)
            | Verb::Timespans(_)
            | Verb::Coverage(_)
            | Verb::Completions(_)
            | Verb::Layout(_)
            | Verb::Man(_) => None,
        }
    }
}

#[cfg(test)]
mod tests;
