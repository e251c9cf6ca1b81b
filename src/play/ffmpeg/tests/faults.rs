//! Programs that hang, die, flood and do not exist: each is a clear error, and nothing is left of any.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use futures_util::StreamExt as _;

use super::cuts::clip;
use super::pictures::near;
use super::support::{self, BEGIN, pool_of, recording};
use crate::play::ffmpeg::{CutFormat, CutStream, FfmpegError, frame, matroska, smart};

/// A program that says who it is before it does this.
pub(super) struct Fake {
    directory: TempDir,
}

impl Fake {
    pub(super) fn new(does: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let me = directory.path().join("pids");
        let text = format!("#!/bin/sh\necho $$ >> {}\n{does}\n", me.display());
        let fake = Self { directory };
        std::fs::write(fake.program(), text).unwrap();
        std::fs::set_permissions(fake.program(), std::fs::Permissions::from_mode(0o755)).unwrap();
        fake
    }

    pub(super) fn program(&self) -> String {
        self.directory.path().join("ffmpeg").to_str().unwrap().to_owned()
    }

    /// Those that were started.
    fn pids(&self) -> Vec<i32> {
        let text = std::fs::read_to_string(self.directory.path().join("pids")).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// Nobody is left of them nor of what they started, not even as a zombie.
    async fn has_gone(&self) {
        let pids = self.pids();
        assert!(!pids.is_empty(), "it was started");
        for _ in 0..500 {
            if !pids.iter().any(|pid| group_lives(*pid)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{pids:?} are still there");
    }
}

/// Whether a process of that group is there.
fn group_lives(group: i32) -> bool {
    std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        let stat = std::fs::read_to_string(Path::new(&entry.path()).join("stat")).unwrap_or_default();
        let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let mut fields = after_name.split_whitespace();
        let (state, parent_and_group) = (fields.next(), fields.nth(1));
        // What it has started is collected by whoever takes in orphans.
        let is_orphan_zombie = state == Some("Z") && entry.file_name() != *group.to_string();
        parent_and_group == Some(&group.to_string()) && !is_orphan_zombie
    })
}

async fn asked(fake: &Fake, time: Duration) -> FfmpegError {
    frame(&pool_of(&fake.program(), time), near(vec![recording().segment(0)]), BEGIN).await.unwrap_err()
}

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(300);

#[tokio::test]
async fn one_that_hangs_is_stopped_with_all_it_started() {
    for does in
        ["sleep 600", "trap '' TERM INT HUP; sleep 600; sleep 600", "sleep 600 & exec sleep 600", "exec >&-; sleep 600"]
    {
        let fake = Fake::new(does);
        assert_eq!(asked(&fake, SHORT).await, FfmpegError::TooSlow(SHORT), "{does}");
        fake.has_gone().await;
    }
}

#[tokio::test]
async fn one_that_dies_tells_what_it_said() {
    for (does, status) in [
        ("echo 'no such thing' >&2; exit 3", "exit status: 3"),
        ("head -c 5000; echo 'no such thing' >&2; kill -9 $$", "signal: 9"),
        ("head -c 100000000 /dev/zero | tr '\\0' x >&2; echo; echo 'no such thing' >&2; exit 1", "exit status: 1"),
    ] {
        let fake = Fake::new(does);
        match asked(&fake, LONG).await {
            FfmpegError::Failed { status: told, said } => {
                assert!(told.contains(status), "{told}");
                assert!(said.ends_with("no such thing") && said.len() <= 4 << 10, "{}", said.len());
            }
            other => panic!("{other}"),
        }
        fake.has_gone().await;
    }
}

#[tokio::test]
async fn one_that_writes_without_end_is_stopped() {
    let fake = Fake::new("exec cat /dev/zero");
    assert!(matches!(asked(&fake, LONG).await, FfmpegError::TooLarge(_)));
    fake.has_gone().await;
}

#[tokio::test]
async fn one_that_writes_nothing_or_is_not_there_is_told() {
    let fake = Fake::new("exit 0");
    assert!(matches!(asked(&fake, LONG).await, FfmpegError::Unsuitable(_)));
    fake.has_gone().await;
    std::fs::set_permissions(fake.program(), std::fs::Permissions::from_mode(0o644)).unwrap();
    let error = asked(&fake, LONG).await;
    assert!(matches!(&error, FfmpegError::NotInstalled { why, .. } if why.contains("executed")), "{error}");
    std::fs::remove_file(fake.program()).unwrap();
    let absent = asked(&fake, LONG).await;
    assert!(matches!(&absent, FfmpegError::NotInstalled { why, .. } if why.contains("no such")), "{absent}");
}

/// From key frame to key frame, so that it is wanted for nothing but packing.
async fn packed(fake: &Fake, time: Duration) -> Result<CutStream, FfmpegError> {
    let clip = clip(recording(), support::time(25), support::time(100));
    smart(&pool_of(&fake.program(), time), vec![clip], CutFormat::Mp4).await
}

#[tokio::test]
async fn one_that_packs_is_stopped_when_it_hangs_and_told_when_it_dies_on_the_way() {
    let hangs = Fake::new("sleep 600");
    assert!(matches!(packed(&hangs, SHORT).await, Err(FfmpegError::TooSlow(_))));
    hangs.has_gone().await;
    let dies = Fake::new("echo beginning; cat > /dev/null; exit 1");
    let mut stream = packed(&dies, LONG).await.unwrap();
    assert_eq!(stream.next().await.unwrap().unwrap(), "beginning\n");
    assert!(matches!(stream.next().await, Some(Err(FfmpegError::Failed { .. }))));
    dies.has_gone().await;
    // Whoever does not want the rest takes it along.
    let endless = Fake::new("cat > /dev/null; exec cat /dev/zero");
    drop(packed(&endless, LONG).await.unwrap());
    endless.has_gone().await;
}

/// What becomes of a video file that such a program writes.
async fn video(fake: &Fake, time: Duration) -> Result<(), FfmpegError> {
    matroska(&pool_of(&fake.program(), time), vec![recording().segment(0)], tempfile::tempfile().unwrap()).await
}

#[tokio::test]
async fn a_video_file_is_believed_only_if_it_ends_where_it_says() {
    // An EBML header without content, then the segment: empty, of unknown length, longer than the file.
    for (head, is_whole) in [
        (r"\032\105\337\243\200\030\123\200\147\200", true),
        (r"\032\105\337\243\200\030\123\200\147\001\377\377\377\377\377\377\377", false),
        (r"\032\105\337\243\200\030\123\200\147\205xx", false),
        ("", false),
    ] {
        let fake = Fake::new(&format!("cat > /dev/null; printf '{head}'"));
        let outcome = video(&fake, LONG).await;
        assert!(
            if is_whole { outcome.is_ok() } else { matches!(outcome, Err(FfmpegError::Useless(_))) },
            "{outcome:?}"
        );
        fake.has_gone().await;
    }
    let hangs = Fake::new("sleep 600");
    assert!(matches!(video(&hangs, SHORT).await, Err(FfmpegError::TooSlow(_))));
    hangs.has_gone().await;
    let dies = Fake::new("cat > /dev/null; exit 1");
    assert!(matches!(video(&dies, LONG).await, Err(FfmpegError::Failed { .. })));
    dies.has_gone().await;
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_too_long_for_a_turn_is_told_to_come_back() {
    let pool = pool_of("ffmpeg", LONG);
    let (first, _second) = (pool.turn("frame").await.unwrap(), pool.turn("frame").await.unwrap());
    assert_eq!(pool.turn("frame").await.unwrap_err(), FfmpegError::Busy);
    pool.download("cut").await.unwrap();
    drop(first);
    pool.turn("frame").await.unwrap();
}

#[tokio::test]
async fn whoever_goes_away_takes_the_process_along_and_gives_the_turn_back() {
    let fake = Fake::new("sleep 600");
    let pool = pool_of(&fake.program(), LONG);
    // More than run at once: each gets its turn because those before it have gone.
    for _ in 0..3 {
        let before = fake.pids().len();
        let mut asking = Box::pin(frame(&pool, near(vec![recording().segment(0)]), BEGIN));
        while fake.pids().len() == before {
            assert!(futures_util::poll!(&mut asking).is_pending());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        drop(asking);
        fake.has_gone().await;
    }
    // At its end the node ends them, too.
    let asking = tokio::spawn({
        let pool = std::sync::Arc::clone(&pool);
        async move { frame(&pool, near(vec![recording().segment(0)]), BEGIN).await }
    });
    while fake.pids().len() < 4 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    pool.end();
    assert_eq!(asking.await.unwrap(), Err(FfmpegError::Ending));
    fake.has_gone().await;
    assert_eq!(frame(&pool, near(vec![recording().segment(0)]), BEGIN).await, Err(FfmpegError::Ending));
}
