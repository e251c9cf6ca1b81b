//! Deletes one object. Whether it may go is for whoever asks: nothing is looked at here.

use std::time::Duration;

use object_store::ObjectStoreExt as _;

use super::client::Bucket;
use super::error::BucketError;
use crate::archive::ObjectName;

/// A store may lag behind itself for a moment.
const ATTEMPTS: usize = 4;
const LAG: Duration = Duration::from_millis(300);

impl Bucket {
    /// Deletes an object, and asks whether it is gone, as anything between here and the store can answer. One that is gone already is as good as deleted.
    pub async fn delete(&self, name: &ObjectName) -> Result<(), BucketError> {
        if let Err(error) = self.store.delete(&self.key(name)?).await {
            match self.error(&error, Some(name)).of_deleting() {
                BucketError::Gone(_) => {}
                error => return Err(error),
            }
        }
        for _ in 0..ATTEMPTS {
            if self.size_of(name).await?.is_none() {
                return Ok(());
            }
            tokio::time::sleep(LAG).await;
        }
        Err(BucketError::Undeleted(name.clone()))
    }
}
