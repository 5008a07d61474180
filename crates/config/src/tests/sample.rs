//! The shipped `proxy.toml` is valid and says what it says.
use std::path::Path;
use std::time::Duration;

use crate::{Config, PasswordSource, ReplicaTls};
use access::{SourceSet, UserStore};

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
    assert_eq!(
        listener.tls.private_key.path(),
        "/etc/readgate/certs/readgate.key"
    );
    assert_eq!(listener.sources, SourceSet::from_iter(["this-host"]));
    assert_eq!(
        config.users.find(b"alice").unwrap().full_name,
        "Alice Example"
    );
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
    assert_eq!(
        config.limits.statement_timeout,
        Some(Duration::from_secs(3600))
    );
    assert_eq!(config.limits.max_payload, 64 << 20);
    assert_eq!(config.ops.unwrap().address.port(), 9104);
    assert_eq!(config.warnings, []);
}

#[test]
fn the_commented_defaults_of_the_shipped_file_are_the_defaults() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proxy.toml");
    let text = std::fs::read_to_string(path).unwrap();
    let shown = ["limits", "ledger", "functions"];
    // The commented keys of these tables, without those that have no default.
    let mut section = "";
    let mut uncommented = String::new();
    for line in text.lines() {
        let header = line
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'));
        section = header.unwrap_or(section);
        match line.strip_prefix("# ") {
            Some(rest)
                if shown.contains(&section)
                    && rest.contains(" = ")
                    && !rest.contains("default:")
                    && !rest.contains("clin.age_at") =>
            {
                uncommented.push_str(rest);
            }
            Some(_) | None => uncommented.push_str(line),
        }
        uncommented.push('\n');
    }
    let config = Config::parse(&uncommented, Path::new("/etc/readgate/proxy.toml")).unwrap();
    assert_eq!(config.limits, sample().limits);
    assert_eq!(config.ledger, sample().ledger);
    assert_eq!(
        config.policy.sleep_max_seconds,
        sample().policy.sleep_max_seconds
    );
}
