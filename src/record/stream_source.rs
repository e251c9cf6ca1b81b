//! What ffmpeg is told to bring a stream that is no HLS: its address, and nothing that could make it open anything else.
//!
//! 1. It copies picture and sound into MPEG-TS on its standard output, and decodes nothing.
//! 2. What a publisher of RTMP sends is fed to it, and it opens nothing.
//! 3. Only the protocols of the address are allowed, and the format is given where the protocol has one: what comes cannot lead elsewhere.
//! 4. What it says is passed on without what is secret in the address.

use std::io::{Error, ErrorKind};
use std::time::Duration;

use super::source_address::{SourceAddress, SourceProtocol};

/// How long it waits for a silent peer; it is stopped from here a little later all the same.
pub const SILENCE: Duration = Duration::from_secs(10);

/// Pictures of the first stream of them, and all sound.
const COPIED: [&str; 10] = ["-map", "0:v:0?", "-map", "0:a?", "-c", "copy", "-sn", "-dn", "-flush_packets", "1"];
/// To where it is read.
const OUTPUT: [&str; 5] = ["-f", "mpegts", "-muxdelay", "0", "pipe:1"];

/// The arguments for a source.
pub fn arguments(source: &SourceAddress) -> Vec<String> {
    let (protocols, format): (&str, &[&str]) = match source.protocol() {
        SourceProtocol::Hls => ("https,http,tls,tcp", &[]),
        SourceProtocol::Rtmp if source.is_listened_for() => ("pipe", &["-f", "live_flv"]),
        SourceProtocol::Rtmp => ("rtmp,rtmps,tls,tcp", &["-f", "live_flv"]),
        SourceProtocol::Rtsp => ("rtsp,rtp,tcp,udp", &["-rtsp_flags", "prefer_tcp", "-f", "rtsp"]),
        SourceProtocol::Srt => ("srt", &["-f", "mpegts"]),
        SourceProtocol::Udp => ("udp", &["-f", "mpegts"]),
    };
    let silence = SILENCE.as_micros().to_string();
    let mut all = vec!["-nostdin", "-hide_banner", "-nostats", "-v", "error", "-protocol_whitelist", protocols];
    // Whoever is listened for may come at any time.
    if !source.is_listened_for() {
        all.extend([if source.protocol() == SourceProtocol::Rtsp { "-timeout" } else { "-rw_timeout" }, &silence]);
    }
    // What it looks at first comes at once afterwards: the less that is, the better is known when the stream began.
    all.extend(["-analyzeduration", "1500000", "-fpsprobesize", "0"]);
    all.extend(format);
    let is_fed = source.rtmp_place().is_some();
    all.extend(["-i", if is_fed { "pipe:0" } else { source.url().as_str() }]);
    all.extend(COPIED);
    if source.protocol() == SourceProtocol::Rtsp {
        // Cameras tell their parameters once, and not with each key frame.
        all.extend(["-bsf:v", "dump_extra=freq=keyframe"]);
    }
    all.extend(OUTPUT);
    all.into_iter().map(str::to_owned).collect()
}

/// The last line of what it said, without secrets; of a port that it could not open, what to do.
pub fn reason(said: &str, source: &SourceAddress) -> Option<String> {
    // It goes on after that, and says something else last.
    for (words, kind) in [
        ("Address already in use", ErrorKind::AddrInUse),
        ("bind failed: Permission denied", ErrorKind::PermissionDenied),
    ] {
        if source.is_listened_for() && said.contains(words) {
            return Some(no_port(source, &Error::from(kind)));
        }
    }
    let line = said.lines().rev().map(str::trim).find(|line| !line.is_empty())?;
    let mut line = line.replace(source.url().as_str(), &source.to_string());
    for secret in source.secrets() {
        line = line.replace(&secret, "…");
    }
    // Whoever repeats it says whose it is.
    let line = line.strip_prefix(&format!("{source}: ")).unwrap_or(&line);
    Some(line.chars().take(300).collect())
}

/// Why a port of this machine cannot be waited on, and what to do.
pub fn cannot_wait(source: &SourceAddress, error: &Error) -> String {
    format!("cannot wait on {source}: {}", no_port(source, error))
}

fn no_port(source: &SourceAddress, error: &Error) -> String {
    // By its figures it would be listened for.
    let is_server = match source.protocol() {
        SourceProtocol::Rtmp => "; a server on this machine that is to be asked is called localhost",
        _ => "",
    };
    match error.kind() {
        ErrorKind::AddrInUse => format!("another program has this port: end that, or choose another port{is_server}"),
        ErrorKind::PermissionDenied => "ports below 1024 are the system's: choose another one".to_owned(),
        ErrorKind::AlreadyExists => format!("{error}: give each a key of its own"),
        _ => format!("{error}{is_server}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ffmpeg_says_is_repeated_without_secrets() {
        for (address, said, expected) in [
            ("rtmp://h:1/live/secret", "x\nrtmp://h:1/live/secret: Connection refused\n\n", "Connection refused"),
            ("rtsp://u:secret@h/x", "[rtsp @ 0x1] no secret in rtsp://u:secret@h/x", "[rtsp @ 0x1] no … in rtsp://h/x"),
            ("srt://h:9?passphrase=secret-word", "[srt] wrong secret-word", "[srt] wrong …"),
            (
                "udp://:5000",
                "[udp @ 0x1] bind failed: Address already in use\nudp://0.0.0.0:5000: Inappropriate ioctl for device",
                "another program has this port: end that, or choose another port",
            ),
            ("rtsp://h/x", "Address already in use", "Address already in use"),
        ] {
            let source = SourceAddress::parse(address).unwrap();
            assert_eq!(reason(said, &source).unwrap(), expected);
        }
    }

    #[test]
    fn a_port_that_cannot_be_waited_on_is_said_with_what_to_do() {
        let source = SourceAddress::parse("rtmp://127.0.0.1:80/live/secret").unwrap();
        for (kind, expected) in [
            (
                ErrorKind::AddrInUse,
                "choose another port; a server on this machine that is to be asked is called localhost",
            ),
            (ErrorKind::PermissionDenied, "ports below 1024"),
            (ErrorKind::AlreadyExists, "a key of its own"),
        ] {
            let said = cannot_wait(&source, &Error::from(kind));
            assert!(said.starts_with("cannot wait on rtmp://127.0.0.1:80/live/…") && said.contains(expected), "{said}");
        }
    }

    #[test]
    fn no_protocol_is_allowed_but_that_of_the_address() {
        let of = |address: &str| arguments(&SourceAddress::parse(address).unwrap()).join(" ");
        assert!(of("udp://:5000").contains("-protocol_whitelist udp -analyzeduration"));
        let pushed = of("rtmp://0.0.0.0/live/secret");
        assert!(pushed.contains("-protocol_whitelist pipe ") && !pushed.contains("secret"), "{pushed}");
    }
}
