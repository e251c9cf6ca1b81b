//! Not a bench by itself: reads the two ends of every file in the directories that are named, as a list does for segments of which nothing
//! is known. `scripts/bench-playback ends` measures it beside `sha256sum`, which reads the first 64 KiB of the same files.
//!
//! `cargo bench --bench ends -- DIR…`

#![expect(clippy::expect_used, reason = "a bench stops where something is wrong")]

use std::fs::File;

use gapless::play::playback::edges_of;

fn main() {
    let directories = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let (mut files, mut known) = (0_u32, 0_u32);
    for directory in directories {
        for entry in std::fs::read_dir(directory).expect("a directory") {
            let file = File::open(entry.expect("an entry").path()).expect("a file");
            let length = file.metadata().expect("its length").len();
            let edges = edges_of(&file, length, gapless::archive::Container::Ts).expect("its ends");
            (files, known) = (files + 1, known + u32::from(edges.picture.end.is_some()));
        }
    }
    println!("{files} files, and where the picture ends in {known}");
}
