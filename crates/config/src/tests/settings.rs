//! What a reload has changed.
use toml::de::DeTable;

use crate::settings::Settings;

fn settings(text: &str) -> Settings {
    Settings::of(text, DeTable::parse(text).unwrap().get_ref())
}

#[test]
fn names_changed_keys_and_shows_no_secret() {
    let before = "[ledger]\ndirectory = \"a\"\n[[user]]\nname = \"alice\"\nrole = \"x\"\n\
                  caching_sha2_password = \"$A$005$one\"\n[replica.account]\npassword = \"old\"\n";
    let after = before.replace("one", "two").replace("old", "new").replace("\"a\"", "\"b\"");
    let after = after.replace("role = \"x\"\n", "");
    let (before, after) = (settings(before), settings(&after));
    let found = after.differences(&before);
    let paths: Vec<&str> = found.iter().map(|(path, ..)| path.as_str()).collect();
    let expected = [
        "ledger.directory",
        "replica.account.password",
        "user[alice].caching_sha2_password",
        "user[alice].role",
    ];
    assert_eq!(paths, expected);
    assert_eq!(found[0], ("ledger.directory".into(), "\"a\"".into(), "\"b\"".into()));
    assert_eq!(found[3], ("user[alice].role".into(), "\"x\"".into(), String::new()));
    let shown = format!("{found:?}");
    for secret in ["old", "new", "one", "two"] {
        assert!(!shown.contains(secret), "{shown}");
    }
    assert!(after.differences(&after).is_empty());
}

#[test]
fn what_is_written_in_another_way_is_no_difference() {
    let before = "[limits]\ndrain = \"30s\"\n[[source]]\nname = \"a\"\nnetworks = [\"1.2.3.4\", \"5.6.7.8\"]\n";
    let after = "[[source]]\nname = 'a'\nnetworks = [\n \"1.2.3.4\", # one\n '5.6.7.8',\n]\n[limits]\ndrain = '''30s'''\n";
    assert!(settings(after).differences(&settings(before)).is_empty());
    let gone = settings("").differences(&settings(before));
    let paths: Vec<&str> = gone.iter().map(|(path, ..)| path.as_str()).collect();
    assert_eq!(paths, ["limits.drain", "source[a].name", "source[a].networks"]);
    assert!(gone.iter().all(|(_, _, after)| after.is_empty()));
}

#[test]
fn what_waits_for_the_next_start_does_so_until_it_is_taken_back() {
    let started = settings(
        "[[listener]]\nname = \"main\"\naddress = \"127.0.0.1:1\"\nsources = []\n\
         [replica]\naddress = \"a:1\"\n[replica.account]\nuser = \"x\"\n\
         [ledger]\ndirectory = \"l\"\n[limits]\ndrain = \"1s\"\n",
    );
    let pending = |text: &str| settings(text).pending(&started);
    let main = "[[listener]]\nname = \"main\"\naddress = '127.0.0.1:1'\nsources = [\"a\"]\n";
    let rest = "[replica]\naddress = \"a:1\"\n[replica.account]\nuser = \"y\"\n\
                [ledger]\ndirectory = \"l\"\n[limits]\ndrain = \"2s\"\n";
    assert!(pending(&format!("{main}{rest}")).is_empty(), "these count at a reload");

    let other = rest.replace("a:1", "b:1").replace("[limits]\n", "[limits]\nworkers = 3\n");
    let other = other.replace("[ledger]\n", "[reload]\nwatch = \"1s\"\n[ledger]\n");
    let further = main.replace("main", "further");
    assert_eq!(
        pending(&format!("{main}{further}{other}")),
        [
            "limits.workers",
            "listener[further].address",
            "listener[further].name",
            "reload.watch",
            "replica.address"
        ]
    );
    let renamed = format!("{further}{rest}");
    let expected = ["further].address", "further].name", "main].address", "main].name"];
    assert_eq!(pending(&renamed), expected.map(|end| format!("listener[{end}")));
    assert!(pending(&format!("{main}{rest}")).is_empty(), "taken back");
}

#[test]
fn a_default_that_is_written_down_waits_for_nothing() {
    let started = settings("[replica]\nname = \"r\"\nwarm_connections = 4\n");
    let same = settings("[replica]\nname = \"r\"\ncompression = 'none'\n");
    assert!(same.pending(&started).is_empty());
    assert_eq!(same.differences(&started).len(), 2);
    let other = settings("[replica]\nname = \"r\"\nwarm_connections = 5\ncompression = 'zstd'\n");
    assert_eq!(other.pending(&started), ["replica.compression", "replica.warm_connections"]);
}

#[test]
fn a_network_at_the_end_of_a_long_list_is_told() {
    let list = |last: &str| {
        let networks: String =
            (0..900).map(|n| format!("\"10.{}.{}.0/24\", ", n / 250, n % 250)).collect();
        settings(&format!("[[source]]\nname = \"a\"\nnetworks = [{networks}\"{last}\"]\n"))
    };
    let found = list("203.0.113.8").differences(&list("203.0.113.7"));
    let [(path, before, after)] = &found[..] else { panic!("{found:?}") };
    assert_eq!(path, "source[a].networks");
    assert!(before.ends_with("\"203.0.113.7\"]") && after.ends_with("\"203.0.113.8\"]"));

    let long = settings(&format!("[replica]\nname = \"{}\"", "é".repeat(30_000)));
    let (_, _, after) = &long.differences(&settings(""))[0];
    assert!(after.ends_with("é... and 20003 bytes more"), "{}", after.len());
}
