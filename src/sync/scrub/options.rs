//! What the scrub may do.

use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScrubOptions {
    /// What is done with streams that are not whole.
    pub structure: Structure,
    /// How long quarantined files are kept; zero keeps them for ever.
    pub keep: Duration,
}

/// What is done with a `full` segment whose content is what its name says, but no complete transport stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd)]
pub enum Structure {
    #[default]
    Quarantine,
    Report,
    Off,
}

impl Structure {
    pub const ALL: [Self; 3] = [Self::Quarantine, Self::Report, Self::Off];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Quarantine => "quarantine",
            Self::Report => "report",
            Self::Off => "off",
        }
    }
}

/// How many damaged files are moved before somebody is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScrubLimits {
    pub cycle: u64,
    pub hour: bool,
}

impl ScrubLimits {
    /// What nobody was asked about.
    pub const CAREFUL: Self = Self { cycle: 100, hour: true };
    /// Confirmed by the operator.
    pub const NONE: Self = Self { cycle: u64::MAX, hour: false };
}
