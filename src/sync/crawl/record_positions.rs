//! Has the index remember how far the protective records of the archive have come, as it does not lie beside them.

use std::sync::Arc;

use crate::disk::{RecordMarks, RecordPositions, record_progress};
use crate::index::{Batch, Index};

/// See the module.
pub(super) struct InIndex(pub(super) Arc<Index>);

impl RecordPositions for InIndex {
    fn marks(&self) -> RecordMarks {
        let text = self.0.records().inspect_err(|error| {
            tracing::debug!(name: "records_not_known", %error, "the index cannot say which protective records there have been");
        });
        record_progress::parse(&text.unwrap_or_default())
    }

    fn remember(&self, marks: &RecordMarks) {
        if let Err(error) = self.0.apply(Batch { records: Some(record_progress::text(marks)), ..Batch::default() }) {
            tracing::debug!(name: "records_not_remembered", %error, "the index cannot remember now how far the protective records have come");
        }
    }
}
