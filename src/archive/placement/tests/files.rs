//! The file of a layout, its slots, and whatever is given instead.

use std::collections::BTreeSet;

use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

use super::{equal_nodes, layout, name};
use crate::archive::placement::*;
use crate::archive::{Channel, Hour, HourPlace, Stream};

/// A layout of any nodes, channels and owners, whether somebody would plan it or not.
fn any_layout() -> impl Strategy<Value = Layout> {
    let wanted = prop_oneof![(1..=4_u8).prop_map(CopiesWanted::Number), Just(CopiesWanted::All)];
    let state = prop::sample::select(NodeState::ALL.to_vec());
    let nodes = prop::collection::btree_map("[a-zA-Z0-9._-]{1,64}", ("[a-z]{1,9}", 1..=u64::MAX, state), 0..9);
    let channels = prop::collection::btree_map("[^./\0][^/\0]{0,20}|\\PC\\\\\n\r ", wanted.clone(), 0..4);
    (1..5_u64, any::<[u8; 32]>(), wanted, nodes, channels, any::<u64>()).prop_map(
        |(version, parent, wanted, nodes, channels, seed)| {
            let mut layout = Layout::none();
            layout.version = version;
            layout.parent = (version > 1).then_some(crate::archive::Hash(parent));
            layout.copies = wanted;
            let nodes = nodes.into_iter().map(|(called, (zone, weight, expected))| LayoutNode {
                name: name(&called),
                zone: name(&zone),
                weight,
                state: expected,
            });
            layout.nodes = nodes.collect();
            let channels =
                channels.into_iter().filter_map(|(channel, copies)| Some((Channel::new(&channel).ok()?, copies)));
            layout.channels = channels.collect();
            let count = layout.nodes.len() as u64;
            let row = |number: u8, slot: u64| -> Vec<u8> {
                let owner = |at: u8| {
                    u8::try_from((seed >> (slot % 23)).wrapping_add(u64::from(at) * 3 + slot) % count).unwrap()
                };
                let owners: BTreeSet<u8> = (0..number).filter(|_| count > 0).map(owner).collect();
                owners.into_iter().collect()
            };
            for number in layout.numbers_of_copies() {
                let rows: Vec<Vec<u8>> = (0..4_096).map(|slot| row(number, slot)).collect();
                layout.tables.insert(number, OwnerTable::new(number, &rows));
            }
            layout
        },
    )
}

/// The file with this in place of its content, and a hash that is right.
fn with_hash(content: &[u8]) -> Vec<u8> {
    let hash = crate::archive::Hash(Sha256::digest(content).into());
    [content, format!("sha256 {}\n", hash.hexadecimal()).as_bytes()].concat()
}

fn without_hash(file: &[u8]) -> &[u8] {
    &file[..file.len() - 72]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read_and_nothing_else(layout in any_layout(), at: prop::sample::Index, bit in 0..8_u8, cut: prop::sample::Index) {
        let file = layout.to_bytes();
        prop_assert_eq!(&Layout::read(&file), &Ok(layout.clone()));
        prop_assert_eq!(format!("sha256 {}\n", layout.hash().hexadecimal()).into_bytes(), file[file.len() - 72..].to_vec());
        let mut flipped = file.clone();
        flipped[at.index(file.len())] ^= 1 << bit;
        prop_assert!(Layout::read(&flipped).is_err());
        prop_assert!(Layout::read(&file[..cut.index(file.len())]).is_err());
        prop_assert!(Layout::read(&[&*file, b"\n"].concat()).is_err());
    }

    #[test]
    fn a_file_with_a_right_hash_is_a_layout_or_refused(layout in any_layout(), at: prop::sample::Index, byte: u8, removed in 0..3_usize) {
        let file = layout.to_bytes();
        let mut content = without_hash(&file).to_vec();
        // In the lines, where there are rules.
        let lines = content.iter().rposition(|byte| *byte == b'\n').unwrap_or(0).min(600);
        let at = at.index(lines + 1);
        content.splice(at..(at + removed).min(content.len()), [byte]);
        let changed = with_hash(&content);
        if let Ok(read) = Layout::read(&changed) {
            prop_assert_eq!(read.to_bytes(), changed);
        }
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..2_000), lines in "(version|parent|copies|node|channel|owners| |[0-9]|none|all|z|\n){0,40}") {
        let content = [b"# gapless layout v1\n".as_slice(), lines.as_bytes(), &bytes].concat();
        let _either = (Layout::read(&bytes), Layout::read(&content), Layout::read(&with_hash(&content)));
    }
}

#[test]
fn a_layout_of_three_copies_has_twelve_kilobytes_of_owners_and_lines_to_read() {
    let file = layout(3, &equal_nodes(3, 3)).to_bytes();
    let text = String::from_utf8_lossy(&file);
    let (lines, _) = text.split_once("owners 12288\n").unwrap();
    let written = "# gapless layout v1\n\
        version 1\n\
        parent none\n\
        copies 3\n\
        node n00 zone z0 weight 4000000000000 in\n\
        node n01 zone z1 weight 4000000000000 in\n\
        node n02 zone z2 weight 4000000000000 in\n";
    assert_eq!(lines, written);
    assert_eq!(file.len(), written.len() + 13 + 12_288 + 72);
    assert_eq!(file[written.len() + 13..][..6], [0, 1, 2, 0, 1, 2]);
}

#[test]
fn what_is_no_layout_is_refused_with_a_reason() {
    let file = layout(2, &equal_nodes(3, 1)).to_bytes();
    let refused = |given: &[u8]| Layout::read(given).unwrap_err();
    assert_eq!(refused(b""), LayoutError::NoLayout);
    assert_eq!(refused(&vec![b'#'; LARGEST_LAYOUT + 1]), LayoutError::TooLarge(LARGEST_LAYOUT + 1));
    assert_eq!(refused(b"# gapless layout v2\nanything"), LayoutError::Version("2".to_owned()));
    assert_eq!(refused(&file[..file.len() - 1]), LayoutError::Damaged);
    let changed = |old: &str, new: &str| {
        let content = without_hash(&file);
        let at = content.windows(old.len()).position(|part| part == old.as_bytes()).unwrap();
        refused(&with_hash(&[&content[..at], new.as_bytes(), &content[at + old.len()..]].concat()))
    };
    for (old, new, reason) in [
        ("version 1", "version 2", "version does not fit its parent: the first one has none, and all others have one"),
        ("version 1", "version one", "version is no number"),
        ("version 1", "version 01", "lines are not in the one order and form that there is"),
        ("copies 2", "copies 17", "number of copies is none"),
        ("copies 2", "copies 3", "owners are not those of its nodes and copies"),
        ("node n00", "node n03", "nodes are not in the order of their names, each once"),
        ("node n00", "node n01", "nodes are not in the order of their names, each once"),
        ("node n00", "node n/0", "nodes have one that is none"),
        ("weight 4000000000000", "weight 0", "nodes have one that is none"),
        ("000 in", "000 out", "nodes have one that is none"),
        ("owners 8192", "owners 8191", "owners have another number of bytes than is said"),
        ("owners 8192\n", "owners 8192\n!", "owners have another number of bytes than is said"),
        ("parent", "patent", "lines have one that is not known"),
    ] {
        assert_eq!(changed(old, new), LayoutError::Content(reason), "{new}");
    }
    // An owner that is no node, one twice, and one after nobody.
    for row in [[0, 3], [1, 1], [2, 1], [NOBODY, 0]] {
        let mut content = without_hash(&file).to_vec();
        let start = content.len() - 8_192;
        content[start..start + 2].copy_from_slice(&row);
        assert_eq!(
            refused(&with_hash(&content)),
            LayoutError::Content("owners are not those of its nodes and copies"),
            "{row:?}"
        );
    }
}

#[test]
fn names_and_numbers_of_copies_are_checked() {
    assert!(["a", "node-1.example_x", &"x".repeat(64)].iter().all(|text| PlaceName::new(text).is_some()));
    assert!(["", "a b", "ä", "a/b", &"x".repeat(65)].iter().all(|text| PlaceName::new(text).is_none()));
    assert_eq!(["1", "16", "all"].map(|text| CopiesWanted::parse(text).unwrap().to_string()), ["1", "16", "all"]);
    assert!(["0", "17", "+3", "03", "", "ALL", "-1"].iter().all(|text| CopiesWanted::parse(text).is_none()));
}

#[test]
fn the_slot_of_an_hour_is_that_of_any_other_program() {
    // As `xxhash.xxh3_64_intdigest(text) % 4096` of Python's xxhash 4.1 has them.
    for (hour, slot) in [
        ("desertbus/source/2019-11-13T02", "1850"),
        ("desertbus/480p/2019-11-13T02", "2479"),
        ("desertbus/source/2019-11-13T03", "2918"),
    ] {
        assert_eq!(Slot::of(&HourPlace::parse(hour).unwrap()).to_string(), slot);
    }
}

#[test]
fn the_hours_of_a_channel_fall_into_all_slots_alike() {
    let stream = Stream::new("desertbus", "source").unwrap();
    let first = Hour::parse("2010-01-01T00").unwrap().number();
    let mut hours = vec![0_u32; SLOTS];
    for number in first..first + 100_000 {
        let start = crate::archive::Timestamp::from_us(i64::from(number) * 3_600_000_000);
        hours[Slot::of(&HourPlace { stream: stream.clone(), hour: start.hour() }).row()] += 1;
    }
    // 24.4 on the average; by chance alone, one slot in 100,000 has more than 50 or fewer than 7.
    assert!(hours.iter().all(|hours| (7..=50).contains(hours)), "{:?} to {:?}", hours.iter().min(), hours.iter().max());
}
