//! Each mistake an operator can make, and the exact lines that name it: `errors.txt` holds
//! the cases, every one a change to `base.toml`.
use std::path::Path;

use access::UserStore;

use crate::Config;

const BASE: &str = include_str!("base.toml");
const CASES: &str = include_str!("errors.txt");

fn problems_of(text: &str) -> Vec<String> {
    match Config::parse(text, Path::new("proxy.toml")) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.to_string().lines().map(str::to_owned).collect(),
    }
}

#[test]
fn the_base_has_no_mistake() {
    assert_eq!(problems_of(BASE), [""; 0]);
}

#[test]
fn each_mistake_is_named_with_line_key_and_remedy() {
    let mut cases = 0;
    for case in CASES.split("\n\n").filter(|case| case.starts_with("- ")) {
        let lines = |mark: &str| -> Vec<&str> {
            case.lines().filter_map(|line| line.strip_prefix(mark)).collect()
        };
        let from = lines("- ").join("\n");
        assert_eq!(BASE.matches(&from).count(), 1, "not once in the base:\n{from}");
        let found = problems_of(&BASE.replace(&from, &lines("+ ").join("\n")));
        let expected: Vec<String> =
            lines("= ").iter().map(|line| format!("proxy.toml:{line}")).collect();
        assert_eq!(found, expected, "\n{case}");
        assert!(!expected.is_empty(), "\n{case}");
        cases += 1;
    }
    assert!(cases > 50, "only {cases} cases were found");
}

#[test]
fn an_empty_file_lacks_what_is_required() {
    assert_eq!(
        problems_of(""),
        [
            "proxy.toml:1: listener: is missing; add a table [[listener]]",
            "proxy.toml:1: replica: is missing; add a table [replica]",
            "proxy.toml:1: ledger: is missing; add a table [ledger]",
        ]
    );
}

#[test]
fn every_mistake_is_reported_in_one_run() {
    let text = BASE
        .replace("address = \"127.0.0.1:3307\"", "address = \"localhost\"")
        .replace("owner = \"platform team\"\n", "")
        .replace("ca_file", "ca_fil")
        .replace("directory = \"ledger\"", "directory = 7");
    assert_eq!(
        problems_of(&text),
        [
            "proxy.toml:3: listener.address: \"localhost\" is not an IP address with a port; write an IP address and a port, such as \"0.0.0.0:3307\"",
            "proxy.toml:10: source.owner: is missing; add owner = \"platform team\"",
            "proxy.toml:25: replica.tls.ca_file: is missing; add ca_file = \"certs/ca.crt\", the CA of the replica's certificate",
            "proxy.toml:26: replica.tls.ca_fil: is not a known key; did you mean \"ca_file\"?",
            "proxy.toml:35: ledger.directory: is an integer; write a path, such as \"ledger\"",
        ]
    );
}

#[test]
fn no_message_shows_a_secret() {
    for key in ["caching_sha2_verifier", "native_verifier"] {
        let text = BASE.replace("full_name", &format!("{key} = \"topsecret\"\nfull_name"));
        assert!(!problems_of(&text).join("\n").contains("topsecret"));
    }
    let text = BASE.replace("password_file = \"replica.password\"", "password = \"topsecret\"");
    assert!(!problems_of(&text).join("\n").contains("topsecret"));
    let allowed = text.replace("password =", "insecure_inline_password = true\npassword =");
    let config = Config::parse(&allowed, Path::new("proxy.toml")).unwrap();
    assert!(!format!("{config:?}").contains("topsecret"));
}

#[test]
fn what_is_allowed_and_dangerous_is_a_warning() {
    let text = BASE
        .replace("[listener.tls]", "[listener.tls]\nrequired = false")
        .replace("ca_file = \"ca.crt\"", "insecure_plaintext = true")
        .replace("[limits]", "[ops]\naddress = \"0.0.0.0:9104\"\n[limits]");
    let config = Config::parse(&text, Path::new("proxy.toml")).unwrap();
    let warnings: Vec<String> = config.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "proxy.toml:7: listener.tls.required: clients may log in without TLS; keep it so only where the way to the clients is protected otherwise",
            "proxy.toml:28: replica.tls.insecure_plaintext: passwords of the shared account and all data travel without TLS; use TLS with ca_file",
            "proxy.toml:35: ops.address: every network can read metrics; name the address of a management network",
        ]
    );
}

#[test]
fn networks_listed_twice_or_within_others_are_warnings() {
    let text = BASE.replace("[[user]]", "[[source]]\nname = \"desk\"\nnetworks = [\n\"9.9.9.9\",\n\"198.51.7.0/24\",\n\"9.9.9.9\"]\nowner = \"o\"\nreason = \"r\"\n[[user]]");
    let config = Config::parse(&text, Path::new("proxy.toml")).unwrap();
    let warnings: Vec<String> = config.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "proxy.toml:21: source.networks: \"198.51.7.0/24\" lies within \"198.51.0.0/16\" of source \"office\"; remove it unless both entries are meant",
            "proxy.toml:22: source.networks: \"9.9.9.9/32\" is listed by source \"desk\" too; remove it unless both entries are meant",
        ]
    );
}

#[test]
fn a_user_gets_the_role_it_names() {
    let text = BASE.replace(
        "[[user]]",
        "[[role]]\nname = \"analyst\"\nconnections = 3\nresult_bytes = \"2TiB\"\nfunctions = [\"clin.age_at\"]\n[[user]]\nrole = \"analyst\"",
    );
    let config = Config::parse(&text, Path::new("proxy.toml")).unwrap();
    let alice = config.users.find(b"alice").unwrap();
    assert_eq!(alice.role.name, "analyst");
    assert_eq!(alice.connection_limit(200), 3);
    assert_eq!(alice.role.limits.result_bytes, Some(2 << 40));
    assert_eq!(alice.role.functions, vec![String::from("clin.age_at")]);
    let names: Vec<&str> = config.roles.iter().map(|role| role.name.as_str()).collect();
    assert_eq!(names, ["analyst", "default"]);
}
