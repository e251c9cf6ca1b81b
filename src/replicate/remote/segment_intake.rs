//! Takes one segment or chat batch into its [`Download`], in pieces that are written off the async threads. Its hash is compared, and it is
//! published, by whoever has it then.

use std::marker::PhantomData;

use crate::disk::{Download, Intake, MissingFile, Pause};
use crate::replicate::peer::{PIECE_BYTES, PeerError};

/// What came of a file that was asked for.
#[derive(Debug)]
#[must_use = "a download is published by finishing it"]
pub enum Given {
    /// All of it has arrived, in so many bytes over the line; its hash is still to be compared, which blocks.
    Whole { download: Box<Download>, bytes: u64 },
    /// Whoever was asked does not have it.
    Gone,
    /// It is said to have more than there is room for; nothing of it was read.
    TooLarge,
}

/// Fails with `E`.
pub struct SegmentIntake<E, P> {
    /// Not here while a piece is written, nor after that has failed.
    download: Option<Download>,
    piece: Vec<u8>,
    most: u64,
    came: u64,
    state: IntakeState,
    waits: P,
    fails: PhantomData<fn() -> E>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum IntakeState {
    Gone,
    TooLarge,
    Whole,
}

impl<E, P: FnMut(Pause) + Send> SegmentIntake<E, P> {
    /// Of a file of at most so many bytes; `waits` is told whenever something has come, with whom the next bytes wait for.
    pub fn new(into: Download, most: u64, waits: P) -> Self {
        let (piece, state) = (Vec::new(), IntakeState::Gone);
        Self { download: Some(into), piece, most, came: 0, state, waits, fails: PhantomData }
    }
}

impl<E: From<PeerError>, P> SegmentIntake<E, P> {
    /// After the remote has done what it was asked for.
    pub fn given(self) -> Result<Given, E> {
        match (self.state, self.download) {
            (IntakeState::Whole, Some(download)) => Ok(Given::Whole { download: Box::new(download), bytes: self.came }),
            (IntakeState::TooLarge, _) => Ok(Given::TooLarge),
            (IntakeState::Gone, _) => Ok(Given::Gone),
            // The thread that wrote it is gone.
            (IntakeState::Whole, None) => Err(PeerError::Stopping.into()),
        }
    }

    async fn blocking(
        &mut self,
        work: impl FnOnce(&mut Download, &[u8]) -> crate::disk::Result<()> + Send + 'static,
    ) -> Result<(), E> {
        let Some(mut download) = self.download.take() else { return Err(PeerError::Stopping.into()) };
        let mut piece = std::mem::take(&mut self.piece);
        let working = tokio::task::spawn_blocking(move || {
            let done = work(&mut download, &piece);
            piece.clear();
            (download, piece, done)
        });
        // It fails only when the runtime is shutting down, or after a panic, which is reported where it happens.
        let (written, emptied, done) = working.await.map_err(|_| PeerError::Stopping)?;
        (self.download, self.piece) = (Some(written), emptied);
        Ok(done.map_err(PeerError::from)?)
    }

    async fn flush(&mut self) -> Result<(), E> {
        if self.piece.is_empty() { Ok(()) } else { self.blocking(Download::write).await }
    }
}

impl<E: From<PeerError> + Send, P: FnMut(Pause) + Send> Intake for SegmentIntake<E, P> {
    type Error = E;

    fn has_room_for(&mut self, bytes: u64) -> bool {
        if bytes > self.most {
            self.state = IntakeState::TooLarge;
        }
        bytes <= self.most
    }

    async fn begin(&mut self, _: &MissingFile) -> Result<(), E> {
        let held = self.download.as_ref().map_or(0, Download::bytes);
        if held == 0 {
            self.piece.clear();
            return Ok(());
        }
        self.blocking(|download, _| download.restart()).await
    }

    async fn write(&mut self, mut bytes: &[u8]) -> Result<(), E> {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(PIECE_BYTES - self.piece.len()));
            self.piece.extend_from_slice(now);
            bytes = later;
            if self.piece.len() == PIECE_BYTES {
                self.flush().await?;
            }
        }
        Ok(())
    }

    async fn end(&mut self, _: &MissingFile) -> Result<(), E> {
        self.flush().await?;
        self.state = IntakeState::Whole;
        Ok(())
    }

    fn gone(&mut self, _: &MissingFile) {
        self.state = IntakeState::Gone;
    }

    fn came(&mut self, bytes: u64) {
        self.came += bytes;
    }

    fn waits_for(&mut self, whom: Pause) {
        (self.waits)(whom);
    }
}
