//! Stories: what happens more often in one history than in others, so that things meet that are rare by themselves.

use gapless::archive::placement::handoffs::HourVerdict;

use crate::history::{History, Letter, Message};
use crate::world::MINUTE;

/// What a history is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Story {
    Anything,
    /// Names of nodes lead to others.
    Names,
    /// A node crashes when retention has begun, and is asked for a pin.
    Retention,
    /// Retention comes when a pin has run out, and an answer or a deletion has taken longer than that.
    Slow,
    /// A disk is lost after its node has answered, and that is noticed.
    Losses,
    /// Journals are lost.
    Journals,
    /// A node has no room, so that hours that it owns cannot leave others.
    Full,
    /// Power fails when an answer has left.
    PowerCuts,
}

impl Story {
    pub fn of(seed: u64) -> Self {
        match seed % 16 {
            0 => Self::Names,
            2 => Self::Retention,
            4 => Self::Slow,
            6 => Self::Losses,
            8 => Self::Journals,
            10 => Self::Full,
            12 => Self::PowerCuts,
            _ => Self::Anything,
        }
    }
}

impl History {
    /// Something that the story is about.
    pub fn go_on_with_the_story(&mut self, node: usize, hour: usize) {
        match self.story {
            Story::Anything => {}
            Story::Names => {
                let real = self.any();
                self.wrong_name = (real != node).then_some((node, real));
                self.tell(|| format!("names: {:?}", self.wrong_name));
            }
            Story::Retention => self.retention_is_interrupted(),
            Story::Slow => self.time_runs_out(node),
            Story::Losses => self.an_owner_fails(node),
            Story::Journals => {
                if self.nodes[node].is_up() && self.chance.percent(40) {
                    self.crash(node, false);
                    self.nodes[node].is_journal_lost = true;
                    self.start(node);
                } else {
                    self.retire(node, hour);
                }
            }
            Story::Full => {
                self.nodes[0].is_full = true;
                self.now += 20 * MINUTE;
                for node in 0..self.nodes.len() {
                    self.pass(node);
                }
                self.settle();
                self.retire(1, 0);
            }
            Story::PowerCuts => match self.pinned_letter() {
                Some((_, Letter { from, .. }, _)) => {
                    self.crash(from, true);
                    self.start_again(from);
                }
                None => self.record(node, hour, false),
            },
        }
    }

    /// An answer on its way that grants a pin: where it is, and of which hour.
    fn pinned_letter(&mut self) -> Option<(usize, Letter, usize)> {
        let first = self.chance.below(self.letters.len());
        (first..self.letters.len()).chain(0..first).find_map(|at| {
            let Message::Answer(answer) = &self.letters[at].message else { return None };
            let (hour, _) = answer.hours.iter().find(|(_, says)| *says == HourVerdict::Pinned)?;
            Some((at, self.letters[at].clone(), usize::from(*hour)))
        })
    }

    fn finish_work(&mut self, node: usize) {
        while self.nodes[node].has_work() && self.wrong.is_none() {
            self.work(node);
        }
    }

    fn retention_is_interrupted(&mut self) {
        let asks = self.letters.iter().position(|letter| matches!(letter.message, Message::Ask(_)));
        let Some(at) = asks else { return };
        let Message::Ask(request) = &self.letters[at].message else { return };
        let (node, hour) = (self.letters[at].to, usize::from(request.hours[0].hour));
        self.finish_work(node);
        self.retire(node, hour);
        if self.nodes[node].is_up() && self.wrong.is_none() {
            while !self.nodes[node].effects.is_empty() {
                self.next_effect(node);
            }
            self.crash(node, false);
            self.start(node);
            self.deliver(at);
        }
    }

    /// A node makes a pass, and all its requests are answered; the answers are on their way.
    fn ask_owners(&mut self, node: usize) -> Vec<usize> {
        self.now += 11 * MINUTE;
        self.pass(node);
        self.finish_work(node);
        while let Some(at) =
            self.letters.iter().position(|one| one.from == node && matches!(one.message, Message::Ask(_)))
        {
            let owner = self.letters[at].to;
            self.deliver(at);
            self.finish_work(owner);
        }
        let to_it = |letter: &Letter| letter.to == node && matches!(letter.message, Message::Answer(_));
        (0..self.letters.len()).filter(|at| to_it(&self.letters[*at])).collect()
    }

    fn time_runs_out(&mut self, node: usize) {
        let answers = self.ask_owners(node);
        let Some(owner) = answers.first().map(|at| self.letters[*at].from) else { return };
        let hour = match self.pinned_letter() {
            Some((_, letter, hour)) if letter.to == node => hour,
            _ => return,
        };
        // Either the answers come late, or what follows from them takes long.
        if self.chance.percent(50) {
            for at in answers.into_iter().rev() {
                self.deliver(at);
            }
            while !self.nodes[node].effects.is_empty() {
                self.next_effect(node);
            }
        }
        self.now += self.chance.span(61, 75) * MINUTE;
        self.retire(owner, hour);
        self.finish_work(owner);
    }

    fn an_owner_fails(&mut self, node: usize) {
        let mut answers = self.ask_owners(node);
        let (Some(at), true) = (answers.pop(), self.wrong.is_none()) else { return };
        let failing = self.letters[at].from;
        self.deliver(at);
        self.finish_work(node);
        self.lose_disk(failing, false);
        self.compare(node, failing);
        self.finish_work(node);
        for at in answers.into_iter().rev() {
            self.deliver(at);
        }
    }
}
