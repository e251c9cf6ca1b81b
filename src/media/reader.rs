//! Reads a transport stream, and tells a [`Sink`] what is in it: packets, the tables of the program, and of its streams the units.
//!
//! 1. Bytes come in pieces of any size; what is told does not depend on them. Memory is constant, and no payload is copied or kept.
//! 2. Of several programs the first in the table of programs is read; it stays the one as long as that table lists it.
//! 3. Tables may change at any time. Those that are damaged or for later count for nothing. What is read follows the new table from its
//!    packet on; streams that it does not list any more end.
//! 4. A packet that repeats the one before it, counter and content, is told as a packet, and its payload is passed over.
//! 5. Nothing is judged here, and times are passed on as they stand there.

use super::framing::{Framed, Framing};
use super::packet::{LEN, NULL_PID, Packet};
use super::pes::{self, Begin, Header};
use super::psi::{self, Elementary, Program, Sections};

/// Packets of this number carry the table of programs.
const PROGRAMS_PID: u16 = 0;

/// The longest header of a unit.
const LONGEST_HEADER: usize = pes::SHORT + 3 + 255;

/// Who is told what a stream is made of. Whoever wants only some of it leaves the rest.
pub trait Sink {
    /// Whether units are wanted. Without them reading costs less.
    const UNITS: bool = true;

    /// A packet, and where it begins. Those that only fill time are left out.
    fn packet(&mut self, _at: u64, _packet: &Packet<'_>) {}

    /// Where a packet has to begin there is none, but this byte. Once for each place from which on packets are looked for.
    fn lost(&mut self, _at: u64, _found: u8) {}

    /// The table of the program, the first time and whenever it differs.
    fn tables(&mut self, _program: &Program) {}

    /// A unit of a stream begins.
    fn begin(&mut self, _stream: &Elementary, _header: &Header) {}

    /// A piece of the content of the unit that began last in that stream.
    fn content(&mut self, _stream: &Elementary, _piece: &[u8]) {}

    /// The unit is over: another one begins, all is there, its stream has ended, or there are no more bytes.
    fn end(&mut self, _stream: &Elementary) {}
}

/// Reads one file.
#[derive(Debug, Default)]
pub struct Reader {
    framing: Framing,
    state: ReaderState,
}

/// What is known between two packets.
#[derive(Debug, Default)]
struct ReaderState {
    programs: Table,
    /// The program that is read, and where its table is.
    chosen: Option<(u16, u16)>,
    table: Table,
    program: Option<Program>,
    /// The table was seen in these bytes, and not only before.
    was_seen: bool,
    streams: Vec<StreamReader>,
}

/// A table while its packets come.
#[derive(Debug, Default)]
struct Table {
    last: Last,
    sections: Sections,
}

/// One stream while its packets come.
#[derive(Debug)]
struct StreamReader {
    what: Elementary,
    last: Last,
    unit: UnitProgress,
}

/// Where a stream is in its unit.
#[derive(Debug)]
enum UnitProgress {
    /// In none.
    Outside,
    /// In the header, which lies in several packets.
    Header(Vec<u8>),
    /// In the content, of which so much is to come, if the header says so.
    Content(Option<usize>),
}

/// The packet with a payload that came last.
#[derive(Debug)]
struct Last {
    bytes: [u8; LEN],
    is_there: bool,
}

impl Default for Last {
    fn default() -> Self {
        Self { bytes: [0; LEN], is_there: false }
    }
}

/// How a packet goes on from the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PacketOrder {
    Next,
    /// It is the same once more.
    Repeats,
    /// Something between them is missing.
    Skips,
}

impl Reader {
    /// Of a file whose tables are known, so that units before them are read as well.
    pub fn knowing(program: &Program) -> Self {
        let mut reader = Self::default();
        reader.state.streams = program.streams.iter().copied().map(StreamReader::new).collect();
        reader.state.program = Some(program.clone());
        reader
    }

    /// Takes the next bytes.
    pub fn push(&mut self, bytes: &[u8], sink: &mut impl Sink) {
        let Self { framing, state } = self;
        framing.push(bytes, &mut |framed| state.framed(&framed, sink));
    }

    /// There are no more bytes.
    pub fn finish(&mut self, sink: &mut impl Sink) {
        let Self { framing, state } = self;
        framing.finish(&mut |framed| state.framed(&framed, sink));
        for stream in &mut state.streams {
            stream.end(sink);
        }
    }

    /// Where the first packet begins and how far apart packets lie, once that is known.
    pub fn first(&self) -> Option<(u64, usize)> {
        self.framing.first()
    }

    /// Once there are no more bytes: those of a last packet that is torn off.
    pub fn torn(&self) -> u64 {
        self.framing.torn()
    }
}

/// The first table of a program in these bytes.
pub fn program_of(bytes: &[u8]) -> Option<Program> {
    /// Bytes between two looks.
    const PIECE: usize = 64 << 10;
    struct FirstProgram(Option<Program>);
    impl Sink for FirstProgram {
        const UNITS: bool = false;
        fn tables(&mut self, program: &Program) {
            self.0.get_or_insert_with(|| program.clone());
        }
    }
    let (mut first, mut reader) = (FirstProgram(None), Reader::default());
    for piece in bytes.chunks(PIECE) {
        reader.push(piece, &mut first);
        if first.0.is_some() {
            return first.0;
        }
    }
    reader.finish(&mut first);
    first.0
}

impl ReaderState {
    #[inline]
    fn framed<S: Sink>(&mut self, framed: &Framed<'_>, sink: &mut S) {
        match framed {
            Framed::Packet(at, bytes) => self.packet(*at, bytes, sink),
            Framed::Lost(at, found) => sink.lost(*at, *found),
        }
    }

    #[inline]
    fn packet<S: Sink>(&mut self, at: u64, bytes: &[u8; LEN], sink: &mut S) {
        let packet = Packet::read(bytes);
        if packet.pid == NULL_PID {
            return;
        }
        sink.packet(at, &packet);
        // Nothing in a damaged packet can be relied on.
        let Some(payload) = packet.payload.filter(|_| !packet.damaged) else { return };
        if packet.pid == PROGRAMS_PID {
            let chosen = &mut self.chosen;
            self.programs.take(bytes, &packet, payload, &mut |section| choose(chosen, section));
        } else if self.chosen.is_some_and(|(_, pid)| pid == packet.pid) {
            let (wanted, mut found) = (self.chosen.map(|(number, _)| number), None);
            self.table.take(bytes, &packet, payload, &mut |section| {
                found = psi::program(section).filter(|program| Some(program.number) == wanted).or(found.take());
            });
            if let Some(program) = found {
                self.follow(program, sink);
            }
        } else if S::UNITS
            && let Some(stream) = self.streams.iter_mut().find(|known| known.what.pid == packet.pid)
        {
            stream.packet(bytes, &packet, payload, sink);
        }
    }

    /// Goes on with what this table says.
    fn follow<S: Sink>(&mut self, program: Program, sink: &mut S) {
        let is_new = self.program.as_ref() != Some(&program);
        if is_new {
            let stays = |stream: &StreamReader| program.streams.contains(&stream.what);
            for gone in self.streams.iter_mut().filter(|stream| !stays(stream)) {
                gone.end(sink);
            }
            self.streams.retain(stays);
            for stream in &program.streams {
                if !self.streams.iter().any(|known| known.what.pid == stream.pid) {
                    self.streams.push(StreamReader::new(*stream));
                }
            }
        }
        if is_new || !self.was_seen {
            sink.tables(&program);
        }
        self.was_seen = true;
        self.program = Some(program);
    }
}

/// The first program of a table of programs, or the one that is read already.
fn choose(chosen: &mut Option<(u16, u16)>, section: &[u8]) {
    let Some(programs) = psi::programs(section) else { return };
    let programs: Vec<(u16, u16)> = programs.collect();
    let same = programs.iter().find(|(number, _)| chosen.is_some_and(|(known, _)| known == *number));
    // A further section of a long table does not decide.
    let is_first = section.get(6) == Some(&0);
    if let Some(found) = same.or_else(|| programs.first().filter(|_| is_first || chosen.is_none())) {
        *chosen = Some(*found);
    }
}

impl Table {
    fn take(&mut self, bytes: &[u8; LEN], packet: &Packet<'_>, payload: &[u8], each: &mut impl FnMut(&[u8])) {
        match self.last.order(bytes, packet) {
            PacketOrder::Repeats => return,
            PacketOrder::Skips => self.sections.lose(),
            PacketOrder::Next => {}
        }
        self.sections.push(packet.begins, payload, each);
    }
}

impl Last {
    /// How this packet goes on (2.4.3.3). A repetition may differ in the clock alone, which stands before the payload.
    fn order(&mut self, bytes: &[u8; LEN], packet: &Packet<'_>) -> PacketOrder {
        let order = if self.is_there && !packet.discontinuity {
            let last = Packet::read(&self.bytes);
            if last.counter == packet.counter {
                let is_same = self.bytes[1..4] == bytes[1..4] && last.payload == packet.payload;
                if is_same { PacketOrder::Repeats } else { PacketOrder::Skips }
            } else if (last.counter + 1) & 0x0f == packet.counter {
                PacketOrder::Next
            } else {
                PacketOrder::Skips
            }
        } else {
            PacketOrder::Next
        };
        self.bytes = *bytes;
        self.is_there = true;
        order
    }
}

impl StreamReader {
    fn new(what: Elementary) -> Self {
        Self { what, last: Last::default(), unit: UnitProgress::Outside }
    }

    fn packet(&mut self, bytes: &[u8; LEN], packet: &Packet<'_>, payload: &[u8], sink: &mut impl Sink) {
        // What is missing is missing in one unit; what is there of it may still be of use.
        if self.last.order(bytes, packet) == PacketOrder::Repeats {
            return;
        }
        if packet.begins {
            self.end(sink);
            self.unit = UnitProgress::Header(Vec::new());
        }
        if packet.scrambled {
            self.end(sink);
            return;
        }
        match &mut self.unit {
            UnitProgress::Outside => {}
            UnitProgress::Header(waiting) if waiting.is_empty() => self.header(payload, sink),
            UnitProgress::Header(waiting) => {
                waiting.extend_from_slice(payload);
                let whole = std::mem::take(waiting);
                self.header(&whole, sink);
            }
            UnitProgress::Content(_) => self.content(payload, sink),
        }
    }

    fn header(&mut self, bytes: &[u8], sink: &mut impl Sink) {
        match pes::read(bytes) {
            Begin::Header(header) => {
                self.unit = UnitProgress::Content(header.length);
                sink.begin(&self.what, &header);
                self.content(bytes.get(header.content..).unwrap_or_default(), sink);
            }
            Begin::Short if bytes.len() < LONGEST_HEADER => self.unit = UnitProgress::Header(bytes.to_vec()),
            Begin::Short | Begin::Other => self.unit = UnitProgress::Outside,
        }
    }

    fn content(&mut self, bytes: &[u8], sink: &mut impl Sink) {
        let UnitProgress::Content(left) = &mut self.unit else { return };
        let Some(left) = left else { return sink.content(&self.what, bytes) };
        let piece = bytes.get(..*left).unwrap_or(bytes);
        *left -= piece.len();
        let is_all = *left == 0;
        sink.content(&self.what, piece);
        if is_all {
            self.end(sink);
        }
    }

    fn end(&mut self, sink: &mut impl Sink) {
        if matches!(std::mem::replace(&mut self.unit, UnitProgress::Outside), UnitProgress::Content(_)) {
            sink.end(&self.what);
        }
    }
}
