//! The three nodes of a demonstration: their directories and settings, and their lives.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use prometheus::Registry;
use serde::Serialize;
use tokio::task::JoinSet;

use crate::archive::{Channel, Quality};
use crate::cli::args::Common;
use crate::cli::config::{Config, GivenSettings};
use crate::cli::exit::UsageError;
use crate::cli::node::{NodeArgs, node_options};
use crate::demo::{DemoOrigin, NODES, QUALITIES};
use crate::node::{Node, NodeOptions};
use crate::record::{RecordOptions, RecordSource, SourceAddress, SourceHeaders};

/// Less than the default, because a temporary directory may lie in memory.
pub(super) const KEEP_FREE: u64 = 64 << 20;
/// Bytes a second at which a node fetches. What was missed in the past is small; one is to see it come.
const BANDWIDTH: i64 = 256 << 10;

#[derive(Debug)]
pub(super) struct NodePaths {
    bases: Vec<PathBuf>,
    /// The file in which each of them finds the others.
    node_file: PathBuf,
}

impl NodePaths {
    /// Makes a base directory for each node, with its settings in a file as anybody would write it.
    pub(super) fn make(home: &Path, recent_cutoff: Duration) -> anyhow::Result<Self> {
        let node_file = home.join("nodes");
        let bases: Vec<PathBuf> = NODES.iter().map(|name| home.join(name)).collect();
        let make = || {
            // Read before all addresses are known: then the list is empty.
            fs::write(&node_file, "")?;
            bases.iter().try_for_each(|base| fs::create_dir_all(base.join(".gapless")))
        };
        make().with_context(|| format!("cannot write in {}", home.display()))?;
        for (name, base) in NODES.iter().zip(&bases) {
            let file = base.join(".gapless/config.toml");
            let text = settings(name, &node_file, recent_cutoff)?;
            fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        }
        Ok(Self { bases, node_file })
    }

    pub(super) fn bases(&self) -> Vec<PathBuf> {
        self.bases.clone()
    }
}

fn settings(name: &str, node_file: &Path, recent_cutoff: Duration) -> anyhow::Result<String> {
    let not_text = || UsageError(format!("{} is not UTF-8 text; choose another place with --dir", node_file.display()));
    let node_file = node_file.to_str().ok_or_else(not_text)?;
    let recent_cutoff = humantime::format_duration(recent_cutoff).to_string();
    let keep_free = i64::try_from(KEEP_FREE).unwrap_or(i64::MAX);
    let settings = toml::toml! {
        name = name
        listen = "127.0.0.1:0"

        [http]
        drain = "1s"

        [backfill]
        node_file = node_file
        reread = "1s"
        recent_cutoff = recent_cutoff
        keep_free = keep_free
        bandwidth = BANDWIDTH
        interval = "30s"
    };
    Ok(format!("# Written by `gapless demo`.\n{settings}"))
}

#[derive(Debug, Serialize)]
pub struct NodeLines {
    pub(super) name: &'static str,
    pub(super) url: String,
    pub(super) base_dir: PathBuf,
}

pub(super) struct Nodes(Vec<Node>);

impl Nodes {
    pub(super) async fn start(places: &NodePaths, origin: &DemoOrigin) -> anyhow::Result<Self> {
        let mut nodes = Self(Vec::new());
        match nodes.start_each(places, origin).await {
            Ok(()) => Ok(nodes),
            Err(error) => {
                nodes.stop().await;
                Err(error)
            }
        }
    }

    async fn start_each(&mut self, places: &NodePaths, origin: &DemoOrigin) -> anyhow::Result<()> {
        for (node, (name, base)) in NODES.iter().zip(&places.bases).enumerate() {
            // Not in the file: whoever goes on with a node when the demonstration has ended has no such origin.
            let options = NodeOptions { record: recorded(origin, node)?, ..options(base)? };
            let started = Node::start(options, Registry::new()).await;
            self.0.push(started.with_context(|| format!("cannot start the node {name}"))?);
        }
        let lines: Vec<String> = self.urls().zip(NODES).map(|(url, name)| format!("{name} {url}")).collect();
        let draft = places.node_file.with_extension("new");
        let written = fs::write(&draft, lines.join("\n")).and_then(|()| fs::rename(&draft, &places.node_file));
        written.with_context(|| format!("cannot write {}", places.node_file.display()))
    }

    fn urls(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|node| format!("{}://{}", node.scheme, node.address))
    }

    pub(super) fn described(&self, places: &NodePaths) -> Vec<NodeLines> {
        let all = NODES.into_iter().zip(self.urls()).zip(places.bases());
        all.map(|((name, url), base_dir)| NodeLines { name, url: format!("{url}/"), base_dir }).collect()
    }

    pub(super) async fn stop(self) {
        let mut ending: JoinSet<()> = self.0.into_iter().map(Node::stop).collect();
        while let Some(ended) = ending.join_next().await {
            if let Err(error) = ended {
                tracing::error!(name: "demo_node_failed", %error, "a node of the demonstration crashed");
            }
        }
    }
}

/// What the verb `node` would make of this base directory, with nothing in the environment.
fn options(base: &Path) -> anyhow::Result<NodeOptions> {
    let node = NodeArgs::default();
    let common = Common { base_dir: base.to_owned(), state_dir: None, config: None, log: None, json: false };
    let config = Config::load_with(&GivenSettings { common, flags: Vec::new(), is_demo: false }, &|_| None)?;
    node_options(&config, &node)
}

/// What a node records.
fn recorded(origin: &DemoOrigin, node: usize) -> anyhow::Result<Vec<RecordOptions>> {
    let qualities = QUALITIES.into_iter().map(Quality::new).collect::<Result<Vec<_>, _>>()?;
    let each = origin.sources(node).map(|(channel, address)| {
        Ok(RecordOptions {
            channel: Channel::new(channel)?,
            source: RecordSource::Address(SourceAddress::parse(&address)?),
            headers: SourceHeaders::default(),
            qualities: qualities.clone(),
            ca_file: None,
            skips_ads: false,
        })
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_that_are_written_are_those_that_a_node_reads() {
        let home = tempfile::Builder::new().prefix("with \"quotes\" and \\").tempdir().unwrap();
        let places = NodePaths::make(home.path(), Duration::from_millis(1500)).unwrap();
        for (base, name) in places.bases().iter().zip(NODES) {
            let options = options(base).unwrap();
            assert_eq!((options.name.as_str(), options.base_dir.as_path()), (name, base.as_path()));
            assert_eq!(options.sources.file.as_ref(), Some(&places.node_file));
            assert_eq!(options.backfill.cutoff.us(), 1_500_000);
            assert_eq!(options.backfill.free_floor, KEEP_FREE);
            assert_eq!((options.listen.port(), options.listen.ip().is_loopback()), (0, true));
        }
    }
}
