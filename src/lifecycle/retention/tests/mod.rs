//! Retention among other nodes and with a journal that cannot be read; what is pure is tested where it stands.

mod job;
mod last_copy;
mod protect;
mod reclaim;
