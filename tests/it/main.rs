//! What a node promises, seen from outside: the real program on real directories, asked over real sockets.
//!
//! One binary for all of it. `support` is the language the tests are written in; every other module tells one side of the story.
#![cfg(test)]

mod support;

mod clocks;
mod disk_trouble;
mod first_crawl;
mod harness;
mod index_trouble;
mod killing;
mod watching;
