//! The gateway on a socket.

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;

use super::Gateway;

/// For the head of a request, so that slow callers hold no connection for ever.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
const MOST_HEADERS: usize = 128;
/// After a failure to accept, such as no free descriptor.
const BREATH: Duration = Duration::from_millis(10);

/// Serves HTTP/1.1 until `stop` is ready, then lets requests end for at most `grace`.
pub async fn listen(listener: TcpListener, gateway: Arc<Gateway>, stop: impl Future<Output = ()>, grace: Duration) {
    let graceful = GracefulShutdown::new();
    let mut stop = pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => break,
        };
        let Ok((stream, peer)) = accepted else {
            tokio::time::sleep(BREATH).await;
            continue;
        };
        // Without it small answers wait for acknowledgements; a socket that refuses is only slower.
        drop(stream.set_nodelay(true));
        let gateway = Arc::clone(&gateway);
        let service = service_fn(move |request| {
            let gateway = Arc::clone(&gateway);
            async move { Ok::<_, Infallible>(gateway.handle(request, peer.ip(), "http").await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_headers(MOST_HEADERS)
            .serve_connection(TokioIo::new(stream), service);
        let connection = graceful.watch(connection);
        // A connection that breaks is the caller's affair.
        tokio::spawn(async move { drop(connection.await) });
    }
    drop(tokio::time::timeout(grace, graceful.shutdown()).await);
}
