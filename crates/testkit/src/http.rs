//! The smallest HTTP client that a probe needs: one request, one connection, no dependency.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Status and body of an answer, and its head as it came.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Status line and headers.
    pub head: String,
    /// Body with any chunking removed.
    pub body: Vec<u8>,
}

/// `GET path` with `Host: address`; none when nobody listens or the answer breaks off.
pub fn get(address: SocketAddr, path: &str) -> Option<Answer> {
    send(address, &format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"), b"")
}

/// Any request; the head must ask for `Connection: close`. A server may answer before it has read the whole body.
pub fn send(address: SocketAddr, head: &str, body: &[u8]) -> Option<Answer> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
    stream.set_write_timeout(Some(Duration::from_secs(30))).ok()?;
    if stream.write_all(head.as_bytes()).is_ok() {
        stream.write_all(body).ok();
    }
    receive(stream)
}

/// The answer on a connection that closes after it.
pub fn receive(mut stream: TcpStream) -> Option<Answer> {
    let mut bytes = Vec::new();
    // What arrived before the connection broke counts, if it is whole.
    stream.read_to_end(&mut bytes).ok();
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let body = &bytes[end + 4..];
    let lower = head.to_ascii_lowercase();
    if lower.contains("transfer-encoding: chunked") {
        return Some(Answer { status, body: unchunk(body)?, head });
    }
    let told = lower.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let whole = told.is_none_or(|length: usize| lower.starts_with("http/1.1 204") || body.len() >= length);
    whole.then(|| Answer { status, body: body.to_vec(), head })
}

fn unchunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|window| window == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).ok()?.trim(), 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(end + 2..end + 2 + size)?);
        rest = rest.get(end + 4 + size..)?;
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn chunks_are_joined_and_a_torn_body_is_none() {
        assert_eq!(super::unchunk(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n").unwrap(), b"abcde");
        assert_eq!(super::unchunk(b"3\r\nab"), None);
    }
}
