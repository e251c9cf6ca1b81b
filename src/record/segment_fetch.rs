//! Fetches one segment to the disk: hashed, decrypted and checked while it comes, and given a type by what came of it.
//!
//! Nothing is held in memory but the piece at hand; disk and processor work on the blocking threads. What came is [`FetchedSegment`], whole
//! or cut off; it has no name yet, and vanishes unless it is published.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::Url;
use tokio::time::{Instant, timeout_at};

use super::decrypt::{DecryptError, Decryptor};
use super::origin::{OriginClient, OriginError};
use super::playlist::ByteRange;
use crate::archive::quantity::size;
use crate::archive::{Container, HourPlace, SegmentKind, Span};
use crate::disk::{Base, BaseGuard, DiskError, NewSegment};
use crate::media::{Mp4Reader, StreamCheck, StreamFault, StreamVerdict};

/// What is collected before it is written.
const PIECE: usize = 128 << 10;
/// Whoever takes longer sends something that nobody vouches for: caches of this field answer with rests of other files then.
const SUSPECT_AFTER: Duration = Duration::from_secs(59);
/// What packets of a transport stream begin with, and how long they are.
const SYNC: u8 = 0x47;
const PACKET: u64 = 188;

/// Gives the base directory for one piece of work.
#[derive(Debug, Clone)]
pub enum ArchiveBase {
    /// Of a node, which watches whether its disk is there.
    Guarded(Arc<BaseGuard>),
    /// Of a command.
    Opened(Arc<Base>),
}

impl ArchiveBase {
    pub fn open(path: &Path) -> Result<Self, DiskError> {
        Ok(Self::Opened(Arc::new(Base::open(path)?)))
    }

    /// Blocks on nothing.
    pub fn base(&self) -> Result<Arc<Base>, FetchFailure> {
        match self {
            Self::Guarded(guard) => guard.base().map_err(|away| FetchFailure::Away(away.reason)),
            Self::Opened(base) => Ok(Arc::clone(base)),
        }
    }
}

/// Why a segment is not there, or not whole.
#[derive(Debug, thiserror::Error)]
pub enum FetchFailure {
    #[error(transparent)]
    Origin(#[from] OriginError),
    #[error("cannot write: {0}")]
    Disk(#[from] DiskError),
    #[error("cannot write: the archive is not there: {0}")]
    Away(String),
    #[error("{url} cannot be decrypted: {why}")]
    Encrypted { url: String, why: DecryptError },
    #[error("{url} is no {}{}", called(*container), also(*looks_like))]
    OtherMedia { url: String, container: Container, looks_like: Option<&'static str> },
    #[error("{url} is no initialisation segment of fragmented MP4 (EXT-X-MAP): {why}")]
    Init { url: String, why: &'static str },
    #[error("cannot be named: {0}")]
    Name(String),
    #[error("the recorder is stopping")]
    Stopping,
}

impl FetchFailure {
    /// What comes of a segment that is decrypted by another key than its own.
    pub fn may_be_the_key(&self) -> bool {
        matches!(self, Self::Encrypted { .. } | Self::OtherMedia { .. })
    }
}

fn called(container: Container) -> &'static str {
    match container {
        Container::Ts => "MPEG transport stream",
        Container::Mp4 => "fragmented MP4, although its playlist says so (EXT-X-MAP)",
    }
}

fn also(looks_like: Option<&'static str>) -> String {
    looks_like.map_or_else(String::new, |what| format!(", but {what}"))
}

/// What is to be fetched.
#[derive(Debug, Clone)]
pub struct SegmentOrder {
    pub url: Url,
    pub range: Option<ByteRange>,
    /// Key and first block.
    pub cipher: Option<([u8; 16], [u8; 16])>,
    /// The initialisation segment, which comes before what is fetched; with it that is fragmented MP4.
    pub init: Option<Bytes>,
    /// As its playlist says.
    pub duration: Span,
    /// Where it seems to belong.
    pub place: HourPlace,
}

/// What came.
#[derive(Debug)]
pub struct FetchedSegment {
    pub file: NewSegment,
    pub container: Container,
    pub kind: SegmentKind,
    /// Why it is not `full`.
    pub fault: Option<String>,
    /// The connection broke before all of it had come.
    pub is_cut: bool,
}

/// Fetches a segment. What was cut off is there as well, as `partial`; an error means that nothing of use came.
pub async fn fetch_segment(
    client: &OriginClient,
    archive: &ArchiveBase,
    order: &SegmentOrder,
) -> Result<FetchedSegment, FetchFailure> {
    let began = Instant::now();
    let mut body = client.open(&order.url, order.range).await?;
    let shown = super::address::shown_url(&body.url);
    let mut intake = Intake::new(archive.clone(), order, shown.clone());
    let (deadline, after) = (began + client.segment_time(), client.segment_time());
    let cut = loop {
        match timeout_at(deadline, body.next()).await {
            Ok(Ok(Some(piece))) => {
                intake.piece.extend_from_slice(&piece);
                if intake.piece.len() >= PIECE {
                    intake = intake.blocking(Intake::flush).await?;
                }
            }
            Ok(Ok(None)) => break None,
            // A part of what has no end is a part of nothing.
            Ok(Err(error @ OriginError::Endless { .. })) => return Err(error.into()),
            Ok(Err(error)) => break Some(error),
            Err(_) => {
                break Some(OriginError::TimedOut { url: shown.clone(), what: "did not finish the segment", after });
            }
        }
    };
    let took = began.elapsed();
    intake = intake.blocking(Intake::flush).await?;
    let done = tokio::task::spawn_blocking(move || intake.judge(cut, took));
    done.await.map_err(|_| FetchFailure::Stopping)?
}

/// What has come of a segment so far.
struct Intake {
    archive: ArchiveBase,
    place: HourPlace,
    url: String,
    duration: Span,
    piece: Vec<u8>,
    decryptor: Option<Decryptor>,
    /// None until something has come: nothing is made for what never does.
    file: Option<NewSegment>,
    init: Option<Bytes>,
    container: Container,
    check: StreamCheck,
    head: Vec<u8>,
}

impl Intake {
    fn new(archive: ArchiveBase, order: &SegmentOrder, url: String) -> Self {
        Self {
            archive,
            place: order.place.clone(),
            url,
            duration: order.duration,
            piece: Vec::new(),
            decryptor: order.cipher.map(|(key, iv)| Decryptor::new(key, iv)),
            file: None,
            init: order.init.clone(),
            container: if order.init.is_some() { Container::Mp4 } else { Container::Ts },
            check: if order.init.is_some() { StreamCheck::mp4() } else { StreamCheck::ts() },
            head: Vec::new(),
        }
    }

    async fn blocking(
        mut self,
        work: impl FnOnce(&mut Self) -> Result<(), FetchFailure> + Send + 'static,
    ) -> Result<Self, FetchFailure> {
        let done = tokio::task::spawn_blocking(move || work(&mut self).map(|()| self));
        done.await.map_err(|_| FetchFailure::Stopping)?
    }

    fn flush(&mut self) -> Result<(), FetchFailure> {
        let piece = std::mem::take(&mut self.piece);
        match &mut self.decryptor {
            Some(decryptor) => {
                let plain = decryptor.take(&piece);
                self.write(&plain)
            }
            None => self.write(&piece),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), FetchFailure> {
        if bytes.is_empty() {
            return Ok(());
        }
        if self.head.is_empty() {
            self.head = bytes.get(..bytes.len().min(16)).unwrap_or_default().to_vec();
        }
        // Of what never comes no initialisation segment is kept.
        let init = self.init.take().unwrap_or_default();
        for each in [&init, bytes] {
            self.check.feed(each);
            self.file()?.write(each)?;
        }
        Ok(())
    }

    fn file(&mut self) -> Result<&mut NewSegment, FetchFailure> {
        match &mut self.file {
            Some(file) => Ok(file),
            empty => {
                let hour = self.archive.base()?.make_hour_dir(&self.place)?;
                Ok(empty.insert(NewSegment::begin(hour)?))
            }
        }
    }

    /// What it is, now that no more comes. Blocks.
    fn judge(mut self, cut: Option<OriginError>, took: Duration) -> Result<FetchedSegment, FetchFailure> {
        let mut cut = cut.map(FetchFailure::Origin);
        if let Some(decryptor) = self.decryptor.take() {
            match decryptor.finish() {
                Ok(last) => self.write(&last)?,
                Err(why) if cut.is_none() => cut = Some(FetchFailure::Encrypted { url: self.url.clone(), why }),
                Err(_) => {}
            }
        }
        if let (None, Some(error)) = (&self.file, &mut cut) {
            return Err(std::mem::replace(error, FetchFailure::Stopping));
        }
        self.file()?;
        let Self { url, file, check, head, duration, container, .. } = self;
        let file = file.ok_or(FetchFailure::Stopping)?;
        let bytes = file.bytes();
        let verdict = check.finish(duration.us().unsigned_abs());
        let judged = judged_kind(container, verdict, &head, bytes, took);
        let judged =
            judged.map_err(|looks_like| FetchFailure::OtherMedia { url: url.clone(), container, looks_like })?;
        let is_cut = cut.is_some();
        let (kind, fault) = cut.map_or(judged, |error| (SegmentKind::Partial, Some(error.to_string())));
        tracing::debug!(name: "segment_fetched", url, kind = kind.as_str(), size = size(bytes), "a segment came");
        Ok(FetchedSegment { file, container, kind, fault, is_cut })
    }
}

/// The type of what came whole and begins with these bytes, an initialisation segment apart, and why it is not `full`; an error is what it looks
/// like where it is something else than it is to be.
pub(super) fn judged_kind(
    container: Container,
    verdict: StreamVerdict,
    head: &[u8],
    bytes: u64,
    took: Duration,
) -> Result<(SegmentKind, Option<String>), Option<&'static str>> {
    let is_other = match container {
        // Too few packets to be judged may be a segment all the same.
        Container::Ts => {
            verdict == StreamVerdict::Other && !(head.first() == Some(&SYNC) && bytes.is_multiple_of(PACKET))
        }
        Container::Mp4 => !Mp4Reader::begins(head),
    };
    if is_other && bytes > 0 {
        return Err(looks_like(head));
    }
    Ok(match verdict {
        _ if bytes == 0 => (SegmentKind::Suspect, Some("it is empty".to_owned())),
        StreamVerdict::Faulty(faults) => {
            let is_torn = |fault: &StreamFault| {
                matches!(fault, StreamFault::Torn { .. } | StreamFault::Cut { .. } | StreamFault::Samples { .. })
            };
            let is_torn = faults.iter().any(is_torn);
            let kind = if is_torn { SegmentKind::Partial } else { SegmentKind::Suspect };
            (kind, faults.first().map(ToString::to_string))
        }
        _ if took > SUSPECT_AFTER => (SegmentKind::Suspect, Some(format!("it took {} s to come", took.as_secs()))),
        _ => (SegmentKind::Full, None),
    })
}

/// What begins so, where that is something else than a transport stream.
fn looks_like(head: &[u8]) -> Option<&'static str> {
    match head {
        [_, _, _, _, b'f' | b's', b't', b'y', b'p', ..] | [_, _, _, _, b'm', b'o', b'o', b'f', ..] => {
            Some("fragmented MP4 (without EXT-X-MAP in its playlist)")
        }
        [b'I', b'D', b'3', ..] | [0xff, 0xf0..=0xff, ..] => Some("packed audio"),
        [b'#', b'E', b'X', b'T', b'M', b'3', b'U', ..] => Some("a playlist"),
        [b'<', ..] => Some("a page"),
        [b'W', b'E', b'B', b'V', b'T', b'T', ..] => Some("subtitles"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use super::super::origin::OriginLimits;
    use super::super::source_headers::SourceHeaders;
    use super::*;
    use crate::archive::{Stream, Timestamp};
    use crate::net::tls;

    #[tokio::test]
    async fn of_a_segment_without_an_end_nothing_is_left_on_the_disk() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = Url::parse(&format!("http://{}/a.ts", listener.local_addr().unwrap())).unwrap();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let chunk = [&b"bc\r\nG"[..], &[0; 187], b"\r\n"].concat();
                let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
                if stream.read(&mut [0; 4_096]).is_ok() && stream.write_all(head).is_ok() {
                    while stream.write_all(&chunk).is_ok() {}
                }
            }
        });
        let limits = OriginLimits { segment_bytes: 1 << 20, ..OriginLimits::default() };
        let client = OriginClient::new(SourceHeaders::default(), &tls::trusting_nobody().unwrap(), limits);
        client.rules().allow("127.0.0.1");
        let tree = tempfile::tempdir().unwrap();
        let archive = ArchiveBase::open(tree.path()).unwrap();
        let start = Timestamp::from_us(1_573_613_998_500_000);
        let place = HourPlace { stream: Stream::parse("a/source").unwrap(), hour: start.hour() };
        let duration = Span::from_us(2_000_000);
        let order = SegmentOrder { url, range: None, cipher: None, init: None, duration, place };
        let said = fetch_segment(&client, &archive, &order).await.unwrap_err().to_string();
        assert!(said.contains("went on behind 1.00 MiB, which is the limit for a segment"), "{said}");
        let hour = std::fs::read_dir(tree.path().join("a/source/2019-11-13T02")).unwrap();
        assert_eq!(hour.count(), 0, "something is left");
    }
}
