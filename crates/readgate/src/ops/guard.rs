//! Who may see the status page: whoever is on this machine, or knows the password of
//! `ops.password_file`. Without that file, requests of other machines are refused, and so are
//! those that a foreign name was made to lead here (DNS rebinding).
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use access::Password;
use axum::http::{HeaderMap, header};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use tokio::time::sleep;

/// A login lasts this long.
const LASTS: Duration = Duration::from_secs(12 * 3600);
/// Logins at a time; the oldest gives way.
const MOST: usize = 100;
/// What each try costs; there is one at a time.
const PAUSE: Duration = Duration::from_millis(700);
const COOKIE: &str = "readgate_status";

/// The door of the status page.
pub(super) struct Guard {
    /// Key and expected tag: compared in constant time. `None`: no password, loopback only.
    password: Option<(hmac::Key, hmac::Tag)>,
    logins: Mutex<HashMap<String, Instant>>,
    one_at_a_time: tokio::sync::Mutex<()>,
}

/// What a visitor may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    /// See it.
    Admitted,
    /// Log in first.
    PasswordNeeded,
    /// Nothing.
    Refused,
}

impl Guard {
    /// With the operators' password, if there is one. `None` without randomness.
    pub(super) fn new(password: Option<&Password>) -> Option<Self> {
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
            logins: Mutex::default(),
            one_at_a_time: tokio::sync::Mutex::default(),
        })
    }

    /// Whether this visitor may see the page.
    pub(super) fn admit(&self, peer: SocketAddr, headers: &HeaderMap) -> Admission {
        if self.password.is_none() {
            let is_here = peer.ip().to_canonical().is_loopback() && names_loopback(headers);
            return if is_here { Admission::Admitted } else { Admission::Refused };
        }
        let logins = self.logins.lock().unwrap_or_else(PoisonError::into_inner);
        let since = cookie(headers).and_then(|token| logins.get(token));
        match since.is_some_and(|since| since.elapsed() < LASTS) {
            true => Admission::Admitted,
            false => Admission::PasswordNeeded,
        }
    }

    /// A cookie for who knows the password. Another site can't ask: it can neither send the
    /// header that is demanded of a login nor read the answer.
    pub(super) async fn log_in(&self, headers: &HeaderMap, given: &[u8]) -> Option<String> {
        let (key, tag) = self.password.as_ref()?;
        headers.get("x-readgate")?;
        let _one = self.one_at_a_time.lock().await;
        sleep(PAUSE).await;
        hmac::verify(key, given, tag.as_ref()).ok()?;
        let token = token()?;
        let mut logins = self.logins.lock().unwrap_or_else(PoisonError::into_inner);
        logins.retain(|_, since| since.elapsed() < LASTS);
        if logins.len() >= MOST {
            let oldest = logins.iter().min_by_key(|(_, since)| **since);
            if let Some(oldest) = oldest.map(|(token, _)| token.clone()) {
                logins.remove(&oldest);
            }
        }
        logins.insert(token.clone(), Instant::now());
        let seconds = LASTS.as_secs();
        Some(format!("{COOKIE}={token}; HttpOnly; SameSite=Strict; Path=/; Max-Age={seconds}"))
    }

    /// Ends a login.
    pub(super) fn log_out(&self, headers: &HeaderMap) {
        if let Some(token) = cookie(headers) {
            self.logins.lock().unwrap_or_else(PoisonError::into_inner).remove(token);
        }
    }
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

#[cfg(test)]
mod tests {
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

    #[test]
    fn without_a_password_only_this_machine_sees_it_under_its_own_name() {
        let guard = Guard::new(None).unwrap();
        let admits = |address, host| guard.admit(peer(address), &headers(host, ""));
        for host in ["127.0.0.1:9104", "localhost", "[::1]:9104"] {
            assert_eq!(admits("127.0.0.1", host), Admission::Admitted, "{host}");
        }
        assert_eq!(admits("::1", "[::1]:9104"), Admission::Admitted);
        assert_eq!(admits("127.0.0.1", "evil.example.org"), Admission::Refused);
        assert_eq!(admits("10.0.0.5", "localhost"), Admission::Refused);
        assert_eq!(guard.admit(peer("127.0.0.1"), &HeaderMap::new()), Admission::Refused);
    }

    #[tokio::test(start_paused = true)]
    async fn with_a_password_a_login_is_needed_wherever_it_comes_from() {
        let guard = Guard::new(Some(&Password::new("right"))).unwrap();
        let here = peer("127.0.0.1");
        let mut asking = headers("localhost", "readgate_status=guess");
        assert_eq!(guard.admit(here, &asking), Admission::PasswordNeeded);
        assert_eq!(guard.log_in(&asking, b"right").await, None, "another site's form");
        asking.insert("x-readgate", "1".parse().unwrap());
        assert_eq!(guard.log_in(&asking, b"wrong").await, None);
        let cookie = guard.log_in(&asking, b"right").await.unwrap();
        assert!(cookie.contains("HttpOnly; SameSite=Strict"), "{cookie}");
        let own = cookie.split(';').next().unwrap();
        let known = headers("ops.example.org", &format!("other=1; {own}"));
        assert_eq!(guard.admit(peer("10.0.0.5"), &known), Admission::Admitted);
        guard.log_out(&known);
        assert_eq!(guard.admit(here, &known), Admission::PasswordNeeded);
    }
}
