//! Where decoding may begin, and from when on what is shown is right then.
//!
//! Sources: ITU-T H.264, 7.4.1.2.4 (IDR pictures) and D.2.8 (recovery points); ITU-T H.265, 7.4.2.2 (IDR, BLA and CRA pictures).

/// A picture with which decoding may begin, since it brings its parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecodeEntry {
    /// Nothing from here on needs anything from before.
    Closed,
    /// The pictures that come behind it and are shown before it need what came before it.
    Open,
    /// No picture is whole: each mends a part, and all is right once this many reference pictures have followed.
    Refresh(u16),
}

/// What a picture says about itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Marks {
    /// Decoding may begin here, although pictures that are shown before may be lost, and parameters may be missing.
    pub random_access: bool,
    /// Decoding may begin here with what is in it.
    pub entry: Option<DecodeEntry>,
    /// Others may refer to it.
    pub reference: bool,
}

/// The time from which on pictures are right if decoding begins with the first of these, given in order of decoding by their times and
/// marks; nothing if it cannot begin there.
pub fn right_from(mut pictures: impl Iterator<Item = (i64, Marks)>) -> Option<i64> {
    let (pts, marks) = pictures.next()?;
    Some(match marks.entry? {
        DecodeEntry::Closed => i64::MIN,
        DecodeEntry::Open | DecodeEntry::Refresh(0) => pts,
        DecodeEntry::Refresh(count) => {
            let (mut left, mut latest) = (count, pts);
            for (later, said) in pictures {
                left -= u16::from(said.reference);
                if left == 0 {
                    // What was decoded before is not right, whenever it is shown.
                    return Some(later.max(latest.saturating_add(1)));
                }
                latest = latest.max(later);
            }
            i64::MAX
        }
    })
}
