//! What each state of a connection may last.

use super::*;

fn activity() -> Arc<Activity> {
    Arc::new(Activity::new(CoarseClock::start(Duration::MAX), SocketAddr::from(([127, 0, 0, 1], 1))))
}

#[test]
fn each_state_has_its_limit() {
    let limits = ConnectionLimits::default();
    let ms = |limit: std::time::Duration| u64::try_from(limit.as_millis()).unwrap() + 2;
    let activity = activity();
    activity.begin_handshake();
    activity.note_write(&Poll::Pending);
    assert!(activity.waiting_since().is_some());
    assert_eq!(activity.overdue(ms(limits.header_timeout), &limits), Some(Overdue::Handshake));
    activity.note_write(&Poll::Ready(Ok(1)));
    activity.end_handshake();
    assert_eq!(activity.overdue(ms(limits.idle_timeout) - 5, &limits), None);
    assert_eq!(activity.overdue(ms(limits.idle_timeout), &limits), Some(Overdue::Idle));
    activity.note_read(1);
    assert_eq!(activity.overdue(ms(limits.header_timeout), &limits), Some(Overdue::Header));
    let with_body = OpenRequest::begin(&activity, true);
    assert!(activity.waiting_since().is_none());
    assert_eq!(activity.overdue(ms(limits.body_timeout), &limits), Some(Overdue::Body));
    drop(with_body);
    let polling = OpenRequest::begin(&activity, false);
    assert_eq!(activity.overdue(u64::MAX, &limits), None);
    let responding = polling.respond(axum::body::Body::empty());
    assert_eq!(activity.overdue(ms(limits.write_stall_timeout), &limits), Some(Overdue::Stalled));
    drop(responding);
    assert!(activity.waiting_since().is_some());
    activity.note_write(&Poll::Pending);
    assert!(activity.waiting_since().is_none());
    assert_eq!(activity.overdue(ms(limits.write_stall_timeout), &limits), Some(Overdue::Stalled));
    let impatient = ConnectionLimits { idle_timeout: std::time::Duration::ZERO, ..limits.clone() };
    assert_eq!(activity.overdue(5, &impatient), None, "what is still being sent is not idle");
    activity.note_write(&Poll::Ready(Ok(5)));
    assert_eq!(activity.overdue(1, &limits), None);
}

#[test]
fn who_closed_their_half_is_served_for_a_moment() {
    let limits = ConnectionLimits::default();
    let gone = u64::try_from(GONE.as_millis()).unwrap() + 2;
    let activity = activity();
    assert!(!activity.has_closed_half(), "nothing was asked");
    let asked = OpenRequest::begin(&activity, false);
    assert!(activity.has_closed_half());
    assert_eq!(activity.overdue(gone - 1, &limits), None);
    assert_eq!(activity.overdue(gone, &limits), Some(Overdue::Gone));
    let responding = asked.respond(axum::body::Body::from("x"));
    assert_eq!(activity.overdue(gone, &limits), None, "it is there to be taken");
    drop(responding);
    let with_body = OpenRequest::begin(&activity, true);
    assert!(!activity.has_closed_half(), "the rest of a body does not come any more");
    drop(with_body);
}

#[test]
fn a_response_that_is_still_made_is_not_the_peers_fault() {
    use http_body::Body as _;
    let limits = ConnectionLimits::default();
    let stalled = u64::try_from(limits.write_stall_timeout.as_millis()).unwrap() + 2;
    let activity = activity();
    let (sender, pieces) = tokio::sync::mpsc::channel(2);
    let pieces = futures_util::stream::unfold(pieces, |mut pieces| async { Some((pieces.recv().await?, pieces)) });
    let mut body = OpenRequest::begin(&activity, false).respond(axum::body::Body::from_stream(Box::pin(pieces)));
    let has_something =
        |of: &mut Observed<_>| Pin::new(of).poll_frame(&mut Context::from_waker(Waker::noop())).is_ready();
    assert_eq!(activity.overdue(stalled, &limits), Some(Overdue::Stalled), "nobody takes its head");
    assert!(!has_something(&mut body));
    assert_eq!(activity.overdue(u64::MAX, &limits), None, "an encoder is waited for");
    activity.note_write(&Poll::Pending);
    assert_eq!(activity.overdue(stalled, &limits), Some(Overdue::Stalled), "what was made before is not taken");
    activity.note_write(&Poll::Ready(Ok(1)));
    sender.try_send(Ok::<_, io::Error>(Bytes::from_static(b"piece"))).unwrap();
    assert!(has_something(&mut body));
    assert_eq!(activity.overdue(1, &limits), None);
    assert_eq!(activity.overdue(stalled, &limits), Some(Overdue::Stalled), "a piece is not taken");
    assert!(!has_something(&mut body));
    drop(body);
    let next = OpenRequest::begin(&activity, false).respond(axum::body::Body::empty());
    assert_eq!(activity.overdue(stalled, &limits), Some(Overdue::Stalled), "the next one is judged as ever");
    drop(next);
}

#[tokio::test(start_paused = true)]
async fn what_the_process_slept_through_is_no_clients_delay() {
    let clock = CoarseClock::start(Duration::from_secs(4));
    tokio::time::advance(Duration::from_secs(3)).await;
    assert_eq!(clock.tick(), 3001);
    tokio::time::advance(Duration::from_secs(3600)).await;
    assert_eq!(clock.tick(), 7001, "an hour in which nobody looked");
    assert_eq!(clock.tick(), 7001);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(clock.tick(), 8001);
}
