//! One mail by SMTP, over TLS as configured; the server's certificate is verified against the
//! configured authority alone.
use std::path::Path;
use std::time::Duration;

use config::{Mail, MailTls, PasswordSource};
use lettre::message::header::ContentType;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::{Message, SmtpTransport, Transport};

/// For connecting and for each answer of the server.
const DEADLINE: Duration = Duration::from_secs(10);

/// Sends it. Blocks.
pub(super) fn send(
    to: &Mail,
    ca_file: Option<&Path>,
    subject: &str,
    body: String,
) -> Result<(), String> {
    let message = message(to, subject, body)?;
    let tls = tls(to, ca_file)?;
    let mut server = SmtpTransport::builder_dangerous(&to.server.host)
        .port(to.server.port)
        .tls(tls)
        .timeout(Some(DEADLINE));
    if let Some((user, file)) = &to.account {
        let password = PasswordSource::File(file.clone()).read().map_err(|e| e.to_string())?;
        let password = std::str::from_utf8(password.reveal());
        let password =
            password.map_err(|_| String::from("the mail account's password is no text"))?;
        server = server.credentials(Credentials::new(user.clone(), password.to_owned()));
    }
    match server.build().send(&message) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("the mail server {} did not take it: {error}", to.server)),
    }
}

fn message(to: &Mail, subject: &str, body: String) -> Result<Message, String> {
    let wrong = |error: lettre::address::AddressError| format!("an address is wrong: {error}");
    let mut message = Message::builder()
        .from(to.from.parse().map_err(wrong)?)
        .subject(subject)
        .header(ContentType::TEXT_PLAIN);
    for address in &to.to {
        message = message.to(address.parse().map_err(wrong)?);
    }
    message.body(body).map_err(|error| error.to_string())
}

fn tls(to: &Mail, ca_file: Option<&Path>) -> Result<Tls, String> {
    if to.tls == MailTls::None {
        return Ok(Tls::None);
    }
    let ca_file = ca_file.ok_or("TLS without a certificate authority")?;
    let pem = std::fs::read(ca_file).map_err(|error| format!("{}: {error}", ca_file.display()))?;
    let authorities = Certificate::from_pem(&pem).map_err(|error| error.to_string())?;
    let parameters = TlsParameters::builder(to.server.host.clone())
        .certificate_store(CertificateStore::None)
        .add_root_certificate(authorities)
        .build_rustls()
        .map_err(|error| error.to_string())?;
    Ok(match to.tls {
        MailTls::Tls => Tls::Wrapper(parameters),
        MailTls::StartTls | MailTls::None => Tls::Required(parameters),
    })
}
