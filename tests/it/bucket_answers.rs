//! Answers of a store that are not what they look like: refusals that come as a success, lists that are cut or come to no end, and what others
//! between here and the store say.

use std::fs;

use gapless::archive::{Span, Timestamp};
use gapless::bucket::{BucketError, UploadError};
use hyper::Method;

use crate::archive_tier::{HOURS, archive, ask, receipt, seal_all, shares, with_bucket};
use crate::bucket::{bucket, check, key, sealed, upload};
use crate::support::object_store::{LineFault, TestStore};
use crate::support::{TestArchive, gapless};

const PORTAL: &str = "<html><body>Welcome to the hotel</body></html>";

fn refusal(code: &str) -> String {
    format!("<?xml version=\"1.0\"?>\n<Error><Code>{code}</Code></Error>")
}

/// A page of a list, with one object of this year, and where it goes on.
fn page(year: usize, more: &str) -> LineFault {
    let name = format!("here/v1/z/source/{year:04}-01-01T00/{}.tar", "ab".repeat(32));
    LineFault::Answers(
        200,
        format!("<ListBucketResult>{more}<Contents><Key>{name}</Key><Size>7</Size></Contents></ListBucketResult>"),
    )
}

fn more(token: &str) -> String {
    format!("<IsTruncated>true</IsTruncated><NextContinuationToken>{token}</NextContinuationToken>")
}

#[tokio::test]
async fn a_refusal_that_comes_as_a_success_is_one() {
    let (archive, packed) = sealed(12 << 20);
    let store = TestStore::start();
    let here = bucket(&store);
    // What may pass is tried again.
    store.fails(Method::POST, "uploadId", LineFault::Answers(200, refusal("InternalError")), 1);
    store.fails(Method::PUT, "partNumber=2", LineFault::Answers(200, refusal("SlowDown")), 1);
    upload(&here, &archive, &packed).await.unwrap();
    check(&here, &packed).await.unwrap();
    fs::remove_file(store.file(&key(&packed.object_name()))).unwrap();
    for (method, within, body, reason) in [
        (Method::POST, "uploadId", refusal("InvalidPart"), "refused"),
        (Method::POST, "uploadId", refusal("AccessDenied"), "denied"),
        (Method::POST, "uploadId", refusal("InternalError"), "failed"),
        (Method::POST, "uploadId", PORTAL.to_owned(), "unexpected"),
        (Method::PUT, "partNumber=2", refusal("AccessDenied"), "denied"),
        (Method::POST, "uploads", PORTAL.to_owned(), "unexpected"),
    ] {
        store.fails(method, within, LineFault::Answers(200, body.clone()), 9);
        let UploadError::Bucket(error) = upload(&here, &archive, &packed).await.unwrap_err() else { panic!() };
        assert!(error.reason() == reason && !error.is_loss(), "{body}: {error}");
        store.is_well();
        assert_eq!((store.open_uploads(), here.size_of(&packed.object_name()).await.unwrap()), (0, None), "{body}");
    }
}

#[test]
fn what_is_no_answer_of_a_store_gives_no_receipt_and_takes_none() {
    let (store, archive) = (TestStore::start(), archive());
    with_bucket(&archive, &store);
    seal_all(&archive);
    store.fails(Method::PUT, ".tar", LineFault::Answers(200, PORTAL.to_owned()), 9);
    let run = ask(&archive, &["run"]).json(1);
    assert_eq!((&run["summary"]["done"], &run["summary"]["errors"]), (&0.into(), &2.into()), "{run}");
    assert_eq!((run["hours"][0]["state"].as_str(), shares(&archive)), (Some("gone"), [0, 2, 0]), "{run}");
    store.is_well();
    assert_eq!(ask(&archive, &["run"]).json(0)["summary"]["done"], 2);
    for (body, told) in [(PORTAL.to_owned(), "is it an object store"), (refusal("AccessDenied"), "ETag")] {
        store.fails(Method::GET, ".tar", LineFault::Answers(200, body), 9);
        let verify = ask(&archive, &["verify"]);
        assert!(verify.code == 3 && verify.err.contains(told), "{verify:?}");
        assert!(receipt(&archive, HOURS[0]).exists() && receipt(&archive, HOURS[1]).exists());
        store.is_well();
    }
    // That nothing is in a list counts only where it is a list.
    for body in [PORTAL.to_owned(), refusal("AccessDenied"), "{}".to_owned()] {
        store.fails(Method::GET, "list-type", LineFault::Answers(200, body.clone()), 1);
        let restore = ask(&archive, &["restore", "c"]);
        assert!(restore.code == 3 && !restore.err.contains("has no hour"), "{body}: {restore:?}");
    }
}

#[tokio::test]
async fn a_list_that_is_cut_or_goes_round_in_a_circle_is_an_error() {
    let store = TestStore::start();
    let here = bucket(&store);
    for (from, more, fits) in [
        (None, "<IsTruncated>true</IsTruncated>", false),
        (None, "<IsTruncated>true</IsTruncated><NextContinuationToken></NextContinuationToken>", false),
        (Some("x"), &*more("x"), false),
        (Some("x"), &*more("y"), true),
        (None, "<NextContinuationToken>x</NextContinuationToken>", true),
    ] {
        store.fails(Method::GET, "list-type", page(2020, more), 1);
        let list = here.list("", from).await;
        assert_eq!(list.as_ref().err().map(BucketError::reason), (!fits).then_some("unexpected"), "{more}: {list:?}");
    }
    store.fails(Method::GET, "list-type", LineFault::Answers(200, refusal("SlowDown")), 1);
    assert_eq!(here.list("", None).await.unwrap().objects, []);
}

#[test]
fn a_list_comes_page_by_page_and_one_without_an_end_is_given_up() {
    let (store, archive) = (TestStore::start(), TestArchive::empty());
    with_bucket(&archive, &store);
    let begin = |pages: Vec<LineFault>| {
        store.is_well();
        store.requests();
        for page in pages {
            store.fails(Method::GET, "list-type", page, 1);
        }
    };
    let tokens = |pages: usize, year: fn(usize) -> usize| {
        (0..pages).map(|number| page(year(number), &more(&format!("t{number}")))).collect::<Vec<_>>()
    };
    begin([tokens(2, |number| 2020 + number), vec![page(2030, "")]].concat());
    let all = ask(&archive, &["ls"]).json(0);
    let years: Vec<&str> =
        all["objects"].as_array().unwrap().iter().map(|object| &object["name"].as_str().unwrap()[12..16]).collect();
    assert_eq!((&years[..], &all["others"]), (&["2020", "2021", "2030"][..], &0.into()), "{all}");
    assert_eq!(ask(&archive, &["ls"]).json(0).to_string(), "{\"objects\":[],\"others\":0}");
    // What breaks off is no document, and no list.
    begin([tokens(1, |_| 2020), vec![LineFault::Refuses(403, "AccessDenied")]].concat());
    let cut = ask(&archive, &["ls"]);
    assert!(cut.code == 3 && cut.out.contains("2020-01-01T00") && !cut.out.contains(']'), "{cut:?}");
    begin(tokens(300, |_| 2020));
    let circle = gapless(archive.path(), &["archive", "ls"]);
    assert!(circle.code == 3 && circle.err.contains("again and again"), "{circle:?}");
    begin(tokens(300, |_| 2020));
    let restore = ask(&archive, &["restore", "z"]);
    assert!(restore.code == 3 && restore.err.contains("comes to its end"), "{restore:?}");
    assert!(store.requests().len() < 120);
}

#[tokio::test]
async fn all_pages_of_uploads_that_were_left_behind_are_looked_at() {
    let store = TestStore::start();
    let here = bucket(&store);
    let uploads = |hour: usize, more: &str| {
        let name = format!("here/too/v1/z/source/2020-01-01T{hour:02}/{}.tar", "ab".repeat(32));
        LineFault::Answers(
            200,
            format!(
                "<ListMultipartUploadsResult>{more}<Upload><Key>{name}</Key><UploadId>u{hour}</UploadId>\
                 <Initiated>2020-01-02T00:00:00.000Z</Initiated></Upload></ListMultipartUploadsResult>"
            ),
        )
    };
    let marker = |at: usize| {
        format!(
            "<IsTruncated>true</IsTruncated><NextKeyMarker>k {at}</NextKeyMarker>\
             <NextUploadIdMarker>m{at}</NextUploadIdMarker>"
        )
    };
    let end = async || here.end_abandoned(Span::from_us(0), Timestamp::from(std::time::SystemTime::now())).await;
    store.fails(Method::DELETE, "", LineFault::Answers(204, String::new()), 3);
    store.fails(
        Method::GET,
        "key-marker=k%200&prefix=here%2Ftoo%2Fv1%2F&upload-id-marker=m0",
        uploads(1, &marker(1)),
        1,
    );
    store.fails(Method::GET, "key-marker=k%201", uploads(2, ""), 1);
    store.fails(Method::GET, "uploads=", uploads(0, &marker(0)), 1);
    assert_eq!(end().await.unwrap(), Some(3));
    let ended = store.requests().into_iter().filter(|(method, _)| *method == Method::DELETE).count();
    assert_eq!(ended, 3);
    // One that does not say where it goes on, and one that never ends.
    store.fails(Method::DELETE, "", LineFault::Answers(204, String::new()), 1_000);
    store.fails(Method::GET, "uploads=", uploads(0, "<IsTruncated>true</IsTruncated>"), 1);
    assert_eq!(end().await.unwrap_err().reason(), "unexpected");
    for at in 0..200 {
        store.fails(Method::GET, "uploads=", uploads(0, &marker(at)), 1);
    }
    store.requests();
    assert_eq!(end().await.unwrap(), Some(100));
    assert_eq!(store.requests().len(), 200);
}
