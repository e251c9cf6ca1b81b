//! Tests of the configuration as a whole: precedence, and what errors say. Kinds and file have their own.

use std::time::Duration;

use clap::Parser;

use super::*;
use crate::cli::command::Args;

struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new(file: Option<&str>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        if let Some(text) = file {
            let path = default_file(dir.path());
            std::fs::create_dir(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        Self { dir }
    }

    fn load(&self, verb: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let base = self.dir.path().to_str().unwrap();
        let line = ["gapless", "--base-dir", base].into_iter().chain(verb.split(' '));
        let lookup =
            |name: &str| environment.iter().find(|(key, _)| *key == name).map(|(_, text)| OsString::from(text));
        Config::load_with(&Args::try_parse_from(line).unwrap().settings(), &lookup)
    }

    fn problem(&self, verb: &str, environment: &[(&str, &str)]) -> String {
        let text = self.load(verb, environment).unwrap_err().to_string();
        text.replace(self.dir.path().to_str().unwrap(), "BASE")
    }
}

#[test]
fn every_default_is_valid_and_within_its_bounds() {
    let place = Place::new(None);
    let config = place.load("node", &[]).unwrap();
    assert_eq!(config.state_dir, place.dir.path().join(".gapless"));
    assert_eq!(config.file, None);
    assert_eq!(config.node.listen.to_string(), "127.0.0.1:8000");
    assert!(!config.node.name.is_empty());
    assert_eq!((config.index.cache, config.http.max_header_bytes), (64 << 20, 16 << 10));
    assert_eq!((config.watch.window, config.crawl.minimum_cycle), (Duration::from_millis(5), Duration::from_secs(300)));
    assert!((config.crawl.cpu_share - 0.1).abs() < 1e-9);
}

#[test]
fn flag_before_environment_before_file_before_default() {
    let place = Place::new(Some("listen = \"127.0.0.1:3\"\n[http]\ndrain = \"3s\"\n"));
    let port = |verb, environment| place.load(verb, environment).unwrap().node.listen.port();
    let variable: &[(&str, &str)] = &[("GAPLESS_LISTEN", "127.0.0.1:2")];
    assert_eq!(port("node --listen 127.0.0.1:1", variable), 1);
    assert_eq!(port("node", variable), 2);
    assert_eq!(port("node", &[]), 3);
    assert_eq!(place.load("ls", &[("GAPLESS_HTTP_DRAIN", "4s")]).unwrap().http.drain, Duration::from_secs(4));
}

#[test]
fn errors_name_where_it_stands_and_what_was_expected() {
    let nowhere = Place::new(None);
    assert_eq!(
        nowhere.problem("node --listen here", &[]),
        "--listen: listen is \"here\", expected an address with a port such as \"127.0.0.1:8000\" or \"[::]:8000\""
    );
    assert_eq!(
        nowhere.problem("ls", &[("GAPLESS_CRAWL_THREADS", "0")]),
        "GAPLESS_CRAWL_THREADS: crawl.threads is \"0\", expected a whole number, from 1 to 64"
    );
    assert!(nowhere.problem("ls", &[("GAPLESS_LOG", "")]).starts_with("GAPLESS_LOG: log is \"\", expected a filter"));
    assert!(
        nowhere
            .problem("--config /nonexistent.toml ls", &[])
            .starts_with("there is no configuration file /nonexistent")
    );
}

#[test]
fn errors_in_the_file_name_the_line() {
    let cases = [
        ("[http]\n\ndrain = \"1year\"", 3, "http.drain is \"1year\", expected a time"),
        ("[http]\nmax_page = \"5\"", 2, "http.max_page is the text \"5\", expected a whole number, from 1 to 1000000"),
        ("[http]\nmax_page = -5", 2, "http.max_page is \"-5\", expected"),
        ("[http]\ndrain = 10", 2, "http.drain is the number 10, expected a time with its unit"),
        ("[crawl]\ncpu_share = nan", 2, "crawl.cpu_share is \"nan\", expected a share"),
        ("\nname = true", 2, "name is true or false, expected 1 to 64"),
        ("[index]\ncache = 10", 2, "index.cache is \"10\", expected a size"),
    ];
    for (text, line, problem) in cases {
        let said = Place::new(Some(text)).problem("ls", &[]);
        let expected = format!("BASE/.gapless/config.toml, line {line}: {problem}");
        assert!(said.starts_with(&expected), "{said}");
    }
}

#[test]
fn an_unreadable_default_file_is_an_error() {
    let place = Place::new(None);
    std::fs::create_dir_all(default_file(place.dir.path())).unwrap();
    assert!(matches!(place.load("ls", &[]), Err(ConfigError::Unreadable { .. })));
}

#[test]
fn sizes_and_shares_may_be_whole_numbers_in_the_file() {
    let place = Place::new(Some("[index]\ncache = 2_097_152\n[crawl]\ncpu_share = 1\n"));
    let config = place.load("ls", &[]).unwrap();
    assert_eq!(config.index.cache, 2 << 20);
    assert!((config.crawl.cpu_share - 1.0).abs() < 1e-9);
    assert_eq!(config.file, Some(default_file(place.dir.path())));
}

#[test]
fn every_setting_says_why_and_has_a_variable_of_its_own() {
    let mut variables: Vec<String> = SETTINGS.iter().map(Setting::env).collect();
    variables.sort();
    variables.dedup();
    assert_eq!(variables.len(), SETTINGS.len());
    assert!(SETTINGS.iter().all(|setting| setting.why.ends_with('.')));
}

#[test]
fn a_demonstration_logs_less_and_reads_no_file_of_the_archive_that_happens_to_be_here() {
    let place = Place::new(Some("log = \"debug\"\nname = 5"));
    assert!(place.load("node", &[]).is_err());
    let config = place.load("demo", &[]).unwrap();
    assert_eq!(
        (config.file, config.node.log.as_str()),
        (None, "warn,gapless::replicate::backfill=error,gapless::record=error")
    );
    assert_eq!(place.load("demo", &[("GAPLESS_LOG", "info")]).unwrap().node.log, "info");
    assert_eq!(place.load("demo --log trace", &[("GAPLESS_LOG", "info")]).unwrap().node.log, "trace");
}

#[test]
fn what_is_wrong_with_a_directory_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert_eq!(wrong_with(dir.path()), None);
    assert!(wrong_with(&file).unwrap().ends_with("file is not a directory"));
    assert!(wrong_with(&file.join("below")).unwrap().ends_with("is not a directory"));
    assert!(wrong_with(&dir.path().join("none")).unwrap().starts_with("there is no directory"));
}
