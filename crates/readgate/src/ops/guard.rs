//! Who may see the status page: whoever is on this machine, or has logged in, with the password
//! of `ops.password_file` or as a named operator (`ops.operators`). Without either, requests of
//! other machines are refused, and so are those that a foreign name was made to lead here (DNS
//! rebinding). An operator's login counts on this machine alone.
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use access::Password;
use axum::http::{HeaderMap, header};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;

use super::operator::{Operator, is_this_machine};

/// A login lasts this long.
const LASTS: Duration = Duration::from_secs(12 * 3600);
/// Logins at a time; the oldest gives way.
const MOST: usize = 100;
/// What each try costs; there is one at a time.
const PAUSE: Duration = Duration::from_millis(700);
/// Tries that wait for their turn; whoever has made one may have gone away.
const MOST_WAITING: usize = 64;
const COOKIE: &str = "readgate_status";

/// The door of the status page.
pub(super) struct Guard {
    /// Key and expected tag: compared in constant time. `None`: there is no such password.
    password: Option<(hmac::Key, hmac::Tag)>,
    /// Whether operators log in by name.
    takes_operators: bool,
    /// The address that is served.
    own: IpAddr,
    logins: Mutex<HashMap<String, Login>>,
    one_at_a_time: tokio::sync::Mutex<()>,
    /// Places for tries at the password that all share, which come from anywhere.
    places: Arc<Semaphore>,
    /// The same for named operators.
    operators_places: Arc<Semaphore>,
}

struct Login {
    since: Instant,
    /// `None`: by the password that all share.
    operator: Option<Arc<Operator>>,
}

/// What a visitor may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    /// See it.
    Admitted,
    /// Log in first.
    LoginNeeded,
    /// Nothing.
    Refused,
}

/// A login that has begun.
pub(super) struct Begun {
    /// For the browser.
    pub(super) cookie: String,
    /// Operators whose logins have ended since the last one began.
    pub(super) ended: Vec<Arc<Operator>>,
}

impl Guard {
    /// With the password that all share, if there is one. `None` without randomness.
    pub(super) fn new(
        password: Option<&Password>,
        takes_operators: bool,
        own: IpAddr,
    ) -> Option<Self> {
        let password = match password {
            Some(password) => {
                let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).ok()?;
                let tag = hmac::sign(&key, password.reveal());
                Some((key, tag))
            }
            None => None,
        };
        Some(Self {
            password,
            takes_operators,
            own,
            logins: Mutex::default(),
            one_at_a_time: tokio::sync::Mutex::default(),
            places: Arc::new(Semaphore::new(MOST_WAITING)),
            operators_places: Arc::new(Semaphore::new(MOST_WAITING)),
        })
    }

    /// Whether this visitor may see the page.
    pub(super) fn admit(&self, peer: SocketAddr, headers: &HeaderMap) -> Admission {
        let is_here = is_this_machine(peer, self.own);
        if self.password.is_none() && !self.takes_operators {
            let is_local = peer.ip().to_canonical().is_loopback()
                && names_loopback(headers)
                && !is_passed_on(headers);
            return if is_local { Admission::Admitted } else { Admission::Refused };
        }
        if self.password.is_none() && !is_here {
            return Admission::Refused;
        }
        let logins = self.logins.lock().unwrap_or_else(PoisonError::into_inner);
        let login = cookie(headers).and_then(|token| logins.get(token));
        let counts =
            |login: &Login| login.since.elapsed() < LASTS && (login.operator.is_none() || is_here);
        match login.is_some_and(counts) {
            true => Admission::Admitted,
            false => Admission::LoginNeeded,
        }
    }

    /// The operator whose login this is, if it is one's.
    pub(super) fn operator(&self, headers: &HeaderMap) -> Option<Arc<Operator>> {
        let logins = self.logins.lock().unwrap_or_else(PoisonError::into_inner);
        logins.get(cookie(headers)?)?.operator.clone()
    }

    /// The ways to log in, as the page is told.
    pub(super) fn ways(&self) -> serde_json::Value {
        serde_json::json!({
            "operators": self.takes_operators,
            "password": self.password.is_some(),
        })
    }

    /// Whether a named operator's password may be taken from there.
    pub(super) fn takes_operator_from(&self, peer: SocketAddr) -> bool {
        self.takes_operators && is_this_machine(peer, self.own)
    }

    /// A place for a try, by name or at the password that all share. `None`: too many wait.
    pub(super) fn place(&self, by_name: bool) -> Option<OwnedSemaphorePermit> {
        let places = if by_name { &self.operators_places } else { &self.places };
        Arc::clone(places).try_acquire_owned().ok()
    }

    /// Whether this is the password that all share; `None`: there is none.
    pub(super) async fn knows(&self, given: &[u8]) -> Option<bool> {
        let (key, tag) = self.password.as_ref()?;
        let _one = self.one_at_a_time.lock().await;
        sleep(PAUSE).await;
        Some(hmac::verify(key, given, tag.as_ref()).is_ok())
    }

    /// A cookie for who has proven who they are.
    pub(super) fn begin(&self, operator: Option<Operator>) -> Option<Begun> {
        let token = token()?;
        let mut ended = Vec::new();
        let mut logins = self.logins.lock().unwrap_or_else(PoisonError::into_inner);
        let mut kept = HashMap::new();
        for (token, login) in logins.drain() {
            match login.since.elapsed() < LASTS {
                true => drop(kept.insert(token, login)),
                false => ended.extend(login.operator),
            }
        }
        if kept.len() >= MOST {
            let oldest = kept.iter().min_by_key(|(_, login)| login.since);
            let oldest = oldest.map(|(token, _)| token.clone()).unwrap_or_default();
            ended.extend(kept.remove(&oldest).and_then(|login| login.operator));
        }
        *logins = kept;
        let operator = operator.map(Arc::new);
        logins.insert(token.clone(), Login { since: Instant::now(), operator });
        let seconds = LASTS.as_secs();
        let cookie =
            format!("{COOKIE}={token}; HttpOnly; SameSite=Strict; Path=/; Max-Age={seconds}");
        Some(Begun { cookie, ended })
    }

    /// Ends a login; gives the operator whose it was.
    pub(super) fn end(&self, headers: &HeaderMap) -> Option<Arc<Operator>> {
        let token = cookie(headers)?;
        let mut logins = self.logins.lock().unwrap_or_else(PoisonError::into_inner);
        logins.remove(token)?.operator
    }
}

/// Whether the page itself asks: another site can neither send this header nor read the answer.
pub(super) fn is_own_page(headers: &HeaderMap) -> bool {
    headers.contains_key("x-readgate")
}

/// 256 random bits, as text.
pub(super) fn token() -> Option<String> {
    let mut bytes = [0; 32];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some(URL_SAFE_NO_PAD.encode(bytes))
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let all = headers.get(header::COOKIE)?.to_str().ok()?;
    all.split(';').find_map(|one| one.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}

/// The name that the browser believes it talks to is this machine's own.
fn names_loopback(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST).and_then(|host| host.to_str().ok()) else {
        return false;
    };
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name == "localhost" || name.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// A proxy on this machine asks for somebody elsewhere, and many ask by this machine's own name.
fn is_passed_on(headers: &HeaderMap) -> bool {
    ["forwarded", "x-forwarded-for", "x-real-ip", "via"]
        .iter()
        .any(|name| headers.contains_key(*name))
}

#[cfg(test)]
mod tests {
    use super::super::operator::tests::olga;
    use super::*;

    fn headers(host: &'static str, cookie: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        headers.insert(header::COOKIE, cookie.parse().unwrap());
        headers
    }

    fn peer(address: &str) -> SocketAddr {
        SocketAddr::new(address.parse().unwrap(), 4000)
    }

    fn guard(password: Option<&str>, takes_operators: bool) -> Guard {
        let password = password.map(Password::new);
        Guard::new(password.as_ref(), takes_operators, "10.0.0.4".parse().unwrap()).unwrap()
    }

    #[test]
    fn without_a_login_only_this_machine_sees_it_under_its_own_name() {
        let guard = guard(None, false);
        let admits = |address, host| guard.admit(peer(address), &headers(host, ""));
        for host in ["127.0.0.1:9104", "localhost", "[::1]:9104"] {
            assert_eq!(admits("127.0.0.1", host), Admission::Admitted, "{host}");
        }
        assert_eq!(admits("::1", "[::1]:9104"), Admission::Admitted);
        assert_eq!(admits("127.0.0.1", "evil.example.org"), Admission::Refused);
        assert_eq!(admits("10.0.0.5", "localhost"), Admission::Refused);
        assert_eq!(guard.admit(peer("127.0.0.1"), &HeaderMap::new()), Admission::Refused);
        let mut passed_on = headers("127.0.0.1:9104", "");
        passed_on.insert("x-forwarded-for", "10.0.0.5".parse().unwrap());
        assert_eq!(guard.admit(peer("127.0.0.1"), &passed_on), Admission::Refused);
    }

    #[tokio::test(start_paused = true)]
    async fn with_a_password_a_login_is_needed_wherever_it_comes_from() {
        let guard = guard(Some("right"), false);
        let here = peer("127.0.0.1");
        let asking = headers("localhost", "readgate_status=guess");
        assert_eq!(guard.admit(here, &asking), Admission::LoginNeeded);
        assert_eq!(guard.knows(b"wrong").await, Some(false));
        assert_eq!(guard.knows(b"right").await, Some(true));
        let cookie = guard.begin(None).unwrap().cookie;
        assert!(cookie.contains("HttpOnly; SameSite=Strict"), "{cookie}");
        let own = cookie.split(';').next().unwrap();
        let known = headers("ops.example.org", &format!("other=1; {own}"));
        assert_eq!(guard.admit(peer("10.0.0.5"), &known), Admission::Admitted);
        guard.end(&known);
        assert_eq!(guard.admit(here, &known), Admission::LoginNeeded);
    }

    /// What a browser sends that has got this cookie.
    fn with(begun: &Begun) -> HeaderMap {
        headers("ops.example.org", begun.cookie.split(';').next().unwrap())
    }

    /// As if the login had begun earlier.
    fn make_older(guard: &Guard, begun: &Begun, by: Duration) {
        let mut logins = guard.logins.lock().unwrap();
        logins.get_mut(cookie(&with(begun)).unwrap()).unwrap().since -= by;
    }

    #[test]
    fn a_login_ends_after_its_time() {
        let (guard, from) = (guard(Some("right"), false), peer("10.0.0.5"));
        let begun = guard.begin(None).unwrap();
        make_older(&guard, &begun, LASTS - Duration::from_secs(60));
        assert_eq!(guard.admit(from, &with(&begun)), Admission::Admitted);
        make_older(&guard, &begun, Duration::from_secs(60));
        assert_eq!(guard.admit(from, &with(&begun)), Admission::LoginNeeded);
    }

    #[test]
    fn of_too_many_logins_the_oldest_gives_way() {
        let (guard, from) = (guard(Some("right"), true), peer("10.0.0.4"));
        let oldest = guard.begin(Some(olga())).unwrap();
        make_older(&guard, &oldest, Duration::from_secs(1));
        let others: Vec<Begun> = (1..MOST).map(|_| guard.begin(None).unwrap()).collect();
        let admits = |begun| guard.admit(from, &with(begun)) == Admission::Admitted;
        assert!(admits(&oldest) && others.iter().all(admits));
        let newest = guard.begin(None).unwrap();
        assert!(!admits(&oldest) && others.iter().all(admits) && admits(&newest));
        assert_eq!(newest.ended.len(), 1, "whose end is to be recorded");
    }

    #[test]
    fn an_operators_login_counts_on_this_machine_alone() {
        let guard = guard(Some("right"), true);
        let known = with(&guard.begin(Some(olga())).unwrap());
        assert_eq!(guard.admit(peer("10.0.0.4"), &known), Admission::Admitted);
        assert_eq!(guard.admit(peer("10.0.0.5"), &known), Admission::LoginNeeded);
    }

    #[tokio::test(start_paused = true)]
    async fn tries_at_the_password_come_one_after_the_other() {
        let (guard, begun) = (guard(Some("right"), false), tokio::time::Instant::now());
        let tries = tokio::join!(guard.knows(b"one"), guard.knows(b"right"));
        assert_eq!((tries, begun.elapsed()), ((Some(false), Some(true)), 2 * PAUSE));
    }

    #[test]
    fn tries_from_elsewhere_take_no_places_of_named_operators() {
        let guard = guard(Some("right"), true);
        let waiting: Vec<_> = (0..MOST_WAITING).map(|_| guard.place(false).unwrap()).collect();
        assert!(guard.place(false).is_none() && guard.place(true).is_some());
        drop(waiting);
        assert!(guard.place(false).is_some());
    }

    #[test]
    fn named_operators_log_in_on_this_machine_alone() {
        let only = guard(None, true);
        let asking = headers("localhost", "");
        for (from, admission, takes) in [
            ("127.0.0.1", Admission::LoginNeeded, true),
            ("10.0.0.4", Admission::LoginNeeded, true),
            ("10.0.0.5", Admission::Refused, false),
        ] {
            assert_eq!(only.admit(peer(from), &asking), admission, "{from}");
            assert_eq!(only.takes_operator_from(peer(from)), takes, "{from}");
        }
        let both = guard(Some("right"), true);
        assert_eq!(both.admit(peer("10.0.0.5"), &asking), Admission::LoginNeeded);
        assert!(!both.takes_operator_from(peer("10.0.0.5")));
    }
}
