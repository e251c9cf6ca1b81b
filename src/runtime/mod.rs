//! What every lasting job needs: to be stopped, to wait, to keep to its share of the processor, to tell how far it is and what it
//! did.

mod busy;
mod clock;
mod hour_counter;
mod pacer;
mod progress;
mod stop;

pub use busy::Busy;
#[cfg(test)]
pub use clock::test_clock::TestClock;
pub use clock::{Clock, SystemClock};
pub use hour_counter::HourCounter;
pub use pacer::{Pacer, rest_after};
pub use progress::Meter;
pub use stop::Stop;
