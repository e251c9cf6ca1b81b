//! What a round did, for status, metrics and people.

/// What a round did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RoundReport {
    /// Requests that were made, downloads left out.
    pub requests: u64,
    /// Hours that were compared name by name.
    pub hours: u64,
    /// Segments and chat batches that were fetched.
    pub fetched: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Tombstones that were taken over.
    pub tombstones: u64,
    /// Segments that were left because nearly the same one is here.
    pub near_duplicates: u64,
    /// Segments that are too recent to be fetched.
    pub too_recent: u64,
    /// Hours whose tombstones wait for the operator, and why.
    pub bursts: Vec<String>,
    /// Tombstones of a peer that is not trusted with them.
    pub untrusted: u64,
    /// Files that another peer was being asked for, or that had just gone from this one.
    pub elsewhere: u64,
    /// Names that were dropped because they are none.
    pub refused: u64,
    /// Files whose content was not what their name says.
    pub hash_mismatches: u64,
    /// Files that could not be fetched, and hours that could not be compared.
    pub errors: u64,
    /// Extras that were fetched.
    pub extras: u64,
    /// Their bytes.
    pub extras_bytes: u64,
    /// The last reason why not.
    pub last_error: Option<String>,
}

impl RoundReport {
    /// Both together.
    pub fn add(&mut self, other: Self) {
        self.requests += other.requests;
        self.hours += other.hours;
        self.fetched += other.fetched;
        self.bytes += other.bytes;
        self.tombstones += other.tombstones;
        self.near_duplicates += other.near_duplicates;
        self.too_recent += other.too_recent;
        self.bursts.extend(other.bursts);
        self.untrusted += other.untrusted;
        self.elsewhere += other.elsewhere;
        self.refused += other.refused;
        self.hash_mismatches += other.hash_mismatches;
        self.errors += other.errors;
        self.extras += other.extras;
        self.extras_bytes += other.extras_bytes;
        if other.last_error.is_some() {
            self.last_error = other.last_error;
        }
    }

    /// One thing that did not work.
    pub fn failed(&mut self, why: impl std::fmt::Display) {
        self.errors += 1;
        self.last_error = Some(why.to_string());
    }

    /// Whether the next round, with the same names on both sides, would have nothing to do either.
    pub fn changed_nothing_and_waits_for_nothing(&self) -> bool {
        self.is_complete()
            && self.fetched == 0
            && self.tombstones == 0
            && self.too_recent == 0
            && self.elsewhere == 0
            && self.bursts.is_empty()
    }

    /// Of an hour that was looked at before: what was counted then is left out.
    pub(super) fn of_a_second_look(self) -> Self {
        Self { hours: 0, too_recent: 0, near_duplicates: 0, untrusted: 0, refused: 0, bursts: Vec::new(), ..self }
    }

    /// Whether everything that was wanted is here now.
    pub fn is_complete(&self) -> bool {
        self.errors == 0 && self.hash_mismatches == 0
    }
}
