//! The verb `layout`: which nodes keep what, changes of that, and what they would lead to.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Subcommand;

use super::api::{Api, OpenNeeds};
use super::config::{Config, bytes};
use super::exit::{Exit, UsageError};
use super::layout_lines;
use super::out::stdout;
use crate::archive::placement::{CopiesWanted, LARGEST_LAYOUT, PlaceName, plan_digits};
use crate::wire::{
    AppliedLayout, ApplyOrder, DiscardOrder, DiscardReport, LayoutChangeOrder, LayoutPlanReport, LayoutReport,
    PauseOrder, PauseReport, StageOrder,
};

#[derive(Debug, Clone, clap::Args)]
pub struct LayoutArgs {
    #[command(subcommand)]
    pub verb: LayoutVerb,
}

#[derive(Debug, Clone, Subcommand)]
pub enum LayoutVerb {
    /// Show the nodes, the numbers of copies, and what each node owns
    Show,
    /// Say which version this node has, which ones its peers have, and what waits; exit code 1 if something is wrong
    Status,
    /// Show what the staged changes would move, from which node to which one, and why
    Plan,
    /// Make the first version of the plan the layout
    Apply {
        /// The version that the plan was made from, as `layout plan` shows it
        from: u64,
        /// Only if its first version is this one, by the first digits of its hash, which `layout plan` shows: changes that somebody has staged since are not applied then
        #[arg(long, value_name = "HASH", value_parser = digits)]
        plan: Option<String>,
        /// Only show the plan, and whether it could be applied
        #[arg(long)]
        dry_run: bool,
    },
    /// Stage: a node takes copies; one that is there gets this zone and this weight
    Add {
        /// The node, by its name in its settings
        #[arg(value_parser = place)]
        node: String,
        /// What fails together with it: a room, a rack, a provider
        #[arg(long, value_parser = place)]
        zone: String,
        /// The bytes that it offers, such as 4TB
        #[arg(long, value_name = "SIZE", value_parser = bytes)]
        weight: u64,
        #[command(flatten)]
        dry: DryRun,
    },
    /// Stage: a node gives away what it owns
    Drain {
        /// The node
        #[arg(value_parser = place)]
        node: String,
        #[command(flatten)]
        dry: DryRun,
    },
    /// Stage: a new node takes the zone, the weight and the slots of another one
    Replace {
        /// The node that goes
        #[arg(value_parser = place)]
        old: String,
        /// The node that comes
        #[arg(value_parser = place)]
        new: String,
        #[command(flatten)]
        dry: DryRun,
    },
    /// Stage: a node does not come back, and what it owned is copied from others
    Lost {
        /// The node
        #[arg(value_parser = place)]
        node: String,
        #[command(flatten)]
        dry: DryRun,
    },
    /// Stage: a node that was drained or lost, and owns nothing any more, leaves the list
    Remove {
        /// The node
        #[arg(value_parser = place)]
        node: String,
        #[command(flatten)]
        dry: DryRun,
    },
    /// Stage: how many copies there should be, of a channel or of all that have no number of their own
    Copies {
        /// `[CHANNEL] N`: a number from 1 to 16, `all`, or, of a channel, `default` for that of all others
        #[arg(value_name = "[CHANNEL] N", num_args = 1..=2, required = true)]
        wanted: Vec<String>,
        #[command(flatten)]
        dry: DryRun,
    },
    /// Forget the staged changes
    Discard,
    /// Let nothing leave this node for its owners until `layout resume`
    Pause,
    /// Let hours leave again that others own
    Resume,
    /// Put the layout file of another node in the place of this node's: where two were applied apart from one another, or this one is damaged
    Take {
        /// The file, or - for standard input
        file: PathBuf,
    },
}

#[derive(Debug, Clone, Copy, clap::Args)]
pub struct DryRun {
    /// Only show what would become of it; stage nothing
    #[arg(long)]
    dry_run: bool,
}

fn place(text: &str) -> Result<String, String> {
    let expected = "expected 1 to 64 letters, digits, dots, dashes or underscores";
    PlaceName::new(text).map(|name| name.to_string()).ok_or_else(|| expected.to_owned())
}

fn digits(text: &str) -> Result<String, String> {
    plan_digits(text).ok_or_else(|| "expected the first digits of a version's hash, at least eight".to_owned())
}

pub async fn run(config: &Config, args: &LayoutArgs) -> anyhow::Result<ExitCode> {
    match args.verb.clone() {
        LayoutVerb::Show => show(config).await,
        LayoutVerb::Status => status(config).await,
        LayoutVerb::Plan => print_plan(config, &planned(config, None).await?),
        LayoutVerb::Apply { from, plan, dry_run } => apply(config, ApplyOrder { from, plan }, dry_run).await,
        LayoutVerb::Add { node, zone, weight, dry } => {
            stage(config, LayoutChangeOrder::Add { node, zone, weight_bytes: weight }, dry).await
        }
        LayoutVerb::Drain { node, dry } => stage(config, LayoutChangeOrder::Drain { node }, dry).await,
        LayoutVerb::Replace { old, new, dry } => stage(config, LayoutChangeOrder::Replace { old, new }, dry).await,
        LayoutVerb::Lost { node, dry } => stage(config, LayoutChangeOrder::Lost { node }, dry).await,
        LayoutVerb::Remove { node, dry } => stage(config, LayoutChangeOrder::Remove { node }, dry).await,
        LayoutVerb::Copies { wanted, dry } => stage(config, copies(wanted)?, dry).await,
        LayoutVerb::Discard => discard(config).await,
        LayoutVerb::Pause => pause(config, true).await,
        LayoutVerb::Resume => pause(config, false).await,
        LayoutVerb::Take { file } => take(config, &file).await,
    }
}

fn copies(mut words: Vec<String>) -> Result<LayoutChangeOrder, UsageError> {
    let copies = words.pop().unwrap_or_default();
    let channel = words.pop();
    if CopiesWanted::parse(&copies).is_none() && !(copies == "default" && channel.is_some()) {
        let why = "expected a number from 1 to 16, `all`, or, of a channel, `default` for that of all others";
        return Err(UsageError(format!("copies {copies:?}: {why}")));
    }
    Ok(LayoutChangeOrder::Copies { channel, copies })
}

async fn with_archive<T>(config: &Config, work: impl AsyncFnOnce(&Api) -> anyhow::Result<T>) -> anyhow::Result<T> {
    Api::with(config, OpenNeeds { new_index: true, ..OpenNeeds::default() }, work).await
}

/// The plan with this change, or with those that are staged. Its bytes are of every hour.
async fn planned(config: &Config, order: Option<&StageOrder>) -> anyhow::Result<LayoutPlanReport> {
    let needs = OpenNeeds { new_index: true, every_hour: true, ..OpenNeeds::default() };
    Api::with(config, needs, async |api| {
        Ok(match order {
            Some(order) => api.post("api/v1/layout/stage", order)?.json().await?,
            None => api.get("api/v1/layout/plan").json().await?,
        })
    })
    .await
}

async fn report(config: &Config) -> anyhow::Result<LayoutReport> {
    with_archive(config, async |api| Ok(api.get("api/v1/layout").json().await?)).await
}

async fn show(config: &Config) -> anyhow::Result<ExitCode> {
    let report = report(config).await?;
    let mut out = stdout();
    if config.json {
        out.json(&report)?;
    } else {
        for line in layout_lines::layout(&report) {
            writeln!(out, "{line}")?;
        }
    }
    Ok(Exit::Done.into())
}

async fn status(config: &Config) -> anyhow::Result<ExitCode> {
    let report = report(config).await?;
    let mut out = stdout();
    if config.json {
        out.json(&report)?;
    } else {
        for line in layout_lines::status(&report) {
            writeln!(out, "{line}")?;
        }
    }
    let is_wrong = report.state == "unusable"
        || report.staged_error.is_some()
        || report.handoffs.as_ref().is_some_and(|handoffs| handoffs.error.is_some())
        || report.peers.iter().any(|peer| peer.state == "refused" || peer.state == "failed");
    Ok(if is_wrong { Exit::DataWrong.into() } else { Exit::Done.into() })
}

fn print_plan(config: &Config, plan: &LayoutPlanReport) -> anyhow::Result<ExitCode> {
    let mut out = stdout();
    if config.json {
        out.json(plan)?;
    } else {
        for line in layout_lines::plan(plan) {
            writeln!(out, "{line}")?;
        }
    }
    Ok(Exit::Done.into())
}

async fn stage(config: &Config, change: LayoutChangeOrder, dry: DryRun) -> anyhow::Result<ExitCode> {
    let order = StageOrder { changes: vec![change], dry_run: dry.dry_run };
    let plan = planned(config, Some(&order)).await?;
    if dry.dry_run || config.json {
        return print_plan(config, &plan);
    }
    let mut out = stdout();
    for line in layout_lines::staged(&plan) {
        writeln!(out, "{line}")?;
    }
    Ok(Exit::Done.into())
}

async fn apply(config: &Config, order: ApplyOrder, dry_run: bool) -> anyhow::Result<ExitCode> {
    if dry_run {
        let plan = planned(config, None).await?;
        let from = order.from;
        if plan.from != from {
            anyhow::bail!("it could not be applied: the plan is made from version {}, and not {from}", plan.from);
        }
        let is_it = |asked: &String| {
            let next = plan.versions.first();
            next.is_some_and(|next| next.hash.starts_with(asked))
        };
        if let Some(asked) = order.plan.filter(|asked| !is_it(asked)) {
            anyhow::bail!("it could not be applied: the plan that waits does not lead to {asked}");
        }
        return print_plan(config, &plan);
    }
    let applied: AppliedLayout =
        with_archive(config, async |api| Ok(api.post("api/v1/layout/apply", &order)?.json().await?)).await?;
    print_applied(config, &applied, "applied")
}

fn print_applied(config: &Config, applied: &AppliedLayout, what: &str) -> anyhow::Result<ExitCode> {
    let mut out = stdout();
    if config.json {
        out.json(applied)?;
        return Ok(Exit::Done.into());
    }
    for line in layout_lines::applied(applied, what) {
        writeln!(out, "{line}")?;
    }
    Ok(Exit::Done.into())
}

async fn discard(config: &Config) -> anyhow::Result<ExitCode> {
    let report: DiscardReport =
        with_archive(config, async |api| Ok(api.post("api/v1/layout/discard", &DiscardOrder {})?.json().await?))
            .await?;
    let mut out = stdout();
    if config.json {
        out.json(&report)?;
    } else {
        writeln!(out, "{}", if report.discarded { "forgotten" } else { "nothing was staged" })?;
    }
    Ok(Exit::Done.into())
}

async fn pause(config: &Config, paused: bool) -> anyhow::Result<ExitCode> {
    let order = PauseOrder { paused };
    let report: PauseReport =
        with_archive(config, async |api| Ok(api.post("api/v1/layout/pause", &order)?.json().await?)).await?;
    let mut out = stdout();
    if config.json {
        out.json(&report)?;
    } else {
        let now =
            if report.paused { "nothing leaves this node for its owners" } else { "hours leave for their owners" };
        writeln!(out, "{now}{}", if report.changed { "" } else { ", as before" })?;
    }
    Ok(Exit::Done.into())
}

async fn take(config: &Config, path: &Path) -> anyhow::Result<ExitCode> {
    let file = read(path)?;
    let applied: AppliedLayout =
        with_archive(config, async |api| Ok(api.post_bytes("api/v1/layout/take", file).json().await?)).await?;
    print_applied(config, &applied, "taken")
}

/// No more of it than a layout can have, and a byte.
fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let mut file = Vec::new();
    let most = LARGEST_LAYOUT as u64 + 1;
    if path == Path::new("-") {
        std::io::stdin().lock().take(most).read_to_end(&mut file).context("cannot read standard input")?;
    } else {
        let opened = std::fs::File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
        opened.take(most).read_to_end(&mut file).with_context(|| format!("cannot read {}", path.display()))?;
    }
    Ok(file)
}
