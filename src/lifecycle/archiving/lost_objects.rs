//! What objects held that turned out to be lost: why a hole is open where nothing else has it. Read from the notes beside the archive when
//! somebody asks, and again after one was lost or found.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::archive::coverage::Stretch;
use crate::archive::hole_reasons::LostContent;
use crate::archive::{FileName, HourManifest, HourPlace, Span, Stream, parse_file_name};
use crate::disk::{Base, BaseGuard, BucketManifests, DiskError};

/// Of one archive.
#[derive(Debug)]
pub struct LostObjects {
    guard: Arc<BaseGuard>,
    version: AtomicU64,
    known: Mutex<Option<KnownLoss>>,
}

/// What was read, and of which version.
#[derive(Debug)]
struct KnownLoss {
    version: u64,
    segments: BTreeMap<HourPlace, Vec<Stretch>>,
}

impl LostObjects {
    pub fn new(guard: Arc<BaseGuard>) -> Self {
        Self { guard, version: AtomicU64::new(0), known: Mutex::default() }
    }

    /// One was lost or found: what is known is read again.
    pub(super) fn changed(&self) {
        self.version.fetch_add(1, Ordering::SeqCst);
    }

    fn read(base: &Base) -> Result<BTreeMap<HourPlace, Vec<Stretch>>, DiskError> {
        let (notes, mut all) = (BucketManifests::of(base), BTreeMap::new());
        for place in notes.places_with_lost()? {
            let lost = notes.read_lost(&place)?;
            let files = lost.iter().flat_map(HourManifest::files);
            let segments = files.filter_map(|file| stretch(&place, &file.name)).collect();
            all.insert(place, segments);
        }
        Ok(all)
    }
}

impl LostContent for LostObjects {
    fn version(&self) -> u64 {
        self.version.load(Ordering::SeqCst)
    }

    fn within(&self, stream: &Stream, hole: Stretch) -> Vec<Stretch> {
        let (version, mut known) = (self.version(), self.known.lock());
        if known.as_ref().is_none_or(|known| known.version != version) {
            let read = self.guard.base().ok().map(|base| Self::read(&base));
            // A disk that is away, or fails, says nothing; it is asked again the next time.
            let Some(Ok(segments)) = read else { return Vec::new() };
            *known = Some(KnownLoss { version, segments });
        }
        // A segment of the hour before may reach into it.
        let last = (hole.end - Span::from_us(1)).hour();
        let at = |hour| HourPlace { stream: stream.clone(), hour };
        let range = at(hole.start.hour().previous().min(last))..=at(last);
        let hours = known.iter().flat_map(|known| known.segments.range(range.clone()));
        hours.flat_map(|(_, segments)| segments).filter_map(|segment| segment.cut(hole)).collect()
    }
}

fn stretch(place: &HourPlace, name: &str) -> Option<Stretch> {
    let FileName::Understood(key) = parse_file_name(name) else { return None };
    key.kind.is_video().then(|| Stretch { start: key.start(place.hour), end: key.end(place.hour) })
}
