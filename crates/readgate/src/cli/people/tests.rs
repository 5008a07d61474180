use std::fs;
use std::path::{Path, PathBuf};

use access::day_of;
use clap::Parser;
use config::ConfigHash;

use super::*;

/// A folder of this test's own with a configuration that names a store.
struct Place(PathBuf);

impl Place {
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("readgate-cli-{}-{test}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proxy.toml");
        let sample = fs::read_to_string(sample).unwrap();
        let text = format!(
            "{sample}\n[[role]]\nname = \"analyst\"\nschemas = [\"ref\"]\ncall = [\"ref.report\"]\nsee_others = true\n[[role]]\nname = \"operator\"\noperator = true\n[identities]\nfile = \"ids\"\n"
        );
        fs::write(path.join("proxy.toml"), text).unwrap();
        Self(path)
    }

    /// Runs a command line and gives what it prints, or why it is refused.
    fn run(&self, line: &str) -> Result<String, String> {
        let config = self.0.join("proxy.toml").display().to_string();
        let words = line.split(' ').chain(["--config", &config]);
        let outcome = match Line::try_parse_from(words).map_err(|error| error.to_string())? {
            Line::User(command) => command.outcome(),
            Line::Credential(command) => command.outcome(),
            Line::Access(AccessCommand::History { user, as_of: None, place }) => {
                history(user.as_deref(), &place)
            }
            Line::Access(AccessCommand::History { user, as_of: Some(day), place }) => {
                state_on(day, user.as_deref(), &place)
            }
            Line::Access(AccessCommand::Review(arguments)) => {
                arguments.outcome("2029-12-01T00:00:00Z".parse().unwrap())
            }
        };
        outcome.map_err(|failure| match failure {
            Failure::Config(why) | Failure::Refused(why) => why,
            Failure::Store(error) => error.to_string(),
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[derive(Debug, Parser)]
#[command(no_binary_name = true)]
enum Line {
    #[command(subcommand)]
    User(UserCommand),
    #[command(subcommand)]
    Credential(CredentialCommand),
    #[command(subcommand)]
    Access(AccessCommand),
}

const KEY: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";

#[test]
fn a_user_is_added_changed_and_remembered() {
    let place = Place::new("life");
    let added =
        place.run("user add bob --full-name Bob --role analyst --source this-host --reason new");
    assert!(added.unwrap().contains("\n  role: analyst\n  status: enabled\n"));
    place.run("user role bob default --reason moved").unwrap();
    place.run("user expire bob 2030-01-31 --reason contract").unwrap();
    let disabled = place.run("user disable bob --reason left").unwrap();
    assert!(disabled.contains("role: default\n  status: disabled\n  valid_until: 2030-01-31"));
    assert!(place.run("user list").unwrap().ends_with("bob\tdisabled\tdefault\tBob\tnone"));
    let history = place.run("access history --user bob").unwrap();
    for part in ["user_added", "\"moved\"", "role: \"analyst\" -> \"default\"", "\"left\""] {
        assert!(history.contains(part), "{part} is not in:\n{history}");
    }
}

#[test]
fn what_would_not_count_beside_the_configuration_is_refused() {
    let place = Place::new("beside");
    place.run("user add alice --full-name Alice --reason prepared").unwrap();
    place.run(&format!("credential issue alice --to {KEY} --reason prepared")).unwrap();
    for line in [
        "user disable alice --reason left",
        "user expire alice 2030-01-31 --reason contract",
        "user role alice analyst --reason moved",
        "credential revoke alice 1 --reason lost",
    ] {
        let why = place.run(line).unwrap_err();
        assert!(
            why.starts_with("alice stands in ") && why.contains("change that [[user]]"),
            "{why}"
        );
    }
    let shown = place.run("user show alice").unwrap();
    assert!(shown.contains("status: enabled") && shown.contains("to be collected by"), "{shown}");
}

#[test]
fn an_issued_credential_is_printed_encrypted_and_stored_as_verifier() {
    let place = Place::new("issue");
    place.run("user add bob --full-name Bob --reason new").unwrap();
    let sealed = place.run(&format!("credential issue bob --to {KEY} --reason first")).unwrap();
    assert!(sealed.starts_with("-----BEGIN AGE ENCRYPTED FILE-----\n"));
    assert!(place.run("user show bob").unwrap().contains("credential 1: to be collected by"));
    place.run("credential revoke bob 1 --reason lost").unwrap();
    let phrase = place.0.join("phrase");
    let issue = format!("credential issue bob --passphrase-file {} --reason x", phrase.display());
    fs::write(&phrase, "short one\n").unwrap();
    assert_eq!(place.run(&issue).unwrap_err(), "the passphrase has fewer than 16 characters");
    fs::write(&phrase, "long enough for this\n").unwrap();
    assert!(place.run(&issue).unwrap().starts_with("-----BEGIN AGE ENCRYPTED FILE-----\n"));
    assert!(place.run("credential issue bob --reason x").unwrap_err().contains("--passphrase"));
    assert!(place.run("user show bob").unwrap().contains("credential 1: revoked"));
}

#[test]
fn what_is_for_programs_is_one_value_a_line() {
    let place = Place::new("json");
    let json = |line: &str| -> Vec<serde_json::Value> {
        let printed = place.run(&format!("{line} --json")).unwrap();
        printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    assert!(json("user list").is_empty());
    let added = json("user add bob --full-name Bob --valid-until 2030-01-31 --reason new");
    assert_eq!((&added[0]["name"], &added[0]["status"]), (&"bob".into(), &"enabled".into()));
    let issued = json(&format!("credential issue bob --to {KEY} --reason first"));
    assert_eq!(
        (&issued[0]["user"], &issued[0]["credential"]["number"]),
        (&"bob".into(), &1.into())
    );
    assert!(
        issued[0]["file"].as_str().unwrap().starts_with("-----BEGIN AGE ENCRYPTED FILE-----\n")
    );
    let shown = json("user show bob");
    assert_eq!(shown, json("user list"));
    assert_eq!(shown[0]["valid_until"], "2030-01-31");
    assert_eq!(shown[0]["plugins"], serde_json::json!(["caching_sha2_password"]));
    assert!(!shown[0].to_string().contains("$sha2"), "{shown:?}");
    let history = json("access history --user bob");
    let labels: Vec<&str> = history.iter().map(|one| one["change"].as_str().unwrap()).collect();
    assert_eq!(labels, ["user_added", "credential_issued"]);
    assert_eq!(history[0]["reason"], "new");
    assert_eq!(json("access history --as-of 2100-01-01")[0]["facts"]["role"], "default");
}

#[test]
fn a_refused_command_changes_nothing() {
    let place = Place::new("refused");
    place.run("user add bob --full-name Bob --reason new").unwrap();
    for (line, why) in [
        ("user add bob --full-name Bob --reason again", "there is a user of that name already"),
        ("user add al --full-name Al --role nope --reason new", "no [[role]] is named \"nope\""),
        ("user add al --full-name Al --source x --reason new", "no [[source]] is named \"x\""),
        (
            "user add al --full-name Al --valid-until 2020-01-31 --reason new",
            "the last day is over",
        ),
        (
            "user add al --full-name Al --plugin caching_sha2_password --plugin caching_sha2_password \
             --reason new",
            "a plugin is named twice",
        ),
        ("user role bob nope --reason x", "no [[role]] is named \"nope\""),
        ("user disable nobody --reason x", "there is no user of that name"),
        ("user show nobody", "there is no stored user \"nobody\""),
        ("credential revoke bob 7 --reason x", "the user has no credential of that number"),
    ] {
        assert_eq!(place.run(line).unwrap_err(), why, "{line}");
    }
    assert!(
        place.run("credential issue bob --to age1x --reason x").unwrap_err().contains("age1...")
    );
    assert!(place.run("user disable bob").unwrap_err().contains("--reason"));
    let history = place.run("access history").unwrap();
    assert_eq!(history.lines().filter(|line| !line.starts_with(' ')).count(), 1, "{history}");
}

#[test]
fn without_a_store_the_command_says_what_to_add() {
    let place = Place::new("no-store");
    let path = place.0.join("proxy.toml");
    let text = fs::read_to_string(&path).unwrap().replace("[identities]\nfile = \"ids\"\n", "");
    fs::write(&path, text).unwrap();
    assert!(
        place
            .run("user list")
            .unwrap_err()
            .ends_with("has no [identities]; add it with file = \"...\"")
    );
}

/// Records as the daemon writes them, in a file that is named like a ledger's.
fn write_ledger(place: &Place) {
    let line = |event: &str, more: &str| {
        format!(
            "{{\"seq\":1,\"time\":\"2029-11-30T08:00:00.000000Z\",\"event\":\"{event}\",{more}}}\n"
        )
    };
    let text = [
        line("login", "\"user\":\"bob\",\"source\":\"127.0.0.1\""),
        line("login_failed", "\"user\":\"alice\",\"source\":\"127.0.0.2\""),
        line("login_failed", "\"user\":\"mallory\",\"source\":\"127.0.0.2\""),
        line("source_denied", "\"source\":\"198.51.7.9\""),
        line("source_denied", "\"source\":\"198.51.7.10\""),
    ];
    fs::create_dir_all(place.0.join("ledger")).unwrap();
    fs::write(place.0.join("ledger/ledger-n-1.jsonl"), text.concat()).unwrap();
}

#[test]
fn a_review_says_who_can_do_what_who_is_dormant_and_who_was_refused() {
    let place = Place::new("review");
    place
        .run("user add bob --full-name Bob --owner Olga --valid-until 2030-01-31 --reason new")
        .unwrap();
    place.run("user add ann --full-name Ann --role analyst --reason new").unwrap();
    place.run("user add ole --full-name Ole --role operator --reason new").unwrap();
    write_ledger(&place);
    let page = place.run("access review --json").unwrap();
    let page: serde_json::Value = serde_json::from_str(&page).unwrap();
    let may = |name: &str| {
        let users = page["users"].as_array().unwrap();
        users.iter().find(|user| user["user"] == name).unwrap()["may"].clone()
    };
    assert_eq!(may("ann"), "read, schemas ref, call ref.report, others' sessions");
    assert_eq!(may("ole"), "operate, and read no data");
    let bob = page["users"].as_array().unwrap().iter().find(|user| user["user"] == "bob").unwrap();
    for (fact, value) in [
        ("owner", "Olga"),
        ("may", "read"),
        ("from", "this-host"),
        ("credential", "none that counts"),
        ("last_login", "2029-11-30T08:00:00.000000Z"),
        ("last_from", "127.0.0.1"),
        ("kept_in", "store"),
    ] {
        assert_eq!(bob[fact], value, "{fact}");
    }
    let dormant = page["dormant_users"].as_array().unwrap();
    assert_eq!((dormant.len(), &dormant[0]["user"]), (3, &"alice".into()));
    assert_eq!(page["ending"][0]["what"], "user bob");
    assert_eq!(page["sources"][0]["source"], "this-host");
    let refused = page["refused_logins"].as_array().unwrap();
    assert_eq!((&refused[0]["user"], &refused[0]["known"]), (&"alice".into(), &"yes".into()));
    assert_eq!((&refused[1]["user"], &refused[1]["known"]), (&"mallory".into(), &"no".into()));
    assert_eq!(page["refused_networks"][0]["network"], "198.51.7.0/24");
    assert_eq!(page["refused_networks"][0]["refused"], "2");
    for format in ["text", "csv", "html"] {
        assert!(
            place.run(&format!("access review --format {format}")).unwrap().contains("mallory")
        );
    }
}

#[test]
fn a_review_of_a_ledger_that_is_not_whole_says_so() {
    let place = Place::new("in-part");
    write_ledger(&place);
    place.run("user add ann --full-name Ann --reason new").unwrap();
    let (not_whole, never) = ("files of the ledger are encrypted or were removed", "never");
    let page = place.run("access review").unwrap();
    assert!(page.contains(never) && !page.contains(not_whole), "{page}");
    for file in ["ledger-n-0.jsonl.zst.age", "archives-n.jsonl"] {
        let file = place.0.join("ledger").join(file);
        fs::write(&file, "").unwrap();
        let page = place.run("access review").unwrap();
        assert!(!page.contains(never) && page.contains(not_whole), "{page}");
        fs::remove_file(file).unwrap();
    }
}

#[test]
fn a_review_is_signed_off_with_a_name_and_a_comment() {
    let place = Place::new("sign-off");
    write_ledger(&place);
    assert!(place.run("access review --sign-off Rita").unwrap_err().contains("--comment"));
    let page = place.run("access review --sign-off Rita --comment agreed").unwrap();
    let digest = ConfigHash::of(format!("{page}\n").as_bytes());
    let history = place.run("access history").unwrap();
    for part in ["review_signed_off", "reviewer: \"\" -> \"Rita\"", "\"agreed\"", digest.as_str()] {
        assert!(history.contains(part), "{part} is not in:\n{history}");
    }
}

#[test]
fn history_says_how_users_were_on_a_day() {
    let place = Place::new("as-of");
    place.run("user add bob --full-name Bob --role analyst --reason new").unwrap();
    place.run("user role bob default --reason moved").unwrap();
    let today = day_of(Timestamp::now());
    let as_of = |day: Date| place.run(&format!("access history --as-of {day}")).unwrap();
    let shown = place.run("user show bob").unwrap();
    let facts = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(facts(&as_of(today)), facts(&shown), "the history tells what the store holds");
    assert_eq!(as_of(today.yesterday().unwrap()), "");
}
