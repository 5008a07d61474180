//! The names in a client certificate. TLS has verified it before; here it is only read.
use access::ClientCertificate;
use access::certificate::{CertificateName, NameKind};
use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

/// Names beyond this many are left out: a certificate of a person has a few.
const NAMES_LIMIT: usize = 64;

/// Subject, common names and alternative names (RFC 5280, 4.1.2.6 and 4.2.1.6); `None` if
/// the certificate can't be read.
pub fn names(leaf: &CertificateDer<'_>) -> Option<ClientCertificate> {
    let (_, certificate) = parse_x509_certificate(leaf).ok()?;
    let subject = certificate.subject();
    let mut names = Vec::new();
    if subject.iter().next().is_some() {
        names.push(CertificateName::new(NameKind::Subject, subject.to_string()));
    }
    for common in subject.iter_common_name() {
        names.push(CertificateName::new(NameKind::CommonName, common.as_str().ok()?));
    }
    if let Some(alternative) = certificate.subject_alternative_name().ok()? {
        names.extend(alternative.value.general_names.iter().filter_map(alternative_name));
    }
    names.truncate(NAMES_LIMIT);
    Some(ClientCertificate::new(names))
}

fn alternative_name(name: &GeneralName<'_>) -> Option<CertificateName> {
    let (kind, value) = match name {
        GeneralName::RFC822Name(address) => (NameKind::Email, address),
        GeneralName::DNSName(host) => (NameKind::Dns, host),
        GeneralName::URI(uri) => (NameKind::Uri, uri),
        // Kinds by which no user can be named.
        GeneralName::OtherName(..)
        | GeneralName::X400Address(_)
        | GeneralName::DirectoryName(_)
        | GeneralName::EDIPartyName(_)
        | GeneralName::IPAddress(_)
        | GeneralName::RegisteredID(_)
        | GeneralName::Invalid(..) => return None,
    };
    Some(CertificateName::new(kind, *value))
}
