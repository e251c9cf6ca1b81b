//! A camera of the network: a real server of RTSP (of `GStreamer`), which shows a film from its beginning to everybody who asks.

use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::sender::free_ports;
use super::{SOON, eventually};

const SERVER: &str = r#"
import sys
import gi
gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer
Gst.init(None)
server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1")
server.set_service(sys.argv[1])
film = GstRtspServer.RTSPMediaFactory()
film.set_launch(f'''( filesrc location="{sys.argv[2]}" ! qtdemux name=film
    film.video_0 ! queue ! rtph264pay name=pay0 pt=96 config-interval=1
    film.audio_0 ! queue ! rtpmp4gpay name=pay1 pt=97 )''')
server.get_mount_points().add_factory("/film", film)
server.attach(None)
GLib.MainLoop().run()
"#;

/// It ends with the value.
#[derive(Debug)]
pub struct Camera {
    child: Child,
    port: u16,
}

impl Camera {
    /// Shows a file of MP4.
    pub fn of(film: &Path) -> Self {
        let (port, _) = free_ports();
        // The one of Debian's packages, whatever else is called so.
        let mut command = Command::new("/usr/bin/python3");
        command.args(["-c", SERVER, &port.to_string()]).arg(film).stdin(Stdio::null());
        let child = command.spawn().unwrap_or_else(|error| panic!("cannot start Python ({error})"));
        let mut camera = Self { child, port };
        eventually(SOON, || {
            let ended = camera.child.try_wait().unwrap();
            assert!(
                ended.is_none(),
                "this test needs Debian's packages gir1.2-gst-rtsp-server-1.0, python3-gi, gstreamer1.0-plugins-base and -good"
            );
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        camera
    }

    pub fn url(&self) -> String {
        format!("rtsp://127.0.0.1:{}/film", self.port)
    }
}

impl Drop for Camera {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
