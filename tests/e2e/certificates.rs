//! Clients' own certificates: beside the password, in place of it, and never somebody
//! else's.

use std::io;

use readgate_tests::config::set;
use readgate_tests::raw::{Login, RawClient, ServerError};
use readgate_tests::readgate::Readgate;
use readgate_tests::stage::{Stage, USER_PASSWORD};

/// A daemon that asks for certificates, with these keys in `[listener.tls.clients]`.
fn asking(stage: &Stage, name: &str, keys: &[(&str, bool)]) -> Readgate {
    let (directory, mut config) = stage.own_config(name);
    set(&mut config, "listener.0.tls.clients.ca_file", stage.ca_file().display().to_string());
    for (key, value) in keys {
        set(&mut config, &format!("listener.0.tls.clients.{key}"), *value);
    }
    Readgate::start(&directory, config)
}

/// A login with `person`'s certificate: what TLS says, then what the login says.
fn log_in(
    stage: &Stage,
    readgate: &Readgate,
    person: Option<&str>,
    (user, password): (&str, &str),
) -> io::Result<Result<RawClient, ServerError>> {
    let login = Login::user(user, password);
    let mut client = RawClient::connect(readgate.port)?;
    client.start_tls_as(&stage.ca_file(), &login, person)?;
    Ok(client.login(&login).map(|()| client))
}

fn denied(stage: &Stage, readgate: &Readgate, person: Option<&str>, who: (&str, &str), why: &str) {
    let error = log_in(stage, readgate, person, who).expect("TLS").err().expect("no login");
    assert_eq!((error.code, error.state.as_str()), (1045, "28000"), "{error}");
    readgate.record("login_failed", |record| {
        record["user"] == who.0 && record["reason"].as_str().is_some_and(|r| r.contains(why))
    });
}

on_both! {
    fn a_certificate_counts_beside_the_password(stage) {
        let readgate = asking(stage, "certificate_and_password", &[("required", false)]);
        let alice = ("alice", USER_PASSWORD);
        let mut client = log_in(stage, &readgate, Some("alice"), alice).expect("TLS").expect("in");
        assert_eq!(client.query("SELECT 1").value(), "1");
        let login = readgate.record("login", |record| record["user"] == "alice");
        let shown = login["attributes"].to_string();
        assert!(shown.contains("O=Clinical Research, CN=alice"), "{shown}");
        log_in(stage, &readgate, None, alice).expect("TLS").expect("without one, too");
        denied(stage, &readgate, Some("alice"), ("alice", "wrong"), "wrong_password");
        denied(stage, &readgate, Some("mallory"), alice, "certificate_of_another");
        denied(stage, &readgate, Some("alice"), ("olga", USER_PASSWORD), "certificate_of_another");
    }

    fn a_certificate_in_place_of_the_password_is_the_users_own(stage) {
        let readgate = asking(stage, "certificate_alone", &[("suffices", true), ("required", false)]);
        for password in ["", "whatever"] {
            let alice = ("alice", password);
            let mut client =
                log_in(stage, &readgate, Some("alice"), alice).expect("TLS").expect("in");
            assert_eq!(client.query("SELECT 1").value(), "1");
        }
        readgate.record("login", |record| record["method"] == "certificate");
        denied(stage, &readgate, Some("alice"), ("olga", ""), "certificate_of_another");
        denied(stage, &readgate, Some("mallory"), ("carol", ""), "user_disabled");
        denied(stage, &readgate, None, ("alice", ""), "no_password");
        denied(stage, &readgate, None, ("alice", "wrong"), "wrong_password");
    }

    fn tls_fails_without_the_certificate_that_is_required(stage) {
        let readgate = asking(stage, "certificate_required", &[]);
        let alice = ("alice", USER_PASSWORD);
        log_in(stage, &readgate, Some("alice"), alice).expect("TLS").expect("in");
        let mut client = RawClient::connect(readgate.port).expect("a greeting");
        let login = Login::user("alice", USER_PASSWORD);
        // TLS 1.3 lets a client finish first: the refusal comes as its next word.
        let refused = client.start_tls(&stage.ca_file(), &login).is_err() || client.receive().is_err();
        assert!(refused, "TLS without a certificate");
        readgate.record("login_failed", |record| record["reason"].as_str().is_some_and(|r| r.starts_with("tls_failed")));
    }

    fn a_revoked_certificate_is_none(stage) {
        let (directory, mut config) = stage.own_config("certificate_revoked");
        let certs = stage.ca_file();
        set(&mut config, "listener.0.tls.clients.ca_file", certs.display().to_string());
        let list = certs.with_file_name("people.crl").display().to_string();
        set(&mut config, "listener.0.tls.clients.crl_file", list);
        set(&mut config, "user.0.certificates", vec!["cn:alice", "cn:mallory"]);
        let readgate = Readgate::start(&directory, config);
        let alice = Login::user("alice", USER_PASSWORD);
        log_in(stage, &readgate, Some("alice"), ("alice", USER_PASSWORD)).expect("TLS").expect("in");
        let mut client = RawClient::connect(readgate.port).expect("a greeting");
        let tls = client.start_tls_as(&certs, &alice, Some("mallory"));
        assert!(tls.is_err() || client.receive().is_err(), "a revoked certificate");
    }

    fn a_user_with_listed_certificates_must_present_one(stage) {
        let (directory, mut config) = stage.own_config("certificate_listed");
        set(&mut config, "listener.0.tls.clients.ca_file", stage.ca_file().display().to_string());
        set(&mut config, "listener.0.tls.clients.required", false);
        set(&mut config, "user.0.certificates", vec!["email:mallory@example.org"]);
        let readgate = Readgate::start(&directory, config);
        let alice = ("alice", USER_PASSWORD);
        denied(stage, &readgate, None, alice, "certificate_missing");
        denied(stage, &readgate, Some("alice"), alice, "certificate_of_another");
        log_in(stage, &readgate, Some("mallory"), alice).expect("TLS").expect("in");
    }
}
