//! Room `disk`.
