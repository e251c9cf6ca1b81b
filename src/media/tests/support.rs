//! Small streams, put together by hand.

use crate::media::checksum;
use crate::media::packet::{LEN, SYNC};
use crate::media::time::written;

/// A packet of a stream; `marks` is the first byte of its adaptation field, where it has one.
pub(super) fn packet(pid: u16, begins: bool, counter: u8, marks: Option<u8>, payload: &[u8]) -> [u8; LEN] {
    let [high, low] = pid.to_be_bytes();
    let room = LEN - 4 - payload.len();
    let mut bytes = vec![SYNC, high | if begins { 0x40 } else { 0 }, low];
    if room > 0 || marks.is_some() {
        bytes.extend([0x30 | counter & 15, u8::try_from(room - 1).unwrap()]);
        if room > 1 {
            bytes.push(marks.unwrap_or(0));
        }
        bytes.resize(4 + room, 0xff);
    } else {
        bytes.push(0x10 | counter & 15);
    }
    bytes.extend(payload);
    bytes.try_into().unwrap()
}

/// A section with its checksum.
pub(super) fn section(table: u8, number: u16, version: u8, body: &[u8]) -> Vec<u8> {
    let [long, short] = u16::try_from(body.len() + 9).unwrap().to_be_bytes();
    let [high, low] = number.to_be_bytes();
    let mut bytes = vec![table, 0xb0 | long, short, high, low, 0xc1 | version << 1, 0, 0];
    bytes.extend(body);
    let sum = checksum(&bytes).to_be_bytes();
    bytes.extend(sum);
    bytes
}

pub(super) fn programs(list: &[(u16, u16)]) -> Vec<u8> {
    let body: Vec<u8> =
        list.iter().flat_map(|(number, pid)| [number.to_be_bytes(), (pid | 0xe000).to_be_bytes()].concat()).collect();
    section(0, 1, 0, &body)
}

pub(super) fn program(number: u16, version: u8, streams: &[(u8, u16, &[u8])]) -> Vec<u8> {
    let mut body = vec![0xe1, 0x00, 0xf0, 0];
    for (kind, pid, descriptors) in streams {
        let [high, low] = pid.to_be_bytes();
        body.extend([*kind, 0xe0 | high, low, 0xf0, u8::try_from(descriptors.len()).unwrap()]);
        body.extend(*descriptors);
    }
    section(2, number, version, &body)
}

/// A table in packets of its own, from this counter on.
pub(super) fn table(pid: u16, counter: u8, section: &[u8]) -> Vec<u8> {
    let bytes = [&[0], section].concat();
    let packets = (0..).zip(bytes.chunks(LEN - 4));
    packets.flat_map(|(at, piece)| packet(pid, at == 0, counter + at, None, piece)).collect()
}

/// A unit with its times.
pub(super) fn unit(id: u8, pts: i64, dts: i64, data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 1, id, 0, 0, 0x80, 0xc0, 10];
    bytes.extend(written(3, pts));
    bytes.extend(written(1, dts));
    bytes.extend(data);
    bytes
}

/// A picture in one packet.
pub(super) fn picture(pid: u16, counter: u8, time: i64, marks: Option<u8>) -> Vec<u8> {
    packet(pid, true, counter, marks, &unit(0xe0, time, time, &[0, 0, 1, 0x65, counter])).to_vec()
}

pub(super) fn sound(pid: u16, counter: u8, time: i64, marks: Option<u8>) -> Vec<u8> {
    let frame = [0xff, 0xf1, 0x4c, 0x80, 1, 0x3f, 0xfc, 1, 2];
    packet(pid, true, counter, marks, &unit(0xc0, time, time, &frame)).to_vec()
}

pub(super) const VIDEO: (u8, u16, &[u8]) = (0x1b, 0x100, &[]);
pub(super) const SOUND: (u8, u16, &[u8]) = (0x0f, 0x101, &[]);
pub(super) const PMT: u16 = 0x1000;

pub(super) fn tables(streams: &[(u8, u16, &[u8])]) -> Vec<u8> {
    [table(0, 0, &programs(&[(1, PMT)])), table(PMT, 0, &program(1, 0, streams))].concat()
}
