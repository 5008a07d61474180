//! `/metrics`, `/healthz` and `/readyz`, over HTTP on an address of their own.
use std::future::Future;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;

use crate::daemon::Daemon;

/// Serves until `stop` is ready.
pub async fn serve(
    daemon: Arc<Daemon>,
    listener: TcpListener,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .with_state(daemon);
    axum::serve(listener, router).with_graceful_shutdown(stop).await
}

async fn metrics(State(daemon): State<Arc<Daemon>>) -> Response {
    match daemon.metrics.render(&daemon) {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
            .into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// Ready: statements can be recorded and the replica takes sessions.
async fn ready(State(daemon): State<Arc<Daemon>>) -> Response {
    let ledger = match daemon.ledger.health().fault {
        None => "ledger: ok".to_owned(),
        Some(why) => format!("ledger: {why}"),
    };
    let replica_is_up = daemon.metrics.replica_is_up();
    let replica = if replica_is_up { "replica: ok" } else { "replica: no session can be opened" };
    let walls = daemon.walls.load();
    let checks: String =
        walls.problems.iter().map(|problem| format!("check: {problem}\n")).collect();
    let refusal =
        walls.refusal.as_ref().or(walls.stale.as_ref()).map(|why| format!("no service: {why}\n"));
    let is_ready = daemon.ledger.health().is_ok() && replica_is_up && refusal.is_none();
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let refusal = refusal.unwrap_or_default();
    (status, format!("{ledger}\n{replica}\n{checks}{refusal}")).into_response()
}
