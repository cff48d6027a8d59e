//! nginx with a configuration of its own, in a folder that goes with it.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use mcplane_testkit::eventually;
use mcplane_testkit::process::{Background, Watchdog, run, signal};
use tempfile::TempDir;

/// It runs until it is dropped.
pub(super) struct Nginx {
    pub(super) address: SocketAddr,
    pub(super) version: String,
    /// Where the kernel tells of the worker.
    pub(super) schedstat: PathBuf,
    master: Background,
    _folder: TempDir,
    _watchdogs: [Watchdog; 2],
}

impl Nginx {
    /// Starts a worker that splits between two names of the same upstream.
    pub(super) fn start(program: &Path, upstream: SocketAddr) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let free = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port");
        let file = folder.path().join("nginx.conf");
        std::fs::write(&file, configuration(folder.path(), free, upstream)).expect("a file");
        let master = Background::start(Command::new(program).arg("-p").arg(folder.path()).arg("-c").arg(&file));
        eventually("nginx listens", 20, || TcpStream::connect(free).ok());
        let children = format!("/proc/{0}/task/{0}/children", master.pid());
        let worker: u32 = eventually("nginx has a worker", 20, || {
            std::fs::read_to_string(&children).expect("nginx runs").trim().parse().ok()
        });
        let version = run(Command::new(program).arg("-v"), None).stderr;
        Self {
            address: free,
            version: version.trim().trim_start_matches("nginx version: ").to_owned(),
            schedstat: format!("/proc/{worker}/schedstat").into(),
            _watchdogs: [Watchdog::over(master.pid()), Watchdog::over(worker)],
            master,
            _folder: folder,
        }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // The master takes its worker along.
        signal(self.master.pid(), "TERM");
        let worker = self.schedstat.clone();
        eventually("nginx ends", 20, || (!worker.exists()).then_some(()));
    }
}

/// What ours does, too: connections are kept on both sides, the user decides, answers say which version gave them, requests who
/// asked; nothing is logged.
fn configuration(folder: &Path, listen: SocketAddr, upstream: SocketAddr) -> String {
    let folder = folder.display();
    let versions = ["v1", "v2"].map(|version| {
        format!("upstream {version} {{ server {upstream}; keepalive 64; keepalive_requests 1000000000; }}")
    });
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary = temporary.map(|of| format!("{of}_temp_path {folder}/{of};"));
    format!(
        r#"
daemon off;
worker_processes 1;
pid {folder}/pid;
error_log {folder}/error.log crit;
events {{ worker_connections 512; }}
http {{
  access_log off;
  {temporary}
  split_clients $http_x_user_id $version {{ 10% v2; * v1; }}
  {versions}
  server {{
    listen {listen};
    keepalive_requests 1000000000;
    location / {{
      proxy_pass http://$version;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto $scheme;
      add_header x-mcplane-version $version;
    }}
  }}
}}
"#,
        temporary = temporary.join("\n  "),
        versions = versions.join("\n  "),
    )
}
