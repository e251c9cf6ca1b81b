//! The pool against programs that misbehave, and pictures, curves and cuts against a real ffmpeg.

mod cuts;
mod faults;
mod lost;
mod mp4;
mod pictures;
mod support;
mod transitions;
