//! An answer whose hours do not leave this node before it has been sent.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};

use crate::lifecycle::handoffs::HourHold;

/// The same body, with what it holds.
pub(super) struct HeldBody {
    body: Body,
    _hold: HourHold,
}

impl HeldBody {
    /// Holds until the body is sent, or given up.
    pub(super) fn holding(body: Body, hold: HourHold) -> Body {
        Body::new(Self { body, _hold: hold })
    }
}

impl http_body::Body for HeldBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
