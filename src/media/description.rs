//! What the first bytes of one stream say of it, whatever its coding.

/// What one stream says of itself.
#[derive(Debug, Default)]
pub(super) struct Described {
    pub codec: Option<String>,
    pub size: Option<(u32, u32)>,
    pub rate: Option<Rate>,
    pub independent: bool,
    pub wants_more: bool,
}

/// How many pictures there are a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rate {
    pub millis: u32,
    /// Otherwise it is only the clock that they are counted by, and the pictures themselves have to confirm it.
    pub fixed: bool,
}
