//! The shipped `proxy.toml` is valid and says what it says.
use std::path::Path;
use std::time::Duration;

use crate::{Config, IdentityPlace, PasswordSource, ReplicaTls, WhenBehind};
use access::{CredentialPolicy, SourceSet, UserStore};
use ledger::SyncPolicy;

fn sample() -> Config {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proxy.toml");
    parsed(&std::fs::read_to_string(path).unwrap())
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

/// The shipped file with its comments of keys taken for keys.
fn uncommented() -> String {
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
    uncommented
}

fn parsed(text: &str) -> Config {
    let parsed = Config::parse(text, Path::new("/etc/readgate/proxy.toml"));
    parsed.unwrap_or_else(|errors| panic!("\n{errors}"))
}

#[test]
fn the_commented_keys_of_the_shipped_file_are_valid_and_its_defaults_true() {
    let config = parsed(&uncommented());
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

#[test]
fn values_are_recorded_or_not_as_the_keys_say_for_each_role() {
    let sample = uncommented();
    for (text, other_way_for, of_analysts, of_others) in [
        ("full", "[]", false, false),
        ("full", "[\"analyst\"]", true, false),
        ("redacted", "[]", true, true),
        ("redacted", "[\"analyst\"]", false, true),
    ] {
        let changed = sample.replace("\ntext = \"full\"", &format!("\ntext = \"{text}\""));
        let key = "\ntext_other_way_for = ";
        let ledger = parsed(
            &changed.replace(&format!("{key}[\"analyst\"]"), &format!("{key}{other_way_for}")),
        )
        .ledger;
        let found = ["analyst", "reader"].map(|role| ledger.text.redacts(role));
        assert_eq!(found, [of_analysts, of_others], "{text} {other_way_for}");
        let has_key = ledger.settings("host").redaction_key_file.is_some();
        assert_eq!(has_key, of_analysts || of_others, "{text} {other_way_for}");
    }
}

#[test]
fn what_is_said_of_closed_files_reaches_the_ledger() {
    let plain = sample().ledger.settings("host");
    assert_eq!((plain.node.as_str(), plain.compress, plain.keep_for), ("host", true, None));
    assert!(plain.encrypt_to.is_none());
    let text = uncommented().replace("\nsync = \"group\"", "\nsync = \"interval\"");
    let text = text.replace("file_bytes = \"256MiB\"", "file_bytes = \"9MiB\"");
    let text = text.replace("compress_within = \"6h\"", "compress_within = \"1h\"");
    let kept = parsed(&text).ledger.settings("host");
    assert_eq!(
        (kept.node.as_str(), kept.sync),
        ("readgate-1", SyncPolicy::Interval(Duration::from_millis(25)))
    );
    assert_eq!((kept.rotate_bytes, kept.compress_within), (9 << 20, Duration::from_secs(3600)));
    assert_eq!(kept.keep_for, Some(Duration::from_secs(2555 * 86_400)));
    assert!(kept.encrypt_to.is_some());
    // Beside the one in its own folder.
    assert_eq!((plain.anchors.len(), kept.anchors.len()), (1, 2));
    assert!(kept.anchors.contains(&"/mnt/elsewhere/checkpoints.jsonl".into()));
    let unpacked = text.replace("\ncompress = true", "\ncompress = false");
    let unpacked = unpacked.lines().filter(|line| !line.starts_with("encrypt_to"));
    assert!(!parsed(&unpacked.collect::<Vec<_>>().join("\n")).ledger.settings("host").compress);
}

#[test]
fn what_is_said_of_a_replica_that_may_write_or_lags_is_taken_over() {
    let text = uncommented();
    let line = |key: &str| {
        let start = format!("{key} = ");
        text.lines().find(|line| line.starts_with(&start)).unwrap_or_else(|| panic!("{key}"))
    };
    let with = |key: &str, value: &str| {
        parsed(&text.replace(line(key), &format!("{key} = \"{value}\""))).replica
    };
    for (value, refuses) in [("warn", false), ("refuse", true)] {
        assert_eq!(with("excess_rights", value).refuse_excess_rights, refuses);
        assert_eq!(with("writable", value).refuse_writable, refuses);
    }
    for (value, when_behind) in
        [("serve", WhenBehind::Serve), ("warn", WhenBehind::Warn), ("refuse", WhenBehind::Refuse)]
    {
        assert_eq!(with("when_behind", value).when_behind, when_behind);
    }
}
