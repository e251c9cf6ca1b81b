//! Asks a store for an object that lies in a storage class which answers only hours later. Until it has it, reading says that the object is cold.

use reqwest::Method;

use super::client::Bucket;
use super::error::BucketError;
use crate::archive::ObjectName;

/// For how many days the store is to give it then.
const DAYS: &str = "<Days>7</Days>";

/// What the store said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AskedFor {
    /// It begins to bring it.
    Now,
    /// It was asked before, and is about it.
    Before,
}

impl Bucket {
    /// Asks for an object that is cold, which most stores that have such classes charge for.
    pub async fn ask_for(&self, name: &ObjectName) -> Result<AskedFor, BucketError> {
        let below = format!("{}?restore=", self.below(name)?);
        let ask = async |days: &str| {
            let xmlns = "http://s3.amazonaws.com/doc/2006-03-01/";
            let order = format!("<RestoreRequest xmlns=\"{xmlns}\">{days}</RestoreRequest>");
            self.ask_at(Method::POST, &below, &order, Some(name)).await
        };
        let asked = match ask(DAYS).await {
            // Classes into which objects go by themselves take no days, and keep them for as long as they are read.
            Err(BucketError::Refused { status: 400, .. }) => ask("").await,
            asked => asked,
        };
        match asked {
            Ok(_) => Ok(AskedFor::Now),
            Err(BucketError::Refused { status: 409, .. }) => Ok(AskedFor::Before),
            Err(error) => Err(error),
        }
    }
}
