//! Playlists that are odd, and answers that are too much: what players take is recorded, and what cannot be is said and leaves nothing.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread;

use crate::recording::recorded;
use crate::support::node::gapless_through;
use crate::support::origin::Origin;
use crate::support::{TestArchive, gapless};

#[test]
fn playlists_with_variables_and_with_titles_in_latin_1_are_recorded() {
    let origin = Origin::new(0, 0);
    origin.encode_at_once(3, &["-hls_list_size", "0", "-hls_flags", "program_date_time"]);
    let plain = String::from_utf8(origin.read("live.m3u8")).unwrap();
    let variables = "#EXTM3U\n#EXT-X-DEFINE:IMPORT=\"name\"\n#EXT-X-DEFINE:QUERYPARAM=\"ending\"\n";
    let list = plain.replacen("#EXTM3U\n", variables, 1).replace("\nlive", "\n{$name}").replace(".ts", ".{$ending}");
    assert!(list.contains("{$name}0.{$ending}"), "{list}");
    let mut bytes = list.into_bytes();
    bytes.extend_from_slice(b"# Z\xfcrich\n");
    origin.write("live.m3u8", &bytes);
    let master =
        "#EXTM3U\n#EXT-X-DEFINE:NAME=\"name\",VALUE=\"live\"\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{$name}.m3u8?ending=ts\n";
    origin.write("master.m3u8", master.as_bytes());
    let archive = TestArchive::empty();
    let done = gapless(archive.path(), &["record", "c", &origin.url("master.m3u8")]);
    assert_eq!((done.code, recorded(&archive, "c/source").len()), (0, 3), "{done:?}");
    // Without the master playlist nobody knows what it declares.
    let done = gapless(archive.path(), &["record", "d", &origin.url("live.m3u8?ending=ts"), "--for", "2s"]);
    assert!(done.code == 3 && done.err.contains("the master playlist declares no variable of that name"), "{done:?}");
}

#[test]
fn a_segment_of_ten_gigabytes_is_not_begun_and_leaves_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut head = [0; 4_096];
            let read = stream.read(&mut head).unwrap_or_default();
            let is_list = head[..read].starts_with(b"GET /live.m3u8");
            let list = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhuge.ts\n";
            let (length, body) = if is_list { (list.len() as u64, list) } else { (10_000_000_000, "G") };
            let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
            stream.write_all((head + body).as_bytes()).unwrap_or_default();
        }
    });
    let archive = TestArchive::empty();
    let done = gapless(archive.path(), &["record", "c", &format!("http://{address}/live.m3u8"), "--for", "3s"]);
    let expected = format!("http://{address}/huge.ts has more than 1.00 GiB, which is the limit for a segment");
    assert!(done.code == 3 && done.err.contains(&expected), "{done:?}");
    let left: Vec<_> = fs::read_dir(archive.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_command_for_an_address_has_the_proxies_of_its_environment_however_they_are_spelt() {
    let archive = TestArchive::empty();
    for name in
        ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"]
    {
        let given = format!("{name}=proxy-of-mine");
        let script = format!("echo found ${name} >&2; exit 1");
        let args = ["record", "--test", "--resolve", "sh", "-c", &script];
        let done = gapless_through(&["env", &given], archive.path(), &args);
        assert!(done.code == 3 && done.err.contains("sh failed: found proxy-of-mine"), "{done:?}");
    }
}
