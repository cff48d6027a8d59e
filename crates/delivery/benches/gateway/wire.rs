//! Callers and an upstream that cost as little as they can, the same for whoever is between them.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

const CONNECTIONS: usize = 8;
/// The end of a message with the body that all of them have.
const END: &[u8] = b"\r\n\r\n{}";

/// Answers whatever comes.
pub(super) async fn upstream() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            tokio::spawn(answer(stream));
        }
    });
    address
}

async fn answer(mut stream: TcpStream) {
    let mut buffer = [0; 4096];
    stream.set_nodelay(true).expect("a socket");
    while message(&mut stream, &mut buffer).await.is_some() {
        if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await.is_err() {
            break;
        }
    }
}

/// Asks on connections that are kept, each for another user with each request.
pub(super) async fn callers(address: SocketAddr, requests: usize) {
    let mut callers = JoinSet::new();
    for caller in 0..CONNECTIONS {
        callers.spawn(call(address, caller, requests / CONNECTIONS));
    }
    let shares = callers.join_all().await;
    // Whoever does not split has an easy task.
    let share = shares.iter().sum::<usize>() as f64 / (requests / CONNECTIONS * CONNECTIONS) as f64;
    assert!((0.07..0.13).contains(&share), "v2 has 10 %, and answered {share}");
}

/// Gives how many of the answers were of the second version.
async fn call(address: SocketAddr, caller: usize, requests: usize) -> usize {
    let mut stream = TcpStream::connect(address).await.expect("somebody listens");
    stream.set_nodelay(true).expect("a socket");
    let mut buffer = [0; 4096];
    let mut second = 0;
    for turn in 0..requests {
        let user = caller * requests + turn;
        let request = format!("POST / HTTP/1.1\r\nhost: model\r\nx-user-id: {user}\r\ncontent-length: 2\r\n\r\n{{}}");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let answer = message(&mut stream, &mut buffer).await.expect("an answer on a kept connection");
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(answer));
        second += usize::from(answer.windows(VERSION.len()).any(|part| part == VERSION));
    }
    second
}

/// As both say that the second version answered.
const VERSION: &[u8] = b"x-mcplane-version: v2";

/// One message; `None` at the end of the connection.
async fn message<'b>(stream: &mut TcpStream, buffer: &'b mut [u8]) -> Option<&'b [u8]> {
    let mut length = 0;
    while !buffer[..length].ends_with(END) {
        match stream.read(&mut buffer[length..]).await {
            Ok(read) if read > 0 => length += read,
            _ => return None,
        }
    }
    Some(&buffer[..length])
}
