//! What people are shown of an archive: coverage with its maps, and what `doctor` finds.
//!
//! Changes nothing but its own pictures and gauges.

pub mod coverage;
pub(crate) mod doctor;
