//! A real nginx of its own directory, as people put it in front of live streams.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::sender::free_ports;
use super::{SOON, eventually};

/// Where Debian's package puts the module.
const RTMP_MODULE: &str = "/usr/lib/nginx/modules/ngx_rtmp_module.so";

/// It ends with the value.
#[derive(Debug)]
pub struct Nginx {
    child: Child,
    port: u16,
    scratch: tempfile::TempDir,
}

impl Nginx {
    /// Gives out what lies in a directory.
    pub fn serve(dir: &Path) -> Self {
        Self::start(dir, "", |_| String::new()).0
    }

    /// The same, and takes streams of RTMP at a second port, which are to be made segments in that directory.
    pub fn with_rtmp(dir: &Path) -> (Self, u16) {
        let module = format!("load_module {RTMP_MODULE};\n");
        Self::start(dir, &module, |port| {
            format!(
                "rtmp {{ server {{ listen 127.0.0.1:{port}; application live {{ live on; wait_key on; wait_video on;\n\
                 hls on; hls_path {}; hls_fragment 1s; hls_playlist_length 60s; hls_cleanup off; }} }} }}\n",
                dir.display()
            )
        })
    }

    fn start(dir: &Path, before: &str, besides: impl Fn(u16) -> String) -> (Self, u16) {
        let scratch = tempfile::tempdir().unwrap();
        let ((port, _), (second, _)) = (free_ports(), free_ports());
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path {}/{name};\n", scratch.path().display()))
            .concat();
        // Nobody else may read the directory of a test, whoever runs it.
        let user = if rustix::process::getuid().is_root() { "user root;\n" } else { "" };
        let config = format!(
            "{before}{user}daemon off; worker_processes 1; pid {at}/pid; error_log {at}/errors;\nevents {{}}\n{}\
             http {{ {temporary} access_log off; default_type application/octet-stream;\n\
             server {{ listen 127.0.0.1:{port}; root {}; }} }}\n",
            besides(second),
            dir.display(),
            at = scratch.path().display(),
        );
        let file = scratch.path().join("nginx.conf");
        fs::write(&file, config).unwrap();
        let mut command = Command::new("nginx");
        command.arg("-p").arg(scratch.path()).arg("-e").arg(scratch.path().join("errors")).arg("-c").arg(file);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let child = child.unwrap_or_else(|error| {
            panic!("cannot start nginx ({error}); these tests need Debian's packages nginx and libnginx-mod-rtmp")
        });
        let nginx = Self { child, port, scratch };
        eventually(SOON, || nginx.listens());
        (nginx, second)
    }

    #[track_caller]
    fn listens(&self) -> bool {
        let errors = fs::read_to_string(self.scratch.path().join("errors")).unwrap_or_default();
        assert!(!errors.contains("[emerg]"), "{errors}");
        TcpStream::connect(("127.0.0.1", self.port)).is_ok()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.port)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Its worker ends with it only if it may say so.
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap_or_default();
        drop(self.child.wait());
    }
}
