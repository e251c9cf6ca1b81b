//! What a node promises, seen from outside: the real program on real directories, asked over real sockets.
//!
//! One binary for all of it. `support` is the language the tests are written in; every other module tells one side of the story.
#![cfg(test)]

mod support;

mod harness;
