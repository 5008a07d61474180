//! Is this client the named user it says it is? Guarantees that a [`NamedUser`] exists
//! only after a right proof by a user who may log in here and now, and that unknown users,
//! disabled users and wrong passwords pass through the same steps and the same work, so
//! that neither words nor time tell them apart.
mod outcome;

use std::sync::Arc;

use mysql_auth::{AuthPlugin, NativeVerifier, Nonce, Password, Sha2Verifier};

use crate::credential::{Credential, CredentialId, Standing};
use crate::source::{SourceAdmitted, SourceNetworks};
use crate::user::{User, UserStatus, UserStore};
use crate::{Timestamp, day_of};

pub use outcome::{DenyCause, LoginDenied, NamedUser};

use outcome::Method;

/// Credentials that are tried at each login, as many for everybody: a new one, the one it
/// replaces, and one more that the user is told of if it is the one that was meant.
const SLOTS: usize = 3;

/// How a client got as far as the login.
#[derive(Debug)]
pub struct Arrival<'a> {
    /// The permit of its address.
    pub source: SourceAdmitted,
    /// The networks that gave the permit.
    pub networks: &'a SourceNetworks,
    /// Whether it speaks TLS.
    pub encrypted: bool,
    /// The present.
    pub now: Timestamp,
}

/// A login that has a name and no proof yet.
#[derive(Debug)]
pub struct LoginCheck {
    candidate: Candidate,
    /// Tried at the proof; empty if nobody has the name.
    credentials: Vec<Credential>,
    /// What the name's plugins are, or seem to be if nobody has that name.
    plugins: Vec<AuthPlugin>,
}

/// The name's owner, if any, and whether they would be let in with the right proof.
#[derive(Debug)]
struct Candidate {
    user: Option<Arc<User>>,
    standing: Result<(), DenyCause>,
    /// Those of the credentials, in their order.
    slots: Vec<Slot>,
    source: SourceAdmitted,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    id: CredentialId,
    standing: Standing,
}

impl LoginCheck {
    /// Looks the name up.
    pub fn for_user(store: &dyn UserStore, name: &[u8], arrival: Arrival<'_>) -> Self {
        let user = store.find(name);
        let decoy = store.decoy(name);
        let standing = match &user {
            Some(user) => standing(user, &arrival),
            None => Err(DenyCause::UnknownUser),
        };
        let credentials = user
            .as_deref()
            .map(|user| to_try(user, arrival.now))
            .unwrap_or_default();
        let slot = |of: &Credential| Slot {
            id: of.id,
            standing: of.standing(arrival.now),
        };
        let slots = credentials.iter().map(slot).collect();
        let seen_as = user.as_ref().or(decoy.as_ref());
        let plugins = seen_as
            .map(|user| user.allowed_plugins().collect())
            .unwrap_or_default();
        let candidate = Candidate {
            user,
            standing,
            slots,
            source: arrival.source,
        };
        Self {
            candidate,
            credentials,
            plugins,
        }
    }

    /// The exchange to hold: the client's own plugin if the user may use it, otherwise the
    /// user's preferred one, to which the client must then be switched (compare
    /// [`Exchange::plugin`]).
    pub fn exchange(self, client_plugin: Option<AuthPlugin>) -> Exchange {
        let Self {
            candidate,
            credentials,
            plugins,
        } = self;
        let clients_own = client_plugin.filter(|plugin| plugins.contains(plugin));
        let preferred = plugins.first().copied();
        match clients_own
            .or(preferred)
            .unwrap_or(AuthPlugin::CachingSha2Password)
        {
            AuthPlugin::CachingSha2Password => {
                let known = credentials.iter().map(|credential| credential.sha2.clone());
                let verifiers = padded(known, Sha2Verifier::dummy);
                Exchange::CachingSha2(CachingSha2 {
                    candidate,
                    verifiers,
                })
            }
            AuthPlugin::MysqlNativePassword => {
                let known = credentials
                    .iter()
                    .map(|credential| credential.native.clone());
                let verifiers = padded(known, NativeVerifier::dummy);
                Exchange::Native(Native {
                    candidate,
                    verifiers,
                })
            }
        }
    }
}

fn standing(user: &User, arrival: &Arrival<'_>) -> Result<(), DenyCause> {
    let today = day_of(arrival.now);
    if user.status == UserStatus::Disabled {
        return Err(DenyCause::UserDisabled);
    }
    if !user.is_valid_on(today) {
        return Err(DenyCause::UserNotValidToday);
    }
    if user.role.require_tls && !arrival.encrypted {
        return Err(DenyCause::TlsRequired);
    }
    for narrower in [&user.role.sources, &user.sources].into_iter().flatten() {
        let admitted = arrival
            .networks
            .admit(narrower, arrival.source.addr(), today);
        admitted.map_err(|_| DenyCause::SourceNotForUser)?;
    }
    Ok(())
}

/// The credentials worth trying: those that count, newest first, then those that don't, so
/// that a proof by one of them can be explained.
fn to_try(user: &User, now: Timestamp) -> Vec<Credential> {
    let mut ordered: Vec<&Credential> = user.credentials.iter().collect();
    ordered.sort_by_key(|credential| !matches!(credential.standing(now), Standing::Valid { .. }));
    ordered.into_iter().take(SLOTS).cloned().collect()
}

/// As many verifiers for everybody, so that everybody's proof costs the same work.
fn padded<V>(known: impl Iterator<Item = Option<V>>, dummy: fn() -> V) -> Vec<V> {
    let known = known.map(|verifier| verifier.unwrap_or_else(dummy));
    known
        .chain(std::iter::repeat_with(dummy))
        .take(SLOTS)
        .collect()
}

/// The exchange of one plugin, waiting for the client's answer to the nonce.
#[derive(Debug)]
pub enum Exchange {
    /// `caching_sha2_password`.
    CachingSha2(CachingSha2),
    /// `mysql_native_password`.
    Native(Native),
}

impl Exchange {
    /// The plugin that the client must be speaking.
    pub fn plugin(&self) -> AuthPlugin {
        match self {
            Self::CachingSha2(_) => AuthPlugin::CachingSha2Password,
            Self::Native(_) => AuthPlugin::MysqlNativePassword,
        }
    }
}

/// `caching_sha2_password`, waiting for the scramble.
#[derive(Debug)]
pub struct CachingSha2 {
    candidate: Candidate,
    verifiers: Vec<Sha2Verifier>,
}

/// What a scramble led to.
#[derive(Debug)]
pub enum FastAuth {
    /// Right: send "fast authentication OK" and go on.
    Accepted(NamedUser),
    /// Not proven: ask for the password itself, as a server does whose cache misses.
    FullNeeded(FullAuth),
    /// No password at all: nobody has an empty one.
    Denied(LoginDenied),
}

impl CachingSha2 {
    /// Fast authentication. `scramble` is the client's answer as it came, without the
    /// closing NUL that an empty answer may have.
    pub fn fast(self, nonce: &Nonce, scramble: &[u8]) -> FastAuth {
        let Self {
            candidate,
            verifiers,
        } = self;
        if scramble.is_empty() {
            return FastAuth::Denied(candidate.without_password());
        }
        let right = matching(&verifiers, |verifier| {
            verifier.verify_scramble(nonce, scramble)
        });
        match candidate.decide(right, Method::CachingSha2Fast) {
            Ok(user) => FastAuth::Accepted(user),
            Err((candidate, _)) => FastAuth::FullNeeded(FullAuth {
                candidate,
                verifiers,
            }),
        }
    }
}

/// `caching_sha2_password`, waiting for the password.
#[derive(Debug)]
pub struct FullAuth {
    candidate: Candidate,
    verifiers: Vec<Sha2Verifier>,
}

impl FullAuth {
    /// Full authentication. `password` is what the client sent, without the closing NUL.
    pub fn verify(self, password: &Password) -> Result<NamedUser, LoginDenied> {
        let right = matching(&self.verifiers, |verifier| {
            verifier.verify_password(password)
        });
        if password.is_empty() {
            return Err(self.candidate.without_password());
        }
        self.candidate
            .decide(right, Method::CachingSha2Full)
            .map_err(|(_, denied)| denied)
    }
}

/// `mysql_native_password`, waiting for the scramble.
#[derive(Debug)]
pub struct Native {
    candidate: Candidate,
    verifiers: Vec<NativeVerifier>,
}

impl Native {
    /// Checks the client's answer to the nonce.
    pub fn verify(self, nonce: &Nonce, scramble: &[u8]) -> Result<NamedUser, LoginDenied> {
        let right = matching(&self.verifiers, |verifier| {
            verifier.verify_scramble(nonce, scramble)
        });
        if scramble.is_empty() {
            return Err(self.candidate.without_password());
        }
        self.candidate
            .decide(right, Method::Native)
            .map_err(|(_, denied)| denied)
    }
}

/// The place of the first verifier that fits. All are tried, whichever fits.
fn matching<V>(verifiers: &[V], fits: impl Fn(&V) -> bool) -> Option<usize> {
    let fitting: Vec<bool> = verifiers.iter().map(fits).collect();
    fitting.iter().position(|fits| *fits)
}

impl Candidate {
    /// The one place where a [`NamedUser`] is made.
    fn decide(
        self,
        right: Option<usize>,
        method: Method,
    ) -> Result<NamedUser, (Self, LoginDenied)> {
        let proven = right.and_then(|place| self.slots.get(place)).copied();
        let denied = |cause| LoginDenied {
            cause,
            proof_was_right: proven.is_some(),
        };
        let cause = match (&self.user, self.standing, proven) {
            (Some(user), Ok(()), Some(slot)) => match slot.standing {
                Standing::Valid { first_use } => {
                    let (user, source) = (Arc::clone(user), self.source);
                    let credential = slot.id;
                    return Ok(NamedUser {
                        user,
                        source,
                        method,
                        credential,
                        first_use,
                    });
                }
                Standing::NotCollected => DenyCause::CredentialNotCollected,
                Standing::Expired => DenyCause::CredentialExpired,
                Standing::Retired => DenyCause::CredentialRetired,
                Standing::Revoked => DenyCause::CredentialRevoked,
            },
            (None, _, _) => DenyCause::UnknownUser,
            (Some(_), Err(cause), _) => cause,
            (Some(_), Ok(()), None) => DenyCause::WrongPassword,
        };
        let denied = denied(cause);
        Err((self, denied))
    }

    fn without_password(self) -> LoginDenied {
        let cause = self.standing.err().unwrap_or(DenyCause::NoPassword);
        LoginDenied {
            cause,
            proof_was_right: false,
        }
    }
}

#[cfg(test)]
#[path = "login_tests.rs"]
mod tests;
