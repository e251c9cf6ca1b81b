//! Which hours a question about digests means, where two nodes have the same layout: those that both own, or one of them.
//!
//! The layout is named by its hash, so that both sides sort by the same table or not at all: who has another one answers for the whole
//! quality as if nothing had been said, and refuses to answer for some of its hours.

use super::Problem;
use super::app::App;
use super::digest_sums::sums_in;
use super::request::Parameters;
use crate::archive::placement::{OwnedBy, PlaceName, SlotSet};
use crate::archive::{Hash, Stream};
use crate::wire::OwnedDigests;

/// The layout that the node that asks has, and what it is called there.
pub(super) struct LayoutQuery {
    hash: Hash,
    asker: PlaceName,
}

impl LayoutQuery {
    pub(super) fn read(given: &Parameters) -> Result<Option<Self>, Problem> {
        let hash = given.each("layout", |value| {
            let hash = Hash::parse_hexadecimal(value);
            hash.ok_or_else(|| Problem::bad_parameter("layout", value, "the hash of a layout: 64 hexadecimal digits"))
        })?;
        let asker = given.each("node", |value| {
            let expected = "the name of a node in a layout: 1 to 64 letters, digits, dots, dashes or underscores";
            PlaceName::new(value).ok_or_else(|| Problem::bad_parameter("node", value, expected))
        })?;
        match (hash, asker) {
            (Some(hash), Some(asker)) => Ok(Some(Self { hash, asker })),
            (None, None) => Ok(None),
            (Some(_), None) => {
                Err(Problem::bad_parameter("node", "", "the name of the node that asks, beside `layout`"))
            }
            (None, Some(_)) => Err(Problem::bad_parameter("layout", "", "the hash of its layout, beside `node`")),
        }
    }

    /// What the hours of a quality add up to by who owns them; nothing where the layout here is another one.
    pub(super) fn owned_digests(&self, app: &App, stream: &Stream) -> Option<Result<OwnedDigests, Problem>> {
        let sum = |owned_by| {
            let slots = self.slots(app, stream, owned_by)?;
            Some(sums_in(app, stream, &slots).map(|sums| sums.total()))
        };
        let [both, asker, others] = OwnedBy::ALL.map(sum);
        let (both, asker, others) = (both?, asker?, others?);
        Some(both.and_then(|both| {
            let (both, asker) = (both.digest.to_string(), asker?.digest.to_string());
            Ok(OwnedDigests { both, asker, tombstones: others?.tombstones })
        }))
    }

    fn slots(&self, app: &App, stream: &Stream, owned_by: OwnedBy) -> Option<SlotSet> {
        let current = app.node.layouts.current();
        let known = current.now();
        let known = known.known().filter(|known| known.id.hash == self.hash)?;
        Some(known.layout.compared_slots(&stream.channel, &self.asker, current.node()?, owned_by))
    }
}

/// Those hours that these own, or all of them; tombstones are told beside them.
pub(super) struct OwnersQuery {
    layout: LayoutQuery,
    owned_by: Option<OwnedBy>,
}

impl OwnersQuery {
    pub(super) fn read(given: &Parameters) -> Result<Option<Self>, Problem> {
        let owned_by = given.each("owned_by", |value| {
            OwnedBy::parse(value)
                .ok_or_else(|| Problem::bad_parameter("owned_by", value, "`both`, `asker` or `others`"))
        })?;
        match (LayoutQuery::read(given)?, owned_by) {
            (Some(layout), owned_by) => Ok(Some(Self { layout, owned_by })),
            (None, None) => Ok(None),
            (None, Some(_)) => Err(Problem::bad_parameter("layout", "", "the hash of a layout, beside `owned_by`")),
        }
    }

    /// Their slots; nothing if all hours are meant. An error if the layout here is another one: then the two would not mean the same.
    pub(super) fn slots(&self, app: &App, stream: &Stream) -> Result<Option<SlotSet>, Problem> {
        let Some(owned_by) = self.owned_by else { return Ok(None) };
        let slots = self.layout.slots(app, stream, owned_by);
        let other = "the layout here is another one than the question names; ask for digests anew";
        slots.map(Some).ok_or_else(|| Problem::conflict(other))
    }
}
