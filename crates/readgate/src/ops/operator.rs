//! A named operator at the status page: the verifiers, sources, throttle and ledger of every
//! other login. The page speaks plain HTTP, so their password is taken from this machine alone.
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use access::{
    Arrival, Exchange, FastAuth, LoginCheck, LoginDenied, NamedUser, Password, SourceAdmitted,
    SourceSet, Timestamp,
};
use ledger::{Event, Who};
use mysql_auth::{AuthPlugin, Nonce, ReplicaLogin};

use crate::connection::turn::{count_failure, note_failure, wait_for_turn};
use crate::console::{CONSOLE, Denied};
use crate::daemon::{Daemon, Live};
use crate::recording::{console_policy, within_deadline};

/// What the ledger calls the way in.
const LISTENER: &str = "ops";

/// An operator who has logged in at the page.
#[derive(Debug)]
pub(super) struct Operator {
    named: NamedUser,
    /// Number in the ledger, from the same row as connections have.
    session: u32,
}

/// Why nobody was let in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotIn {
    /// Whatever it was, it is not told.
    Denied,
    /// The login can't be recorded, or the store of users can't be reached.
    Unavailable(String),
}

/// Whether a peer is on this machine; `own` is the address that it came to.
pub(super) fn is_this_machine(peer: SocketAddr, own: IpAddr) -> bool {
    let from = peer.ip().to_canonical();
    from.is_loopback() || from == own.to_canonical()
}

/// Checks name and password, and records what came of it before anybody is let in.
pub(super) async fn log_in(
    daemon: &Arc<Daemon>,
    peer: SocketAddr,
    name: &str,
    password: Password,
) -> Result<Operator, NotIn> {
    let session = daemon.registry.next_connection_id();
    let (reason, not_in) = match prove(daemon, peer, name.as_bytes(), password).await {
        Ok(named) => match daemon.confirm(&named).await {
            Ok(()) => {
                let operator = Operator { named, session };
                operator.record_login(daemon, peer).await.map_err(NotIn::Unavailable)?;
                daemon.metrics.login("ok");
                return Ok(operator);
            }
            Err(why) => (format!("login_denied: {why}"), NotIn::Unavailable(why)),
        },
        Err(reason) => (reason, NotIn::Denied),
    };
    record_failure(daemon, peer, (session, Some(name)), reason).await;
    Err(not_in)
}

/// A wrong password that all share: nobody's.
pub(super) async fn shared_password_failed(daemon: &Daemon, peer: SocketAddr) {
    let session = daemon.registry.next_connection_id();
    let reason = String::from("login_denied: wrong_password");
    record_failure(daemon, peer, (session, None), reason).await;
}

async fn record_failure(
    daemon: &Daemon,
    peer: SocketAddr,
    (session, user): (u32, Option<&str>),
    reason: String,
) {
    daemon.metrics.login("login_denied");
    let event = Event::LoginFailed {
        session: u64::from(session),
        source: peer.ip().to_canonical(),
        source_port: peer.port(),
        listener: LISTENER,
        user,
        reason: &reason,
    };
    daemon.record(&event).await;
    daemon.console.denials.note(Denied {
        peer,
        listener: LISTENER.to_owned(),
        user: user.map(str::to_owned),
        ending: "login_denied",
        reason,
    });
}

async fn prove(
    daemon: &Arc<Daemon>,
    peer: SocketAddr,
    name: &[u8],
    password: Password,
) -> Result<NamedUser, String> {
    let live = daemon.live();
    let source = live.sources.admit(&all_sources(&live), peer.ip(), crate::clock::today());
    let source = source.map_err(|denied| format!("login_denied: {denied}"))?;
    let attempt = daemon.throttle.ask(&source, name, Instant::now());
    wait_for_turn(attempt).await;
    let check = LoginCheck::for_user(&live.users, name, arrival(&live, source.clone()));
    let decided = by_password(check.throttled(attempt), password)?;
    match decided {
        Ok(named) if named.user().role.operator => {
            daemon.throttle.succeeded(&source, name);
            Ok(named)
        }
        // A guess like any other: otherwise passwords could be tried here at no cost.
        Ok(_) => {
            count_failure(daemon, &source, name);
            Err(String::from("login_denied: not an operator"))
        }
        Err(denied) => {
            note_failure(daemon, &source, name, denied);
            Err(format!("login_denied: {denied}"))
        }
    }
}

/// Both ends of the exchange that a client would hold over the wire.
fn by_password(
    check: LoginCheck,
    password: Password,
) -> Result<Result<NamedUser, LoginDenied>, String> {
    let nonce = Nonce::generate().map_err(|fault| fault.to_string())?;
    let exchange = check.exchange(Some(AuthPlugin::CachingSha2Password));
    let plugin = exchange.plugin().name().as_bytes();
    let copy = Password::new(password.reveal());
    let client = ReplicaLogin::new(plugin, nonce.as_bytes(), copy, false);
    let scramble = client.map_err(|fault| fault.to_string())?.scramble();
    Ok(match exchange {
        Exchange::Native(native) => native.verify(&nonce, &scramble),
        Exchange::CachingSha2(sha2) => match sha2.fast(&nonce, &scramble) {
            FastAuth::Accepted(named) => Ok(named),
            FastAuth::Denied(denied) => Err(denied),
            FastAuth::FullNeeded(full) => full.verify(&password),
        },
    })
}

/// Listed in whatever `[[source]]`: the page has no list of its own.
fn all_sources(live: &Live) -> SourceSet {
    live.sources.entries().map(|entry| entry.name.clone()).collect()
}

fn arrival(live: &Live, source: SourceAdmitted) -> Arrival<'_> {
    Arrival {
        source,
        networks: &live.sources,
        encrypted: false,
        certificate: None,
        now: Timestamp::now(),
    }
}

impl Operator {
    /// Whether they would still be let in, by what is in force now.
    pub(super) fn still_may(&self, daemon: &Daemon) -> bool {
        let live = daemon.live();
        let arrival = arrival(&live, self.named.source().clone());
        let user = self.named.recheck(&live.users, &all_sources(&live), &arrival);
        user.is_ok_and(|user| user.role.operator)
    }

    async fn record_login(&self, daemon: &Daemon, peer: SocketAddr) -> Result<(), String> {
        let user = self.named.user();
        let policy = console_policy();
        let who = Who {
            session: u64::from(self.session),
            user: user.name.as_str(),
            role: &user.role.name,
            source: self.named.source().addr(),
            source_port: peer.port(),
            listener: LISTENER,
            tls_version: None,
            tls_cipher: None,
            program: Some("status page"),
            replica: CONSOLE,
            account: CONSOLE,
            replica_session: None,
            policy: Some(&policy),
        };
        let event = Event::Login { who, method: self.named.method(), attributes: &[] };
        within_deadline(daemon.ledger.event(&event)).await.map(|_| ())
    }

    /// Records that they are gone.
    pub(super) async fn record_end(&self, daemon: &Daemon, reason: &str) {
        let event = Event::Disconnect {
            session: u64::from(self.session),
            user: self.named.user().name.as_str(),
            reason,
            statements: 0,
            refusals: 0,
        };
        daemon.record(&event).await;
    }
}

#[cfg(test)]
pub(super) mod tests {
    use access::credential::{Credential, CredentialId};
    use access::{Role, SourceEntry, SourceNetworks, User, UserName, Users};

    use super::*;

    /// An operator who has given her password.
    pub(in crate::ops) fn olga() -> Operator {
        let entry = SourceEntry {
            name: String::from("here"),
            networks: vec!["127.0.0.0/8".parse().unwrap()],
            owner: String::new(),
            reason: String::new(),
            ticket: None,
            added_on: None,
            expires_on: None,
        };
        let networks = &SourceNetworks::new([entry]);
        let (here, now) = (SourceSet::from_iter(["here"]), Timestamp::now());
        let source = networks.admit(&here, [127, 0, 0, 1].into(), access::day_of(now)).unwrap();
        let role = Arc::new(Role { operator: true, ..Role::named("operator") });
        let user = User::new(UserName::new("olga").unwrap(), "Olga Operator", role);
        let password = Password::new("right");
        let credential = Credential::of_password(CredentialId(1), &password, &user.plugins);
        let users = Users::new([User { credentials: vec![credential], ..user }]);
        let arrival = Arrival { source, networks, encrypted: false, certificate: None, now };
        let check = LoginCheck::for_user(&users, b"olga", arrival);
        Operator { named: by_password(check, password).unwrap().unwrap(), session: 1 }
    }
}
