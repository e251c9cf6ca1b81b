//! What is wrong with a line of a playlist, for whoever reads a part of one.

/// Which line it is, is known to whoever reads all of them.
pub(super) enum LineProblem {
    Why(&'static str),
    /// Of what, and how many there may be.
    TooMany(&'static str, usize),
}

impl From<&'static str> for LineProblem {
    fn from(why: &'static str) -> Self {
        Self::Why(why)
    }
}
