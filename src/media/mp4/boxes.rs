//! Boxes: a length, a name, and what is in them (ISO/IEC 14496-12, 4.2), as they come or within bytes that are there.
//!
//! 1. A length decides nothing but where the next box is looked for: memory grows with the bytes that came, and up to [`MOST_KEPT`].
//! 2. Kept are the few boxes that describe; those that hold the media pass by.
//! 3. Where a length is not possible, nothing behind it can be read.

/// What a box is called.
pub type BoxName = [u8; 4];

/// Bytes of a box that is kept: a fragment of five minutes with sixty pictures a second has half a megabyte.
pub const MOST_KEPT: u64 = 4 << 20;

/// Length, name, and a length of 64 bits.
const LONGEST_HEADER: usize = 16;

/// What describes the media.
const KEPT: [BoxName; 2] = [*b"moov", *b"moof"];

/// The beginning of a box.
#[derive(Debug, Clone, Copy)]
struct BoxHeader {
    name: BoxName,
    /// Bytes of the header.
    header: usize,
    /// Bytes behind the header; none means all that comes.
    body: Option<u64>,
}

impl BoxHeader {
    /// Nothing as long as it is not all there; an error where its length is not possible.
    fn read(bytes: &[u8]) -> Result<Option<Self>, BoxName> {
        let mut fields = Fields(bytes);
        let (Some(short), Some(name)) = (fields.u32(), fields.name()) else { return Ok(None) };
        let (header, length) = match short {
            0 => return Ok(Some(Self { name, header: 8, body: None })),
            1 => match fields.u64() {
                Some(long) => (16, long),
                None => return Ok(None),
            },
            _ => (8, u64::from(short)),
        };
        let body = length.checked_sub(header as u64).ok_or(name)?;
        Ok(Some(Self { name, header, body: Some(body) }))
    }
}

/// The boxes in these bytes, one after the other; nothing in place of the first that is not all there.
pub fn boxes(bytes: &[u8]) -> impl Iterator<Item = Option<(BoxName, &[u8])>> {
    placed_boxes(bytes).map(|each| each.map(|(_, name, body)| (name, body)))
}

/// The same, each with the place where it begins.
pub fn placed_boxes(bytes: &[u8]) -> impl Iterator<Item = Option<(usize, BoxName, &[u8])>> {
    let mut rest = Some(bytes).filter(|bytes| !bytes.is_empty());
    std::iter::from_fn(move || {
        let here = rest.take()?;
        let at = bytes.len() - here.len();
        let read = || {
            let found = BoxHeader::read(here).ok().flatten()?;
            let behind = here.get(found.header..)?;
            let length = found.body.map_or(Some(behind.len()), |body| usize::try_from(body).ok())?;
            Some((found.name, behind.split_at_checked(length)?))
        };
        let Some((name, (body, later))) = read() else { return Some(None) };
        rest = Some(later).filter(|later| !later.is_empty());
        Some(Some((at, name, body)))
    })
}

/// The first box of this name in these bytes.
pub fn find(bytes: &[u8], wanted: BoxName) -> Option<&[u8]> {
    boxes(bytes).map_while(|each| each).find(|(name, _)| *name == wanted).map(|(_, body)| body)
}

/// What came.
#[derive(Debug)]
pub enum BoxPart {
    /// A box begins.
    Begins { name: BoxName },
    /// One that is kept has ended.
    Whole { at: u64, name: BoxName, body: Vec<u8> },
    /// So many bytes of one that is not kept.
    Passed { name: BoxName, length: u64 },
    /// Its length is not possible, or larger than what is kept.
    Broken { at: u64, name: BoxName },
}

/// Reads boxes that come in pieces of any size.
#[derive(Debug, Default)]
pub struct BoxReader {
    at: u64,
    state: BoxState,
}

#[derive(Debug)]
enum BoxState {
    /// What has come of a header.
    Header(Vec<u8>),
    /// Within a box.
    Body { at: u64, name: BoxName, left: Option<u64>, kept: Option<Vec<u8>> },
    /// Nothing more can be read.
    Lost,
}

impl Default for BoxState {
    fn default() -> Self {
        Self::Header(Vec::new())
    }
}

impl BoxReader {
    /// Takes from these bytes what makes one part; nothing if they are used up.
    pub fn take(&mut self, bytes: &mut &[u8]) -> Option<BoxPart> {
        loop {
            match &mut self.state {
                BoxState::Lost => return None,
                BoxState::Header(header) => {
                    // Not more than the header, or the body would have to be given back.
                    let wanted = if header.len() < 8 { 8 } else { LONGEST_HEADER };
                    let (now, later) = bytes.split_at_checked((wanted - header.len()).min(bytes.len()))?;
                    header.extend_from_slice(now);
                    (*bytes, self.at) = (later, self.at + now.len() as u64);
                    let at = self.at - header.len() as u64;
                    match BoxHeader::read(header) {
                        Ok(Some(found)) => return Some(self.begin(at, found)),
                        Ok(None) if bytes.is_empty() => return None,
                        Ok(None) => {}
                        Err(name) => {
                            self.state = BoxState::Lost;
                            return Some(BoxPart::Broken { at, name });
                        }
                    }
                }
                BoxState::Body { at, name, left, kept } => {
                    let (at, name) = (*at, *name);
                    if *left == Some(0) {
                        let body = kept.take();
                        self.state = BoxState::default();
                        match body {
                            Some(body) => return Some(BoxPart::Whole { at, name, body }),
                            None => continue,
                        }
                    }
                    if bytes.is_empty() {
                        return None;
                    }
                    let length = left.map_or(bytes.len(), |left| clamped(left, bytes.len()));
                    let (now, later) = bytes.split_at_checked(length)?;
                    *left = left.map(|left| left - length as u64);
                    (*bytes, self.at) = (later, self.at + length as u64);
                    match kept {
                        Some(kept) => kept.extend_from_slice(now),
                        None => return Some(BoxPart::Passed { name, length: length as u64 }),
                    }
                }
            }
        }
    }

    fn begin(&mut self, at: u64, found: BoxHeader) -> BoxPart {
        let is_kept = KEPT.contains(&found.name);
        if is_kept && found.body.is_none_or(|body| body > MOST_KEPT) {
            self.state = BoxState::Lost;
            return BoxPart::Broken { at, name: found.name };
        }
        let kept = is_kept.then(Vec::new);
        self.state = BoxState::Body { at, name: found.name, left: found.body, kept };
        BoxPart::Begins { name: found.name }
    }

    /// How many bytes there were.
    pub const fn at(&self) -> u64 {
        self.at
    }

    /// How many of the next bytes need not come, as they pass by.
    pub const fn passing(&self) -> u64 {
        match &self.state {
            BoxState::Body { left: Some(left), kept: None, .. } => *left,
            _ => 0,
        }
    }

    /// So many bytes that pass by do not come; what they belong to is said.
    pub fn pass(&mut self, bytes: u64) -> Option<BoxPart> {
        let BoxState::Body { name, left: Some(left), kept: None, .. } = &mut self.state else { return None };
        let length = bytes.min(*left);
        *left -= length;
        self.at = self.at.saturating_add(length);
        Some(BoxPart::Passed { name: *name, length })
    }

    /// The box within which the bytes end that have come, and where it begins; nothing where one has just ended.
    pub fn inside(&self) -> Option<(u64, BoxName)> {
        match &self.state {
            BoxState::Header(header) if header.is_empty() => None,
            BoxState::Header(header) => Some((self.at - header.len() as u64, *b"????")),
            BoxState::Body { left: None | Some(0), .. } | BoxState::Lost => None,
            BoxState::Body { at, name, .. } => Some((*at, *name)),
        }
    }
}

fn clamped(left: u64, most: usize) -> usize {
    usize::try_from(left).unwrap_or(usize::MAX).min(most)
}

/// Numbers of a box, one after the other.
#[derive(Debug, Clone, Copy)]
pub struct Fields<'b>(pub &'b [u8]);

impl<'b> Fields<'b> {
    pub fn take(&mut self, count: usize) -> Option<&'b [u8]> {
        let (now, later) = self.0.split_at_checked(count)?;
        self.0 = later;
        Some(now)
    }

    pub fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    pub fn u16(&mut self) -> Option<u16> {
        self.take(2)?.first_chunk().map(|two| u16::from_be_bytes(*two))
    }

    pub fn i32(&mut self) -> Option<i32> {
        self.take(4)?.first_chunk().map(|four| i32::from_be_bytes(*four))
    }

    pub fn u32(&mut self) -> Option<u32> {
        self.take(4)?.first_chunk().map(|four| u32::from_be_bytes(*four))
    }

    pub fn u64(&mut self) -> Option<u64> {
        self.take(8)?.first_chunk().map(|eight| u64::from_be_bytes(*eight))
    }

    pub fn name(&mut self) -> Option<BoxName> {
        self.take(4)?.first_chunk().copied()
    }

    /// Version and flags, with which many boxes begin.
    pub fn version(&mut self) -> Option<(u8, u32)> {
        let both = self.u32()?;
        Some((u8::try_from(both >> 24).ok()?, both & 0x00ff_ffff))
    }
}
