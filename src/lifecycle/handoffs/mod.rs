//! Runs what [`crate::archive::placement::handoffs`] decides on a real node: hours that lie here and belong to others leave for them, and
//! what was promised to others stays.
//!
//! 1. [`Handoffs`] (`machine`) is the only one that tells the machine anything, and keeps its journal (`pin_record`).
//! 2. A pass (`handoff_pass`, each one a step of [`HandoffJob`]) asks the owners of what lies here (`handoff_hours`, `lying_names`); what all of
//!    them have leaves (`leave`).
//! 3. What other nodes ask of this one is answered by `owner_pins`, after what lies here was read (`proven_files`) and flushed.
//!    What a cut is made of is held meanwhile (`held_hours`).
//! 4. Whoever else deletes a whole hour asks for a [`RetirePermit`] first.
//! 5. What is not known deletes nothing: while the disk is away, the layout or a record cannot be read, the index is catching up or the clock
//!    is contradicted, all of it stays.

mod confirmation_job;
mod error;
mod figures;
mod handoff_hours;
mod handoff_job;
mod handoff_pass;
mod handoff_report;
mod held_hours;
mod leave;
mod left_hour;
mod lying_names;
mod machine;
mod owner_pins;
mod pin_record;
mod proven_files;
mod retire_permit;
mod stand_in;

pub use confirmation_job::ConfirmationJob;
pub use error::HandoffError;
pub use handoff_job::HandoffJob;
pub use held_hours::HourHold;
pub use left_hour::LeftHour;
pub use machine::{HandoffOptions, HandoffParts, Handoffs};
pub use owner_pins::QUESTION_BYTES;
pub use pin_record::RECORD as PINS;
pub use retire_permit::{RetirePermit, RetireVerdict};
