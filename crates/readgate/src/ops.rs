//! `/metrics`, `/healthz`, `/readyz` and the status page, over HTTP on an address of their
//! own.
mod guard;
mod history;
mod status;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use access::Password;
use axum::extract::{ConnectInfo, DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use tokio::net::TcpListener;

use crate::daemon::Daemon;
use guard::{Admission, Guard};
use history::History;

/// The page; `NONCE` stands for what its style and script are marked with.
const PAGE: &str = include_str!("ops/status.html");
/// A login's body is a password.
const BODY_LIMIT: usize = 4096;

#[derive(Clone)]
struct Ops {
    daemon: Arc<Daemon>,
    history: Arc<History>,
    guard: Arc<Guard>,
}

/// Serves until `stop` is ready. With a password, the status page asks for it.
pub async fn serve(
    daemon: Arc<Daemon>,
    listener: TcpListener,
    password: Option<Password>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let guard = Guard::new(password.as_ref())
        .ok_or_else(|| std::io::Error::other("the system's random generator failed"))?;
    let history = Arc::<History>::default();
    tokio::spawn(Arc::clone(&history).keep(Arc::clone(&daemon)));
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/", get(page))
        .route("/status.json", get(status_json))
        .route("/login", post(log_in))
        .route("/logout", post(log_out))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(Ops { daemon, history, guard: Arc::new(guard) });
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, service).with_graceful_shutdown(stop).await
}

async fn metrics(State(Ops { daemon, .. }): State<Ops>) -> Response {
    match daemon.metrics.render(&daemon) {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
            .into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// Ready: statements can be recorded and the replica takes sessions.
async fn ready(State(Ops { daemon, .. }): State<Ops>) -> Response {
    let ledger = match daemon.ledger.health().fault {
        None => "ledger: ok".to_owned(),
        Some(why) => format!("ledger: {why}"),
    };
    let replica_is_up = daemon.metrics.replica_is_up();
    let replica = if replica_is_up { "replica: ok" } else { "replica: no session can be opened" };
    let walls = daemon.walls.load();
    let checks: String =
        walls.problems.iter().map(|problem| format!("check: {problem}\n")).collect();
    let feeds: String = daemon
        .feeds
        .all()
        .iter()
        .map(|(feed, standing)| format!("feed {}: {}\n", feed.name, standing.state.name()))
        .collect();
    let refusal = walls.no_service().map(|why| format!("no service: {why}\n"));
    let is_ready = daemon.ledger.health().is_ok() && replica_is_up && refusal.is_none();
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let refusal = refusal.unwrap_or_default();
    (status, format!("{ledger}\n{replica}\n{feeds}{checks}{refusal}")).into_response()
}

/// The page itself holds no data: who must log in does so there.
async fn page(
    State(Ops { guard, .. }): State<Ops>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
) -> Response {
    if guard.admit(peer, &headers) == Admission::Refused {
        return refused();
    }
    let Some(nonce) = guard::token() else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let policy = format!(
        "default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; \
         connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    let head = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, policy.as_str()),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (head, PAGE.replace("NONCE", &nonce)).into_response()
}

async fn status_json(
    State(Ops { daemon, history, guard }): State<Ops>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
) -> Response {
    match guard.admit(peer, &headers) {
        Admission::Admitted => {
            let head = [(header::CACHE_CONTROL, "no-store")];
            (head, Json(status::of(&daemon, &history))).into_response()
        }
        Admission::PasswordNeeded => StatusCode::UNAUTHORIZED.into_response(),
        Admission::Refused => refused(),
    }
}

async fn log_in(
    State(Ops { guard, .. }): State<Ops>,
    headers: HeaderMap,
    given: axum::body::Bytes,
) -> Response {
    match guard.log_in(&headers, &given).await {
        Some(cookie) => (StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response(),
        None => StatusCode::FORBIDDEN.into_response(),
    }
}

async fn log_out(State(Ops { guard, .. }): State<Ops>, headers: HeaderMap) -> StatusCode {
    guard.log_out(&headers);
    StatusCode::NO_CONTENT
}

fn refused() -> Response {
    let why = "The status page is for this machine alone. Set ops.password_file to see it from \
               another one, or come by 127.0.0.1 or localhost.\n";
    (StatusCode::FORBIDDEN, why).into_response()
}
