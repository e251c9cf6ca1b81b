//! What nodes ask one another about handoffs: one request for each pair of nodes and pass, about many hours.

use super::terms::{LyingNames, PlacementTerms};
use crate::archive::placement::LayoutId;

/// Distinguishes a request from all others of a node, also from those of its earlier runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestId {
    /// A random number of the process that asks.
    pub run: u64,
    /// Counted up by it.
    pub number: u64,
}

/// Asks an owner to confirm hours, and to promise that they stay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PinRequest<T: PlacementTerms> {
    /// Which request.
    pub id: RequestId,
    /// The layout under which the other node is taken for an owner.
    pub layout: LayoutId,
    /// The hours.
    pub hours: Vec<HourAsked<T>>,
}

/// An hour that wants to leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HourAsked<T: PlacementTerms> {
    /// Which.
    pub hour: T::Hour,
    /// What lies of it where the request comes from.
    pub digest: <T::Names as LyingNames>::Digest,
    /// The same by name, where the digest alone did not do: the owner may have more.
    pub names: Option<T::Names>,
}

/// What an owner says to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PinAnswer<T: PlacementTerms> {
    /// Which request it answers.
    pub id: RequestId,
    /// The archive that answers, whatever name it was asked by.
    pub archive: T::Archive,
    /// The layout that it acts by. With another one there are no hours.
    pub layout: Option<LayoutId>,
    /// Hour by hour.
    pub hours: Vec<(T::Hour, HourVerdict)>,
}

/// What an owner says of an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HourVerdict {
    /// All of it lies here durably, and stays for the time of a pin, which is in the journal.
    Pinned,
    /// Something else lies here: more, or less. Ask with the names.
    Differs,
    /// Not all of it lies here yet.
    Lacks,
    /// It is going, or will go as soon as it may.
    Going,
    /// It is not owned here.
    NotMine,
}
