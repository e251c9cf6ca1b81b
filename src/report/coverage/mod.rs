//! What others are given of coverage: gauges as text, the map as a picture, and a page that shows it. Works nothing out: that is
//! `archive::coverage` and `archive::map`. Asks no other node.

mod curve;
mod gauges;
mod live;
mod page;
mod picture;
mod publish;
mod rgba;
mod worker;

pub use curve::curve;
pub use gauges::CoverageGauges;
pub use live::LiveGauges;
pub use page::{ShownNode, page};
pub use picture::{PictureError, png};
pub use publish::{DIRECTORY, PublishError, maps_of, publish, write_file};
pub use rgba::{NoPicture, decode, encode};
pub use worker::{MapParts, MapWriter};
