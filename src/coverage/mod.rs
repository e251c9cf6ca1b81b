//! What others are given of coverage: gauges as text, the map as a picture, and a page that shows it. Works nothing out: that is
//! `domain::coverage` and `domain::map`. Asks no index and no other node.

mod gauges;
mod page;
mod picture;
mod publish;

pub use gauges::Gauges;
pub use page::{Shown, page};
pub use picture::{PictureError, png};
pub use publish::{PublishError, maps_of, publish, write_file};
