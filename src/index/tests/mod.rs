//! Tests of the index as a whole, against models.

mod agree;
mod bulk;
mod coverage;
mod damage;
mod facts;
mod faults;
pub(super) mod faulty;
mod formats;
mod ledger;
mod model;
mod recovery;
mod writing;
