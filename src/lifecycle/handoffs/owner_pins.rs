//! What others ask of this node as an owner: whether all of an hour lies here durably, and that it stays.

use std::collections::{BTreeMap, BTreeSet};

use super::error::HandoffError;
use super::lying_names::{directory, files, flushed};
use super::machine::Handoffs;
use super::proven_files::HourProof;
use crate::archive::placement::handoffs::{
    ArchiveTerms, FileNames, HourAsked, HourVerdict, LyingNames as _, PinAnswer, PinRequest, PlacementEffect,
    PlacementEvent, RequestId,
};
use crate::archive::placement::{LayoutId, PlaceName};
use crate::archive::{Digest, Hash, HourPlace};
use crate::disk::ArchiveId;
use crate::replicate::placement::Ownership;
use crate::wire::{LayoutOffer, PinQuestion, PinReply, PinnedHourQuestion, PinnedHourReply};

/// Hours that one question is about at most.
pub const MOST_HOURS: usize = 64;
/// Bytes of a question: its names are those of all files of as many hours.
pub const QUESTION_BYTES: usize = 16 << 20;

impl Handoffs {
    /// Answers a question of another node. What it promises is in the journal when this returns. Blocks.
    pub fn answer(&self, question: &PinQuestion) -> Result<PinReply, HandoffError> {
        if question.hours.len() > MOST_HOURS {
            return Err(HandoffError::TooMuch(format!("{} hours, at most {MOST_HOURS}", question.hours.len())));
        }
        if !(self.parts.is_ready)() {
            return Err(HandoffError::NotReady);
        }
        let from = PlaceName::new(&question.node).ok_or_else(|| unread("node", &question.node))?;
        let asked: Vec<HourAsked<ArchiveTerms>> = question.hours.iter().map(asked).collect::<Result<_, _>>()?;
        let layout = read_offer(&question.layout).ok_or_else(|| unread("layout", &question.layout.hash))?;
        let id = RequestId { run: question.run, number: question.number };
        let current = self.parts.layouts.current();
        let is_mine = |hour: &HourAsked<_>| current.ownership(&hour.hour) == Ownership::Owner;
        let here = self.parts.keeper.guard().base()?;
        // Flushing takes a while, and others have their turn meanwhile.
        let owned = asked.iter().map(|hour| is_mine(hour).then_some(&hour.hour));
        let mut before = flushed(&here, owned)?;
        let (mut is_reading, mut looks) = (false, BTreeMap::new());
        // What is not all here is not confirmed anyway, and read when it is.
        for (hour, durable) in asked.iter().zip(&mut before).filter(|(hour, durable)| is_asked_for(hour, durable)) {
            let proof = match here.dir(&hour.hour.path())? {
                Some(dir) => {
                    looks.insert(hour.hour.clone(), directory(&dir)?);
                    self.proven.of(&hour.hour, &dir)?
                }
                None => HourProof::Wrong,
            };
            is_reading |= proof == HourProof::Reading;
            if proof != HourProof::Right {
                durable.clear();
            }
        }
        let effects = self.turn(|machine, base| {
            let mut names = Vec::with_capacity(asked.len());
            for (hour, durable) in asked.iter().zip(&mut before) {
                // Something may have been deleted since, and nothing can be now.
                let now = if durable.is_empty() { BTreeSet::new() } else { files(base, &hour.hour)? };
                durable.retain(|name| now.contains(name));
                names.push(FileNames::of(durable.iter().map(String::as_str)));
            }
            let request = PinRequest { id, layout, hours: asked };
            self.step(machine, base, PlacementEvent::Asked { from, request, durable: names })
        })?;
        let answer = effects.into_iter().find_map(|effect| match effect {
            PlacementEffect::Answer { answer, .. } => Some(answer),
            _ => None,
        });
        // It always has one.
        Ok(self.reply(answer.ok_or(HandoffError::NotReady)?, is_reading, &looks))
    }

    fn reply(
        &self,
        answer: PinAnswer<ArchiveTerms>,
        is_reading: bool,
        looks: &BTreeMap<HourPlace, String>,
    ) -> PinReply {
        let reply = |(hour, says): (HourPlace, HourVerdict)| PinnedHourReply {
            directory: looks.get(&hour).cloned().unwrap_or_default(),
            verdict: word(says).to_owned(),
            hour,
        };
        let hours = answer.hours.into_iter();
        PinReply {
            node: self.parts.layouts.current().node().map(ToString::to_string).unwrap_or_default(),
            archive: ArchiveId::from_bytes(answer.archive.to_be_bytes()).to_string(),
            run: answer.id.run,
            number: answer.id.number,
            layout: answer.layout.map(offer),
            is_full: self.is_full(),
            is_reading,
            hours: hours.map(reply).collect(),
        }
    }

    /// Whether this node fetches nothing for want of room.
    fn is_full(&self) -> bool {
        let free = self.parts.keeper.guard().base().ok().and_then(|base| base.free_space().ok());
        free.is_some_and(|(free, _)| free < self.options.keep_free)
    }
}

/// Whether these are all names that an hour is asked about with, so that the machine would confirm it.
fn is_asked_for(hour: &HourAsked<ArchiveTerms>, durable: &BTreeSet<String>) -> bool {
    let here = FileNames::of(durable.iter().map(String::as_str));
    !here.is_empty() && (here.digest() == hour.digest || hour.names.as_ref().is_some_and(|names| here.contains(names)))
}

fn unread(what: &'static str, given: &str) -> HandoffError {
    HandoffError::Unread(what, given.chars().take(100).collect())
}

fn asked(question: &PinnedHourQuestion) -> Result<HourAsked<ArchiveTerms>, HandoffError> {
    let digest = Digest::parse(&question.digest).ok_or_else(|| unread("digest", &question.digest))?;
    let names = question.names.as_ref().map(|names| FileNames::of(names.iter().map(String::as_str)));
    Ok(HourAsked { hour: question.hour.clone(), digest, names })
}

pub(super) fn offer(id: LayoutId) -> LayoutOffer {
    LayoutOffer { version: id.version, hash: id.hash.hexadecimal() }
}

pub(super) fn read_offer(offer: &LayoutOffer) -> Option<LayoutId> {
    let hash = Hash::parse_hexadecimal(&offer.hash)?;
    (offer.version > 0).then_some(LayoutId { version: offer.version, hash })
}

fn word(verdict: HourVerdict) -> &'static str {
    match verdict {
        HourVerdict::Pinned => "pinned",
        HourVerdict::Differs => "differs",
        HourVerdict::Lacks => "lacks",
        HourVerdict::Going => "going",
        HourVerdict::NotMine => "not-mine",
    }
}

/// Nothing where a later version says something else: then it confirms nothing.
pub(super) fn read_word(text: &str) -> Option<HourVerdict> {
    let all = [HourVerdict::Pinned, HourVerdict::Differs, HourVerdict::Lacks, HourVerdict::Going, HourVerdict::NotMine];
    all.into_iter().find(|verdict| word(*verdict) == text)
}
