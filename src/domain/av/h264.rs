//! What an access unit of H.264 says about itself: as little as a cut has to know.

/// What is in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Marks {
    /// Decoding may begin here, although pictures that are shown before may be lost.
    pub random_access: bool,
    /// Nothing from here on needs anything from before, and the parameters to decode it are in it.
    pub clean: bool,
}

/// Looks through an access unit.
pub fn marks(data: &[u8]) -> Marks {
    let (mut idr, mut parameters) = (false, false);
    for unit in units(data) {
        match unit.first().map(|byte| byte & 0x1f) {
            Some(5) => idr = true,
            Some(7) => parameters = true,
            _ => {}
        }
    }
    Marks { random_access: idr, clean: idr && parameters }
}

/// Profile and level of the first parameters: `profile_idc`, `level_idc`.
pub fn profile(data: &[u8]) -> Option<(u8, u8)> {
    units(data).find_map(|unit| match *unit {
        [first, profile, _, level, ..] if first & 0x1f == 7 => Some((profile, level)),
        _ => None,
    })
}

/// What follows each start code, up to the end of the data.
fn units(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let starts = data.windows(3).enumerate().filter(|(_, three)| *three == [0, 0, 1]);
    starts.filter_map(|(at, _)| data.get(at + 3..))
}
