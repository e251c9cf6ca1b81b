//! A history: what happens to nodes, one small thing after another, as a number says.

use std::sync::Arc;

use gapless::archive::placement::handoffs::{
    HourVerdict, LyingHour, PinAnswer, PinRequest, PlacementEffect, PlacementEvent,
};

use crate::layouts::{MOST_HOURS, PLANNED_NODES, PLANNED_ZONES, hour_at, planned};
use crate::ledger::{Ledger, Promise, Removal, holders, may_wait};
use crate::node::{Deletion, Fetching, SimNode};
use crate::stories::Story;
use crate::world::{
    Chance, DriverFault, FILES, FIRST_HOUR, HOUR, MINUTE, Mutant, Names, SECOND, SmallLayout, SmallTerms, TOMBSTONES,
    bits, hidden,
};

pub type Event = PlacementEvent<SmallTerms>;
pub type Effect = PlacementEffect<SmallTerms>;

#[derive(Debug, Clone)]
pub enum Message {
    Ask(PinRequest<SmallTerms>),
    Answer(PinAnswer<SmallTerms>),
    Layout(SmallLayout),
    /// What lies on the disk of who says it.
    Listing(Vec<u64>),
}

#[derive(Debug, Clone)]
pub struct Letter {
    pub from: usize,
    pub to: usize,
    pub message: Message,
}

pub struct History {
    pub chance: Chance,
    pub mutant: Mutant,
    pub story: Story,
    pub now: i64,
    pub nodes: Vec<SimNode>,
    pub zones: Arc<Vec<u8>>,
    /// Nodes reach those of the same number.
    pub sides: Vec<u8>,
    /// The name of one node leads to another one.
    pub wrong_name: Option<(usize, usize)>,
    pub letters: Vec<Letter>,
    pub newest: Option<SmallLayout>,
    pub to_come: Vec<SmallLayout>,
    pub ledger: Ledger,
    pub next_name: Vec<u32>,
    pub archives: u32,
    pub decisions: u64,
    pub hours: usize,
    pub steps: usize,
    /// What went wrong first.
    pub wrong: Option<String>,
    is_told: bool,
}

impl History {
    pub fn new(seed: u64, mutant: Mutant, is_told: bool) -> Self {
        let mut chance = Chance::of(seed);
        let is_planned = seed % 8 == 3;
        let count = match seed {
            _ if is_planned => PLANNED_NODES,
            _ if seed % 400 == 1 => 21 + chance.below(30),
            _ if seed % 50 == 2 => 9 + chance.below(12),
            _ => 3 + chance.below(5),
        };
        let zone_count = if is_planned { PLANNED_ZONES } else { 1 + chance.below(count.min(4)) };
        let zones: Vec<u8> = (0..count).map(|node| u8::try_from(node % zone_count).unwrap()).collect();
        let zones = Arc::new(zones);
        let hours = if is_planned { MOST_HOURS } else { 1 + chance.below(3) };
        // The last hours may be running.
        let now = (FIRST_HOUR + 2 + i64::try_from(chance.below(hours)).unwrap()) * HOUR + chance.span(0, HOUR - 1);
        let to_come = if is_planned {
            let mut planned = planned(&zones, chance.below(3));
            planned.reverse();
            planned
        } else {
            Vec::new()
        };
        let nodes = (0..count).map(|node| SimNode::new(&mut chance, node, hours, now)).collect();
        let mut history = Self {
            chance,
            mutant,
            story: Story::of(seed),
            now,
            nodes,
            zones,
            sides: vec![0; count],
            wrong_name: None,
            letters: Vec::new(),
            newest: None,
            to_come,
            ledger: Ledger::new(hours),
            next_name: vec![0; hours],
            archives: u32::try_from(count).unwrap() + 1,
            decisions: 0,
            hours,
            steps: 0,
            wrong: None,
            is_told,
        };
        history.begin();
        history
    }

    fn begin(&mut self) {
        for hour in 0..self.hours {
            for _ in 0..=self.chance.below(3) {
                let name = self.new_name(hour);
                for _ in 0..=self.chance.below(3) {
                    let node = self.chance.below(self.nodes.len());
                    self.put(node, hour, name, true);
                }
            }
        }
        for node in 0..self.nodes.len() {
            self.start(node);
        }
        self.make_layout(false);
        if let Some(layout) = self.newest.clone() {
            for node in 0..self.nodes.len() {
                if self.chance.percent(80) {
                    self.give(node, Event::Offered { from: None, layout: layout.clone() });
                }
            }
        }
    }

    pub fn tell(&self, what: impl FnOnce() -> String) {
        if self.is_told {
            let minutes = (self.now - FIRST_HOUR * HOUR) / SECOND;
            println!("{:4} {:3}:{:02} {}", self.steps, minutes / 60, minutes % 60, what());
        }
    }

    pub fn check(&mut self, result: Result<(), String>) {
        if let Err(what) = result {
            self.tell(|| format!("WRONG: {what}"));
            self.wrong.get_or_insert(what);
        }
    }

    // Disks

    pub fn new_name(&mut self, hour: usize) -> u64 {
        let name = 1 << self.next_name[hour];
        self.next_name[hour] += 1;
        name
    }

    pub fn put(&mut self, node: usize, hour: usize, names: u64, is_flushed: bool) {
        self.nodes[node].disk[hour] |= names;
        if is_flushed {
            self.nodes[node].flushed[hour] |= names;
            self.ledger.written[hour] |= names;
        }
    }

    /// Names vanish that nobody keeps there: what lies nowhere else is gone.
    pub fn vanish(&mut self, node: usize, hour: usize, names: u64) {
        self.nodes[node].disk[hour] &= !names;
        self.nodes[node].flushed[hour] &= !names;
        let last: u64 = bits(names).filter(|name| holders(&self.nodes, hour, *name).next().is_none()).sum();
        self.ledger.may_be_gone[hour] |= last;
    }

    pub fn flush(&mut self, node: usize) {
        for hour in 0..self.hours {
            self.put(node, hour, self.nodes[node].disk[hour], true);
        }
    }

    pub fn changed(&mut self, node: usize, hour: usize) {
        self.nodes[node].changed[hour] = self.now;
        self.give(node, Event::Changed { hour: u8::try_from(hour).unwrap() });
    }

    // Machines

    pub fn start(&mut self, node: usize) {
        let (mutant, now) = (self.mutant, self.now);
        self.nodes[node].start(&mut self.chance, mutant, now);
        if mutant.has(DriverFault::RetiresUnasked) {
            for hour in 0..self.hours {
                if self.nodes[node].retired >> hour & 1 == 1 {
                    self.nodes[node].deletions.push(Deletion { hour, names: u64::MAX, before: None, needed: 0 });
                }
            }
        }
    }

    pub fn give(&mut self, node: usize, event: Event) {
        let time = self.nodes[node].clocks.time(self.now);
        let silent = if let Event::Silent { peer } = &event { Some(usize::from(*peer)) } else { None };
        let Some(machine) = self.nodes[node].machine.as_mut() else { return };
        let mut effects = machine.step(time, event);
        let layout = machine.layout().map_or((0, 0), |layout| (layout.0.version, layout.0.copies));
        if let Some(peer) = silent {
            // What is being deleted goes on until the node gets to it.
            let stops = |hour: usize| effects.contains(&Effect::Stop { hour: u8::try_from(hour).unwrap() });
            self.ledger.told_of_silence(node, peer, stops);
        }
        for effect in &effects {
            match effect {
                Effect::Drop { hour, .. } => {
                    let result = self.may_drop(node, usize::from(*hour));
                    self.check(result);
                }
                Effect::KeepForNow { hour } => {
                    let since = *self.nodes[node].waits[usize::from(*hour)].get_or_insert(self.now);
                    let result = may_wait(node, *hour, since, self.now);
                    self.check(result);
                }
                Effect::Answer { peer, answer } => {
                    self.decisions += 1;
                    let decision = self.decisions;
                    self.nodes[node].decided.push_back(decision);
                    for (hour, _) in answer.hours.iter().filter(|(_, says)| *says == HourVerdict::Pinned) {
                        let (to, hour) = (usize::from(*peer), usize::from(*hour));
                        let (is_given, is_void) = (false, false);
                        let at = self.now;
                        self.ledger.decided(Promise { decision, owner: node, to, hour, at, layout, is_given, is_void });
                    }
                }
                _ => {}
            }
        }
        if self.mutant.has(DriverFault::AnswersBeforeJournal)
            && matches!(effects[..], [Effect::Journal { .. }, Effect::Answer { .. }, ..])
        {
            effects.swap(0, 1);
        }
        self.nodes[node].effects.extend(effects);
    }

    /// What a node may never do, whatever the others have.
    fn may_drop(&self, at: usize, hour: usize) -> Result<(), String> {
        let node = &self.nodes[at];
        // Its clock may run a thousandth faster.
        let quiet = self.now - node.changed[hour].max(node.started);
        if quiet < 10 * MINUTE - 2 * SECOND {
            return Err(format!("quiet: n{at} gives hour {hour} away {} s after something changed", quiet / SECOND));
        }
        let is_right = node.clocks.wall_off == 0 && !node.clocks.is_doubted;
        if node.clocks.is_doubted || is_right && hour_at(self.now) <= i64::try_from(hour).unwrap() + 1 {
            return Err(format!("quiet: n{at} gives hour {hour} away, which may be running"));
        }
        if node.held[hour] > 0 {
            return Err(format!("held: n{at} gives hour {hour} away while it is held"));
        }
        Ok(())
    }

    /// The next small thing that a node has to do.
    pub fn work(&mut self, node: usize) {
        let kinds = [
            !self.nodes[node].effects.is_empty(),
            !self.nodes[node].deletions.is_empty(),
            !self.nodes[node].fetching.is_empty(),
        ];
        let mut kind = self.chance.below(3);
        while !kinds[kind] {
            kind = (kind + 1) % 3;
        }
        match kind {
            0 => self.next_effect(node),
            1 => self.delete_one(node),
            _ => self.fetch_next(node),
        }
    }

    pub fn next_effect(&mut self, node: usize) {
        let Some(effect) = self.nodes[node].effects.pop_front() else { return };
        self.tell(|| format!("n{node} does {effect:?}"));
        match effect {
            Effect::SaveLayout { layout } => {
                let before = self.nodes[node].layout.as_ref().map_or(0, |layout| layout.0.version);
                if layout.0.version <= before {
                    let to = layout.0.version;
                    self.check(Err(format!("layout: n{node} goes from version {before} to version {to}")));
                }
                self.nodes[node].layout = Some(layout);
            }
            Effect::Journal { lines } => {
                let node = &mut self.nodes[node];
                if node.is_journal_lost {
                    node.journal.clear();
                    node.is_journal_lost = false;
                }
                node.journal.extend(lines);
            }
            Effect::Ask { peer, request } => {
                let to = usize::from(peer);
                self.nodes[node].asked.push((request.id, to));
                if self.reaches(node, to) {
                    self.send(node, to, Message::Ask(request));
                } else {
                    self.give(node, Event::Silent { peer });
                }
            }
            Effect::Answer { peer, answer } => {
                if let Some(decision) = self.nodes[node].decided.pop_front() {
                    self.ledger.promised(decision);
                }
                self.send(node, usize::from(peer), Message::Answer(answer));
            }
            Effect::AskLayout { peer } => {
                let from = usize::from(peer);
                if self.reaches(node, from)
                    && let Some(layout) = self.nodes[self.leads_to(from)].layout.clone()
                {
                    self.send(from, node, Message::Layout(layout));
                }
            }
            Effect::OfferLayout { peer } => {
                if let Some(layout) = self.nodes[node].layout.clone() {
                    self.send(node, usize::from(peer), Message::Layout(layout));
                }
            }
            Effect::Fetch { peer, hour } => {
                let fetching = Fetching { peer: usize::from(peer), hour: usize::from(hour) };
                self.nodes[node].fetching.push_back(fetching);
            }
            Effect::Hide { peer, hour } => {
                let (peer, hour) = (usize::from(peer), usize::from(hour));
                if self.reaches(node, peer) {
                    let tombstones = self.hiding(node, hour, self.nodes[self.leads_to(peer)].disk[hour]);
                    self.put(node, hour, tombstones, true);
                    self.changed(node, hour);
                }
            }
            Effect::Drop { hour, names, before } => {
                let hour = usize::from(hour);
                let Some(layout) = self.nodes[node].layout.clone() else { return };
                let needed = self.ledger.needed(&self.nodes[node], hour, self.now, &layout);
                let all = self.mutant.has(DriverFault::DropsAllThatLies);
                let names = if all { u64::MAX } else { names.0 };
                self.nodes[node].deletions.push(Deletion { hour, names, before: Some(before.us()), needed });
            }
            Effect::Stop { hour } => {
                let hour = usize::from(hour);
                self.end_deletions(node, |one| one.hour == hour && one.before.is_some());
                self.ledger.stopped(node, hour);
            }
            Effect::Retire { hour } => {
                let hour = usize::from(hour);
                self.nodes[node].retired |= 1 << hour;
                self.ledger.retired |= 1 << hour;
                self.nodes[node].waits[hour] = None;
                self.nodes[node].deletions.push(Deletion { hour, names: u64::MAX, before: None, needed: 0 });
            }
            Effect::AlarmFork { .. } | Effect::KeepForNow { .. } => {}
        }
    }

    fn end_deletions(&mut self, node: usize, which: impl Fn(&Deletion) -> bool) {
        let mut at = 0;
        while at < self.nodes[node].deletions.len() {
            if which(&self.nodes[node].deletions[at]) {
                let ended = self.nodes[node].deletions.remove(at);
                let is_gone = self.nodes[node].disk[ended.hour] & ended.names == 0;
                self.ledger.left += usize::from(is_gone && ended.before.is_some());
                self.give(node, Event::Ended { hour: u8::try_from(ended.hour).unwrap(), is_gone });
            } else {
                at += 1;
            }
        }
    }

    fn delete_one(&mut self, node: usize) {
        let at = self.chance.below(self.nodes[node].deletions.len());
        let Deletion { hour, names, before, needed } = self.nodes[node].deletions[at];
        let rest = self.nodes[node].disk[hour] & names;
        let is_late = before.is_some_and(|before| self.nodes[node].clocks.elapsed(self.now) >= before)
            && !self.mutant.has(DriverFault::IgnoresTheTime);
        if rest == 0 || is_late || before.is_some() && self.nodes[node].held[hour] > 0 {
            return self.end_deletions(node, |one| one.hour == hour && one.before == before);
        }
        let first = if self.mutant.has(DriverFault::DropsTombstonesFirst) { rest & !FILES } else { rest & FILES };
        let from = if first == 0 { rest } else { first };
        let name = from & from.wrapping_neg();
        self.nodes[node].disk[hour] &= !name;
        self.nodes[node].flushed[hour] &= !name;
        self.tell(|| format!("n{node} deletes name {} of hour {hour}", name.trailing_zeros()));
        let removal = if before.is_some() { Removal::Leaves(needed) } else { Removal::Retention };
        let result = self.ledger.removed(&self.nodes, &self.zones, (node, hour, name), self.now, removal);
        self.check(result);
    }

    fn fetch_next(&mut self, node: usize) {
        let Some(Fetching { peer, hour }) = self.nodes[node].fetching.front().copied() else { return };
        let from = self.leads_to(peer);
        let missing = self.missing(node, hour, self.nodes[from].disk[hour]);
        let is_owned = !self.nodes[node].is_full && self.reaches(node, peer) && missing != 0;
        // Tombstones come first, each kind by itself.
        let tombstones = missing & !FILES;
        let coming = if tombstones == 0 { missing } else { tombstones };
        if !is_owned || coming == missing {
            self.nodes[node].fetching.pop_front();
        }
        if is_owned {
            self.tell(|| format!("n{node} fetches {coming:x} of hour {hour} from n{from}"));
            self.put(node, hour, coming, true);
            self.changed(node, hour);
        }
    }

    /// What a node would fetch of what lies elsewhere.
    fn missing(&self, node: usize, hour: usize, elsewhere: u64) -> u64 {
        let is_retired = self.nodes[node].retired >> hour & 1 == 1;
        let here = self.nodes[node].disk[hour];
        if is_retired { 0 } else { elsewhere & !here & !hidden(here) & !hidden(elsewhere) }
    }

    /// Tombstones from elsewhere of what is in sight on a node.
    fn hiding(&self, node: usize, hour: usize, elsewhere: u64) -> u64 {
        let here = self.nodes[node].disk[hour];
        (here & FILES & !hidden(here) & hidden(elsewhere)) << TOMBSTONES
    }

    // The network

    fn leads_to(&self, name: usize) -> usize {
        self.wrong_name.filter(|(asked, _)| *asked == name).map_or(name, |(_, real)| real)
    }

    fn reaches(&self, from: usize, name: usize) -> bool {
        let to = self.leads_to(name);
        self.nodes[to].is_up() && self.sides[from] == self.sides[to]
    }

    fn send(&mut self, from: usize, to: usize, message: Message) {
        self.letters.push(Letter { from, to, message });
    }

    pub fn deliver(&mut self, at: usize) {
        let letter = if self.chance.percent(6) { self.letters[at].clone() } else { self.letters.remove(at) };
        let Letter { from, to: name, message } = letter;
        let to = if matches!(message, Message::Ask(_)) { self.leads_to(name) } else { name };
        if !self.nodes[to].is_up() || self.sides[from] != self.sides[to] {
            return;
        }
        self.tell(|| format!("n{to} hears {message:?} from n{from}"));
        let sender = u8::try_from(from).unwrap();
        match message {
            Message::Ask(request) => {
                let lying = if self.mutant.has(DriverFault::ConfirmsUnflushed) {
                    &self.nodes[to].disk
                } else {
                    &self.nodes[to].flushed
                };
                let durable = request.hours.iter().map(|asked| Names(lying[usize::from(asked.hour)])).collect();
                self.give(to, Event::Asked { from: sender, request, durable });
            }
            Message::Answer(answer) => {
                let asked = self.nodes[to].asked.iter().find(|(id, _)| *id == answer.id);
                let Some(by) = asked.map(|(_, name)| u8::try_from(*name).unwrap()) else { return };
                let is_full = self.nodes[from].is_full;
                self.give(to, Event::Heard { peer: by, is_full });
                self.give(to, Event::Answered { by, answer });
            }
            Message::Layout(layout) => self.give(to, Event::Offered { from: Some(sender), layout }),
            Message::Listing(listing) => {
                let is_full = self.nodes[from].is_full;
                self.give(to, Event::Heard { peer: sender, is_full });
                let lacking = (0..self.hours).filter(|hour| self.missing(to, *hour, listing[*hour]) != 0);
                let lacking: Vec<u8> = lacking.map(|hour| u8::try_from(hour).unwrap()).collect();
                let hiding = (0..self.hours).filter(|hour| self.hiding(to, *hour, listing[*hour]) != 0);
                let hiding: Vec<u8> = hiding.map(|hour| u8::try_from(hour).unwrap()).collect();
                if !lacking.is_empty() || !hiding.is_empty() {
                    self.give(to, Event::Listed { by: sender, lacking, hiding });
                }
            }
        }
    }

    /// A node asks another one what lies there.
    pub fn compare(&mut self, node: usize, with: usize) {
        if self.leads_to(with) != with {
            // It is seen that another node answers, and nothing is taken from it under that name.
            return;
        }
        if self.reaches(node, with) {
            let listing = self.nodes[with].disk.clone();
            self.send(with, node, Message::Listing(listing));
        } else if self.nodes[node].is_up() {
            self.give(node, Event::Silent { peer: u8::try_from(with).unwrap() });
        }
    }

    pub fn pass(&mut self, node: usize) {
        if !self.nodes[node].is_up() {
            return;
        }
        let lying = (0..self.hours).filter_map(|hour| {
            let mut names = self.nodes[node].disk[hour];
            if self.mutant.has(DriverFault::ForgetsTombstones) {
                names &= FILES;
            }
            if self.mutant.has(DriverFault::ForgetsHidden) {
                names &= !hidden(names);
            }
            (names != 0).then(|| LyingHour { hour: u8::try_from(hour).unwrap(), names: Names(names) })
        });
        let lying = lying.collect();
        self.tell(|| format!("n{node} makes a pass over {lying:?}"));
        self.give(node, Event::Pass { lying });
    }

    /// Everything that is on its way is done, but for what lasts.
    pub fn settle(&mut self) {
        for _ in 0..4_000 {
            if self.wrong.is_some() {
                return;
            }
            if let Some(node) = self.nodes.iter().position(SimNode::has_work) {
                self.work(node);
            } else if self.letters.is_empty() {
                return;
            } else {
                self.deliver(0);
            }
        }
    }
}
