//! Lists of a node keep Apple's rules for lists of transport streams, but for those of which the documentation says why they are not kept.

use std::collections::BTreeSet;

use crate::support::apple::{self, Broken};
use crate::support::{Kind, SOON, TestArchive, TestNode, eventually, hls};

const PAGE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/playback.md"));

/// The numbers in the documentation's table of rules that are not kept.
fn named() -> BTreeSet<&'static str> {
    let (_, table) = PAGE.split_once("### Apple's rules that are not kept").unwrap();
    let rows =
        table.lines().skip_while(|line| !line.starts_with("|---")).skip(1).take_while(|line| line.starts_with('|'));
    rows.flat_map(|row| row.split('|').nth(1).unwrap().split(',').map(str::trim)).collect()
}

/// What is not kept, but for what the documentation names.
fn unnamed(broken: &[Broken]) -> Vec<Broken> {
    let named = named();
    assert!(named.len() > 5, "{named:?}");
    broken.iter().filter(|(number, _)| !named.contains(number)).cloned().collect()
}

#[test]
fn lists_keep_apples_rules_but_for_those_that_the_documentation_names() {
    let archive = TestArchive::sample();
    let node = TestNode::start(&archive);
    node.wait_ready();
    let mut broken = Vec::new();
    // A day, a stretch that is complete, one that ends in a hole, and what may still come.
    for range in [
        "start=2019-11-13T00:00:00&end=2019-11-14T00:00:00",
        "start=2019-11-13T02:56:31&end=2019-11-13T02:56:40",
        "start=2019-11-13T02:55:00&end=2019-11-13T05:30:00",
        "start=2019-11-13T06:00:00",
    ] {
        let gzip = [("Accept-Encoding", "gzip")];
        let text = node.get(&format!("/playlist/desertbus.m3u8?{range}")).text().to_owned();
        broken.extend(apple::master(&text, &[]));
        broken.extend(apple::delivery(&node.get_with(&format!("/playlist/desertbus.m3u8?{range}"), &gzip)));
        let addresses = hls::read_master(&text).unwrap();
        assert_eq!(addresses.len(), 2, "{text}");
        let lists: Vec<String> = addresses.iter().map(|address| node.get(address).text().to_owned()).collect();
        broken.extend(lists.iter().flat_map(|list| apple::media(list)));
        broken.extend(apple::set(&lists.iter().map(String::as_str).collect::<Vec<_>>()));
        for address in &addresses {
            broken.extend(apple::delivery(&node.get_with(address, &gzip)));
            broken.extend(apple::media(node.get(&format!("{address}&gaps=true")).text()));
        }
        let segment = &hls::valid(&lists[0]).entries[0].uri;
        broken.extend(apple::delivery(&node.get_with(segment, &gzip)));
    }
    assert_eq!(unnamed(&broken), []);
}

#[test]
fn a_list_that_grows_keeps_its_numbers_and_what_it_told() {
    let archive = TestArchive::empty();
    let hour = "chan/source/2019-11-13T02";
    let put =
        |second: u32| drop(archive.segment(hour, &format!("{:02}:{:02}", second / 60, second % 60), 2.0, Kind::Full));
    (0..6).for_each(|number| put(number * 2));
    let node = TestNode::start(&archive);
    node.wait_ready();
    let mut before = String::new();
    // Segments that join, and at the end the one that completes it.
    for count in 6..=9 {
        let list = node.get("/playlist/chan/source.m3u8?start=2019-11-13T02:00:00&end=2019-11-13T02:00:18");
        let media = hls::valid(list.text());
        assert_eq!((media.entries.len(), media.has_ended), (count, count == 9), "{}", list.text());
        assert!(apple::is_grown(&before, list.text()) || before.is_empty(), "--- was\n{before}--- is\n{}", list.text());
        assert_eq!(unnamed(&apple::media(list.text())), [], "{}", list.text());
        list.text().clone_into(&mut before);
        let next = u32::try_from(count).unwrap() * 2;
        put(next);
        eventually(SOON, || node.files(hour).len() == count + 1);
    }
}
