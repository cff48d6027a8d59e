//! Callers with one connection each, which they keep.

use std::fmt;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use serde_json::json;

const CONNECTIONS: usize = 8;

/// How a tensor is sent, and asked for.
#[derive(Clone, Copy)]
pub(crate) enum Form {
    Json,
    Binary,
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Json => "JSON",
            Self::Binary => "binary",
        })
    }
}

impl Form {
    /// A request with numbers that walk down all sides of the trees.
    pub(crate) fn request(self, host: SocketAddr, model: &str, rows: usize, columns: usize) -> Vec<u8> {
        let values = (0..rows * columns).map(|index| ((index * 7_919) % 4_001) as f32 / 1_000.0 - 2.0);
        let mut tensor = json!({"name": "X", "datatype": "FP32", "shape": [rows, columns]});
        let mut more = String::new();
        let body = match self {
            Self::Json => {
                tensor["data"] = values.map(f64::from).map(|value| (value * 1e3).round() / 1e3).collect();
                json!({"inputs": [tensor]}).to_string().into_bytes()
            }
            Self::Binary => {
                let bytes: Vec<u8> = values.flat_map(f32::to_le_bytes).collect();
                tensor["parameters"] = json!({"binary_data_size": bytes.len()});
                let head = json!({"inputs": [tensor], "parameters": {"binary_data_output": true}}).to_string();
                more = format!("inference-header-content-length: {}\r\n", head.len());
                [head.into_bytes(), bytes].concat()
            }
        };
        let length = body.len();
        let head = format!(
            "POST /v2/models/{model}/infer HTTP/1.1\r\nhost: {host}\r\n{more}content-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        );
        [head.into_bytes(), body].concat()
    }
}

/// Sends the request so many times, and gives how many seconds that took.
pub(crate) fn drive(address: SocketAddr, request: &[u8], count: usize) -> f64 {
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..CONNECTIONS {
            scope.spawn(move || call(address, request, count / CONNECTIONS));
        }
    });
    began.elapsed().as_secs_f64()
}

fn call(address: SocketAddr, request: &[u8], count: usize) {
    let mut stream = TcpStream::connect(address).expect("the data plane");
    stream.set_nodelay(true).expect("a socket");
    let mut buffer = vec![0; 64 << 10];
    for _ in 0..count {
        stream.write_all(request).expect("sent");
        let mut length = 0;
        let mut whole = usize::MAX;
        while length < whole {
            let read = stream.read(&mut buffer[length..]).expect("an answer");
            assert!(read > 0, "the connection was not kept");
            length += read;
            if whole == usize::MAX {
                whole = expected(&buffer[..length]).unwrap_or(usize::MAX);
            }
        }
        assert!(buffer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&buffer[..length]));
    }
}

/// Bytes of the answer whose head is there.
fn expected(answer: &[u8]) -> Option<usize> {
    let head = answer.windows(4).position(|part| part == b"\r\n\r\n")?;
    let text = std::str::from_utf8(&answer[..head]).expect("a head");
    let length = text.to_ascii_lowercase().lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let length: usize = length.unwrap_or_else(|| panic!("an answer without its length: {text}"));
    Some(head + 4 + length)
}
