//! The containers that segments come in, and the endings by which the files of an hour are told apart.
//!
//! Everything that depends on a container is asked here, or is a `match` over all of them: whoever adds one is led by the compiler to
//! each place that has to know.

/// What the video of a segment is packed in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Container {
    /// An MPEG transport stream.
    #[default]
    Ts = 0,
    /// A fragmented MP4 that plays by itself: an initialisation segment, and behind it the media as the origin sent it.
    Mp4 = 1,
}

impl Container {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Ts, Self::Mp4];

    /// What names of segments end in.
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Ts => ".ts",
            Self::Mp4 => ".mp4",
        }
    }

    /// The same without the dot.
    pub fn extension(self) -> &'static str {
        self.suffix().trim_start_matches('.')
    }

    /// As HTTP names it.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Ts => "video/MP2T",
            Self::Mp4 => "video/mp4",
        }
    }

    /// From its number in the index.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|container| *container as u8 == number)
    }
}

/// What a file of an hour is by the end of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileEnding {
    /// A segment.
    Segment(Container),
    /// A batch of chat lines.
    Chat,
    /// It hides what has the same stem.
    Tombstone,
}

impl FileEnding {
    /// The ending of a name; `None` if no file of an hour ends so. Whatever stands before it may be no text.
    pub fn of(name: impl AsRef<[u8]>) -> Option<Self> {
        let name = name.as_ref();
        let segments = Container::ALL.map(Self::Segment);
        segments.into_iter().chain([Self::Chat, Self::Tombstone]).find(|each| name.ends_with(each.suffix().as_bytes()))
    }

    /// With the dot.
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Segment(container) => container.suffix(),
            Self::Chat => ".json",
            Self::Tombstone => ".tombstone",
        }
    }

    /// The endings of what a tombstone may hide.
    pub fn hideable() -> impl Iterator<Item = Self> {
        Container::ALL.into_iter().map(Self::Segment).chain([Self::Chat])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_are_read_as_they_are_written_and_no_two_are_alike() {
        let endings: Vec<FileEnding> = FileEnding::hideable().chain([FileEnding::Tombstone]).collect();
        for ending in &endings {
            assert_eq!(FileEnding::of(format!("x{}", ending.suffix())), Some(*ending));
            assert!(endings.iter().all(|other| other == ending || !other.suffix().ends_with(ending.suffix())));
        }
        for other in ["ts", "x.TS", "x.ts.txt", "x.m4s", "x.tombstones", "", "."] {
            assert_eq!(FileEnding::of(other), None, "{other}");
        }
        assert_eq!(FileEnding::of(b"\xff.ts"), Some(FileEnding::Segment(Container::Ts)));
    }

    #[test]
    fn the_index_gives_a_container_back() {
        for container in Container::ALL {
            assert_eq!(Container::from_number(container as u8), Some(container));
            assert_eq!(format!(".{}", container.extension()), container.suffix());
        }
        assert_eq!(Container::from_number(31), None);
    }
}
