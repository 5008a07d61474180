//! The exchanges of the plugins as states: what each waits for, and what an answer leads
//! to. An exchange belongs to one plugin of one login and can be used once.
use mysql_auth::{AuthPlugin, NativeVerifier, Nonce, Password, Sha2Verifier};

use super::outcome::Method;
use super::{Candidate, LoginDenied, NamedUser};

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
    pub(super) candidate: Candidate,
    pub(super) verifiers: Vec<Sha2Verifier>,
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
        let Self { candidate, verifiers } = self;
        if scramble.is_empty() {
            return FastAuth::Denied(candidate.without_password());
        }
        let right = matching(&verifiers, |verifier| verifier.verify_scramble(nonce, scramble));
        match candidate.decide(right, Method::CachingSha2Fast) {
            Ok(user) => FastAuth::Accepted(user),
            Err((candidate, fast)) => FastAuth::FullNeeded(FullAuth { candidate, verifiers, fast }),
        }
    }
}

/// `caching_sha2_password`, waiting for the password.
#[derive(Debug)]
pub struct FullAuth {
    candidate: Candidate,
    verifiers: Vec<Sha2Verifier>,
    /// What the scramble proved.
    fast: LoginDenied,
}

impl FullAuth {
    /// What the scramble proved: whoever is asked for the password itself knows that the one they
    /// tried is not right.
    pub fn so_far(&self) -> LoginDenied {
        self.fast
    }

    /// Full authentication. `password` is what the client sent, without the closing NUL.
    pub fn verify(self, password: &Password) -> Result<NamedUser, LoginDenied> {
        let right = matching(&self.verifiers, |verifier| verifier.verify_password(password));
        if password.is_empty() {
            return Err(self.candidate.without_password());
        }
        self.candidate.decide(right, Method::CachingSha2Full).map_err(|(_, denied)| denied)
    }
}

/// `mysql_native_password`, waiting for the scramble.
#[derive(Debug)]
pub struct Native {
    pub(super) candidate: Candidate,
    pub(super) verifiers: Vec<NativeVerifier>,
}

impl Native {
    /// Checks the client's answer to the nonce.
    pub fn verify(self, nonce: &Nonce, scramble: &[u8]) -> Result<NamedUser, LoginDenied> {
        let right = matching(&self.verifiers, |verifier| verifier.verify_scramble(nonce, scramble));
        if scramble.is_empty() {
            return Err(self.candidate.without_password());
        }
        self.candidate.decide(right, Method::Native).map_err(|(_, denied)| denied)
    }
}

/// The place of the first verifier that fits. All are tried, whichever fits.
fn matching<V>(verifiers: &[V], fits: impl Fn(&V) -> bool) -> Option<usize> {
    let fitting: Vec<bool> = verifiers.iter().map(fits).collect();
    fitting.iter().position(|fits| *fits)
}
