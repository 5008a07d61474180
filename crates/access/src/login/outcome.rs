//! How a login ended: the permit of a named user, or the real reason of a refusal, which
//! is for the ledger alone.
use std::fmt;
use std::sync::Arc;

use mysql_auth::AuthPlugin;

use crate::certificate::ClientCertificate;
use crate::credential::{Credential, CredentialId};
use crate::source::SourceAdmitted;
use crate::user::User;

/// Permit: this client is that user, here and now. Made by [`super`] alone.
#[derive(Debug, Clone)]
pub struct NamedUser {
    pub(super) user: Arc<User>,
    pub(super) source: SourceAdmitted,
    pub(super) method: Method,
    pub(super) credential: Option<CredentialId>,
    pub(super) first_use: bool,
    pub(super) certificate: Option<Arc<ClientCertificate>>,
}

impl NamedUser {
    /// The user as found at login, with its role.
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
            Method::Certificate => "certificate",
        }
    }

    /// The credential that was proven; `None` if a certificate sufficed.
    pub fn credential(&self) -> Option<CredentialId> {
        self.credential
    }

    /// The client certificate that was presented.
    pub fn certificate(&self) -> Option<&Arc<ClientCertificate>> {
        self.certificate.as_ref()
    }

    /// Whether this login collects the credential: then it has to be marked as collected
    /// before the session begins.
    pub fn collects_credential(&self) -> bool {
        self.first_use
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Method {
    CachingSha2Fast,
    CachingSha2Full,
    Native,
    Certificate,
}

impl Method {
    /// The plugin that it is of, if it is one's.
    fn plugin(self) -> Option<AuthPlugin> {
        match self {
            Self::CachingSha2Fast | Self::CachingSha2Full => Some(AuthPlugin::CachingSha2Password),
            Self::Native => Some(AuthPlugin::MysqlNativePassword),
            Self::Certificate => None,
        }
    }

    /// Whether a user may prove who they are by it.
    pub(super) fn is_allowed(self, user: &User) -> bool {
        self.plugin().is_none_or(|plugin| user.allowed_plugins().any(|allowed| allowed == plugin))
    }

    /// Whether what proves a client by this method is the same in both.
    pub(super) fn is_same(self, then: &Credential, now: &Credential) -> bool {
        match self {
            Self::CachingSha2Fast | Self::CachingSha2Full => then.sha2 == now.sha2,
            Self::Native => then.native == now.native,
            Self::Certificate => true,
        }
    }
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

impl LoginDenied {
    /// What the client may be told beside error 1045: what to do about a credential that
    /// ended, and only if they hold that credential. Not 1862, the server's error for an
    /// expired password: command lines show a hint of their own in place of its text.
    pub fn advice(&self) -> Option<&'static str> {
        match (self.proof_was_right, self.cause) {
            (true, DenyCause::CredentialNotCollected) => {
                Some("this credential was not collected in time and is void; ask for a new one")
            }
            (true, DenyCause::CredentialExpired) => {
                Some("this credential has expired; ask for a new one")
            }
            _ => None,
        }
    }
}

impl fmt::Display for LoginDenied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.cause.label())?;
        f.write_str(if self.proof_was_right { " (password right)" } else { "" })
    }
}

/// Why a login failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DenyCause {
    /// Nobody has that name.
    UnknownUser,
    /// The user is disabled.
    UserDisabled,
    /// Before the user's first day or after its last.
    UserNotValidToday,
    /// The role demands TLS and the client has none.
    TlsRequired,
    /// The address may connect, but not as this user, or not in its role.
    SourceNotForUser,
    /// The client certificate names somebody else.
    CertificateOfAnother,
    /// The user must present a client certificate and there is none.
    CertificateMissing,
    /// Too many logins have failed from there.
    Blocked,
    /// The proof is wrong.
    WrongPassword,
    /// The client offered no password.
    NoPassword,
    /// The credential is void: its owner didn't log in in time.
    CredentialNotCollected,
    /// The credential's day has come.
    CredentialExpired,
    /// The credential was replaced and the overlap is over.
    CredentialRetired,
    /// An operator ended the credential.
    CredentialRevoked,
}

impl DenyCause {
    /// Stable name: metric label and ledger field.
    pub fn label(self) -> &'static str {
        match self {
            Self::UnknownUser => "unknown_user",
            Self::UserDisabled => "user_disabled",
            Self::UserNotValidToday => "user_not_valid_today",
            Self::TlsRequired => "tls_required",
            Self::SourceNotForUser => "source_not_for_user",
            Self::CertificateOfAnother => "certificate_of_another",
            Self::CertificateMissing => "certificate_missing",
            Self::Blocked => "blocked",
            Self::WrongPassword => "wrong_password",
            Self::NoPassword => "no_password",
            Self::CredentialNotCollected => "credential_not_collected",
            Self::CredentialExpired => "credential_expired",
            Self::CredentialRetired => "credential_retired",
            Self::CredentialRevoked => "credential_revoked",
        }
    }
}
