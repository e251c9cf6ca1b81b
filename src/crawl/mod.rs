//! Room `crawl`.
