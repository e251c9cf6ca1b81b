//! What a node promises, seen from outside: the real program on real directories, asked over real sockets.
//!
//! One binary for all of it. `support` is the language the tests are written in; every other module tells one side of the story.
#![cfg(test)]
#![expect(
    clippy::shadow_unrelated,
    clippy::similar_names,
    reason = "a story goes on with its next node, page or answer under the same name"
)]

mod circles;
mod rooms;
mod support;

mod api;
mod archive_anew;
mod archive_damage;
mod archive_dropped;
mod archive_expired;
mod archive_explained;
mod archive_format;
mod archive_interrupted;
mod archive_killed;
mod archive_life;
mod archive_marks;
mod archive_objects;
mod archive_purge;
mod archive_swift;
mod archive_tier;
mod archive_watched;
mod asking;
mod authoring;
mod behind;
mod bucket;
mod bucket_answers;
mod bucket_credentials;
mod bucket_of_swift;
mod bursts;
mod clocks;
mod command_line;
mod continuity;
mod convergence;
mod coverage;
mod crawl;
mod crowd;
mod crowded_page;
mod dashboards;
mod deletions;
mod demo;
mod discontinuities;
mod disk_trouble;
mod docs;
mod doctor;
mod editor;
mod encrypted;
mod exact;
mod extras;
mod federated;
mod first_crawl;
mod fixed_part;
mod following;
mod fuzzed;
mod harness;
mod hostile;
mod import;
mod index_trouble;
mod killing;
mod ledger;
mod manners;
mod master;
mod mid_crawl;
mod mistakes;
mod monitoring;
mod mp4;
mod names;
mod naming;
mod nginx;
mod page;
mod peers;
mod playback;
mod player;
mod players;
mod recorded_hour;
mod recorded_twice;
mod recorders;
mod recording;
mod recording_addresses;
mod recording_clocks;
mod recording_ends;
mod recording_exits;
mod recording_mp4;
mod recording_playlists;
mod recording_servers;
mod recording_sound;
mod recording_troubles;
mod replication;
mod retention;
mod rough_cuts;
mod samples;
mod scrub;
mod sealing;
mod security;
mod segment_reader;
mod separate_sound;
mod service;
mod shrinking;
mod status;
mod storm;
mod strangers;
mod streams;
mod timeline;
mod tombstones;
mod watching;
