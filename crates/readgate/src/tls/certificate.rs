//! The names in a client certificate. TLS has verified it before; here it is only read.
use access::ClientCertificate;
use access::certificate::{CertificateName, NameKind};
use rustls::pki_types::CertificateDer;
use x509_parser::asn1_rs::ToDer;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;
use x509_parser::x509::{AttributeTypeAndValue, RelativeDistinguishedName, X509Name};

/// Names beyond this many are left out: a certificate of a person has a few.
const NAMES_LIMIT: usize = 64;

/// The short names of RFC 4514, and two more that certificates of people have.
const SHORT_NAMES: [(&str, &str); 11] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.6", "C"),
    ("2.5.4.9", "STREET"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("2.5.4.5", "serialNumber"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
];

/// Subject, common names and alternative names (RFC 5280, 4.1.2.6 and 4.2.1.6); `None` if
/// the certificate can't be read.
pub fn names(leaf: &CertificateDer<'_>) -> Option<ClientCertificate> {
    let (_, certificate) = parse_x509_certificate(leaf).ok()?;
    let subject = certificate.subject();
    let mut names = Vec::new();
    if subject.iter().next().is_some() {
        names.push(CertificateName::new(NameKind::Subject, rfc_4514(subject)));
    }
    let common = subject.iter_common_name().filter_map(|name| name.as_str().ok());
    names.extend(common.map(|name| CertificateName::new(NameKind::CommonName, name)));
    if let Some(alternative) = certificate.subject_alternative_name().ok()? {
        names.extend(alternative.value.general_names.iter().filter_map(alternative_name));
    }
    names.truncate(NAMES_LIMIT);
    Some(ClientCertificate::new(names))
}

/// A subject as RFC 4514 writes it, the last part first: no two have the same text.
fn rfc_4514(subject: &X509Name<'_>) -> String {
    let part = |part: &RelativeDistinguishedName<'_>| {
        part.iter().map(attribute).collect::<Vec<_>>().join("+")
    };
    let mut parts: Vec<String> = subject.iter().map(part).collect();
    parts.reverse();
    parts.join(",")
}

/// One without a short name, or whose value is no text, is written by its bytes.
fn attribute(one: &AttributeTypeAndValue<'_>) -> String {
    let (number, value) = (one.attr_type().to_id_string(), one.attr_value());
    let short = SHORT_NAMES.iter().find(|(known, _)| *known == number).map(|(_, short)| short);
    match (short, one.as_str()) {
        (Some(short), Ok(text)) => format!("{short}={}", escaped(text)),
        (Some(_) | None, Ok(_) | Err(_)) => {
            let bytes = value.to_der_vec().unwrap_or_default();
            let hex: String = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
            format!("{number}=#{hex}")
        }
    }
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let is_at_an_end = escaped.is_empty() || rest.peek().is_none();
        match c {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => escaped.extend(['\\', c]),
            ' ' if is_at_an_end => escaped.push_str("\\ "),
            '#' if escaped.is_empty() => escaped.push_str("\\#"),
            _ if c.is_control() => {
                let bytes = c.to_string().into_bytes();
                escaped.extend(bytes.iter().map(|byte| format!("\\{byte:02X}")));
            }
            _ => escaped.push(c),
        }
    }
    escaped
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

#[cfg(test)]
mod tests {
    use x509_parser::prelude::FromDer;

    use super::*;

    const UTF8: u8 = 0x0c;

    fn der(tag: u8, parts: &[Vec<u8>]) -> Vec<u8> {
        let content = parts.concat();
        [vec![tag, u8::try_from(content.len()).unwrap()], content].concat()
    }

    /// An attribute `2.5.4.n`.
    fn of(number: u8, tag: u8, value: &str) -> Vec<u8> {
        let number = der(0x06, &[vec![0x55, 0x04, number]]);
        der(0x30, &[number, der(tag, &[value.into()])])
    }

    fn written(parts: &[&[Vec<u8>]]) -> String {
        let parts: Vec<Vec<u8>> = parts.iter().map(|part| der(0x31, part)).collect();
        let subject = der(0x30, &parts);
        rfc_4514(&X509Name::from_der(&subject).unwrap().1)
    }

    #[test]
    fn a_subject_is_written_as_rfc_4514_has_it() {
        let (name, organisation) = (of(3, UTF8, "alice"), of(10, UTF8, "Clinical Research"));
        assert_eq!(written(&[&[organisation], &[name]]), "CN=alice,O=Clinical Research");
        let both = [of(3, UTF8, "Zoé"), of(11, UTF8, " a+b\n ")];
        assert_eq!(written(&[&both]), "CN=Zoé+OU=\\ a\\+b\\0A\\ ");
        assert_eq!(written(&[&[of(3, UTF8, "#1;")]]), "CN=\\#1\\;");
        // A title, and a name in another alphabet's bytes.
        let others = [of(12, UTF8, "Dr"), of(3, 0x1e, "\0A")];
        assert_eq!(written(&[&others]), "2.5.4.12=#0C024472+2.5.4.3=#1E020041");
    }

    #[test]
    fn no_value_passes_for_two() {
        let two = written(&[&[of(10, UTF8, "X")], &[of(3, UTF8, "alice")]]);
        for value in ["X,CN=alice", "X, CN=alice", "alice,O=X", "alice, O=X"] {
            for number in [3, 10] {
                assert_ne!(written(&[&[of(number, UTF8, value)]]), two, "{value}");
            }
        }
    }
}
