//! Who may hold a retired hour, and what of it a list still names: the tombstones of the hour may go only when nobody can show again
//! what they hide. Whom to ask, and how, is not decided here.
//!
//! A node is known by the id of its archive. Its name and its address say only where it was: another node may answer there later.

use std::collections::BTreeSet;
use std::fmt;

use crate::archive::hidden_content::HiddenContent;
use crate::archive::name::is_tombstone;
use crate::archive::{FileName, Hour, name, parse_file_name};

/// Digits of an archive's id.
const ID_DIGITS: usize = 32;

/// Somebody who may hold an hour, as the journal of retired hours names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holder {
    /// The node over the archive with this id, wherever it answers.
    Archive(String),
    /// Who answers at this address: a server that names no archive, or a peer that could not be asked for its id.
    Address(String),
    /// Whoever had this name when a line of an earlier version was written, which nobody knows any more.
    Name(String),
}

impl Holder {
    /// Reads what [`Holder`] is displayed as. What is neither an id nor an address is a name.
    pub fn parse(text: &str) -> Self {
        let is_id = |id: &&str| id.len() == ID_DIGITS && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        if let Some(id) = text.strip_prefix("archive:").filter(is_id) {
            return Self::Archive(id.to_owned());
        }
        match text.strip_prefix("address:") {
            Some(address) if address.contains("://") => Self::Address(address.to_owned()),
            _ => Self::Name(text.to_owned()),
        }
    }

    /// What is to be said where it does not answer.
    pub fn absence(&self) -> String {
        match self {
            Self::Archive(id) => format!("the archive {id}, which may hold it, does not answer"),
            Self::Address(address) => format!("{address}, where somebody may hold it, is no peer or does not answer"),
            Self::Name(name) => {
                format!("an earlier version has noted {name:?} by that name alone, under which anybody may answer")
            }
        }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Archive(id) => write!(f, "archive:{id}"),
            Self::Address(address) => write!(f, "address:{address}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// A peer that answers, as it says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnsweringPeer {
    /// Its address in the list of peers.
    pub address: String,
    /// The id of its archive, where it names one.
    pub archive: Option<String>,
    /// The number of its process, where it names one: two addresses may lead to the same node.
    pub process: Option<u64>,
}

/// The first of the holders that none of those who answer is. An id that is named twice, by a copy of a disk with its marker, takes two.
pub fn first_absent<'h>(holders: &'h [Holder], answering: &[&AnsweringPeer]) -> Option<&'h Holder> {
    holders.iter().find(|holder| match holder {
        Holder::Archive(id) => {
            let named = holders.iter().filter(|other| other == holder).count();
            let same = answering.iter().filter(|peer| peer.archive.as_ref() == Some(id));
            same.map(|peer| peer.process).collect::<BTreeSet<_>>().len() < named
        }
        Holder::Address(address) => !answering.iter().any(|peer| peer.address == *address),
        Holder::Name(_) => true,
    })
}

/// What the tombstones of an hour hide: the files of their names, and equal content nearby.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HiddenNames {
    stems: BTreeSet<String>,
    graves: HiddenContent,
}

impl HiddenNames {
    /// What these names of an hour hide, as far as they are tombstones.
    pub fn of<'n>(hour: Hour, names: impl IntoIterator<Item = &'n str>) -> Self {
        let (mut stems, mut contents) = (BTreeSet::new(), Vec::new());
        for tombstone in names.into_iter().filter(|text| is_tombstone(text)) {
            stems.insert(name::stem(tombstone).to_owned());
            if let FileName::Understood(key) = parse_file_name(tombstone) {
                contents.push((key.hash, key.kind, key.start(hour)));
            }
        }
        Self { stems, graves: HiddenContent::new(contents) }
    }

    /// Whether they hide nothing.
    pub fn is_empty(&self) -> bool {
        self.stems.is_empty()
    }

    /// The first name in a list of the same hour that they hide, and that no tombstone of the list itself hides.
    pub fn first_shown<'n>(&self, hour: Hour, listed: &'n [Box<str>]) -> Option<&'n str> {
        let known: BTreeSet<&str> =
            listed.iter().filter(|text| is_tombstone(text)).map(|text| name::stem(text)).collect();
        let hides = |text: &str| match parse_file_name(text) {
            FileName::Understood(key) if self.graves.hide(&key, key.start(hour)) => true,
            _ => self.stems.contains(name::stem(text)),
        };
        let shown = |text: &&str| !is_tombstone(text) && !known.contains(name::stem(text)) && hides(text);
        listed.iter().map(|text| &**text).find(shown)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef";
    const HASH: &str = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";

    fn peer(host: &str, archive: Option<&str>, process: u64) -> AnsweringPeer {
        AnsweringPeer { address: format!("http://{host}"), archive: archive.map(str::to_owned), process: Some(process) }
    }

    fn hour() -> Hour {
        Hour::parse("2019-11-13T02").unwrap()
    }

    #[test]
    fn who_answers_under_a_name_or_at_an_address_is_not_yet_the_archive() {
        let (archive, address) = (Holder::Archive(ID.to_owned()), Holder::Address("http://b".to_owned()));
        let name = Holder::Name("b".to_owned());
        for (answering, are_absent) in [
            (peer("b", Some(ID), 1), [false, false, true]),
            (peer("c", Some(ID), 1), [false, true, true]),
            (peer("b", Some(&ID.replace('0', "1")), 1), [true, false, true]),
            (peer("b", None, 1), [true, false, true]),
        ] {
            for (holder, absent) in [&archive, &address, &name].into_iter().zip(are_absent) {
                let found = first_absent(std::slice::from_ref(holder), &[&answering]);
                assert_eq!(found.is_some(), absent, "{holder} {answering:?}");
            }
        }
        assert_eq!(first_absent(&[], &[]), None);
    }

    #[test]
    fn two_copies_of_one_marker_are_two_holders() {
        let twice = [Holder::Archive(ID.to_owned()), Holder::Archive(ID.to_owned())];
        let (one, same, other) = (peer("b", Some(ID), 1), peer("c", Some(ID), 1), peer("c", Some(ID), 2));
        assert!(first_absent(&twice, &[&one, &same]).is_some(), "one process under two names");
        assert_eq!(first_absent(&twice, &[&one, &other]), None);
    }

    #[test]
    fn what_a_tombstone_hides_is_shown_unless_the_list_hides_it_itself() {
        let stem = format!("00:05-2.0-full-{HASH}");
        let (tombstone, file) = (format!("{stem}.tombstone"), format!("{stem}.ts"));
        let buried = HiddenNames::of(hour(), [&*tombstone, "odd.tombstone", "00:07-2.0-full-x.ts"]);
        let (twin, far) = (file.replace("00:05", "00:06"), file.replace("00:05", "10:06"));
        for (listed, shown) in [
            (vec![&*file], Some(&*file)),
            (vec![&*file, &*tombstone], None),
            (vec![&*tombstone], None),
            (vec![&*twin, &*tombstone], Some(&*twin)),
            (vec![&*far], None),
            (vec!["odd.ts"], Some("odd.ts")),
            (vec![], None),
        ] {
            let listed: Vec<Box<str>> = listed.into_iter().map(Into::into).collect();
            assert_eq!(buried.first_shown(hour(), &listed), shown, "{listed:?}");
        }
        assert!(HiddenNames::of(hour(), [&*file]).is_empty());
    }

    proptest! {
        #[test]
        fn a_holder_is_read_as_it_is_written(text in ".{0,20}", id in "[0-9a-f]{32}") {
            for holder in [Holder::Archive(id), Holder::Address(format!("http://{text}"))] {
                prop_assert_eq!(Holder::parse(&holder.to_string()), holder);
            }
            Holder::parse(&text);
        }
    }
}
