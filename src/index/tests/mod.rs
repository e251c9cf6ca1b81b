//! Tests of the index as a whole, against models.

mod bulk;
mod damage;
mod faults;
mod formats;
pub(super) mod faulty;
mod model;
mod recovery;
mod writing;
