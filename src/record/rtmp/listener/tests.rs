//! Ports that peers come to: one that says nothing, and the end of a port.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_peer_that_never_says_its_key_is_sent_away_and_the_port_is_closed_with_its_last_recorder() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let ports = RtmpPorts::default();
    let waiting = ports.wait_on(free, "/live/one").unwrap();
    assert!(ports.wait_on(free, "live/one/").is_err(), "two recorders cannot have one key");
    let other = ports.wait_on(free, "/live/two").unwrap();
    let mut peer = TcpStream::connect(free).await.unwrap();
    peer.write_all(&[3, 0, 0]).await.unwrap();
    // Time passes as fast as nobody has anything to do.
    let since = Instant::now();
    assert_eq!(peer.read(&mut [0]).await.unwrap_or_default(), 0);
    assert!(since.elapsed() >= SHAKES);
    drop((waiting, other));
    let is_closed = async {
        while TcpStream::connect(free).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(3_600), is_closed).await.unwrap();
}
