//! The alert rules and the dashboard that are given away ask for what a node really tells.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::dashboards::metrics;
use crate::support::{Kind, SOON, TestArchive, TestNode, eventually};

fn file(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/monitoring").join(name)).unwrap()
}

/// One rule: what stands behind each key, but for labels and annotations by their own keys.
type Rule = Vec<(String, String)>;

/// The rules of the file, whose lines are all `KEY: VALUE`.
fn rules() -> Vec<Rule> {
    let text = file("alerts.yml");
    let mut rules: Vec<Rule> = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (key, value) =
            line.trim_start().trim_start_matches("- ").split_once(':').unwrap_or_else(|| panic!("{line}"));
        assert!(value.is_empty() || value.starts_with(' '), "{line}");
        let (key, value) = (key.to_owned(), value.trim().to_owned());
        match key.as_str() {
            "groups" | "rules" | "name" | "labels" | "annotations" => {}
            "alert" => rules.push(vec![(key, value)]),
            _ => rules.last_mut().unwrap().push((key, value)),
        }
    }
    rules
}

fn of<'r>(rule: &'r Rule, key: &str) -> &'r str {
    let found: Vec<&str> = rule.iter().filter(|(known, _)| known == key).map(|(_, value)| value.as_str()).collect();
    assert_eq!(found.len(), 1, "{key} of {rule:?}");
    found[0]
}

/// An expression without what stands between these.
fn without(text: &str, open: char, close: char) -> String {
    let mut depth = 0_usize;
    let mut kept = String::new();
    for c in text.chars() {
        if c == open {
            depth += 1;
        } else if c == close {
            depth = depth.checked_sub(1).unwrap_or_else(|| panic!("{text}"));
            kept.push(' ');
        } else if depth == 0 {
            kept.push(c);
        }
    }
    assert_eq!(depth, 0, "{text}");
    kept
}

/// The metrics that a `PromQL` expression asks for.
fn asked_for(expression: &str) -> BTreeSet<String> {
    const WORDS: [&str; 8] = ["by", "and", "or", "unless", "offset", "bool", "on", "without"];
    let plain = without(&without(expression, '{', '}'), '[', ']');
    let mut text = String::new();
    // Labels after `by` are no metrics.
    for (number, part) in plain.split(" by (").enumerate() {
        text.push_str(if number == 0 { part } else { part.split_once(')').unwrap().1 });
    }
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut found = BTreeSet::new();
    let mut rest = text.as_str();
    while let Some(start) = rest.find(is_part) {
        let word = &rest[start..];
        let end = word.find(|c| !is_part(c)).unwrap_or(word.len());
        let (name, after) = word.split_at(end);
        rest = after;
        let is_number = name.starts_with(|c: char| c.is_ascii_digit());
        if !is_number && !after.trim_start().starts_with('(') && !WORDS.contains(&name) {
            found.insert(name.to_owned());
        }
    }
    found
}

#[test]
fn what_an_expression_asks_for_is_found() {
    let expression =
        r#"(sum by (instance, channel) (rate(a_total{x="y"}[5m])) - b offset 1h) > 5 * 1024 and time() - c < 1"#;
    assert_eq!(asked_for(expression).into_iter().collect::<Vec<_>>(), ["a_total", "b", "c"]);
}

/// All texts that stand behind a key, however deep.
fn texts<'v>(value: &'v Value, key: &str, found: &mut Vec<&'v str>) {
    match value {
        Value::Object(map) => {
            found.extend(map.get(key).and_then(Value::as_str));
            map.values().for_each(|value| texts(value, key, found));
        }
        Value::Array(list) => list.iter().for_each(|value| texts(value, key, found)),
        _ => {}
    }
}

#[test]
fn every_rule_says_what_is_wrong_how_bad_that_is_and_for_how_long() {
    let rules = rules();
    assert!(rules.len() > 15, "{}", rules.len());
    let names: BTreeSet<&str> = rules.iter().map(|rule| of(rule, "alert")).collect();
    assert_eq!(names.len(), rules.len(), "each name once");
    for rule in &rules {
        assert!(!asked_for(of(rule, "expr")).is_empty(), "{rule:?}");
        assert!(["critical", "warning", "info"].contains(&of(rule, "severity")), "{rule:?}");
        for text in ["summary", "description"] {
            let text = of(rule, text);
            assert!(text.len() > 12 && text.starts_with('"') && text.ends_with('"'), "{rule:?}");
            assert!(!text.trim_matches('"').contains('"'), "{rule:?}");
        }
        let known = ["alert", "expr", "for", "severity", "summary", "description"];
        assert!(rule.iter().all(|(key, _)| known.contains(&key.as_str())), "{rule:?}");
    }
}

#[test]
fn every_metric_of_the_rules_and_the_dashboard_is_told_by_a_node_with_data_and_peers() {
    let (ours, theirs) = (TestArchive::sample(), TestArchive::empty());
    theirs.segment("desertbus/source/2019-11-13T09", "00:00", 2.0, Kind::Full);
    // Its hash is another one than its name says.
    let wrong = format!("00:10.000000-2.0-full-{}.ts", "A".repeat(43));
    theirs.raw(&format!("desertbus/source/2019-11-13T09/{wrong}"), b"x");
    let peer = TestNode::start(&theirs);
    peer.wait_ready();
    let node = TestNode::plan(&ours)
        .config(
            "[backfill]\ninterval = \"1s\"\n[archive]\nbucket = \"nobody\"\nendpoint = \"http://127.0.0.1:1\"\n[[record]]\nchannel = \"live\"\nsource = \"http://127.0.0.1:1/live.m3u8\"\n",
        )
        .flag("--peer")
        .flag(format!("good=http://{}", peer.address))
        .flag("--peer")
        .flag("dead=http://127.0.0.1:1")
        .start();
    node.wait_ready();

    let dashboard: Value = serde_json::from_str(&file("grafana.json")).unwrap();
    let (mut expressions, mut lists) = (Vec::new(), Vec::new());
    texts(&dashboard["panels"], "expr", &mut expressions);
    texts(&dashboard["templating"], "definition", &mut lists);
    assert!(expressions.len() > 12 && lists.len() == 3, "{} {}", expressions.len(), lists.len());
    let variables: Vec<&str> =
        dashboard["templating"]["list"].as_array().unwrap().iter().map(|list| list["name"].as_str().unwrap()).collect();
    assert_eq!(variables, ["datasource", "instance", "channel", "quality"]);
    let rules = rules();
    let mut wanted: BTreeSet<String> = BTreeSet::new();
    for expression in expressions.into_iter().chain(rules.iter().map(|rule| of(rule, "expr"))) {
        wanted.extend(asked_for(expression));
    }
    for list in lists {
        let metric = list.strip_prefix("label_values(").unwrap();
        wanted.insert(metric.split(['{', ',']).next().unwrap().to_owned());
    }
    assert!(wanted.len() > 20, "{wanted:?}");

    let told = || -> BTreeSet<String> {
        let text = metrics(&node);
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        samples.map(|line| line.split(['{', ' ']).next().unwrap().to_owned()).collect()
    };
    eventually(SOON * 2, || {
        let told = told();
        let missing: Vec<&String> = wanted.difference(&told).collect();
        // Shown where the test fails.
        eprintln!("not told: {missing:?}");
        missing.is_empty()
    });
}
