//! `/metrics`, `/healthz`, `/readyz` and the status page, over HTTP on an address of their
//! own.
mod guard;
mod guests;
mod history;
mod operator;
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
use guard::{Admission, Guard, is_own_page};
use guests::{Guests, Peer};
use history::History;
use operator::NotIn;

/// The page; `NONCE` stands for what its style and script are marked with.
const PAGE: &str = include_str!("ops/status.html");
/// A login's body is a name and a password.
const BODY_LIMIT: usize = 4096;

#[derive(Clone)]
struct Ops {
    daemon: Arc<Daemon>,
    history: Arc<History>,
    guard: Arc<Guard>,
}

/// What the status page asks for.
#[derive(Debug, Default)]
pub struct Logins {
    /// A password that all share.
    pub password: Option<Password>,
    /// Named operators' own.
    pub operators: bool,
}

/// Begins to serve, until `stop` is ready.
///
/// # Errors
/// If the system doesn't say what the listener's address is, or gives no random bytes.
pub fn serve(
    daemon: Arc<Daemon>,
    listener: TcpListener,
    logins: Logins,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<impl Future<Output = std::io::Result<()>> + Send> {
    let own = listener.local_addr()?.ip();
    let guard = Guard::new(logins.password.as_ref(), logins.operators, own)
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
    let service = router.into_make_service_with_connect_info::<Peer>();
    let serving = axum::serve(Guests::new(listener), service).with_graceful_shutdown(stop);
    Ok(serving.into_future())
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
    let replica = match daemon.signals.replica_fault.load_full() {
        _ if replica_is_up => "replica: ok".to_owned(),
        Some(why) => format!("replica: no session can be opened: {why}"),
        None => "replica: no session can be opened".to_owned(),
    };
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
    ConnectInfo(Peer(peer)): ConnectInfo<Peer>,
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
    ConnectInfo(Peer(peer)): ConnectInfo<Peer>,
    headers: HeaderMap,
) -> Response {
    match guard.admit(peer, &headers) {
        Admission::Admitted => match guard.operator(&headers) {
            Some(operator) if !operator.still_may(&daemon) => {
                end(&daemon, &guard, &headers, "revoked").await;
                login_needed(&guard)
            }
            Some(_) | None => {
                let head = [(header::CACHE_CONTROL, "no-store")];
                (head, Json(status::of(&daemon, &history))).into_response()
            }
        },
        Admission::LoginNeeded => login_needed(&guard),
        Admission::Refused => refused(),
    }
}

fn login_needed(guard: &Guard) -> Response {
    (StatusCode::UNAUTHORIZED, Json(guard.ways())).into_response()
}

/// Ends a login, if this is one's.
async fn end(daemon: &Arc<Daemon>, guard: &Guard, headers: &HeaderMap, reason: &'static str) {
    if let Some(operator) = guard.end(headers) {
        let daemon = Arc::clone(daemon);
        to_its_end(async move { operator.record_end(&daemon, reason).await }).await;
    }
}

/// What has begun is done and recorded also if who asked for it goes away meanwhile. `None` if it
/// panics.
async fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> Option<T> {
    tokio::spawn(work).await.ok()
}

/// What the page sends.
#[derive(serde::Deserialize)]
struct Given {
    /// An operator's name; none for the password that all share.
    #[serde(default)]
    user: String,
    password: String,
}

async fn log_in(
    State(ops): State<Ops>,
    ConnectInfo(Peer(peer)): ConnectInfo<Peer>,
    headers: HeaderMap,
    body: axum::body::Bytes,
) -> Response {
    let given = serde_json::from_slice(&body).ok().filter(|_| is_own_page(&headers));
    let Some(given): Option<Given> = given else {
        return StatusCode::FORBIDDEN.into_response();
    };
    if !given.user.is_empty() && !ops.guard.takes_operator_from(peer) {
        return (StatusCode::FORBIDDEN, ELSEWHERE).into_response();
    }
    let Some(place) = ops.guard.place(!given.user.is_empty()) else {
        return (StatusCode::SERVICE_UNAVAILABLE, "Too many tries wait already.\n").into_response();
    };
    let tried = to_its_end(async move {
        let _place = place;
        tried(&ops, peer, given).await
    });
    tried.await.unwrap_or_else(|| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

async fn tried(
    Ops { daemon, guard, .. }: &Ops,
    peer: SocketAddr,
    Given { user, password }: Given,
) -> Response {
    let operator = if user.is_empty() {
        match guard.knows(password.as_bytes()).await {
            Some(true) => None,
            Some(false) => {
                operator::shared_password_failed(daemon, peer).await;
                return wrong();
            }
            None => return wrong(),
        }
    } else {
        match operator::log_in(daemon, peer, &user, Password::new(password)).await {
            Ok(operator) => Some(operator),
            Err(NotIn::Denied) => return wrong(),
            Err(NotIn::Unavailable(why)) => {
                return (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response();
            }
        }
    };
    let Some(begun) = guard.begin(operator) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    for operator in begun.ended {
        operator.record_end(daemon, "expired").await;
    }
    (StatusCode::NO_CONTENT, [(header::SET_COOKIE, begun.cookie)]).into_response()
}

async fn log_out(State(Ops { daemon, guard, .. }): State<Ops>, headers: HeaderMap) -> StatusCode {
    if !is_own_page(&headers) {
        return StatusCode::FORBIDDEN;
    }
    end(&daemon, &guard, &headers, "logout").await;
    StatusCode::NO_CONTENT
}

/// A named operator's password would cross a network in the clear.
const ELSEWHERE: &str = "Operators log in by name on this machine alone, because this page is plain \
                         HTTP: come by `ssh -L 9104:ADDRESS:9104 NODE` and http://localhost:9104/.\n";

fn wrong() -> Response {
    (StatusCode::FORBIDDEN, "That is not right.\n").into_response()
}

fn refused() -> Response {
    let why = "The status page is for this machine alone. Set ops.password_file to see it from \
               another one, or come by 127.0.0.1 or localhost (ssh -L).\n";
    (StatusCode::FORBIDDEN, why).into_response()
}
