//! Has the index remember which protective records the archive has had, as it does not lie beside them.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::disk::Remembered;
use crate::index::{Batch, Index};

/// See the module.
pub(super) struct InIndex(pub(super) Arc<Index>);

impl Remembered for InIndex {
    fn names(&self) -> BTreeSet<String> {
        let names = self.0.records().inspect_err(|error| {
            tracing::debug!(name: "records_not_known", %error, "the index cannot say which protective records there have been");
        });
        names.unwrap_or_default().lines().map(str::to_owned).collect()
    }

    fn remember(&self, names: &BTreeSet<String>) {
        let text: String = names.iter().flat_map(|name| [name, "\n"]).collect();
        if let Err(error) = self.0.apply(Batch { records: Some(text), ..Batch::default() }) {
            tracing::debug!(name: "records_not_remembered", %error, "the index cannot remember now which protective records there are");
        }
    }
}
