//! Sealed hours in a distributed store, a real one: they come back to the byte while a device of it dies, its front goes away in the middle, and
//! what one of its devices has is damaged.

use std::time::{Duration, SystemTime};

use gapless::archive::{Span, Timestamp};
use gapless::bucket::{AccessKeys, Bucket, BucketSettings, CredentialSource, UploadError};
use gapless::net::tls;
use tokio_util::sync::CancellationToken;

use crate::bucket::{PART, check, local, sealed, upload};
use crate::support::swift::Swift;

fn bucket(swift: &Swift, secret: &str) -> Bucket {
    let source = CredentialSource::Keys(AccessKeys::new(Swift::KEY, secret, None, "the test").unwrap());
    let settings = BucketSettings::new(&swift.url(), Swift::BUCKET, Swift::REGION, "here", false, source);
    let mut settings = settings.unwrap();
    settings.part_bytes = PART;
    Bucket::new(settings, &tls::trusting_nobody().unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_hour_in_a_distributed_store_outlives_what_happens_to_its_parts() {
    let Some(swift) = Swift::start() else { return };
    let here = bucket(&swift, Swift::SECRET);
    let denied = bucket(&swift, "wrong").list("", None).await.unwrap_err();
    assert_eq!(denied.reason(), "denied", "{denied}");

    let (archive, packed) = sealed(12 << 20);
    let name = packed.object_name();
    assert_eq!(here.size_of(&name).await.unwrap(), None);
    assert_eq!(upload(&here, &archive, &packed).await.unwrap(), packed.size());
    assert_eq!(here.size_of(&name).await.unwrap(), Some(packed.size()));
    assert_eq!(check(&here, &packed).await.unwrap(), packed.size());
    assert_eq!(here.packed(&name, packed.size()).await.unwrap(), *packed);
    let file = &packed.manifest().files()[0];
    let content = here.range(&name, packed.range_of(&file.name).unwrap()).await.unwrap();
    assert!(content == archive.read(&packed.manifest().path_of(file)));
    let listed = here.list("", None).await.unwrap();
    assert_eq!((listed.objects.len(), &listed.objects[0].name, listed.others), (1, &name, 0));

    // A device dies in the middle of an upload.
    let mut parts = 0;
    let sent = |_| {
        parts += 1;
        if parts == 1 {
            swift.kill_device(2);
        }
    };
    here.upload(local(&archive, &packed), &CancellationToken::new(), sent).await.unwrap();
    assert_eq!(check(&here, &packed).await.unwrap(), packed.size());

    // The whole store goes away in the middle of one, and comes back: nothing is taken for uploaded that is not, and what was begun is ended.
    swift.go_on();
    let (other_archive, other) = sealed(13 << 20);
    let gone = other.object_name();
    let mut begun = false;
    let sent = |_| {
        if !std::mem::replace(&mut begun, true) {
            swift.stop();
        }
    };
    let error = here.upload(local(&other_archive, &other), &CancellationToken::new(), sent).await.unwrap_err();
    let UploadError::Bucket(error) = error else { panic!("{error}") };
    assert!(["unreachable", "broken", "failed", "silent"].contains(&error.reason()) && !error.is_loss(), "{error}");
    swift.go_on();
    assert_eq!(here.size_of(&gone).await.unwrap(), None);
    let in_a_while = Timestamp::from(SystemTime::now()) + Span::from_us(60_000_000);
    // It is ended here, or was by the last request before the store went away.
    let ended = here.end_abandoned(Span::from_us(0), in_a_while).await.unwrap();
    assert!(ended.is_some_and(|ended| ended <= 1), "{ended:?}");
    assert_eq!(here.end_abandoned(Span::from_us(0), in_a_while).await.unwrap(), Some(0));
    upload(&here, &other_archive, &other).await.unwrap();
    assert_eq!(check(&here, &other).await.unwrap(), other.size());

    // What a device has is damaged: no answer with that passes, and the store comes to itself by what others have.
    assert!(swift.damage_device(1) > 0);
    let mut refused = Vec::new();
    while let Err(error) = check(&here, &packed).await {
        assert!(["damaged", "broken", "failed", "refused"].contains(&error.reason()), "{error}");
        refused.push(error.to_string());
        assert!(refused.len() < 60, "{refused:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
