//! Mistakes of somebody in a hurry: each is refused with a sentence that says what is wrong, what was expected, or what to do.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use crate::support::{TestArchive, gapless};

/// What is typed, how it ends, and what the sentence has to say.
type Mistake = (&'static str, i32, &'static [&'static str]);

const A_TIME: &str = "expected a time such as 2019-11-13T02:55:08 (UTC)";
const AN_ADDRESS: &str = "expected one such as https://archive.example:8000";

/// `OUT` is a directory beside the archive.
const TYPED: &[Mistake] = &[
    ("ls --base-dir OUT/nope", 3, &["there is no directory", "--base-dir"]),
    ("status --base-dir OUT/nope", 3, &["there is no directory", "--base-dir"]),
    ("node --base-dir OUT/nope", 3, &["OUT/nope", "mount the disk or correct the path"]),
    ("ls --base-dir OUT/file", 2, &["OUT/file is not a directory", "--base-dir"]),
    ("ls --config OUT/nope.toml", 2, &["there is no configuration file OUT/nope.toml", "--config"]),
    (
        "record a http://127.0.0.1:1/live.m3u8 --for 1s --base-dir OUT",
        3,
        &["nothing comes", "127.0.0.1:1", "0 segments"],
    ),
    ("node OUT", 2, &["unexpected argument", "--base-dir OUT"]),
    ("ls desertbus/sorce", 3, &["no quality sorce", "there are: 480p, chat, source", "did you mean source?"]),
    ("ls desertbus/source/2019-11-13", 2, &["an hour is written YYYY-MM-DDTHH", "2019-11-13T02"]),
    ("holes source/desertbus", 3, &["no channel source", "there are: desertbus"]),
    ("holes desertbus/all", 3, &["no quality all", "480p, chat, source"]),
    ("holes desertbus", 2, &["a channel alone", "expected CHANNEL/QUALITY", "gapless ls desertbus"]),
    ("holes desertbus/source/2019-11-13T02", 2, &["expected CHANNEL/QUALITY, such as desertbus/source"]),
    ("holes desertbus source", 2, &["unexpected argument", "one word: desertbus/source"]),
    ("coverage desertbus", 2, &["unexpected argument", "--channel desertbus"]),
    ("holes desertbus/source --from 14:30", 2, &["--from", "a time of day needs a day", A_TIME]),
    ("holes desertbus/source --from 13.11.2019,14:30", 2, &["--from", A_TIME]),
    ("holes desertbus/source --from now --to yesterday", 2, &["before it begins"]),
    ("explain 2019-11-13T02:55,5", 2, &["CHANNEL/QUALITY/HOUR/NAME", "2019-11-13T02:55:08 (UTC)"]),
    ("cut 2019-11-13T02 2019-11-14 desertbus/source -o x.ts", 2, &["<END>", "stand before the times", A_TIME]),
    ("cut desertbus source 2019-11-13T02 2019-11-14 -o x.ts", 2, &["one word: desertbus/source"]),
    ("ls .hidden", 2, &[".hidden"]),
    ("ls --log inof", 2, &["--log", "off, error, warn, info, debug and trace"]),
    (
        "tombstone add desertbuss/source/2019-11-13T02/45:51.6-2.0-full-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA.ts",
        3,
        &["nothing was hidden", "--yes", "no channel desertbuss", "did you mean desertbus?"],
    ),
    ("completions cut", 2, &["possible values"]),
    ("cut desertbus/source 2019-11-14 2019-11-13 -o x.ts", 2, &["is not after the start"]),
    ("cut desertbus/source 2019-11-13T02 2019-11-14", 2, &["--output <FILE>"]),
    ("cut desertbus/source 2019-11-13T02 2019-11-14 -o OUT/nope/x.ts", 2, &["OUT/nope is not a directory"]),
    ("cut desertbus/source 2019-11-13T02 2019-11-14 -o x.mkv", 2, &["ends in .ts", ".mp4"]),
    ("cut desertbus/source 2019-11-13T02 2019-11-14 -o OUT/file.ts", 2, &["is there already", "--force"]),
    ("backfill --once", 2, &["--peer [NAME=]URL", "--node-file"]),
    ("backfill --once --peer b.example:8000", 2, &["b.example:8000", "http://", AN_ADDRESS]),
    ("backfill --once --peer ftp://b.example", 2, &["ftp://b.example", AN_ADDRESS]),
    ("backfill --once --peer http://b.example --channel a/b", 2, &["--channel", "one path component"]),
    ("backfill --once --peer http://b.example --hour 13/11/2019", 2, &["--hour", "year first", A_TIME]),
    ("backfill --once --peer http://b.example --start soon", 2, &["--start", A_TIME, "number of hours ago"]),
    ("diff http://b.example", 2, &["--peer", "CHANNEL/QUALITY/HOUR"]),
    ("diff --peer b.example", 2, &["--peer", AN_ADDRESS]),
    ("status --node archive.example", 2, &["--node", AN_ADDRESS]),
    ("status --node http://127.0.0.1:1", 3, &["does not answer", "is it running", "127.0.0.1:1"]),
    ("status", 3, &["no daemon runs", "gapless node"]),
    ("status --watch 5", 2, &["--watch", "a time with its unit"]),
    ("demo --for 10", 2, &["--for", "a time with its unit"]),
    ("node --listen 8000", 2, &["--listen", "an address with a port such as"]),
    ("node --tls-certificate OUT/file", 2, &["http.tls_key is not", "give both"]),
    ("node --write-tokens OUT/file", 2, &["OUT/file", "chmod 600"]),
    ("import --channel a/b --quality source OUT/file", 2, &["--channel", "one path component"]),
    ("import --channel a --quality source OUT/nope.ts", 1, &["OUT/nope.ts", "there is no such file"]),
    ("import --channel a --quality source OUT/file", 1, &["not an MPEG transport stream", "ffmpeg -i"]),
    ("tombstone add foo.ts", 2, &["CHANNEL/QUALITY/HOUR/NAME", "TIME-DURATION-TYPE-HASH"]),
    ("retention keep desertbus/source", 2, &["expected CHANNEL/QUALITY/HOUR, such as"]),
    ("quarantine restore nope", 2, &["CHANNEL/QUALITY/HOUR/NAME", "gapless quarantine list"]),
    ("rebuild --check --base-dir OUT/nope", 3, &["there is no directory OUT/nope", "--base-dir"]),
    ("crawl accept desertbus", 3, &["no daemon runs here"]),
];

/// A configuration, and what is wrong with it.
const CONFIGURED: &[(&str, &[&str])] = &[
    ("listn = \"127.0.0.1:80\"\n", &["line 1", "unknown key \"listn\"", "did you mean listen?"]),
    ("[backfil]\npeers = []\n", &["line 1", "\"backfil\"", "did you mean backfill?"]),
    ("[http]\nlisten = \"127.0.0.1:80\"\n", &["line 2", "listen belongs before the first table"]),
    ("listen = \"8000\"\n", &["line 1", "an address with a port such as"]),
    ("[retention]\nmin_free = \"10%\"\n", &["line 2", "retention.min_free", "a size such as \"2TiB\""]),
    ("[retention]\nmax_bytes = \"10,5GB\"\n", &["line 2", "retention.max_bytes", "a size such as \"2TiB\""]),
    ("[retention]\nmax_age = 30\n", &["line 2", "the number 30", "\"30days\""]),
    ("[backfill]\nrecent_cutoff = \"120\"\n", &["line 2", "a time with its unit such as"]),
    ("[crawl]\ncpu_share = \"50%\"\n", &["line 2", "a share such as 0.10"]),
    ("[scrub]\nstructure = \"delete\"\n", &["line 2", "\"quarantine\", \"report\" or \"off\""]),
    ("[backfill]\npeers = [\"http://b.example\",\n\"b.example:8000\"]\n", &["line 2", "entry 2", AN_ADDRESS]),
    ("[[retention.stream]]\nchanel = \"a\"\n", &["line 2", "did you mean channel?"]),
    ("log_format = \"xml\"\n", &["line 1", "\"text\" or \"json\""]),
    ("name = x\n", &["line 1", "quoted"]),
];

#[test]
fn each_mistake_is_refused_with_what_to_do() {
    let archive = TestArchive::sample();
    gapless(archive.path(), &["rebuild"]).lines(0);
    let out = archive.outside().display().to_string();
    for name in ["file", "file.ts"] {
        fs::write(archive.outside().join(name), "hello\n").unwrap();
    }
    for (typed, code, says) in TYPED {
        let typed = typed.replace("OUT", &out);
        let words: Vec<&str> = typed.split(' ').collect();
        let (words, base) = match words.iter().position(|word| *word == "--base-dir") {
            Some(at) => (&words[..at], Path::new(words[at + 1])),
            None => (&words[..], archive.path()),
        };
        let done = gapless(base, words);
        let said = format!("{}{}", done.out, done.err);
        assert_eq!(done.code, *code, "{typed}: {said}");
        assert!(
            !said.contains("/<") && !said.contains("/["),
            "{typed}: advice made of the name of an argument: {said}"
        );
        for part in *says {
            assert!(said.contains(&part.replace("OUT", &out)), "{typed}: {part:?} is missing in {said}");
        }
    }
    let file = archive.outside().join("gapless.toml");
    for (text, says) in CONFIGURED {
        fs::write(&file, text).unwrap();
        let done = gapless(archive.path(), &["ls", "--config", file.to_str().unwrap()]);
        assert_eq!(done.code, 2, "{text}: {}", done.err);
        for part in *says {
            assert!(done.err.contains(part), "{text}: {part:?} is missing in {}", done.err);
        }
    }
    // What each mended form is may not be a mistake itself.
    fs::write(&file, "[retention]\nmin_free = \"10 GB\"\n[backfill]\nrecent_cutoff = \"5min\"\n").unwrap();
    gapless(archive.path(), &["ls", "--config", file.to_str().unwrap()]).lines(0);
}

#[test]
fn a_port_in_use_is_named_with_the_way_out() {
    let archive = TestArchive::sample();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap().to_string();
    let done = gapless(archive.path(), &["node", "--listen", &address]);
    assert_eq!(done.code, 3, "{}", done.err);
    assert!(done.err.contains(&address) && done.err.contains("--listen"), "{}", done.err);
}
