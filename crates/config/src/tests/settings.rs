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
