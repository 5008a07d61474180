//! `readgate check` and `hash-password`: what they say to a person with a wrong file.

use std::fs;
use std::path::{Path, PathBuf};

use readgate_tests::config::set;
use readgate_tests::place::{free_port, repository, scratch};
use readgate_tests::readgate::run;
use readgate_tests::server::Flavour;
use readgate_tests::stage::stage;
use toml::{Table, Value};

use crate::fleet::write_private;

/// What `check` says of this text, and whether it accepts it.
fn check(name: &str, text: &str) -> (bool, String) {
    let directory = scratch().join("check");
    fs::create_dir_all(&directory).unwrap();
    let path = directory.join(format!("{name}.toml"));
    fs::write(&path, text).unwrap();
    let output = run(&["check", "--config", path.to_str().unwrap()], "");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    (output.status.success(), said.into_owned())
}

fn shipped() -> String {
    fs::read_to_string(repository().join("proxy.toml")).unwrap()
}

/// The shipped text with one line replaced, and the number of that line.
fn with_line(old: &str, new: &str) -> (String, usize) {
    let text = shipped();
    let line = text.lines().position(|line| line == old).expect("the line is in proxy.toml") + 1;
    (text.replace(&format!("\n{old}\n"), &format!("\n{new}\n")), line)
}

#[test]
fn names_line_and_key_of_an_unknown_key() {
    let (text, line) = with_line("name = \"clinical\"", "name = \"clinical\"\nadress = \"x\"");
    let (accepted, said) = check("unknown_key", &text);
    assert!(!accepted);
    assert!(said.contains(&format!("{}", line + 1)) && said.contains("adress"), "{said}");
}

#[test]
fn names_line_and_key_of_a_wrong_value() {
    let (text, line) = with_line("address = \"127.0.0.1:3306\"", "address = \"nowhere\"");
    let (accepted, said) = check("wrong_value", &text);
    assert!(!accepted);
    assert!(said.contains(&line.to_string()) && said.contains("address"), "{said}");
}

#[test]
fn refuses_a_listener_whose_sources_do_not_exist() {
    let (text, _) = with_line("sources = [\"this-host\"]", "sources = [\"no-such-source\"]");
    let (accepted, said) = check("unknown_source", &text);
    assert!(!accepted);
    assert!(said.contains("no-such-source"), "{said}");
}

#[test]
fn refuses_an_inline_password() {
    let (text, _) =
        with_line("password_file = \"certs/replica.password\"", "password = \"not to be seen\"");
    let (accepted, said) = check("inline_password", &text);
    assert!(!accepted);
    assert!(said.contains("insecure_inline_password"), "{said}");
    assert!(!said.contains("not to be seen"), "the password is repeated: {said}");
}

#[test]
fn refuses_private_networks_that_are_not_meant() {
    let (text, _) = with_line("allow_private = true", "");
    let (accepted, said) = check("private_network", &text);
    assert!(!accepted);
    assert!(said.contains("allow_private"), "{said}");
}

#[test]
fn says_what_is_wrong_with_broken_toml() {
    let (accepted, said) = check("broken", "[[listener]\nname = ");
    assert!(!accepted);
    assert!(said.contains('1'), "{said}");
}

#[test]
fn names_both_files_of_a_certificate_and_a_key_that_do_not_go_together() {
    let stage = stage(Flavour::MariaDb);
    let of_daemon = fs::read_to_string(stage.readgate.directory.join("proxy.toml")).unwrap();
    let mut config: Table = of_daemon.parse().unwrap();
    let other = stage.ca_file().with_file_name("alice.crt").display().to_string();
    set(&mut config, "listener.0.tls.certificate_file", other.as_str());
    let (accepted, said) = check("unpaired", &config.to_string());
    let about = format!("readgate.key: it is not the key of the certificate in {other}");
    assert!(!accepted && said.contains(&about), "{said}");
}

#[test]
fn a_key_with_a_passphrase_is_said_to_have_one() {
    let stage = stage(Flavour::MariaDb);
    let of_daemon = fs::read_to_string(stage.readgate.directory.join("proxy.toml")).unwrap();
    let key = stage.ca_file().with_file_name("readgate.key").display().to_string();
    let directory = scratch().join("check/passphrase");
    fs::create_dir_all(&directory).unwrap();
    let pkcs8: &[&str] = &["pkcs8", "-topk8", "-passout", "pass:secret", "-in"];
    let legacy: &[&str] = &["ec", "-aes128", "-passout", "pass:secret", "-in"];
    for (name, how) in [("pkcs8.key", pkcs8), ("legacy.key", legacy)] {
        let made = std::process::Command::new("openssl").args(how).arg(&key).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        let file = directory.join(name);
        write_private(&file, std::str::from_utf8(&made.stdout).unwrap());
        let mut config: Table = of_daemon.parse().unwrap();
        set(&mut config, "listener.0.tls.private_key_file", file.display().to_string());
        let (accepted, said) = check("passphrase", &config.to_string());
        let why = format!("{name}: the key has a passphrase; take it off with openssl pkey");
        assert!(!accepted && said.contains(&why), "{said}");
    }
}

/// By no list of revoked certificates all would count.
#[test]
fn names_the_file_of_a_certificate_or_revocation_list_that_is_none() {
    let stage = stage(Flavour::MariaDb);
    let of_daemon = fs::read_to_string(stage.readgate.directory.join("proxy.toml")).unwrap();
    let directory = scratch().join("check/none");
    fs::create_dir_all(&directory).unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let broken = |kind: &str| format!("-----BEGIN {kind}-----\nAAAA\n-----END {kind}-----\n");
    let authority = stage.ca_file().display().to_string();
    let (ca, crl) = ("listener.0.tls.clients.ca_file", "listener.0.tls.clients.crl_file");
    for (key, wrong, why) in [
        (crl, file("empty.crl", ""), "no revocation list in it"),
        (crl, authority.clone(), "no revocation list in it"),
        (crl, file("broken.crl", &broken("X509 CRL")), "could not be parsed"),
        (ca, file("broken.crt", &broken("CERTIFICATE")), "its certificate can't be used"),
        ("replica.tls.ca_file", file("of_replica.crt", &broken("CERTIFICATE")), "can't be used"),
    ] {
        let mut config: Table = of_daemon.parse().unwrap();
        set(&mut config, ca, authority.as_str());
        set(&mut config, key, wrong.as_str());
        let (accepted, said) = check("none", &config.to_string());
        assert!(!accepted && said.contains(&wrong) && said.contains(why), "{key}: {said}");
    }
    let mut config: Table = of_daemon.parse().unwrap();
    set(&mut config, ca, authority.as_str());
    set(&mut config, crl, stage.ca_file().with_file_name("ended.crl").display().to_string());
    let (accepted, said) = check("ended", &config.to_string());
    let warning = "warning: a revocation list in use (clients_crl main) has ended 2020-02-01";
    assert!(accepted && said.contains(warning), "{said}");
}

/// What makes `serve` refuse to start, `check` must know: somebody relies on it before a restart.
#[test]
fn misses_each_file_that_the_daemon_would_miss() {
    let directory = scratch().join("check/missing");
    let stage = stage(Flavour::MariaDb);
    fs::create_dir_all(&directory).unwrap();
    let path = directory.join("proxy.toml");
    let of_daemon = fs::read_to_string(stage.readgate.directory.join("proxy.toml")).unwrap();
    let whole: Table = of_daemon.parse().unwrap();
    let store = |key: &str| {
        let place = "url = \"mysql://readgate@127.0.0.1:1/ids\"";
        let files = [("ca_file", stage.ca_file()), ("password_file", directory.join("secret"))];
        let line = |(name, file): &(&str, PathBuf)| {
            let file = if *name == key { Path::new("gone") } else { file };
            format!("{name} = \"{}\"\n", file.display())
        };
        let lines: String = files.iter().map(line).collect();
        let table: Table = format!("{place}\n{lines}").parse().unwrap();
        Value::Table(table)
    };
    write_private(&directory.join("secret"), "secret");
    let cases: [(&str, &[(&str, Value)]); 4] = [
        ("ops", &[("ops.password_file", "gone".into())]),
        (
            "ledger",
            &[
                ("ledger.ship_to", "tls://127.0.0.1:1".into()),
                ("ledger.ship_ca_file", "gone".into()),
            ],
        ),
        ("identities", &[("identities", store("ca_file"))]),
        ("identities", &[("identities", store("password_file"))]),
    ];
    for (about, changes) in cases {
        let mut config = whole.clone();
        for (key, value) in changes {
            set(&mut config, key, value.clone());
        }
        set(&mut config, "listener.0.address", format!("127.0.0.1:{}", free_port()));
        set(&mut config, "ops.address", format!("127.0.0.1:{}", free_port()));
        set(&mut config, "ledger.directory", directory.join("ledger").display().to_string());
        write_private(&path, &config.to_string());
        let said = run(&["check", "--config", path.to_str().unwrap()], "");
        let why = String::from_utf8_lossy(&said.stderr);
        assert_eq!(said.status.code(), Some(78), "{changes:?}: {said:?}");
        assert!(why.starts_with(&format!("readgate: {about}: ")) && why.contains("gone"), "{why}");
        let served = run(&["serve", "--config", path.to_str().unwrap()], "");
        assert!(!served.status.success(), "{changes:?}: {served:?}");
    }
}

#[test]
fn hashes_passwords_into_both_verifiers() {
    let output = run(&["hash-password"], "password\n");
    assert!(output.status.success());
    let said = String::from_utf8(output.stdout).unwrap();
    // SHA256(SHA256("password")) and SHA1(SHA1("password")), by other tools.
    let sha2 = "73641c99f7719f57d8f4beb11a303afcd190243a51ced8782ca6d3dbe014d146";
    assert!(said.contains(&format!("caching_sha2_verifier = \"$sha2fast${sha2}\"")), "{said}");
    let native = "*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19";
    assert!(said.contains(&format!("native_verifier = \"{native}\"")), "{said}");
}
