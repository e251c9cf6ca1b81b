//! Chat as recorders keep it: batches of one JSON message a line, of which several recorders may have heard the same.
//!
//! 1. Two messages are one if they say the same but for when and by whom they were heard, and the times at which they may have been said
//!    overlap: what is known of one narrows what is known of the other. In a batch each message stands for itself.
//! 2. Messages with the same `tags.id` are one wherever they stand, unless they contradict each other; then both are kept.
//! 3. What is no message (not JSON, or without a time) is passed over: a batch may be cut short.
//! 4. A message is kept as the line that it is; what it says is known by a hash, so that a long stretch takes little more memory than its bytes.

use std::collections::HashMap;

use serde_json::{Map, Value};
use xxhash_rust::xxh3::xxh3_128;

use crate::archive::time::{SECOND_US, Timestamp};

/// What differs between two who heard the same.
const HEARD: [&str; 3] = ["receivers", "time", "time_range"];

/// A message.
#[derive(Debug, Clone, PartialEq)]
struct Message {
    line: Box<str>,
    /// In seconds since 1970: the earliest time at which it may have been said, and the latest.
    from: f64,
    to: f64,
    /// Of all that it says.
    says: u128,
    id: Option<Box<str>>,
}

impl Message {
    fn parse(line: &str) -> Option<Self> {
        Self::of(serde_json::from_str(line).ok()?, line)
    }

    fn of(mut message: Map<String, Value>, line: &str) -> Option<Self> {
        let time = message.get("time")?.as_f64()?;
        let range = message.get("time_range").map_or(Some(0.0), Value::as_f64)?;
        let id = message.get("tags").and_then(|tags| tags.get("id")).and_then(Value::as_str);
        let id = id.filter(|id| !id.is_empty()).map(Box::from);
        for name in HEARD {
            message.remove(name);
        }
        // Names come in order, so that equal messages are written equally.
        let says = xxh3_128(Value::Object(message).to_string().as_bytes());
        Some(Self { line: line.into(), from: time, to: time + range, says, id })
    }

    /// Both as one, if they are.
    fn with(&self, other: &Self) -> Option<Self> {
        let (from, to) = (self.from.max(other.from), self.to.min(other.to));
        if self.says != other.says || to < from {
            return None;
        }
        if self.line == other.line {
            return Some(self.clone());
        }
        let read = |message: &Self| serde_json::from_str::<Map<String, Value>>(&message.line).ok();
        let (mut one, mut two) = (read(self)?, read(other)?);
        let heard = |message: &mut Map<String, Value>| match message.remove("receivers") {
            Some(Value::Object(receivers)) => receivers,
            _ => Map::new(),
        };
        let mut receivers = heard(&mut one);
        receivers.append(&mut heard(&mut two));
        one.insert("receivers".into(), Value::Object(receivers));
        one.insert("time".into(), from.into());
        one.insert("time_range".into(), (to - from).into());
        let line = Value::Object(one).to_string();
        Some(Self { line: line.into(), from, to, says: self.says, id: self.id.clone() })
    }
}

/// All messages of some batches.
#[derive(Debug, Default)]
pub struct Chat {
    messages: Vec<Message>,
    by_id: HashMap<Box<str>, usize>,
    /// Without an id, by what they say.
    by_text: HashMap<u128, Vec<usize>>,
    /// Lines that are no messages.
    unreadable: usize,
}

impl Chat {
    /// Adds a batch.
    pub fn add(&mut self, batch: &[u8]) {
        // Of the messages without an id that say the same, those of this batch.
        let mut fresh: HashMap<u128, Vec<Message>> = HashMap::new();
        let mut order = Vec::new();
        for line in batch.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
            let Some(message) = std::str::from_utf8(line).ok().and_then(|line| Message::parse(line.trim())) else {
                self.unreadable += 1;
                continue;
            };
            if message.id.is_some() {
                self.known_by_id(message);
                continue;
            }
            let alike = fresh.entry(message.says).or_default();
            if alike.is_empty() {
                order.push(message.says);
            }
            alike.push(message);
        }
        for says in order {
            let alike = fresh.remove(&says).unwrap_or_default();
            self.known_by_text(says, alike);
        }
    }

    fn known_by_id(&mut self, message: Message) {
        let Some(id) = message.id.clone() else { return };
        let at = self.by_id.get(&id).copied();
        let known = at.and_then(|at| self.messages.get_mut(at));
        if let Some(known) = known
            && let Some(both) = known.with(&message)
        {
            *known = both;
            return;
        }
        self.by_id.entry(id).or_insert(self.messages.len());
        self.messages.push(message);
    }

    /// Each that is there takes the first of these that it is one with.
    fn known_by_text(&mut self, says: u128, mut alike: Vec<Message>) {
        let known = self.by_text.entry(says).or_default();
        for at in known.iter() {
            let Some(one) = self.messages.get_mut(*at) else { continue };
            let found = alike.iter().enumerate().find_map(|(which, other)| Some((which, one.with(other)?)));
            if let Some((which, both)) = found {
                alike.remove(which);
                *one = both;
            }
            if alike.is_empty() {
                return;
            }
        }
        for message in alike {
            known.push(self.messages.len());
            self.messages.push(message);
        }
    }

    /// How many lines were no messages.
    pub fn unreadable(&self) -> usize {
        self.unreadable
    }

    /// The messages that may have been said in `[start, end)`, in order of time, as a JSON list.
    pub fn list(mut self, start: Timestamp, end: Timestamp) -> String {
        let (start, end) = (seconds(start), seconds(end));
        self.messages.retain(|message| start <= message.to && message.from < end);
        let length = |message: &Message| message.to - message.from;
        self.messages.sort_by(|a, b| a.from.total_cmp(&b.from).then(length(a).total_cmp(&length(b))));
        let mut list = String::with_capacity(self.messages.iter().map(|message| message.line.len() + 2).sum());
        list.push('[');
        for (at, message) in self.messages.iter().enumerate() {
            list.push_str(if at > 0 { ", " } else { "" });
            list.push_str(&message.line);
        }
        list.push(']');
        list
    }
}

#[expect(clippy::cast_precision_loss, reason = "times of messages are floats of seconds themselves")]
fn seconds(time: Timestamp) -> f64 {
    time.us() as f64 / SECOND_US as f64
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const ALL: (Timestamp, Timestamp) = (Timestamp::from_us(0), Timestamp::from_us(1_000_000_000_000));

    fn batch(messages: &[Value]) -> Vec<u8> {
        messages.iter().map(Value::to_string).collect::<Vec<_>>().join("\n").into_bytes()
    }

    fn list(batches: &[&[Value]], (start, end): (Timestamp, Timestamp)) -> Vec<Value> {
        let mut chat = Chat::default();
        for messages in batches {
            chat.add(&batch(messages));
        }
        serde_json::from_str(&chat.list(start, end)).unwrap()
    }

    fn said(text: &str, time: f64, range: f64, who: &str) -> Value {
        json!({"command": "PRIVMSG", "params": ["#c", text], "time": time, "time_range": range, "receivers": {who: time}})
    }

    fn with_id(mut message: Value, id: &str) -> Value {
        message["tags"] = json!({"id": id});
        message
    }

    #[test]
    fn the_same_message_of_two_who_heard_it_is_one_and_known_better() {
        let a = said("hello", 10.0, 2.0, "a");
        let b = said("hello", 11.0, 4.0, "b");
        let both = list(&[from_ref(&a), from_ref(&b)], ALL);
        assert_eq!(both.len(), 1);
        assert_eq!((&both[0]["time"], &both[0]["time_range"]), (&json!(11.0), &json!(1.0)));
        assert_eq!(both[0]["receivers"], json!({"a": 10.0, "b": 11.0}));
        // Said twice, as each heard: within a batch each stands for itself.
        assert_eq!(list(&[&[a.clone(), a.clone()], &[b.clone(), b.clone()]], ALL).len(), 2);
        let later = said("hello", 20.0, 1.0, "b");
        assert_eq!(list(&[from_ref(&a), &[later]], ALL).len(), 2);
        assert_eq!(list(&[&[a], &[said("bye", 10.0, 2.0, "b")]], ALL).len(), 2);
    }

    #[test]
    fn an_id_is_one_message_unless_two_contradict_each_other() {
        let a = with_id(said("hello", 10.0, 0.0, "a"), "1");
        let same = with_id(said("hello", 10.0, 0.0, "b"), "1");
        let other = with_id(said("bye", 10.0, 0.0, "b"), "1");
        assert_eq!(list(&[from_ref(&a), from_ref(&same), from_ref(&same)], ALL).len(), 1);
        assert_eq!(list(&[&[a], &[other]], ALL).len(), 2);
    }

    #[test]
    fn what_may_have_been_said_in_the_stretch_is_told_in_order() {
        let messages = [said("late", 30.0, 0.0, "a"), said("b", 10.0, 5.0, "a"), said("a", 10.0, 0.0, "a")];
        let at = |second: i64| Timestamp::from_us(second * SECOND_US);
        let texts = |window| -> Vec<String> {
            let list = list(&[&messages], window);
            list.iter().map(|message| message["params"][1].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(texts(ALL), ["a", "b", "late"]);
        assert_eq!(texts((at(15), at(30))), ["b"]);
        assert_eq!(texts((at(30), at(31))), ["late"]);
    }

    #[test]
    fn damage_costs_the_line_that_it_is_in() {
        let good = said("hello", 10.0, 0.0, "a");
        let mut bytes = b"\xff\xfe\n{\"time\": \"soon\"}\n[]\n{}\n\n".to_vec();
        bytes.extend(batch(from_ref(&good)));
        bytes.extend(b"\n{\"time\": 11, \"para");
        bytes.extend(b"\n");
        bytes.extend(b"[".repeat(100_000));
        let mut chat = Chat::default();
        chat.add(&bytes);
        assert_eq!(chat.unreadable(), 6);
        assert_eq!(chat.list(ALL.0, ALL.1), format!("[{good}]"));
    }

    proptest! {
        #[test]
        fn the_order_of_batches_does_not_matter_and_no_bytes_panic(
            times in prop::collection::vec((0..4_u8, 0..3_u8), 1..6), noise in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let batches: Vec<Vec<u8>> = times.iter().enumerate().map(|(who, (time, text))| {
                batch(&[said(&text.to_string(), 10.0 * f64::from(*time), 1.0, &who.to_string())])
            }).collect();
            let listed = |order: &mut dyn Iterator<Item = &Vec<u8>>| {
                let mut chat = Chat::default();
                order.for_each(|batch| chat.add(batch));
                chat.add(&noise);
                let list: Vec<Value> = serde_json::from_str(&chat.list(ALL.0, ALL.1)).unwrap();
                let mut all: Vec<String> = list.iter().map(Value::to_string).collect();
                all.sort_unstable();
                all
            };
            prop_assert_eq!(listed(&mut batches.iter()), listed(&mut batches.iter().rev()));
        }
    }
}
