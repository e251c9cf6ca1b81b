//! What playlists say, what is wrong with them, and that no bytes do harm.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;

fn media(text: &str) -> MediaList {
    match parse_playlist(text.as_bytes(), PlaylistPlace::default()) {
        Ok(HlsPlaylist::Media(list)) => list,
        other => panic!("{other:?}"),
    }
}

fn problem(text: &str) -> String {
    parse_playlist(text.as_bytes(), PlaylistPlace::default()).unwrap_err().to_string()
}

fn time(text: &str) -> Option<Timestamp> {
    let time = Timestamp::parse(text);
    assert!(time.is_some(), "{text}");
    time
}

#[test]
fn a_live_window_is_read_with_all_that_its_names_depend_on() {
    let list = media(
        "#EXTM3U\r\n#EXT-X-VERSION:4\n#EXT-X-TARGETDURATION:3\n#EXT-X-MEDIA-SEQUENCE:7\n#EXT-X-DISCONTINUITY-SEQUENCE:1\n\
         # a comment\n#EXTINF:2.002,\nbefore.ts\n#EXT-X-PROGRAM-DATE-TIME:2019-11-13T02:55:08.120+0100\n#EXTINF:2.0000005,title, and more\na.ts?x=1,2\n\
         #EXTINF:2,\nb.ts\n#EXT-X-DISCONTINUITY\n#EXT-X-GAP\n#EXTINF:.5,\nc.ts\n",
    );
    let listed: Vec<_> =
        list.segments.iter().map(|one| (one.sequence, &*one.uri, one.duration.us(), one.time)).collect();
    assert_eq!(
        listed,
        [
            (7, "before.ts", 2_002_000, time("2019-11-13T01:55:06.118Z")),
            (8, "a.ts?x=1,2", 2_000_001, time("2019-11-13T01:55:08.120Z")),
            (9, "b.ts", 2_000_000, time("2019-11-13T01:55:10.120001Z")),
            (10, "c.ts", 500_000, None),
        ]
    );
    let marks: Vec<_> = list.segments.iter().map(|one| (one.is_discontinuous, one.is_gap)).collect();
    assert_eq!(marks, [(false, false), (false, false), (false, false), (true, true)]);
    assert_eq!((list.target.us(), list.has_ended), (3_000_000, false));
}

#[test]
fn a_time_says_nothing_of_what_lies_before_a_discontinuity() {
    let list = media(
        "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\na\n#EXT-X-DISCONTINUITY\n#EXTINF:2,\nb\n\
         #EXT-X-PROGRAM-DATE-TIME:2019-11-13T02:00:04Z\n#EXTINF:2,\nc\n#EXT-X-ENDLIST\n",
    );
    let times: Vec<_> = list.segments.iter().map(|one| one.time).collect();
    assert_eq!(times, [None, time("2019-11-13T02:00:02Z"), time("2019-11-13T02:00:04Z")]);
    assert!(list.has_ended);
}

#[test]
fn keys_ranges_and_maps_hold_until_they_are_changed() {
    let list = media(
        "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-KEY:METHOD=AES-128,URI=\"k?a=1,b\",IV=0x0f\n#EXTINF:2,\n#EXT-X-BYTERANGE:100@50\nall.ts\n\
         #EXTINF:2,\n#EXT-X-BYTERANGE:70\nall.ts\n#EXT-X-KEY:METHOD=NONE\n#EXTINF:2,\nb.ts\n#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"k\"\n\
         #EXT-X-MAP:URI=\"init.mp4\"\n#EXTINF:2,\nc.m4s\n#EXT-X-KEY:METHOD=AES-128,URI=\"k\",KEYFORMAT=\"com.example\"\n#EXTINF:2,\nd.m4s\n",
    );
    let ranges: Vec<_> = list.segments.iter().map(|one| one.range.map(|range| (range.first, range.length))).collect();
    assert_eq!(ranges, [Some((50, 100)), Some((150, 70)), None, None, None]);
    let ciphers: Vec<_> = list.segments.iter().map(|one| one.cipher.as_deref()).collect();
    let mut iv = [0; 16];
    iv[15] = 15;
    let aes = SegmentCipher::Aes128 { uri: "k?a=1,b".to_owned(), iv: Some(iv) };
    let other = |name: &str| SegmentCipher::Other(name.to_owned());
    let (sample, foreign) = (other("SAMPLE-AES"), other("AES-128 with com.example"));
    assert_eq!(ciphers, [Some(&aes), Some(&aes), None, Some(&sample), Some(&foreign)]);
    let map = ListedInit { uri: "init.mp4".to_owned(), range: None, cipher: Some(Arc::new(sample.clone())) };
    let maps: Vec<_> = list.segments.iter().map(|one| one.map.as_deref()).collect();
    assert_eq!(maps, [None, None, None, Some(&map), Some(&map)]);
    let text = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MAP:URI=\"all.mp4\",BYTERANGE=\"700@20\"\n#EXTINF:2,\n#EXT-X-BYTERANGE:100@720\nall.mp4\n\
                #EXT-X-MAP:URI=\"all.mp4\",BYTERANGE=\"800\"\n#EXTINF:2,\n#EXT-X-BYTERANGE:100\nall.mp4\n";
    let of_maps: Vec<_> = media(text).segments.iter().map(|one| one.map.as_ref().unwrap().range).collect();
    assert_eq!(of_maps, [(20, 700), (0, 800)].map(|(first, length)| Some(ByteRange { first, length })));
}

#[test]
fn a_master_names_its_variants() {
    let text = "#EXTM3U\n#EXT-X-MEDIA:TYPE=VIDEO,GROUP-ID=\"chunked\",NAME=\"1080p60 (source)\",DEFAULT=YES\n\
                #EXT-X-STREAM-INF:BANDWIDTH=6000000,RESOLUTION=1920x1080,FRAME-RATE=59.940,CODECS=\"avc1.64002A,mp4a.40.2\",VIDEO=\"chunked\"\nhigh.m3u8\n\
                #EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1,URI=\"i.m3u8\"\n#EXT-X-STREAM-INF:BANDWIDTH=1000,NAME=low,AUDIO=\"a\"\nlow.m3u8\n";
    let Ok(HlsPlaylist::Master(list)) = parse_playlist(text.as_bytes(), PlaylistPlace::default()) else {
        panic!("no master")
    };
    let first = &list.variants[0];
    assert_eq!(
        (&*first.uri, first.bandwidth, first.resolution, first.frame_rate),
        ("high.m3u8", 6_000_000, Some((1920, 1080)), Some(59_940))
    );
    assert_eq!((first.codecs.as_deref(), first.video.as_deref()), (Some("avc1.64002A,mp4a.40.2"), Some("chunked")));
    let second = &list.variants[1];
    assert_eq!((second.name.as_deref(), second.audio.as_deref()), (Some("low"), Some("a")));
    assert_eq!((list.variants.len(), &*list.renditions[0].name), (2, "1080p60 (source)"));
}

#[test]
fn what_is_wrong_is_said_with_its_line_and_is_never_passed_over() {
    let head = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n";
    let cases = [
        ("<html>gone</html>", "begins with \"<html>gone</html>\", expected #EXTM3U"),
        ("", "expected #EXTM3U"),
        ("#EXTM3U\n", "neither segments nor variants"),
        ("#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=a,NAME=b\n", "neither segments nor variants"),
        (
            "#EXTM3U\n#EXT-X-TARGETDURATION:2\na.ts\n",
            "line 3 of the playlist is \"a.ts\": it is an address without #EXTINF",
        ),
        ("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:-2,\na.ts\n", "line 3"),
        ("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:3601,\na.ts\n", "at most an hour"),
        ("#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:x\n", "line 2"),
        (
            "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:18446744073709551615\n#EXTINF:2,\na\n#EXTINF:2,\nb\n",
            "does not fit into 64 bits",
        ),
        ("#EXTM3U\n#EXTINF:2,\n#EXT-X-BYTERANGE:10\na\n", "nothing says where its bytes begin"),
        ("#EXTM3U\n#EXTINF:2,\n#EXT-X-BYTERANGE:18446744073709551615@2\na\n", "expected a byte range"),
        ("#EXTM3U\n#EXT-X-KEY:METHOD=AES-128\n", "URI of a key"),
        ("#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI=\"k\n", "a quote is not closed"),
        ("#EXTM3U\n#EXT-X-MAP:BYTERANGE=\"1@0\"\n", "URI of an initialisation segment"),
        ("#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI=\"k\"\n#EXT-X-MAP:URI=\"i\"\n", "expected an IV"),
        ("#EXTM3U\n#EXT-X-PROGRAM-DATE-TIME:noon\n", "expected a time"),
        ("#EXTM3U\n#EXT-X-SKIP:SKIPPED-SEGMENTS=3\n", "was not asked for"),
    ];
    for (text, expected) in cases {
        assert!(problem(text).contains(expected), "{text:?}: {}", problem(text));
    }
    let long = format!("{head}#EXTINF:2,\n{}\n", "x".repeat(LONGEST_LINE + 1));
    assert!(problem(&long).contains("longer than 16 KiB") && problem(&long).len() < 200);
    let many = format!("{head}{}", "#EXTINF:2,\na\n".repeat(MOST_SEGMENTS + 1));
    assert_eq!(problem(&many), "the playlist has more than 50000 segments; that is refused, to bound memory");
}

#[test]
fn what_is_no_utf8_is_read_as_far_as_it_is_needed() {
    let head = &b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n"[..];
    let body = b"#EXTINF:2,Radio Z\xfcrich\r\ncaf\xe9/1.ts\r\n#EXTINF:2,\xc3\xbc\n2.ts\n";
    let Ok(HlsPlaylist::Media(list)) = parse_playlist(&[head, body].concat(), PlaylistPlace::default()) else {
        panic!("no list")
    };
    assert_eq!(list.segments.iter().map(|one| &*one.uri).collect::<Vec<_>>(), ["caf%E9/1.ts", "2.ts"]);
    let long = [head, &vec![0xff; 1 << 20]].concat();
    let too_long = parse_playlist(&long, PlaylistPlace::default()).unwrap_err().to_string();
    assert!(too_long.contains("longer than 16 KiB") && too_long.len() < 300, "{too_long}");
    // What is no playlist at all is said as before.
    let said = parse_playlist(b"\xff\xfe#\0E\0X\0T\0", PlaylistPlace::default()).unwrap_err().to_string();
    assert!(said.contains("it is no HLS playlist"), "{said}");
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "(#EXT(INF|-X-(DEFINE|KEY|MAP|BYTERANGE|STREAM-INF|MEDIA|PROGRAM-DATE-TIME)):[ -~]{0,30}\n|[ -~]{0,10}\n){0,12}") {
        let _one = parse_playlist(&bytes, PlaylistPlace::default());
        let _other = parse_playlist(format!("#EXTM3U\n{text}").as_bytes(), PlaylistPlace::default());
    }

    #[test]
    fn what_is_written_is_read_to_the_microsecond(
        first in 0_u64..u64::MAX / 2,
        durations in prop::collection::vec(0_i64..3_600_000_000, 1..20),
        at in 0_i64..4_000_000_000_000,
    ) {
        let mut text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:3600\n#EXT-X-MEDIA-SEQUENCE:{first}\n");
        let time = Timestamp::from_us(at * 1_000);
        writeln!(text, "#EXT-X-PROGRAM-DATE-TIME:{time}").unwrap();
        for (number, us) in durations.iter().enumerate() {
            writeln!(text, "#EXTINF:{}.{:06},\n{number}.ts", us / 1_000_000, us % 1_000_000).unwrap();
        }
        let list = media(&text);
        let mut expected = time;
        for (number, (listed, us)) in list.segments.iter().zip(&durations).enumerate() {
            prop_assert_eq!((listed.sequence, listed.duration.us(), listed.time), (first + number as u64, *us, Some(expected)));
            expected = expected + Span::from_us(*us);
        }
        prop_assert_eq!(list.segments.len(), durations.len());
    }
}

/// Which of six segments of two seconds are ads.
fn ads(ranges: &str) -> Vec<u64> {
    let begin = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-PROGRAM-DATE-TIME:2019-11-13T02:00:00Z\n";
    let segments = "#EXTINF:2,\nx.ts\n".repeat(6);
    match parse_playlist(format!("{begin}{ranges}{segments}").as_bytes(), PlaylistPlace::default()) {
        Ok(HlsPlaylist::Media(list)) => list.segments.iter().filter(|one| one.is_ad).map(|one| one.sequence).collect(),
        other => panic!("{other:?}"),
    }
}

fn range(attributes: &str, second: &str) -> String {
    format!("#EXT-X-DATERANGE:{attributes},START-DATE=\"2019-11-13T02:00:{second}Z\"\n")
}

#[test]
fn ads_are_known_by_their_class_their_id_and_their_messages() {
    let class = "ID=\"x\",CLASS=\"twitch-stitched-ad\"";
    assert_eq!(ads(&range(&format!("{class},DURATION=4.02"), "01.99")), [1, 2]);
    assert_eq!(ads(&range("ID=\"stitched-ad-17-23\",DURATION=30", "08")), [4, 5]);
    assert_eq!(ads(&range("ID=\"7\",SCTE35-OUT=0xFC30,PLANNED-DURATION=2", "00")), [0]);
    assert_eq!(ads(&range(&format!("{class},END-DATE=\"2019-11-13T02:00:04Z\",PLANNED-DURATION=60"), "02")), [1]);
    let title = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,Amazon|7\na.ts\n#EXTINF:2,live\nb.ts\n#EXTINF:2\nc.ts\n";
    assert_eq!(media(title).segments.iter().map(|one| one.is_ad).collect::<Vec<_>>(), [true, false, false]);
    let two = range(&format!("{class},DURATION=8"), "00") + &range(&format!("{class},DURATION=1"), "01");
    assert_eq!(ads(&two), [0, 1, 2, 3]);
}

#[test]
fn what_might_be_the_stream_itself_is_no_ad() {
    let class = "ID=\"x\",CLASS=\"twitch-stitched-ad\"";
    for other in [
        range(class, "00"),
        range(&format!("{class},DURATION=0"), "00"),
        range(&format!("{class},DURATION=x"), "00"),
        range(&format!("{class},DURATION=4"), "99"),
        format!("#EXT-X-DATERANGE:{class},DURATION=4\n"),
        range("ID=\"x\",CLASS=\"twitch-session\",DURATION=60", "00"),
        "#EXT-X-DATERANGE:nonsense\n".to_owned(),
        "#EXT-X-DATERANGE:ID=\"open\n".to_owned(),
    ] {
        assert_eq!(ads(&other), Vec::<u64>::new(), "{other}");
    }
}

proptest! {
    #[test]
    fn a_segment_is_an_ad_if_its_middle_is_in_any_range(ranges in prop::collection::vec((0..12_i64, 1..9_i64), 0..6)) {
        let told = ranges.iter().map(|(at, long)| {
            range(&format!("ID=\"stitched-ad-x\",DURATION={long}"), &format!("{at:02}"))
        });
        let expected = (0..6).filter(|number| {
            let middle = i64::try_from(*number).unwrap() * 2 + 1;
            ranges.iter().any(|(at, long)| (*at..at + long).contains(&middle))
        });
        prop_assert_eq!(ads(&told.collect::<String>()), expected.collect::<Vec<u64>>());
    }

    #[test]
    fn no_attributes_make_this_panic(text in ".{0,200}") {
        let found = ad_range(&text);
        prop_assert!(found.is_none_or(|ad| ad.start < ad.end));
    }
}
