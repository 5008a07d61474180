//! Clients' own certificates: beside the password, in place of it, and never somebody
//! else's.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use readgate_tests::config::set;
use readgate_tests::raw::{Login, RawClient, ServerError, tls_config};
use readgate_tests::readgate::Readgate;
use readgate_tests::stage::{Stage, USER_PASSWORD};
use toml::{Table, Value};

const LONG: Duration = Duration::from_secs(30);

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
    let error = log_in(stage, readgate, person, who).expect("TLS").expect_err("no login");
    assert_eq!((error.code, error.state.as_str()), (1045, "28000"), "{error}");
    readgate.record("login_failed", |record| {
        record["user"] == who.0 && record["reason"].as_str().is_some_and(|r| r.contains(why))
    });
}

fn refused_by_tls(readgate: &Readgate, why: &str) {
    readgate.record("login_failed", |record| {
        let reason = record["reason"].as_str().unwrap_or_default();
        reason.starts_with("tls_failed") && reason.contains(why)
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
        assert!(shown.contains("subject:CN=alice,O=Clinical Research"), "{shown}");
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

    fn of_several_certificates_the_first_says_who_the_client_is(stage) {
        let keys = [("suffices", true), ("required", false)];
        let readgate = asking(stage, "certificate_and_anothers", &keys);
        let file = |name: &str| stage.ca_file().with_file_name(name);
        // Anybody who has seen a certificate can send it along: it needs no key.
        let both = ["mallory.crt", "alice.crt"].map(|name| std::fs::read(file(name)).unwrap());
        std::fs::write(file("mallory_and_alice.crt"), both.concat()).unwrap();
        std::fs::copy(file("mallory.key"), file("mallory_and_alice.key")).unwrap();
        let person = Some("mallory_and_alice");
        for password in ["", USER_PASSWORD] {
            denied(stage, &readgate, person, ("alice", password), "certificate_of_another");
        }
    }

    fn no_tls_session_is_resumed_where_a_certificate_may_be_revoked_meanwhile(stage) {
        let readgate = asking(stage, "certificate_not_resumed", &[("required", false)]);
        let config = tls_config(&stage.ca_file(), Some("alice"));
        let login = Login::user("alice", USER_PASSWORD);
        for _ in 0..3 {
            let mut client = RawClient::connect(readgate.port).expect("a greeting");
            assert!(!client.start_tls_with(Arc::clone(&config), &login).expect("TLS"), "resumed");
            client.login(&login).expect("the login");
            assert_eq!(client.query("SELECT 1").value(), "1");
        }
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
        // The list of before is still there, and the first.
        let lists = ["ended.crl", "people.crl"].map(|name| std::fs::read(certs.with_file_name(name)).unwrap());
        std::fs::write(directory.join("lists.crl"), lists.concat()).unwrap();
        set(&mut config, "listener.0.tls.clients.crl_file", directory.join("lists.crl").display().to_string());
        set(&mut config, "user.0.certificates", vec!["cn:alice", "cn:mallory"]);
        let readgate = Readgate::start(&directory, config);
        let alice = Login::user("alice", USER_PASSWORD);
        log_in(stage, &readgate, Some("alice"), ("alice", USER_PASSWORD)).expect("TLS").expect("in");
        let mut client = RawClient::connect(readgate.port).expect("a greeting");
        let tls = client.start_tls_as(&certs, &alice, Some("mallory"));
        assert!(tls.is_err() || client.receive().is_err(), "a revoked certificate");
        refused_by_tls(&readgate, "Revoked");
        let page = readgate.http("/metrics").unwrap().1;
        let series = "readgate_revocation_list_expiry_timestamp_seconds{listener=\"main\"} ";
        let end: f64 = page.lines().find_map(|line| line.strip_prefix(series)?.parse().ok()).expect(series);
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        assert!(end > now.as_secs_f64(), "the newest list's end, not {end}");
    }

    fn a_revocation_list_that_has_ended_covers_nobody(stage) {
        let (directory, mut config) = stage.own_config("certificate_list_ended");
        let certs = stage.ca_file();
        set(&mut config, "listener.0.tls.clients.ca_file", certs.display().to_string());
        let list = certs.with_file_name("ended.crl").display().to_string();
        set(&mut config, "listener.0.tls.clients.crl_file", list);
        let readgate = Readgate::start(&directory, config);
        let mut client = RawClient::connect(readgate.port).expect("a greeting");
        let alice = Login::user("alice", USER_PASSWORD);
        let tls = client.start_tls_as(&certs, &alice, Some("alice"));
        assert!(tls.is_err() || client.receive().is_err(), "she may have been revoked since");
        refused_by_tls(&readgate, "revocation list expired");
    }

    fn a_session_ends_when_its_listener_takes_its_like_no_more(stage) {
        let (directory, mut config) = stage.own_config("certificate_withdrawn");
        let certs = stage.ca_file();
        set(&mut config, "listener.0.tls.required", false);
        set(&mut config, "listener.0.tls.clients.ca_file", certs.display().to_string());
        set(&mut config, "listener.0.tls.clients.required", false);
        set(&mut config, "listener.0.tls.clients.suffices", true);
        set(&mut config, "user.0.certificates", vec!["cn:alice", "cn:mallory"]);
        set(&mut config, "reload.watch", "0s");
        let readgate = Readgate::start(&directory, config);
        let file = directory.join("proxy.toml");
        let mut config: Table = std::fs::read_to_string(&file).unwrap().parse().unwrap();
        let enter = |person, user| {
            log_in(stage, &readgate, person, (user, USER_PASSWORD)).expect("TLS").expect("in")
        };
        let mut sessions = [enter(Some("alice"), "alice"), enter(Some("mallory"), "alice"), enter(None, "olga")];
        let mut plain = RawClient::connect(readgate.port).unwrap();
        plain.login(&Login::user("olga", USER_PASSWORD)).expect("in without TLS");
        let mut reload_with = |key: &str, value: Value| {
            set(&mut config, &format!("listener.0.{key}"), value);
            std::fs::write(&file, config.to_string()).unwrap();
            readgate.signal("HUP");
            let is_it = |load: &serde_json::Value| load["differences"].to_string().contains(key);
            let load = readgate.reloaded(is_it);
            assert_eq!(load["result"], "in force, 1 sessions ended", "{load}");
        };
        let list = certs.with_file_name("people.crl").display().to_string();
        reload_with("tls.clients.crl_file", list.into());
        assert!(sessions[1].is_sent_away(LONG), "its certificate is revoked");
        reload_with("tls.clients.required", true.into());
        assert!(sessions[2].is_sent_away(LONG), "it has none");
        plain.query("SELECT 1").expect_ok();
        reload_with("tls.required", true.into());
        assert!(plain.is_sent_away(LONG), "it speaks no TLS");
        assert_eq!(sessions[0].query("SELECT 1").value(), "1");
        reload_with("tls.clients.suffices", false.into());
        assert!(sessions[0].is_sent_away(LONG), "it has given no password");
    }

    fn a_user_with_listed_certificates_must_present_one(stage) {
        let (directory, mut config) = stage.own_config("certificate_listed");
        set(&mut config, "listener.0.tls.clients.ca_file", stage.ca_file().display().to_string());
        set(&mut config, "listener.0.tls.clients.required", false);
        set(&mut config, "user.0.certificates", vec!["email:mallory@example.org"]);
        set(&mut config, "user.1.certificates", vec!["subject:CN=mallory,O=Clinical Research"]);
        let readgate = Readgate::start(&directory, config);
        let alice = ("alice", USER_PASSWORD);
        denied(stage, &readgate, None, alice, "certificate_missing");
        denied(stage, &readgate, Some("alice"), alice, "certificate_of_another");
        log_in(stage, &readgate, Some("mallory"), alice).expect("TLS").expect("in");
        let olga = ("olga", USER_PASSWORD);
        denied(stage, &readgate, Some("alice"), olga, "certificate_of_another");
        log_in(stage, &readgate, Some("mallory"), olga).expect("TLS").expect("in");
    }
}
