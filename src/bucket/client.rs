//! One bucket: what lies in its objects, and whether they are what they are called. Nothing is written or deleted here.

use std::fmt;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::stream::try_unfold;
use futures_util::{Stream, TryStreamExt as _};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::client::HttpClient;
use object_store::path::Path as Key;
use object_store::{GetOptions, GetRange, GetResult, ObjectStore as _, ObjectStoreExt as _, RetryConfig};
use sha2::{Digest as _, Sha256};
use tokio::time::{Instant, sleep_until};

use super::error::{Asked, BucketError};
use super::http_service::StoreConnector;
use super::served_credentials::ServiceConnector;
use super::settings::{BucketIdentity, BucketSettings};
use crate::archive::escape::shown;
use crate::archive::object_trailer::read_trailer;
use crate::archive::{Hash, HourManifest, ObjectCheck, ObjectFault, ObjectName, PackedHour};
use crate::net::tls::ClientConfig;

/// How often the library tries a request again that may go well the next time. Longer waits are for whoever asks.
const RETRIES: usize = 3;
const RETRY_TIME: Duration = Duration::from_secs(90);
/// Bytes of an object's end, in which its trailer lies, and of a small hour all of the manifest.
const END: u64 = 64 << 10;

/// A bucket. Cloning it is cheap and shares the connections.
#[derive(Clone)]
pub struct Bucket {
    pub(super) store: AmazonS3,
    pub(super) http: HttpClient,
    pub(super) settings: Arc<BucketSettings>,
    at: Arc<str>,
}

/// Not what requests are signed with.
impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bucket({})", self.settings.identity())
    }
}

impl Bucket {
    /// Makes the client, which trusts whom `tls` trusts; asks nobody yet.
    pub fn new(settings: BucketSettings, tls: &ClientConfig) -> Result<Self, BucketError> {
        let connector = StoreConnector::new(tls).map_err(|error| BucketError::Setup(error.to_string()))?;
        let http = connector.http_client();
        let retry = RetryConfig { max_retries: RETRIES, retry_timeout: RETRY_TIME, ..RetryConfig::default() };
        let wrong = |error: object_store::Error| BucketError::Setup(error.to_string());
        let builder = AmazonS3Builder::new()
            .with_endpoint(if settings.is_in_host() { settings.bucket_address() } else { settings.address() })
            .with_virtual_hosted_style_request(settings.is_in_host())
            .with_bucket_name(settings.bucket())
            .with_region(settings.region())
            .with_allow_http(!settings.is_encrypted())
            // Not all stores know how to delete several at once.
            .with_disable_bulk_delete(true)
            .with_retry(retry);
        let service = RetryConfig { max_retries: 1, retry_timeout: RETRY_TIME, ..RetryConfig::default() };
        let asking = builder.clone().with_retry(service).with_http_connector(ServiceConnector::new(&connector));
        let credentials = settings.credentials.provider(asking).map_err(wrong)?;
        let store = builder.with_http_connector(connector).with_credentials(credentials).build().map_err(wrong)?;
        let at = if settings.is_in_host() { settings.bucket_address() } else { settings.address() };
        Ok(Self { store, http, settings: Arc::new(settings), at: at.into() })
    }

    /// Which one it is.
    pub fn identity(&self) -> BucketIdentity {
        self.settings.identity()
    }

    /// Bytes of an object; `None` if the store says that there is none, which without a word of why is no proof that it is lost.
    pub async fn size_of(&self, name: &ObjectName) -> Result<Option<u64>, BucketError> {
        let error = match self.store.head(&self.key(name)?).await {
            Ok(meta) => return Ok(Some(meta.size)),
            Err(error) => self.error(&error, Some(name)),
        };
        match error {
            BucketError::Refused { status: 404, .. } | BucketError::Gone(_) => Ok(None),
            // An answer without a body does not say why; a list does.
            vague @ (BucketError::Refused { .. } | BucketError::Denied { .. } | BucketError::WrongRegion { .. }) => {
                Err(self.list(&name.place.to_string(), None).await.err().unwrap_or(vague))
            }
            error => Err(error),
        }
    }

    /// The hour as an object of so many bytes says it: its manifest is what the object is called after, so that nothing else that the object
    /// says is trusted.
    pub async fn packed(&self, name: &ObjectName, size: u64) -> Result<PackedHour, BucketError> {
        let last = size.saturating_sub(END)..size;
        let end = self.range(name, last.clone()).await?;
        let manifest_range = read_trailer(&end, size).map_err(|error| BucketError::damaged(name, &error))?;
        let manifest = match offset_in(&end, &last, &manifest_range) {
            Some(bytes) => bytes,
            None => self.range(name, manifest_range).await?,
        };
        if Hash(Sha256::digest(&manifest).into()) != name.manifest {
            return Err(BucketError::damaged(name, "its manifest is not the one that it is called after"));
        }
        let manifest = HourManifest::parse(&manifest).map_err(|error| BucketError::damaged(name, &error))?;
        if *manifest.place() != name.place {
            return Err(BucketError::damaged(name, "its manifest is that of another hour"));
        }
        if let Some(file) = manifest.misnamed() {
            let why = format!("it says of {} another SHA-256 than that is called after", shown(&file.name));
            return Err(BucketError::damaged(name, &why));
        }
        let packed = PackedHour::plan(manifest);
        if packed.size() != size {
            return Err(wrong_size(name, size, &packed));
        }
        Ok(packed)
    }

    /// A range of an object, which must be one that fits into memory.
    pub async fn range(&self, name: &ObjectName, range: Range<u64>) -> Result<Bytes, BucketError> {
        let length = range.end.saturating_sub(range.start);
        if length == 0 {
            return Ok(Bytes::new());
        }
        let options = GetOptions { range: Some(GetRange::Bounded(range)), ..GetOptions::default() };
        let bytes = self.bytes(self.get(name, options).await?, name, length).await?;
        if bytes.len() as u64 != length {
            return Err(BucketError::damaged(name, "it is shorter than it should be"));
        }
        Ok(bytes)
    }

    /// The bytes of a range as they come, within the bandwidth that the settings allow.
    pub async fn read(
        &self,
        name: &ObjectName,
        range: Range<u64>,
    ) -> Result<impl Stream<Item = Result<Bytes, BucketError>>, BucketError> {
        let pieces = Box::pin(self.pieces(name, range).await?);
        Ok(try_unfold((pieces, self.pace(), 0), |(mut pieces, mut pace, before)| async move {
            pace.spend(before).await;
            let Some(bytes) = pieces.try_next().await? else { return Ok(None) };
            let length = bytes.len() as u64;
            Ok(Some((bytes, (pieces, pace, length))))
        }))
    }

    /// The bytes of a range as they come, as fast as they do. It ends with an error if they are not as many as they should be.
    pub(super) async fn pieces(
        &self,
        name: &ObjectName,
        range: Range<u64>,
    ) -> Result<impl Stream<Item = Result<Bytes, BucketError>>, BucketError> {
        let length = range.end.saturating_sub(range.start);
        let options = GetOptions { range: Some(GetRange::Bounded(range)), ..GetOptions::default() };
        let stream = self.get(name, options).await?.into_stream();
        let wrong = || BucketError::damaged(name, "it does not have the bytes that it should have");
        Ok(try_unfold((stream, 0), move |(mut stream, came)| async move {
            let next = match stream.try_next().await {
                Ok(next) => next,
                Err(error) => return Err(self.error_of_reading(error, name).await),
            };
            let Some(bytes) = next else { return if came == length { Ok(None) } else { Err(wrong()) } };
            let came = came + bytes.len() as u64;
            if came > length { Err(wrong()) } else { Ok(Some((bytes, (stream, came)))) }
        }))
    }

    /// Requests that bring so many bytes into the bucket and read them back.
    pub fn requests_of(&self, bytes: u64) -> u64 {
        let parts = bytes.div_ceil(self.settings.part_bytes.max(1));
        // It is looked whether the object is there; an upload in parts is begun and completed; one reads it back.
        if parts > 1 { 1 + parts + 2 + 1 } else { 3 }
    }

    /// Requests that read so many bytes part by part.
    pub fn parts_of(&self, bytes: u64) -> u64 {
        bytes.div_ceil(self.settings.part_bytes.max(1))
    }

    /// Reads an object back, all of it: every header, every file and the manifest. `read` receives bytes as they come, and says whether to go on.
    pub async fn check(
        &self,
        packed: &PackedHour,
        mut read: impl FnMut(u64) -> ControlFlow<()>,
    ) -> Result<(), BucketError> {
        let name = &packed.object_name();
        let answer = self.get(name, GetOptions::default()).await?;
        if answer.meta.size != packed.size() {
            return Err(wrong_size(name, answer.meta.size, packed));
        }
        let (mut check, mut pace) = (ObjectCheck::new(packed), self.pace());
        let mut stream = answer.into_stream();
        loop {
            let next = match stream.try_next().await {
                Ok(next) => next,
                Err(error) => return Err(self.error_of_reading(error, name).await),
            };
            let Some(bytes) = next else { break };
            check.feed(&bytes).map_err(|fault| BucketError::fault(name, &fault))?;
            if read(bytes.len() as u64).is_break() {
                return Err(BucketError::Stopped);
            }
            pace.spend(bytes.len() as u64).await;
        }
        check.end().map_err(|fault| BucketError::fault(name, &fault))
    }

    async fn get(&self, name: &ObjectName, options: GetOptions) -> Result<GetResult, BucketError> {
        let answer = match self.store.get_opts(&self.key(name)?, options).await {
            Ok(answer) => answer,
            Err(error) => return Err(self.error_of_reading(error, name).await),
        };
        // Every store gives one with an object; whoever else answers along the way says nothing of what is in the bucket.
        if answer.meta.e_tag.is_none() {
            return Err(BucketError::Unexpected { at: self.at.to_string(), expected: "an object with its ETag" });
        }
        Ok(answer)
    }

    /// All of an answer.
    async fn bytes(&self, answer: GetResult, name: &ObjectName, most: u64) -> Result<Bytes, BucketError> {
        let mut read = BytesMut::new();
        let mut stream = answer.into_stream();
        loop {
            let next = match stream.try_next().await {
                Ok(next) => next,
                Err(error) => return Err(self.error_of_reading(error, name).await),
            };
            let Some(bytes) = next else { break };
            read.extend_from_slice(&bytes);
            if read.len() as u64 > most {
                return Err(BucketError::Unexpected {
                    at: self.at.to_string(),
                    expected: "the part that was asked for",
                });
            }
        }
        Ok(read.freeze())
    }

    /// What an object is called in the bucket.
    pub(super) fn key(&self, name: &ObjectName) -> Result<Key, BucketError> {
        let text = format!("{}{name}", self.settings.prefix());
        Key::parse(&text).ok().filter(|key| *key.as_ref() == *text).ok_or_else(|| BucketError::Name(text.clone()))
    }

    pub(super) fn at(&self) -> &str {
        &self.at
    }

    pub(super) fn error(&self, error: &(dyn std::error::Error + 'static), name: Option<&ObjectName>) -> BucketError {
        let key = self.settings.credentials.key_id();
        let (bucket, region) = (self.settings.bucket(), self.settings.region());
        BucketError::of(error, Asked { at: &self.at, bucket, region, key: key.as_deref(), name })
    }

    /// The same of an object that was being read. A store that answers other questions says that the way to it is not what is wrong: one that has
    /// lost a part of an object breaks off there, or fails, each time.
    async fn error_of_reading(&self, error: object_store::Error, name: &ObjectName) -> BucketError {
        let error = self.error(&error, Some(name));
        if !error.may_be_about_the_object() || !matches!(self.size_of(name).await, Ok(Some(_))) {
            return error;
        }
        BucketError::Unreadable { name: name.clone(), why: error.to_string() }
    }

    pub(super) fn pace(&self) -> LinePace {
        LinePace { began: Instant::now(), bytes: 0, per_second: self.settings.bytes_per_second }
    }
}

fn wrong_size(name: &ObjectName, found: u64, packed: &PackedHour) -> BucketError {
    BucketError::fault(name, &ObjectFault::Size { found, expected: packed.size() })
}

/// What lies at a range of an object in bytes that begin elsewhere in it; `None` if they do not have all of it.
fn offset_in(bytes: &Bytes, at: &Range<u64>, wanted: &Range<u64>) -> Option<Bytes> {
    let from = usize::try_from(wanted.start.checked_sub(at.start)?).ok()?;
    let to = usize::try_from(wanted.end.checked_sub(at.start)?).ok()?;
    (from <= to && to <= bytes.len()).then(|| bytes.slice(from..to))
}

/// Keeps to a rate, on average since it began.
pub(super) struct LinePace {
    began: Instant,
    bytes: u64,
    per_second: Option<u64>,
}

impl LinePace {
    /// Waits as long as so many bytes more take.
    pub(super) async fn spend(&mut self, bytes: u64) {
        self.bytes += bytes;
        if let Some(rate) = self.per_second.filter(|rate| *rate > 0) {
            let whole = Duration::from_secs(self.bytes / rate);
            let rest = Duration::from_micros((self.bytes % rate).saturating_mul(1_000_000) / rate);
            sleep_until(self.began + whole + rest).await;
        }
    }
}
