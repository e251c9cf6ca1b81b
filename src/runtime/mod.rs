//! What every lasting job needs: to be stopped, to wait, to keep to its share of the processor, to tell how far it is and what it
//! did.

mod hour_counter;
mod progress;
mod stop;
mod throttle;

pub use hour_counter::HourCounter;
pub use progress::Meter;
pub use stop::Stop;
pub use throttle::rest_after;
