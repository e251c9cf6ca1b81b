//! Live streams as a test plans them from a seed: what is on air when, under which address, and how each line to it behaves. Nothing is encoded while
//! it runs, and nothing here knows of recorders.
//!
//! Times are in milliseconds since the beginning.

use std::fmt::Write as _;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use aes::cipher::{Block, BlockModeEncrypt as _, KeyIvInit as _};

use super::trouble::Chance;

/// How long a segment is.
pub const SEGMENT: u64 = 500;
/// How long it is listed: longer than a recorder waits before it asks a playlist that failed again.
pub const WINDOW: u64 = 10_000;
/// Segments in a row that one key encrypts.
const KEY_HOLDS: u64 = 8;
/// How long the origin has it after that.
const GRACE: u64 = 2_000;

/// Contents that differ in nothing but a number; made once.
fn pictures() -> &'static [Vec<u8>] {
    static MADE: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    MADE.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new("ffmpeg");
        command.args(["-nostdin", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=128x72:rate=24", "-t", "8"]);
        command.args(["-c:v", "libx264", "-preset", "ultrafast", "-threads", "1", "-bf", "0", "-g", "12"]);
        command.args(["-sc_threshold", "0", "-f", "segment", "-segment_format", "mpegts", "-segment_time", "0.5"]);
        command.arg(dir.path().join("%03d.ts")).stdin(Stdio::null());
        assert!(command.status().unwrap().success());
        (0..16).map(|at| std::fs::read(dir.path().join(format!("{at:03}.ts"))).unwrap()).collect()
    })
}

/// A segment of a stream.
#[derive(Debug, Clone)]
pub struct Aired {
    /// The run of numbers that it belongs to.
    pub run: usize,
    pub number: u64,
    /// When it begins, as the source tells it.
    pub start: u64,
    /// When it is listed, and from when on no more.
    pub listed: std::ops::Range<u64>,
}

/// From one restart of a stream to the next.
#[derive(Debug, Clone)]
pub struct Run {
    pub begins: u64,
    /// The playlist; a later run may have the same.
    pub address: usize,
    /// Once the stream is elsewhere, this one is still there, and does not grow.
    pub stays: bool,
    /// From when on its playlist says that it has ended.
    pub ends: Option<u64>,
}

/// A stream.
#[derive(Debug, Clone)]
pub struct Broadcast {
    pub name: String,
    pub tells_times: bool,
    /// Segments are encrypted by keys that change, and their addresses hold as long as the one of the playlist.
    pub is_protected: bool,
    pub runs: Vec<Run>,
    pub segments: Vec<Aired>,
}

impl Broadcast {
    /// A stream that is restarted, jumps and pauses until it is calm, and goes on for so long after that.
    pub fn plan(name: &str, tells_times: bool, calm: u64, after: u64, chance: &mut Chance) -> Self {
        let first = Run { begins: 0, address: 0, stays: false, ends: None };
        let (name, segments) = (name.to_owned(), Vec::<Aired>::new());
        let mut planned = Self { name, tells_times, is_protected: false, runs: vec![first], segments };
        let (mut now, mut start, mut number) = (0_u64, 0_u64, chance.below(1_000) as u64);
        // At first all is well.
        let mut next = 4_000 + chance.below(4_000) as u64;
        while now < calm + after {
            if now >= next && now < calm {
                next = now + 2_000 + chance.below(6_000) as u64;
                let pause = if chance.below(2) == 0 { 0 } else { 150 + chance.below(3_500) as u64 };
                match chance.below(10) {
                    0..3 => {
                        planned.runs.last_mut().unwrap().ends = (chance.below(2) == 0).then_some(now);
                        (now, start) = (now + pause, start + pause);
                        planned.cut(now);
                        let last = planned.runs.last().unwrap().clone();
                        let address = last.address + chance.below(3).min(1);
                        planned.runs.last_mut().unwrap().stays = chance.below(3) == 0;
                        planned.runs.push(Run { begins: now, address, stays: false, ends: None });
                        number = [0, number.saturating_sub(5), number / 2][chance.below(3)];
                    }
                    3..6 => {
                        (now, start) = (now + pause, start + pause);
                        planned.cut(now);
                        number += 1 + chance.below(30) as u64;
                    }
                    // It stood still, and its clock with it; or what was meanwhile comes all at once.
                    6..8 => (now, start) = (now + pause, start + pause),
                    _ => now += pause,
                }
            }
            let run = planned.runs.len() - 1;
            planned.segments.push(Aired { run, number, start, listed: now..now + WINDOW });
            (start, number) = (start + SEGMENT, number + 1);
            now = (now + SEGMENT / 4).max(start);
        }
        planned
    }

    /// What was listed so far is listed no more.
    fn cut(&mut self, now: u64) {
        for aired in &mut self.segments {
            aired.listed.end = aired.listed.end.min(now);
        }
    }

    /// Where it is at this time.
    pub fn address(&self, now: u64) -> usize {
        self.runs.iter().rev().find(|run| run.begins <= now).map_or(0, |run| run.address)
    }

    /// The playlist of an address, where there is one; the beginning is at this time, in microseconds.
    pub fn playlist(&self, address: usize, mut now: u64, begun_us: i64, token: usize) -> Option<String> {
        let at = self.runs.iter().rposition(|run| run.begins <= now && run.address == address)?;
        let next = self.runs.get(at + 1).filter(|next| next.begins <= now);
        if let Some(next) = next {
            if !self.runs[at].stays {
                return None;
            }
            // Just before.
            now = next.begins.saturating_sub(1);
        }
        let listed: Vec<&Aired> =
            self.segments.iter().filter(|aired| aired.run == at && aired.listed.contains(&now)).collect();
        let first = listed.first().map_or(0, |first| first.number);
        let mut text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:{first}\n");
        for aired in listed {
            if self.tells_times {
                let told = begun_us + i64::try_from(aired.start).unwrap() * 1_000;
                let told = chrono::DateTime::from_timestamp_micros(told).unwrap();
                writeln!(text, "#EXT-X-PROGRAM-DATE-TIME:{}", told.format("%Y-%m-%dT%H:%M:%S%.3fZ")).unwrap();
            }
            let (run, number) = (aired.run, aired.number);
            if self.is_protected {
                writeln!(text, "#EXT-X-KEY:METHOD=AES-128,URI=\"key{run}-{}\"", number / KEY_HOLDS).unwrap();
                writeln!(text, "#EXTINF:0.5,\ns{run}-{number}.ts?token={token}").unwrap();
            } else {
                writeln!(text, "#EXTINF:0.5,\ns{run}-{number}.ts").unwrap();
            }
        }
        if self.runs[at].ends.is_some_and(|ends| ends <= now) {
            text += "#EXT-X-ENDLIST\n";
        }
        Some(text)
    }

    /// The segment of a name that the origin has at this time.
    pub fn find(&self, name: &str, now: u64) -> Option<usize> {
        let (run, number) = name.strip_prefix('s')?.strip_suffix(".ts")?.split_once('-')?;
        let (run, number) = (run.parse::<usize>().ok()?, number.parse::<u64>().ok()?);
        let has = |aired: &Aired| {
            aired.run == run && aired.number == number && (aired.listed.start..aired.listed.end + GRACE).contains(&now)
        };
        self.segments.iter().position(has)
    }

    /// The key of a name.
    pub fn key(name: &str) -> Option<[u8; 16]> {
        let (run, number) = name.strip_prefix("key")?.split_once('-')?;
        let (run, number) = (run.parse::<u64>().ok()?, number.parse::<u64>().ok()?);
        Some((u128::from(run) << 64 | u128::from(number)).to_le_bytes())
    }

    /// The bytes of a segment as they are sent.
    pub fn sent(&self, at: usize) -> Vec<u8> {
        let (mut bytes, aired) = (self.content(at), &self.segments[at]);
        if self.is_protected {
            let key = Self::key(&format!("key{}-{}", aired.run, aired.number / KEY_HOLDS)).unwrap();
            encrypt(&mut bytes, key, u128::from(aired.number).to_be_bytes());
        }
        bytes
    }

    /// The bytes of a segment; no other one has the same.
    pub fn content(&self, at: usize) -> Vec<u8> {
        let pictures = pictures();
        let mut bytes = pictures[at % pictures.len()].clone();
        // A packet that says nothing to anybody.
        let mut packet = vec![0x47, 0x1f, 0xff, 0x10];
        packet.extend_from_slice(format!("{} {at}", self.name).as_bytes());
        packet.resize(188, 0xff);
        bytes.splice(188..188, packet);
        bytes
    }
}

/// AES-128 in cipher block chaining, padded by PKCS #7.
fn encrypt(bytes: &mut Vec<u8>, key: [u8; 16], iv: [u8; 16]) {
    let padding = 16 - bytes.len() % 16;
    bytes.resize(bytes.len() + padding, u8::try_from(padding).unwrap());
    let mut cipher = cbc::Encryptor::<aes::Aes128>::new(&key.into(), &iv.into());
    for block in bytes.chunks_exact_mut(16) {
        let mut encrypted = Block::<aes::Aes128>::try_from(&*block).unwrap();
        cipher.encrypt_block(&mut encrypted);
        block.copy_from_slice(&encrypted);
    }
}

/// What a line does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spell {
    Calm,
    /// Something happens to so many answers of a hundred.
    Bad(usize),
    Refuses(u16),
    /// Nothing is answered.
    Hangs,
    Cuts,
}

/// The line from one stream to one recorder.
#[derive(Debug, Clone)]
pub struct LinePlan {
    /// Each with its end.
    spells: Vec<(u64, Spell)>,
    /// When addresses expire.
    expires: Vec<u64>,
    calm: u64,
    /// Which segments do not come at once, or never.
    salt: usize,
}

impl LinePlan {
    /// Calm at first, and from `calm` on for good.
    pub fn plan(calm: u64, chance: &mut Chance) -> Self {
        let (mut spells, mut now, mut expires) = (Vec::new(), 0, Vec::new());
        while now < calm {
            now += 1_500 + chance.below(8_000) as u64;
            spells.push((now, Spell::Calm));
            let (spell, most) = match chance.below(8) {
                0..3 => (Spell::Bad(20 + chance.below(70)), 5_000),
                3 => (Spell::Refuses([404, 403, 410][chance.below(3)]), 6_000),
                4 => (Spell::Refuses([500, 503, 429][chance.below(3)]), 12_000),
                5..7 => (Spell::Hangs, 6_000),
                _ => (Spell::Cuts, 12_000),
            };
            now += 300 + chance.below(most) as u64;
            spells.push((now.min(calm), spell));
            if chance.below(2) == 0 {
                expires.push(now - chance.below(2_000) as u64);
            }
        }
        Self { spells, expires, calm, salt: chance.below(200) }
    }

    pub fn spell(&self, now: u64) -> Spell {
        self.spells.iter().find(|(end, _)| now < *end).map_or(Spell::Calm, |(_, spell)| *spell)
    }

    /// When it is calm.
    pub fn calm(&self) -> Vec<std::ops::Range<u64>> {
        let begins = [0].into_iter().chain(self.spells.iter().map(|(end, _)| *end));
        let ends = self.spells.iter().copied().chain([(u64::MAX, Spell::Calm)]);
        begins.zip(ends).filter(|(_, (_, spell))| *spell == Spell::Calm).map(|(from, (end, _))| from..end).collect()
    }

    /// How often addresses have expired.
    pub fn token(&self, now: u64) -> usize {
        self.expires.iter().filter(|expires| **expires <= now).count()
    }

    /// What is answered to whoever asks for this segment, and for how long after it is listed: some come late, and some never.
    pub fn refuses(&self, at: usize, aired: &Aired) -> Option<(u16, u64)> {
        let (status, lasts) = match (at * 7 + self.salt) % 200 {
            0..4 => (404, 2_000),
            4..8 => (503, 2_000),
            8..12 => (404, 5_000),
            12..16 => (503, u64::MAX),
            16..22 => (404, u64::MAX),
            _ => return None,
        };
        // What never comes is given up before all is over.
        let latest = if lasts < u64::MAX { aired.listed.start } else { aired.listed.end + GRACE + 8_000 };
        let is_soon_enough = latest < self.calm;
        is_soon_enough.then_some((status, lasts))
    }
}
