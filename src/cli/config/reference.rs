//! The configuration reference as text, made from the settings, so that `docs/configuration.md` cannot drift from them.
//!
//! Only for the test that compares the two. `UPDATE_DOCS=1 cargo test --lib reference` rewrites the file.

use std::fmt::Write;

use clap::CommandFactory;

use super::{SETTINGS, Setting};
use crate::cli::command::Args;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");

const FLAGS_IN_TABLES: [&str; 8] = [
    "http.tls_certificate",
    "http.tls_key",
    "backfill.ca_file",
    "http.write_tokens",
    "http.read_tokens",
    "backfill.token_file",
    "backfill.node_file",
    "backfill.node_database",
];

const OPENING: &str = "\
# Configuration

A setting comes from its flag, else its environment variable, else the configuration file, else its default. Unknown keys
in the file and invalid values are errors that name the file, the line and what was expected.

Places are given by flag or environment only:

| flag | environment | default | what |
|---|---|---|---|
";

const EXAMPLE: &str = "
The file is TOML. Times are text with a unit (`\"500ms\"`, `\"10s\"`, `\"5min\"`), sizes are text with a unit (`\"64MiB\"`, `\"2GB\"`)
or a whole number of bytes:

```toml
listen = \"0.0.0.0:8000\"

[http]
max_connections = 2000
drain = \"5s\"
```

Every setting, with its bounds and the reason for it:
";

const STREAMS: &str = "
### `[[retention.stream]]`: limits of one channel, or of one quality of it

Only in the file, as often as needed:

```toml
[[retention.stream]]
channel = \"desertbus\"
max_age = \"off\"

[[retention.stream]]
channel = \"desertbus\"
quality = \"480p\"
max_age = \"30days\"
max_bytes = \"500GiB\"
```

| key | default | what |
|---|---|---|
| `channel` | | The channel. |
| `quality` | all | The quality; without one, all of the channel's qualities together that have no section of their own. |
| `max_age` | as in `[retention]` | Replaces `max_age` of `[retention]`, longer or shorter; `off` means no limit. |
| `archive_max_age` | as `max_age` in `[archive]` | Replaces that, longer or shorter; `off` means that they stay in the bucket. |
| `max_bytes` | `off` | Bytes of these qualities; above it, only their oldest hours are deleted. |

At least one of `max_age`, `archive_max_age` and `max_bytes` is required. Besides, `max_bytes` and `min_free` of `[retention]` limit everything together.
";

const RECORD: &str = "
## `[[record]]`: live streams that the node records

Only in the file, one section a channel; they are read again at SIGHUP ([recorders of a node](recorder.md#recorders-of-a-node)). Without any, the node records nothing by itself:

```toml
[[record]]
channel = \"mychannel\"
source = \"https://live.example/live.m3u8\"
qualities = [\"source\", \"480p\"]
```

| key | default | what |
|---|---|---|
| `channel` | | The channel to record into. |
| `source` | | This or `resolve`. The address of its HLS playlist, or of [another stream](recorder.md#streams-that-are-no-hls) by `rtmp`, `rtmps`, `srt`, `rtsp` or `udp`. Users, passwords, queries and keys in it are not shown or logged; keep the file private if it has any. |
| `resolve` | | Instead of `source`: a [command that prints the address](recorder.md#addresses-by-command), and its arguments. |
| `headers` | | [Headers](recorder.md#headers) for the source's own host. |
| `ca_file` | | A file of authorities (PEM) that are trusted for https to the source, instead of the system's. |
| `qualities` | `[\"source\"]` | [Qualities](recorder.md#qualities) to record; `source` is the best one. |
| `skip_ads` | `false` | Leave out [ads](recorder.md#ads) that the source stitches in. |
";

fn titles(table: &str) -> &'static str {
    match table {
        "" => "The node: keys before all tables",
        "index" => "`[index]`",
        "http" => "`[http]`: the HTTP server",
        "playback" => "`[playback]`: playlists and cuts",
        "watch" => "`[watch]`: the watcher",
        "crawl" => "`[crawl]`: the crawl",
        "scrub" => "`[scrub]`: verifying the bytes of segments",
        "archive" => "`[archive]`: sealing hours, and a bucket for them",
        "census" => "`[census]`: totals of each day",
        "facts" => "`[facts]`: reading the ends of segments",
        "housekeeping" => "`[housekeeping]`: removing leftovers",
        "backfill" => "`[backfill]`: fetching from other nodes",
        "placement" => "`[placement]`: hours that leave for their owners",
        "coverage" => "`[coverage]`: gauges and maps",
        "problems" => "`[problems]`: when something counts as a problem",
        "retention" => "`[retention]`: deleting whole hours",
        other => unreachable!("[{other}] needs a title"),
    }
}

fn flag(setting: &Setting) -> Option<String> {
    let command = Args::command();
    let mut levels = std::iter::once(&command).chain(command.get_subcommands());
    let named = |level: &clap::Command| {
        let argument =
            level.get_arguments().find(|argument| argument.get_long() == setting.flag().strip_prefix("--"))?;
        Some(argument.get_help()?.to_string())
    };
    // Other flags are named as a setting is, and are none of it.
    let is_meant = setting.table.is_empty() || FLAGS_IN_TABLES.contains(&setting.full_key().as_str());
    levels.find_map(named).filter(|_| is_meant)
}

fn reference() -> Result<String, std::fmt::Error> {
    let mut text = OPENING.to_owned();
    let defaults = [
        ("base-dir", "`.`"),
        ("state-dir", "`BASE/.gapless`"),
        ("config", "`BASE/.gapless/config.toml` if it is there"),
    ];
    for (long, default) in defaults {
        let command = Args::command();
        let argument = command.get_arguments().find(|argument| argument.get_long() == Some(long)).unwrap();
        let variable = argument.get_env().unwrap().to_str().unwrap();
        let help = argument.get_help().unwrap().to_string();
        let help = help.split(" [default").next().unwrap_or_default();
        writeln!(text, "| `--{long}` | `{variable}` | {default} | {help} |")?;
    }
    text.push_str(EXAMPLE);
    let mut table = None;
    for setting in SETTINGS {
        if table != Some(setting.table) {
            table = Some(setting.table);
            let title = titles(setting.table);
            write!(
                text,
                "\n## {title}\n\n| key | environment | default | range | what and why |\n|---|---|---|---|---|\n"
            )?;
        }
        let flag = if flag(setting).is_some() { format!(", `{}`", setting.flag()) } else { String::new() };
        let default = match setting.default {
            "" => "none".to_owned(),
            words if words.contains(' ') => words.to_owned(),
            value => format!("`{value}`"),
        };
        let range = setting.bounds.map_or_else(String::new, |(low, high)| format!("{low} to {high}"));
        writeln!(text, "| `{}` | `{}`{flag} | {default} | {range} | {} |", setting.key, setting.env(), setting.why)?;
    }
    text.push_str(STREAMS);
    text.push_str(RECORD);
    Ok(text)
}

#[test]
fn the_reference_is_what_the_code_says() {
    let expected = reference().unwrap();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(FILE, &expected).unwrap();
    }
    let found = std::fs::read_to_string(FILE).unwrap();
    assert!(
        found == expected,
        "docs/configuration.md differs from the settings; UPDATE_DOCS=1 cargo test --lib reference"
    );
}

#[test]
fn the_example_is_valid() {
    let example = EXAMPLE.split("```").nth(1).unwrap().trim_start_matches("toml");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("example.toml");
    std::fs::write(&path, example).unwrap();
    let file = super::File::open(&path, SETTINGS).unwrap();
    assert!(file.is_some());
    std::fs::write(&path, STREAMS.split("```").nth(1).unwrap().trim_start_matches("toml")).unwrap();
    assert_eq!(super::File::open(&path, SETTINGS).unwrap().unwrap().streams().len(), 2);
    std::fs::write(&path, RECORD.split("```").nth(1).unwrap().trim_start_matches("toml")).unwrap();
    assert_eq!(super::File::open(&path, SETTINGS).unwrap().unwrap().recorded()[0].qualities.len(), 2);
}

#[test]
fn the_help_of_a_flag_names_variable_and_default_of_its_setting() {
    let flags: Vec<_> = SETTINGS.iter().filter_map(|setting| Some((setting, flag(setting)?))).collect();
    assert_eq!(flags.len(), 11);
    for (setting, help) in flags {
        let default =
            if setting.default.is_empty() { String::new() } else { format!(" [default: {}]", setting.default) };
        let end = format!(" [env: {}]{default}", setting.env());
        assert!(help.ends_with(&end), "{help}");
    }
}
