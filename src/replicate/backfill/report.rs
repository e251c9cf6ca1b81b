//! What a round did, for status, metrics and people.

/// Hours with suspiciously many tombstones that are named; more would only be longer.
pub(super) const MOST_BURSTS: usize = 100;

/// Names that were passed over and are named; more would only be longer.
pub(super) const MOST_PASSED_OVER: usize = 10;

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
    /// Files that another peer was being asked for.
    pub elsewhere: u64,
    /// Files that had gone from the peer when they were asked for, such as chat batches that were merged.
    pub gone: u64,
    /// Hours that were left because they are further ahead of the clock than any that is recorded now.
    pub future: u64,
    /// Names that the peer lists as channels or qualities and that are none of its.
    pub passed_over: u64,
    /// Some of them.
    pub passed_over_names: Vec<String>,
    /// Names that were dropped because they are none.
    pub refused: u64,
    /// Files whose content was not what their name says.
    pub hash_mismatches: u64,
    /// Files that could not be fetched, and hours that could not be compared.
    pub errors: u64,
    /// Hours, channels and files that were left out because the peer's budget for strangers' channels is full.
    pub over_budget: u64,
    /// Why it is.
    pub full: Option<String>,
    /// Extras that were fetched.
    pub extras: u64,
    /// Their bytes.
    pub extras_bytes: u64,
    /// The last reason why not.
    pub last_error: Option<String>,
}

impl RoundReport {
    /// Both together. Of bursts that wait and of what was left aside, those of the later one.
    pub fn add(&mut self, other: Self) {
        self.requests += other.requests;
        self.hours += other.hours;
        self.fetched += other.fetched;
        self.bytes += other.bytes;
        self.tombstones += other.tombstones;
        self.near_duplicates += other.near_duplicates;
        self.too_recent += other.too_recent;
        self.bursts = other.bursts;
        self.future = other.future;
        self.passed_over = other.passed_over;
        self.passed_over_names = other.passed_over_names;
        self.untrusted += other.untrusted;
        self.elsewhere += other.elsewhere;
        self.gone += other.gone;
        self.refused += other.refused;
        self.hash_mismatches += other.hash_mismatches;
        self.errors += other.errors;
        self.over_budget += other.over_budget;
        self.full = other.full;
        self.extras += other.extras;
        self.extras_bytes += other.extras_bytes;
        if other.last_error.is_some() {
            self.last_error = other.last_error;
        }
    }

    /// The peer lists this as a channel or quality, and it is none.
    pub fn pass_over(&mut self, name: impl std::fmt::Display) {
        self.passed_over += 1;
        if self.passed_over_names.len() < MOST_PASSED_OVER {
            self.passed_over_names.push(name.to_string());
        }
    }

    /// One thing that did not work.
    pub fn failed(&mut self, why: impl std::fmt::Display) {
        self.errors += 1;
        self.last_error = Some(why.to_string());
    }

    /// Whether everything that was wanted is here now.
    pub fn is_complete(&self) -> bool {
        self.errors == 0 && self.hash_mismatches == 0
    }
}
