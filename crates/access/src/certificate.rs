//! Whose certificate is it? The names that a verified client certificate holds, against
//! the user who logs in. Chain, signature and dates were checked by TLS before.
use std::fmt;
use std::str::FromStr;

use crate::user::User;

/// One name of a certificate, written `kind:value`: `subject:CN=Alice,O=Example`,
/// `cn:alice`, `email:alice@example.org`, `dns:etl.example.org`, `uri:spiffe://example/etl`.
/// Compared byte by byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateName {
    kind: NameKind,
    value: String,
}

/// Where in the certificate a name stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameKind {
    /// The whole subject, as RFC 4514 writes it.
    Subject,
    /// A common name of the subject.
    CommonName,
    /// Subject alternative name: e-mail address.
    Email,
    /// Subject alternative name: host name.
    Dns,
    /// Subject alternative name: URI.
    Uri,
}

/// A text that is not a certificate's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a certificate's name")]
pub struct CertificateNameError;

impl NameKind {
    const ALL: [Self; 5] = [Self::Subject, Self::CommonName, Self::Email, Self::Dns, Self::Uri];

    fn prefix(self) -> &'static str {
        match self {
            Self::Subject => "subject",
            Self::CommonName => "cn",
            Self::Email => "email",
            Self::Dns => "dns",
            Self::Uri => "uri",
        }
    }
}

impl CertificateName {
    /// A name as found in a certificate.
    pub fn new(kind: NameKind, value: impl Into<String>) -> Self {
        Self { kind, value: value.into() }
    }
}

impl FromStr for CertificateName {
    type Err = CertificateNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (prefix, value) = text.split_once(':').ok_or(CertificateNameError)?;
        let kind = NameKind::ALL.into_iter().find(|kind| kind.prefix() == prefix);
        match kind {
            Some(kind) if !value.trim().is_empty() => Ok(Self::new(kind, value)),
            Some(_) | None => Err(CertificateNameError),
        }
    }
}

impl fmt::Display for CertificateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind.prefix(), self.value)
    }
}

/// The names of a client certificate that TLS has verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    names: Vec<CertificateName>,
}

impl ClientCertificate {
    /// A verified certificate with these names.
    pub fn new(names: Vec<CertificateName>) -> Self {
        Self { names }
    }

    /// Whether it is this user's: it holds one of the names listed for the user, or, where
    /// none is listed, the user's own name as common name or alternative name.
    pub fn is_of(&self, user: &User) -> bool {
        if user.certificates.is_empty() {
            let name = user.name.as_str();
            return self.names.iter().any(|own| own.kind != NameKind::Subject && own.value == name);
        }
        self.names.iter().any(|own| user.certificates.contains(own))
    }

    /// What the ledger writes of it: its subject, or the first name it has.
    pub fn shown(&self) -> String {
        let subject = self.names.iter().find(|name| name.kind == NameKind::Subject);
        subject.or(self.names.first()).map(ToString::to_string).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{Role, UserName};

    fn user(name: &str, listed: &[&str]) -> User {
        let name = UserName::new(name).unwrap();
        let mut user = User::new(name, "Some Body", Arc::new(Role::named("default")));
        user.certificates = listed.iter().map(|name| name.parse().unwrap()).collect();
        user
    }

    fn certificate(names: &[&str]) -> ClientCertificate {
        ClientCertificate::new(names.iter().map(|name| name.parse().unwrap()).collect())
    }

    #[test]
    fn without_a_list_the_common_name_or_an_alternative_name_is_the_users() {
        let alice = user("alice", &[]);
        assert!(certificate(&["subject:CN=alice,O=X", "cn:alice"]).is_of(&alice));
        assert!(certificate(&["cn:host", "dns:alice"]).is_of(&alice));
        assert!(!certificate(&["cn:Alice"]).is_of(&alice));
        assert!(!certificate(&["subject:alice"]).is_of(&alice));
        assert!(!certificate(&[]).is_of(&alice));
    }

    #[test]
    fn a_listed_name_counts_and_the_users_own_no_longer() {
        let alice = user("alice", &["email:alice@example.org", "subject:CN=Alice,O=X"]);
        assert!(certificate(&["email:alice@example.org"]).is_of(&alice));
        assert!(certificate(&["cn:Alice", "subject:CN=Alice,O=X"]).is_of(&alice));
        assert!(!certificate(&["cn:alice"]).is_of(&alice));
        assert!(!certificate(&["dns:alice@example.org"]).is_of(&alice));
    }

    #[test]
    fn a_name_without_a_known_kind_is_none() {
        for text in ["alice", "o:Example", "cn:", "cn: "] {
            assert_eq!(text.parse::<CertificateName>(), Err(CertificateNameError), "{text}");
        }
    }
}
