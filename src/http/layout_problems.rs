//! What is wrong with the layout of this node, and with those that its peers have; and the gauges that say so.

use prometheus::{Gauge, Registry};

use crate::archive::problems::{NodeProblem, ProblemKind, Severity};
use crate::replicate::placement::{LayoutStanding, LayoutState, LayoutStore};
use crate::replicate::whole::PlacedCopies;
use crate::wire::PeerReport;

/// The document that says more.
const PAGE: &str = "docs/placement.md";

/// All of it, for the node of this name.
pub(super) fn of_layout(
    layouts: &LayoutStore,
    stuck: Option<String>,
    called: &str,
    peers: &[PeerReport],
) -> Vec<NodeProblem> {
    let problem = |severity, what: String| {
        let page = Some(PAGE);
        NodeProblem { page, ..NodeProblem::new(ProblemKind::Placement, severity, what) }
    };
    let mut found = Vec::new();
    match layouts.look() {
        LayoutState::None => {}
        LayoutState::Unusable(why) => {
            let what = format!("nothing is decided by the layout: {why}");
            let advice = "`gapless layout take FILE` puts the layout of another node in its place";
            found.push(problem(Severity::Error, what).advise(advice));
        }
        LayoutState::Known(_) => {
            if layouts.current().leaves_out() {
                let what = format!("this node, {called}, is not in the layout, and owns nothing by it");
                let advice = "if it should, `gapless layout add`; a node is known by `name` in its settings";
                found.push(problem(Severity::Notice, what).advise(advice));
            }
        }
    }
    found.extend(
        stuck.map(|why| problem(Severity::Warning, why).advise("`gapless layout status` says what each waits for")),
    );
    if let Err(error) = layouts.staged() {
        found.push(problem(Severity::Warning, format!("the changes of the layout that wait: {error}")));
    }
    for peer in peers {
        let Some(heard) = layouts.heard(&peer.name) else { continue };
        let version = heard.offered.map_or(0, |offered| offered.version);
        let of_peer = match &heard.standing {
            LayoutStanding::Fork(fork) => problem(Severity::Error, format!("{}: {fork}", peer.name)).advise(
                "both keep their own until somebody decides: on the node that is wrong, `gapless layout take` the file of the other",
            ),
            LayoutStanding::Failed(why) => {
                problem(Severity::Warning, format!("{}: its version {version} of the layout: {why}", peer.name))
            }
            LayoutStanding::NotAllowed => {
                let what = format!("{} has version {version} of a layout, which is not taken from it", peer.name);
                let advice = "if it should be, name it in `layouts_from` of [backfill]";
                problem(Severity::Notice, what).advise(advice)
            }
            _ => continue,
        };
        found.push(of_peer.at(peer.name.clone()));
    }
    found
}

/// The gauges.
#[derive(Debug)]
pub struct LayoutMetrics {
    version: Gauge,
    unusable: Gauge,
    refused: Gauge,
    hours: Gauge,
    short: Gauge,
    missing: Gauge,
}

impl LayoutMetrics {
    /// Registers them.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let make = |name: &str, help: &str| {
            let gauge = Gauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        Ok(Self {
            version: make("gapless_layout_version", "Version of the layout; 0 without one, or if it cannot be read")?,
            unusable: make("gapless_layout_unusable", "1 when there is a layout that cannot be read")?,
            refused: make("gapless_layout_refused_peers", "Peers whose layout does not follow from the one here")?,
            hours: make(
                "gapless_placed_hours",
                "Hours that any node has, of which it is known how many copies lie where the layout says",
            )?,
            short: make("gapless_placed_short_hours", "Of them, those that lack a copy")?,
            missing: make("gapless_placed_missing_bytes", "Bytes that owners lack")?,
        })
    }

    /// Sets them.
    #[expect(clippy::cast_precision_loss, reason = "gauges are floats; there are no 2^53 versions")]
    pub fn update(&self, layouts: &LayoutStore, placed: Option<&PlacedCopies>, peers: &[PeerReport]) {
        let state = layouts.look();
        self.version.set(state.id().map_or(0, |id| id.version) as f64);
        self.unusable.set(f64::from(u8::from(matches!(state, LayoutState::Unusable(_)))));
        let is_refused = |peer: &&PeerReport| {
            layouts.heard(&peer.name).is_some_and(|heard| matches!(heard.standing, LayoutStanding::Fork(_)))
        };
        let counted = placed.map(|placed| &placed.dispersion);
        self.hours.set(counted.map_or(0, |counted| counted.hours) as f64);
        self.short.set(counted.map_or(0, |counted| counted.hours - counted.hours_in_place) as f64);
        self.missing.set(counted.map_or(0, |counted| counted.bytes_missing) as f64);
        self.refused.set(peers.iter().filter(is_refused).count() as f64);
    }
}
