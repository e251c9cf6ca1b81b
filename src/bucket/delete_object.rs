//! Deletes one object. Whether it may go is for whoever asks: nothing is looked at here.

use object_store::ObjectStoreExt as _;

use super::client::Bucket;
use super::error::BucketError;
use crate::archive::ObjectName;

impl Bucket {
    /// Deletes an object. One that is gone already is as good as deleted, if the store says so itself.
    pub async fn delete(&self, name: &ObjectName) -> Result<(), BucketError> {
        let Err(error) = self.store.delete(&self.key(name)?).await else { return Ok(()) };
        match self.error(&error, Some(name)).of_deleting() {
            BucketError::Gone(_) => Ok(()),
            error => Err(error),
        }
    }
}
