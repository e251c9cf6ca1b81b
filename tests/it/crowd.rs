//! Many clients that are slow, whether they mean it or not: the others do not notice, and nothing grows without bound (S6, D3).

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with, sockopt::set_socket_recv_buffer_size};
use rustix::process::{Resource, Signal, getrlimit};

use crate::support::{Kind, SOON, TestArchive, TestNode, eventually};

const TRICKLING: usize = 2_400;
const IDLE: usize = 2_400;
/// Fewer, because the kernel keeps megabytes for each that are not the node's.
const NOT_READING: usize = 200;
const CROWD: usize = TRICKLING + IDLE + NOT_READING;

/// Of a program that is compiled without optimisation, libraries too, and takes 10 MiB before anybody connects; with all of them it takes 140 MiB.
const MOST_MEMORY_KIB: u64 = 152 << 10;

/// A connection whose kernel takes next to nothing that is not read.
fn narrow(address: SocketAddr) -> TcpStream {
    // Nodes of other tests, begun meanwhile, must not have it as theirs.
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
    set_socket_recv_buffer_size(&socket, 4096).unwrap();
    connect(&socket, &address).unwrap();
    TcpStream::from(socket)
}

#[test]
fn five_thousand_slow_connections_hold_up_nobody_else() {
    // The node has the same limit, and needs two descriptors for a connection that sends a file.
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    if limit < 3 * CROWD as u64 {
        println!(
            "skipped: {CROWD} connections need a limit of {} open files; here it is {limit} (ulimit -n)",
            3 * CROWD
        );
        return;
    }
    let archive = TestArchive::empty();
    let hour = "chan/source/2019-11-13T02";
    let small = archive.segment(hour, "00:00", 2.0, Kind::Full);
    archive.raw("extras/large", &vec![7; 8 << 20]);
    let node = TestNode::start(&archive);
    node.wait_ready();
    let descriptors = node.descriptors();

    let mut trickling: Vec<TcpStream> = Vec::new();
    let mut others: Vec<TcpStream> = Vec::new();
    for _ in 0..TRICKLING {
        let mut stream = narrow(node.address);
        stream.write_all(b"GET /files HTTP/1.1\r\nX-").unwrap();
        trickling.push(stream);
    }
    others.extend((0..IDLE).map(|_| narrow(node.address)));
    for _ in 0..NOT_READING {
        let mut stream = narrow(node.address);
        stream.write_all(b"GET /segments/extras/large HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        others.push(stream);
    }
    eventually(SOON, || node.descriptors() >= descriptors + CROWD);

    let served = || {
        let begun = Instant::now();
        assert_eq!(node.files(hour).len(), 1);
        assert_eq!(node.get(&format!("/segments/{small}")).body, archive.read(&small));
        assert_eq!(node.get("/readyz").status, 200);
        begun.elapsed()
    };
    // Until the kernel has been given what it takes of all those answers.
    eventually(SOON, || served() < Duration::from_millis(250));
    let mut waits = Vec::new();
    for round in 0..20 {
        for stream in &mut trickling {
            stream.write_all(b"x").unwrap();
        }
        let (took, resident) = (served(), node.own_memory_kib());
        // One moment of a busy machine is no hold-up, which lasts until slow ones are cut.
        waits.push(took);
        assert!(took < Duration::from_secs(5), "others waited {took:?} in round {round}");
        assert!(resident < MOST_MEMORY_KIB, "{resident} KiB in round {round}");
        std::thread::sleep(Duration::from_millis(20));
    }
    waits.sort_unstable();
    assert!(waits[waits.len() / 2] < Duration::from_secs(1), "others waited {waits:?}");
    // Nobody was cut to make room, so they were there all the time.
    assert!(node.descriptors() >= descriptors + CROWD);

    drop((trickling, others));
    eventually(SOON, || node.descriptors() <= descriptors + 8);
    assert_eq!(node.files(hour).len(), 1);
    assert_eq!(node.get("/segments/extras/large").body.len(), 8 << 20);
    assert!(node.terminate() < Duration::from_secs(2), "nobody is waited for");
}

#[test]
fn whoever_idles_trickles_or_does_not_read_is_cut() {
    let archive = TestArchive::empty();
    archive.segment("chan/source/2019-11-13T02", "00:00", 2.0, Kind::Full);
    archive.raw("extras/large", &vec![7; 16 << 20]);
    let limits = "[http]\nheader_timeout = \"1s\"\nidle_timeout = \"1s\"\nwrite_stall_timeout = \"1s\"\n";
    let node = TestNode::plan(&archive).config(limits).start();
    let begun = Instant::now();
    let idle = narrow(node.address);
    let mut trickling = narrow(node.address);
    let mut not_reading = narrow(node.address);
    not_reading.write_all(b"GET /segments/extras/large HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    trickling.write_all(b"GET /files HTTP/1.1\r\n").unwrap();
    // A byte now and then helps nobody.
    while trickling.write_all(b"x").is_ok() {
        assert!(begun.elapsed() < SOON, "a head may be trickled for ever");
        std::thread::sleep(Duration::from_millis(100));
    }
    is_cut(idle);
    while not_reading.write_all(b"x").is_ok() {
        assert!(begun.elapsed() < SOON, "nobody needs to read");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(is_cut(not_reading) < 16 << 20, "it got all of it without reading");
    assert!(begun.elapsed() < SOON);
    assert_eq!(node.get("/healthz").status, 200);
}

/// Waits for the end and says how many bytes were left to read.
fn is_cut(mut stream: TcpStream) -> usize {
    stream.set_read_timeout(Some(SOON)).unwrap();
    let mut rest = Vec::new();
    if let Err(error) = stream.read_to_end(&mut rest) {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "it was not cut");
    }
    rest.len()
}

#[test]
fn a_download_that_is_under_way_is_finished_at_the_end() {
    let archive = TestArchive::empty();
    let large: Vec<u8> = (0..24_u32 << 20).map(|number| u8::try_from(number % 251).unwrap()).collect();
    archive.raw("extras/large", &large);
    let mut node = TestNode::start(&archive);
    node.wait_ready();
    let mut idle = node.connect();
    assert_eq!(idle.request("GET", "/healthz", &[]).status, 200);
    let mut download = narrow(node.address);
    download.set_read_timeout(Some(SOON)).unwrap();
    download.write_all(b"GET /segments/extras/large HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut received = vec![0; 64 << 10];
    download.read_exact(&mut received).unwrap();

    let begun = Instant::now();
    node.signal(Signal::TERM);
    eventually(SOON, || TcpStream::connect(node.address).is_err());
    assert_eq!(idle.read_to_end(), b"", "who has nothing in hand is let go at once");
    std::thread::sleep(Duration::from_millis(500));
    download.read_to_end(&mut received).unwrap();
    let head = received.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    assert!(received[head..] == large, "{} of {} bytes", received.len() - head, large.len());
    node.expect_end();
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_download_that_does_not_end_is_cut_after_the_time_allowed() {
    let archive = TestArchive::empty();
    archive.raw("extras/large", &vec![7; 16 << 20]);
    let node = TestNode::plan(&archive).config("[http]\ndrain = \"1s\"\n").start();
    let mut download = narrow(node.address);
    download.write_all(b"GET /segments/extras/large HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut begin = [0; 1024];
    download.read_exact(&mut begin).unwrap();
    let took = node.terminate();
    assert!((Duration::from_secs(1)..Duration::from_secs(3)).contains(&took), "{took:?}");
}
