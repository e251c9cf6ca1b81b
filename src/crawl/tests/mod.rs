//! The crawl against models, with injected time and faults.

mod doubt;
mod rounds;
