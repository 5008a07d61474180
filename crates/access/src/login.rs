//! Is this client the named user it says it is? Guarantees that a [`NamedUser`] exists
//! only after a right proof by a user who may log in here and now, and that unknown users,
//! disabled users and wrong passwords pass through the same steps and the same work, so
//! that neither words nor time tell them apart.
mod exchange;
mod outcome;

use std::sync::Arc;

use mysql_auth::{AuthPlugin, NativeVerifier, Sha2Verifier};

use crate::certificate::ClientCertificate;
use crate::credential::{Credential, CredentialId, Standing};
use crate::source::{SourceAdmitted, SourceNetworks, SourceSet};
use crate::throttle::Attempt;
use crate::user::{User, UserStatus, UserStore};
use crate::{Timestamp, day_of};

pub use exchange::{CachingSha2, Exchange, FastAuth, FullAuth, Native};
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
    /// The certificate that it has proven to hold, if any.
    pub certificate: Option<Arc<ClientCertificate>>,
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
    certificate: Option<Arc<ClientCertificate>>,
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
        // Nobody's login does the work of somebody's, and nothing of it counts.
        let seen_as = user.as_deref().or(decoy.as_deref());
        let seen = seen_as.map(|seen| (standing(seen, &arrival), to_try(seen, arrival.now)));
        let (standing, mut credentials) = seen.unwrap_or((Err(DenyCause::UnknownUser), Vec::new()));
        let standing = if user.is_some() { standing } else { Err(DenyCause::UnknownUser) };
        if user.is_none() {
            credentials.iter_mut().for_each(Credential::forget);
        }
        let slot = |of: &Credential| Slot { id: of.id, standing: of.standing(arrival.now) };
        let slots = credentials.iter().map(slot).collect();
        let plugins = seen_as.map(|seen| seen.allowed_plugins().collect()).unwrap_or_default();
        let Arrival { source, certificate, .. } = arrival;
        let candidate = Candidate { user, standing, slots, source, certificate };
        Self { candidate, credentials, plugins }
    }

    /// Takes over what the throttle said of this attempt. While a block is in force the
    /// right password leads through the steps of a wrong one; without this, the steps
    /// would tell whoever is blocked which of their guesses is right.
    #[must_use]
    pub fn throttled(mut self, attempt: Attempt) -> Self {
        if let Attempt::Blocked(_) = attempt {
            self.candidate.standing = Err(DenyCause::Blocked);
        }
        self
    }

    /// Decides by the client certificate alone, whatever the password: for listeners where
    /// holding a user's certificate suffices. `None` if none was presented.
    ///
    /// # Errors
    /// The certificate is somebody else's, or the user may not log in.
    pub fn by_certificate(&self) -> Option<Result<NamedUser, LoginDenied>> {
        let Candidate { user, standing, source, certificate, .. } = &self.candidate;
        let certificate = certificate.clone()?;
        let denied = |cause| LoginDenied { cause, proof_was_right: false };
        Some(match (user, standing) {
            (Some(user), Ok(())) => Ok(NamedUser {
                user: Arc::clone(user),
                source: source.clone(),
                method: Method::Certificate,
                credential: None,
                first_use: false,
                certificate: Some(certificate),
            }),
            (_, Err(cause)) => Err(denied(*cause)),
            (None, Ok(())) => Err(denied(DenyCause::UnknownUser)),
        })
    }

    /// The plugin to prove by: the client's own if the user may use it, otherwise the user's
    /// preferred one, to which the client must then be switched.
    pub fn plugin(&self, client_plugin: Option<AuthPlugin>) -> AuthPlugin {
        let clients_own = client_plugin.filter(|plugin| self.plugins.contains(plugin));
        let preferred = self.plugins.first().copied();
        clients_own.or(preferred).unwrap_or(AuthPlugin::CachingSha2Password)
    }

    /// The exchange to hold, of [`LoginCheck::plugin`].
    #[must_use]
    pub fn exchange(self, client_plugin: Option<AuthPlugin>) -> Exchange {
        let plugin = self.plugin(client_plugin);
        let Self { candidate, credentials, .. } = self;
        match plugin {
            AuthPlugin::CachingSha2Password => {
                let known = credentials.iter().map(|credential| credential.sha2.clone());
                let verifiers = padded(known, Sha2Verifier::dummy);
                Exchange::CachingSha2(CachingSha2 { candidate, verifiers })
            }
            AuthPlugin::MysqlNativePassword => {
                let known = credentials.iter().map(|credential| credential.native.clone());
                let verifiers = padded(known, NativeVerifier::dummy);
                Exchange::Native(Native { candidate, verifiers })
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
    match &arrival.certificate {
        Some(presented) if !presented.is_of(user) => {
            return Err(DenyCause::CertificateOfAnother);
        }
        None if !user.certificates.is_empty() => return Err(DenyCause::CertificateMissing),
        Some(_) | None => {}
    }
    if user.role.require_tls && !arrival.encrypted {
        return Err(DenyCause::TlsRequired);
    }
    for narrower in [&user.role.sources, &user.sources].into_iter().flatten() {
        let admitted = arrival.networks.admit(narrower, arrival.source.addr(), today);
        admitted.map_err(|_| DenyCause::SourceNotForUser)?;
    }
    Ok(())
}

impl NamedUser {
    /// Whether a session may go on after users, roles or networks have changed, or a day
    /// has passed. Gives the user as it is now.
    ///
    /// `listener` is what the session's listener accepts now. A credential that was
    /// replaced since ends no session; one that was revoked, has expired, or has another verifier
    /// by now does, and so does one of a plugin that the user or its role may use no more.
    ///
    /// # Errors
    /// Why the session must end.
    pub fn recheck(
        &self,
        store: &dyn UserStore,
        listener: &SourceSet,
        arrival: &Arrival<'_>,
    ) -> Result<Arc<User>, DenyCause> {
        let user = store.find(self.user.name.as_str().as_bytes()).ok_or(DenyCause::UnknownUser)?;
        let (addr, today) = (arrival.source.addr(), day_of(arrival.now));
        let admitted = arrival.networks.admit(listener, addr, today);
        admitted.map_err(|_| DenyCause::SourceNotForUser)?;
        standing(&user, arrival)?;
        let Some(id) = self.credential else { return Ok(user) };
        let (then, now) = (self.user.credential(id), user.credential(id));
        // One that a configuration has changed, or nobody lists any more, has no overlap.
        let proven = now.filter(|now| then.is_some_and(|then| self.method.is_same(then, now)));
        let proven = proven.filter(|_| self.method.is_allowed(&user));
        let proven = proven.ok_or(DenyCause::CredentialRevoked)?;
        if proven.expires_at().is_some_and(|end| end <= arrival.now) {
            return Err(DenyCause::CredentialExpired);
        }
        match proven.standing(arrival.now) == Standing::Revoked {
            true => Err(DenyCause::CredentialRevoked),
            false => Ok(user),
        }
    }
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
    known.chain(std::iter::repeat_with(dummy)).take(SLOTS).collect()
}

impl Candidate {
    /// The one place where a [`NamedUser`] is made.
    fn decide(
        self,
        right: Option<usize>,
        method: Method,
    ) -> Result<NamedUser, (Self, LoginDenied)> {
        let proven = right.and_then(|place| self.slots.get(place)).copied();
        let denied = |cause| LoginDenied { cause, proof_was_right: proven.is_some() };
        let cause = match (&self.user, self.standing, proven) {
            (Some(user), Ok(()), Some(slot)) => match slot.standing {
                Standing::Valid { first_use } => {
                    let (user, source) = (Arc::clone(user), self.source);
                    let (credential, certificate) = (Some(slot.id), self.certificate);
                    return Ok(NamedUser {
                        user,
                        source,
                        method,
                        credential,
                        first_use,
                        certificate,
                    });
                }
                Standing::NotCollected => DenyCause::CredentialNotCollected,
                Standing::Expired => DenyCause::CredentialExpired,
                Standing::Retired => DenyCause::CredentialRetired,
                Standing::Revoked => DenyCause::CredentialRevoked,
            },
            (_, Err(cause), _) => cause,
            (None, Ok(()), _) => DenyCause::UnknownUser,
            (Some(_), Ok(()), None) => DenyCause::WrongPassword,
        };
        let denied = denied(cause);
        Err((self, denied))
    }

    fn without_password(self) -> LoginDenied {
        let cause = self.standing.err().unwrap_or(DenyCause::NoPassword);
        LoginDenied { cause, proof_was_right: false }
    }
}

#[cfg(test)]
#[path = "login_tests.rs"]
mod tests;
