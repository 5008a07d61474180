//! The shipped `proxy.toml` is valid and says what it says.
use std::path::Path;
use std::time::Duration;

use crate::{Config, IdentityPlace, PasswordSource, ReplicaTls};
use access::{CredentialPolicy, SourceSet, UserStore};

fn sample() -> Config {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proxy.toml");
    let text = std::fs::read_to_string(path).unwrap();
    Config::parse(&text, Path::new("/etc/readgate/proxy.toml")).unwrap_or_else(|e| panic!("\n{e}"))
}

#[test]
fn the_shipped_file_is_valid() {
    let config = sample();
    let listener = &config.listeners[0];
    assert_eq!(listener.address, "127.0.0.1:3307".parse().unwrap());
    assert!(listener.tls.required);
    assert_eq!(listener.tls.private_key.path(), "/etc/readgate/certs/readgate.key");
    assert_eq!(listener.sources, SourceSet::from_iter(["this-host"]));
    assert_eq!(config.users.find(b"alice").unwrap().full_name, "Alice Example");
    assert_eq!(config.replica.address.to_string(), "127.0.0.1:3306");
    assert_eq!(
        config.replica.tls,
        ReplicaTls::Verified {
            ca_file: "/etc/readgate/certs/ca.crt".into(),
            server_name: String::from("127.0.0.1"),
        }
    );
    let PasswordSource::File(file) = &config.replica.account.password_source else {
        panic!("no file");
    };
    assert_eq!(file.path(), "/etc/readgate/certs/replica.password");
    assert_eq!(config.limits.statement_timeout, Some(Duration::from_secs(3600)));
    assert_eq!(config.limits.max_payload, 64 << 20);
    assert_eq!(config.ops.unwrap().address.port(), 9104);
    assert_eq!(config.warnings, []);
}

/// The places of the shared account's password that can't be given beside the one that is.
const OTHER_PLACES: [&str; 3] = ["password_env", "password_credential", "password"];

#[test]
fn the_commented_keys_of_the_shipped_file_are_valid_and_its_defaults_true() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proxy.toml");
    let text = std::fs::read_to_string(path).unwrap();
    let is_key =
        |word: &str| word.chars().all(|c| c.is_ascii_lowercase() || "_0123456789".contains(c));
    let mut uncommented = String::new();
    for line in text.lines() {
        let comment = line.strip_prefix("# ").unwrap_or("");
        let key = comment.split_once(" = ").map(|(key, _)| key).filter(|key| is_key(key));
        let wanted =
            comment.starts_with('[') || key.is_some_and(|key| !OTHER_PLACES.contains(&key));
        uncommented.push_str(if wanted { comment } else { line });
        uncommented.push('\n');
    }
    let parsed = Config::parse(&uncommented, Path::new("/etc/readgate/proxy.toml"));
    let config = parsed.unwrap_or_else(|errors| panic!("\n{errors}"));
    assert_eq!(config.roles[0].name, "analyst");
    assert_eq!(config.users.find(b"alice").unwrap().connection_limit(200), 20);
    let place = config.identities.unwrap().place;
    assert!(matches!(place, IdentityPlace::File(file) if file.ends_with("identities.sqlite")));
    assert_eq!(config.credentials.valid_for, Some(Duration::from_secs(365 * 86_400)));
    assert_eq!(CredentialPolicy { valid_for: None, ..config.credentials }, sample().credentials);
    assert_eq!(config.passwords, sample().passwords);
    assert_eq!(config.limits, sample().limits);
    assert_eq!(config.throttle, sample().throttle);
    assert_eq!(config.ledger.sync, sample().ledger.sync);
    assert_eq!(config.policy.sleep_max_seconds, sample().policy.sleep_max_seconds);
}
