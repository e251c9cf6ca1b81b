//! Room `domain`.
