//! Is this client the named user it says it is? Guarantees that a [`NamedUser`] exists
//! only after a right proof by an enabled user from an accepted source, and that unknown
//! users, disabled users and wrong passwords pass through the same steps and the same
//! work, so that neither words nor time tell them apart.
use std::fmt;
use std::sync::Arc;

use mysql_auth::{AuthPlugin, NativeVerifier, Nonce, Password, Sha2Verifier};

use crate::Date;
use crate::source::{SourceAdmitted, SourceNetworks};
use crate::user::{User, UserStatus, UserStore};

/// A login that has a name and no proof yet.
#[derive(Debug)]
pub struct LoginCheck {
    candidate: Candidate,
    /// What the name's plugins are, or seem to be if nobody has that name.
    plugins: Vec<AuthPlugin>,
}

/// The name's owner, if any, and whether they would be let in with the right proof.
#[derive(Debug)]
struct Candidate {
    user: Option<Arc<User>>,
    standing: Result<(), DenyCause>,
    source: SourceAdmitted,
}

impl LoginCheck {
    /// Looks the name up. Takes the permit of the address, so there is no login without
    /// one; `networks` must be those that gave the permit.
    pub fn for_user(
        store: &dyn UserStore,
        networks: &SourceNetworks,
        name: &[u8],
        source: SourceAdmitted,
        today: Date,
    ) -> Self {
        let user = store.find(name);
        let decoy = store.decoy(name);
        let standing = match &user {
            Some(user) => standing(user, networks, &source, today),
            None => Err(DenyCause::UnknownUser),
        };
        let seen_as = user.as_ref().or(decoy.as_ref());
        let plugins = seen_as
            .map(|user| user.plugins().collect())
            .unwrap_or_default();
        Self {
            candidate: Candidate {
                user,
                standing,
                source,
            },
            plugins,
        }
    }

    /// The exchange to hold: the client's own plugin if the user may use it, otherwise the
    /// user's preferred one, to which the client must then be switched (compare
    /// [`Exchange::plugin`]).
    pub fn exchange(self, client_plugin: Option<AuthPlugin>) -> Exchange {
        let clients_own = client_plugin.filter(|plugin| self.plugins.contains(plugin));
        let preferred = self.plugins.first().copied();
        let user = self.candidate.user.as_deref();
        match clients_own
            .or(preferred)
            .unwrap_or(AuthPlugin::CachingSha2Password)
        {
            AuthPlugin::CachingSha2Password => {
                let known = user.and_then(User::sha2_verifier).cloned();
                let verifier = known.unwrap_or_else(Sha2Verifier::dummy);
                Exchange::CachingSha2(CachingSha2 {
                    candidate: self.candidate,
                    verifier,
                })
            }
            AuthPlugin::MysqlNativePassword => {
                let known = user.and_then(User::native_verifier).cloned();
                let verifier = known.unwrap_or_else(NativeVerifier::dummy);
                Exchange::Native(Native {
                    candidate: self.candidate,
                    verifier,
                })
            }
        }
    }
}

fn standing(
    user: &User,
    networks: &SourceNetworks,
    source: &SourceAdmitted,
    today: Date,
) -> Result<(), DenyCause> {
    if user.status == UserStatus::Disabled {
        return Err(DenyCause::UserDisabled);
    }
    match &user.sources {
        None => Ok(()),
        Some(own) => networks
            .admit(own, source.addr(), today)
            .map(|_| ())
            .map_err(|_| DenyCause::SourceNotForUser),
    }
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
    verifier: Sha2Verifier,
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
            verifier,
        } = self;
        if scramble.is_empty() {
            return FastAuth::Denied(candidate.denied(Proof::Empty));
        }
        let right = verifier.verify_scramble(nonce, scramble);
        match candidate.decide(right, Method::CachingSha2Fast) {
            Ok(user) => FastAuth::Accepted(user),
            Err((candidate, _)) => FastAuth::FullNeeded(FullAuth {
                candidate,
                verifier,
            }),
        }
    }
}

/// `caching_sha2_password`, waiting for the password.
#[derive(Debug)]
pub struct FullAuth {
    candidate: Candidate,
    verifier: Sha2Verifier,
}

impl FullAuth {
    /// Full authentication. `password` is what the client sent, without the closing NUL.
    pub fn verify(self, password: &Password) -> Result<NamedUser, LoginDenied> {
        let right = self.verifier.verify_password(password) & !password.is_empty();
        let decided = self.candidate.decide(right, Method::CachingSha2Full);
        decided.map_err(|(candidate, proof)| candidate.denied(proof))
    }
}

/// `mysql_native_password`, waiting for the scramble.
#[derive(Debug)]
pub struct Native {
    candidate: Candidate,
    verifier: NativeVerifier,
}

impl Native {
    /// Checks the client's answer to the nonce.
    pub fn verify(self, nonce: &Nonce, scramble: &[u8]) -> Result<NamedUser, LoginDenied> {
        let right = self.verifier.verify_scramble(nonce, scramble);
        let decided = self.candidate.decide(right, Method::Native);
        decided.map_err(|(candidate, proof)| match scramble {
            [] => candidate.denied(Proof::Empty),
            [..] => candidate.denied(proof),
        })
    }
}

impl Candidate {
    /// The one place where a [`NamedUser`] is made.
    fn decide(self, proof_right: bool, method: Method) -> Result<NamedUser, (Self, Proof)> {
        let Self {
            user,
            standing,
            source,
        } = self;
        match (user, standing, proof_right) {
            (Some(user), Ok(()), true) => Ok(NamedUser {
                user,
                source,
                method,
            }),
            (user, standing, right) => {
                let proof = if right { Proof::Right } else { Proof::Wrong };
                Err((
                    Self {
                        user,
                        standing,
                        source,
                    },
                    proof,
                ))
            }
        }
    }

    fn denied(self, proof: Proof) -> LoginDenied {
        let cause = match (self.standing, proof) {
            (Err(cause), _) => cause,
            (Ok(()), Proof::Empty) => DenyCause::NoPassword,
            (Ok(()), Proof::Wrong | Proof::Right) => DenyCause::WrongPassword,
        };
        LoginDenied {
            cause,
            proof_was_right: proof == Proof::Right,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Proof {
    Right,
    Wrong,
    Empty,
}

/// Permit: this client is that user, here and now. Made by this file alone.
#[derive(Debug, Clone)]
pub struct NamedUser {
    user: Arc<User>,
    source: SourceAdmitted,
    method: Method,
}

impl NamedUser {
    /// The user as found at login.
    pub fn user(&self) -> &Arc<User> {
        &self.user
    }

    /// The permit of the address.
    pub fn source(&self) -> &SourceAdmitted {
        &self.source
    }

    /// Plugin and path of the proof, such as `caching_sha2_password/fast`.
    pub fn method(&self) -> &'static str {
        match self.method {
            Method::CachingSha2Fast => "caching_sha2_password/fast",
            Method::CachingSha2Full => "caching_sha2_password/full",
            Method::Native => "mysql_native_password",
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Method {
    CachingSha2Fast,
    CachingSha2Full,
    Native,
}

/// A login that failed. Prints the real reason, for the ledger alone: the client gets
/// error 1045 whatever it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub struct LoginDenied {
    /// Why.
    pub cause: DenyCause,
    /// Whether the password was right all the same, as with a disabled user.
    pub proof_was_right: bool,
}

impl fmt::Display for LoginDenied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.cause.label())?;
        f.write_str(if self.proof_was_right {
            " (password right)"
        } else {
            ""
        })
    }
}

/// Why a login failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DenyCause {
    /// Nobody has that name.
    UnknownUser,
    /// The user is disabled.
    UserDisabled,
    /// The address may connect, but not as this user.
    SourceNotForUser,
    /// The proof is wrong.
    WrongPassword,
    /// The client offered no password.
    NoPassword,
}

impl DenyCause {
    /// Stable name: metric label and ledger field.
    pub fn label(self) -> &'static str {
        match self {
            Self::UnknownUser => "unknown_user",
            Self::UserDisabled => "user_disabled",
            Self::SourceNotForUser => "source_not_for_user",
            Self::WrongPassword => "wrong_password",
            Self::NoPassword => "no_password",
        }
    }
}

#[cfg(test)]
#[path = "login_tests.rs"]
mod tests;
