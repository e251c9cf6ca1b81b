//! Digests through the real router: when they are equal, what they cost, and how they fail.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::archive::test_names::{any_name, hash_text};
use crate::archive::{FileName, HourContents, parse_file_name};
use crate::http::test_node::TestNode;

/// Names by channel, quality and hour.
type Archive = BTreeMap<(String, String), BTreeSet<String>>;

fn any_archive() -> impl Strategy<Value = Archive> {
    let place = (
        prop::sample::select(vec!["a/source", "a/chat", "ünï \"/480p"]),
        prop::sample::select(vec!["2019-11-13T02", "2019-11-13T23", "2019-11-14T00", "0000-01-01T00"]),
    );
    prop::collection::vec((place, any_name()), 0..14).prop_map(|names| {
        let mut archive = Archive::new();
        for ((stream, hour), name) in names {
            archive.entry((stream.to_owned(), hour.to_owned())).or_default().insert(name);
        }
        archive
    })
}

/// What counts, below a prefix of `CHANNEL/QUALITY/HOUR`.
fn replicated(archive: &Archive, prefix: &str) -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    for ((stream, hour), names) in archive {
        let place = format!("{stream}/{hour}");
        if place.starts_with(prefix) {
            let listed = HourContents::from_names(names.iter().map(|name| (name.as_str(), 1))).listed(true);
            let understood = |name: &String| matches!(parse_file_name(name), FileName::Understood(_));
            found.extend(listed.into_iter().filter(understood).map(|name| (place.clone(), name)));
        }
    }
    found
}

fn node(archive: &Archive) -> TestNode {
    let node = TestNode::new().by_name_alone();
    for ((stream, hour), names) in archive {
        node.put(&format!("{stream}/{hour}"), names.iter().map(String::as_str));
    }
    node
}

/// Every digest at every level, by place.
async fn digests(node: &TestNode) -> BTreeMap<String, (String, u64, u64)> {
    let mut all = BTreeMap::new();
    let answer: QualityDigests = node.get("/api/v1/digests").await;
    assert!(answer.qualities.is_sorted_by_key(|each| (each.channel.clone(), each.quality.clone())));
    for quality in answer.qualities {
        let place = format!("{}/{}", quality.channel, quality.quality);
        let encode = |part| percent_encoding::utf8_percent_encode(part, percent_encoding::NON_ALPHANUMERIC);
        let encoded = format!("{}/{}", encode(&quality.channel), encode(&quality.quality));
        let of_days: DayDigests = node.get(&format!("/api/v1/digests/{encoded}")).await;
        let (mut hours, mut files) = (0, 0);
        for day in of_days.days {
            let of_hours: HourDigests = node.get(&format!("/api/v1/digests/{encoded}/{}", day.day)).await;
            assert_eq!(of_hours.hours.len() as u64, day.hours);
            assert_eq!(of_hours.hours.iter().map(|hour| hour.files).sum::<u64>(), day.files);
            // Anybody can work out a day from its hours.
            let sum = of_hours.hours.iter().fold(Digest::default(), |sum, hour| {
                sum.plus(Digest::of_name(&format!("{} {}", hour.hour, hour.digest)))
            });
            assert_eq!(sum.to_string(), day.digest);
            for hour in of_hours.hours {
                all.insert(format!("{place}/{}", hour.hour), (hour.digest, 1, hour.files));
            }
            (hours, files) = (hours + day.hours, files + day.files);
            all.insert(format!("{place}/{}", day.day), (day.digest, day.hours, day.files));
        }
        assert_eq!((hours, files), (quality.hours, quality.files));
        all.insert(place, (quality.digest, quality.hours, quality.files));
    }
    all
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn digests_are_equal_exactly_where_the_replicated_names_are(one in any_archive(), other in any_archive(), same: bool) {
        let mut other = if same { one.clone() } else { other };
        // An hour that holds nothing to replicate is no difference.
        other.entry(("a/source".into(), "2019-11-15T00".into())).or_default().insert("garbage.ts".into());
        let (mine, theirs) = runtime().block_on(async { (digests(&node(&one)).await, digests(&node(&other)).await) });
        let mut places: BTreeSet<&String> = mine.keys().collect();
        places.extend(theirs.keys());
        for place in places {
            let equal = replicated(&one, place) == replicated(&other, place);
            prop_assert_eq!(mine.get(place).map(|each| &each.0) == theirs.get(place).map(|each| &each.0), equal, "{}", place);
        }
        for (place, (_, hours, files)) in &mine {
            let names = replicated(&one, place);
            prop_assert_eq!(*files, names.iter().filter(|(_, name)| !name.ends_with(".tombstone")).count() as u64);
            prop_assert_eq!(*hours, names.iter().map(|(hour, _)| hour).collect::<BTreeSet<_>>().len() as u64);
        }
        prop_assert_eq!(mine.is_empty(), replicated(&one, "").is_empty());
    }
}

#[tokio::test]
async fn what_is_asked_for_by_name_is_what_is_answered() {
    let node = TestNode::new();
    for place in ["a/source/2019-11-13T02", "a/480p/2019-11-13T02", "b/chat/2019-11-13T02"] {
        node.put(place, [format!("00:00-2.0-full-{}.ts", hash_text(1)).as_str()]);
    }
    let names = |answer: QualityDigests| -> Vec<String> {
        answer.qualities.iter().map(|each| format!("{}/{}", each.channel, each.quality)).collect()
    };
    let all = names(node.get("/api/v1/digests").await);
    assert_eq!(all, ["a/480p", "a/source", "b/chat"]);
    let two = names(node.get("/api/v1/digests?quality=b/chat&quality=a%2Fsource&quality=no/such").await);
    assert_eq!(two, ["a/source", "b/chat"]);
    assert_eq!(names(node.get("/api/v1/digests?after=a/480p").await), ["a/source", "b/chat"]);
    assert!(names(node.get("/api/v1/digests?quality=no/such").await).is_empty());
    let nothing: DayDigests = node.get("/api/v1/digests/no/such").await;
    assert!(nothing.days.is_empty());
    let after: DayDigests = node.get("/api/v1/digests/a/source?after=2019-11-12").await;
    assert_eq!(after.days.len(), 1);
    let past: DayDigests = node.get("/api/v1/digests/a/source?after=2019-11-13").await;
    assert!(past.days.is_empty());
    for (uri, status) in [
        ("/api/v1/digests?quality=a", 400),
        ("/api/v1/digests?after=../x", 400),
        ("/api/v1/digests/a/source/2019-02-30", 400),
        ("/api/v1/digests/a/source/2019-11-13T02", 400),
        ("/api/v1/digests/a/source?after=yesterday", 400),
        ("/api/v1/digests/a/.hidden", 403),
        ("/api/v1/digests/a/%2e%2e/2019-11-13", 403),
        ("/api/v1/digests/a", 404),
        ("/api/v1/digests?layout=abc&node=a", 400),
        ("/api/v1/digests?node=a", 400),
        (&format!("/api/v1/digests?layout={}", "0".repeat(64)), 400),
        (&format!("/api/v1/digests?layout={}&node=a%20b", "0".repeat(64)), 400),
        ("/api/v1/digests/a/source?owned_by=both", 400),
        (&format!("/api/v1/digests/a/source?layout={}&node=a&owned_by=me", "0".repeat(64)), 400),
        // There is no such layout here: a part by another one would be something else.
        (&format!("/api/v1/digests/a/source?layout={}&node=a&owned_by=both", "0".repeat(64)), 409),
        (&format!("/api/v1/digests/a/source/2019-11-13?layout={}&node=a&owned_by=both", "0".repeat(64)), 409),
    ] {
        let (got, problem) = node.refused(uri).await;
        assert_eq!(got, status, "{uri}: {problem}");
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.ends_with('.')), "{uri}");
    }
    let many = "quality=a/b&".repeat(NAMED + 1);
    assert_eq!(node.refused(&format!("/api/v1/digests?{many}")).await.0, 400);
}

#[tokio::test]
async fn an_equal_node_that_asks_again_is_told_so_in_a_few_bytes() {
    let node = TestNode::new();
    let names = [1, 2].map(|number| format!("00:00-2.0-full-{}.ts", hash_text(number)));
    node.put("a/source/2019-11-13T02", [names[0].as_str()]);
    for uri in ["/api/v1/digests", "/api/v1/digests/a/source", "/api/v1/digests/a/source/2019-11-13"] {
        let (_, headers, _) = node.ask(uri, &[]).await;
        let tag = headers["etag"].to_str().unwrap().to_owned();
        let (status, again, body) = node.ask(uri, &[("if-none-match", &tag)]).await;
        assert_eq!((status.as_u16(), body.len()), (304, 0), "{uri}");
        assert_eq!(again["etag"], tag.as_str());
    }
    let (_, headers, _) = node.ask("/api/v1/digests", &[]).await;
    node.put("a/source/2019-11-13T02", [names[1].as_str()]);
    let tag = headers["etag"].to_str().unwrap();
    assert_eq!(node.ask("/api/v1/digests", &[("if-none-match", tag)]).await.0, 200);
}

#[tokio::test]
async fn each_encoding_of_an_answer_has_its_own_tag_and_any_of_them_is_known_again() {
    let node = TestNode::new();
    for hour in 0..24 {
        node.put(&format!("a/source/2019-11-13T{hour:02}"), [format!("00:00-2.0-full-{}.ts", hash_text(1)).as_str()]);
    }
    let uri = "/api/v1/digests/a/source/2019-11-13";
    let mut tags = BTreeSet::new();
    for (accept, encoding) in [("br", None), ("gzip", Some("gzip")), ("gzip, zstd", Some("zstd"))] {
        let (_, headers, _) = node.ask(uri, &[("accept-encoding", accept)]).await;
        assert_eq!(headers.get("content-encoding").map(|it| it.to_str().unwrap()), encoding);
        tags.insert(headers["etag"].to_str().unwrap().to_owned());
    }
    assert_eq!(tags.len(), 3);
    for tag in &tags {
        let (status, headers, body) = node.ask(uri, &[("accept-encoding", "gzip"), ("if-none-match", tag)]).await;
        assert_eq!((status.as_u16(), body.len(), &headers["vary"]), (304, 0, &"accept-encoding".parse().unwrap()));
        assert!(headers["etag"].to_str().unwrap().ends_with("-gzip\""));
    }
}

#[tokio::test]
async fn an_answer_says_whether_the_index_has_caught_up_and_where_to_follow() {
    let node = TestNode::new();
    let name = format!("00:00-2.0-full-{}.ts", hash_text(1));
    node.put("a/source/2019-11-13T02", [name.as_str()]);
    let before: QualityDigests = node.get("/api/v1/digests").await;
    assert_eq!((before.complete, before.seq), (false, 1));
    let hours: HourDigests = node.get("/api/v1/digests/a/source/2019-11-13").await;
    assert!(hours.complete, "these hours were compared with the disk");
    node.catch_up().await;
    let after: QualityDigests = node.get("/api/v1/digests").await;
    assert!(after.complete);
    assert_eq!((after.epoch.len(), after.seq), (16, 1));
    assert_eq!(after.qualities, before.qualities);
}

#[tokio::test]
async fn hours_of_a_day_are_compared_with_the_disk_before_they_are_answered() {
    let node = TestNode::new();
    let names = [1, 2].map(|number| format!("00:00-2.0-full-{}.ts", hash_text(number)));
    node.put("a/source/2019-11-13T02", [names[0].as_str()]);
    let before: HourDigests = node.get("/api/v1/digests/a/source/2019-11-13").await;
    std::fs::write(node.directory.path().join("a/source/2019-11-13T02").join(&names[1]), b"x").unwrap();
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let after: HourDigests = node.get("/api/v1/digests/a/source/2019-11-13").await;
    assert_eq!((before.hours[0].files, after.hours[0].files), (1, 2));
    assert!(after.seq > before.seq);
}

#[tokio::test]
async fn while_the_disk_is_away_nothing_is_answered() {
    let node = TestNode::new();
    node.put("a/source/2019-11-13T02", ["garbage.ts"]);
    std::fs::remove_dir_all(node.directory.path()).unwrap();
    node.keeper.guard().check();
    for uri in ["/api/v1/digests", "/api/v1/digests/a/source", "/api/v1/digests/a/source/2019-11-13", "/api/v1/changes"]
    {
        let (status, headers, _) = node.ask(uri, &[]).await;
        assert_eq!(status, 503, "{uri}");
        assert!(headers.contains_key("retry-after"), "{uri}");
    }
}
