//! What a reload has changed.
use crate::settings::Settings;

#[test]
fn names_changed_keys_and_shows_no_secret() {
    let before = "[ledger]\ndirectory = \"a\"\n[[user]]\nname = \"alice\"\nrole = \"x\"\n\
                  caching_sha2_password = \"$A$005$one\"\n[replica.account]\npassword = \"old\"\n";
    let after = before.replace("one", "two").replace("old", "new").replace("\"a\"", "\"b\"");
    let after = after.replace("role = \"x\"\n", "");
    let (before, after) = (Settings::of(before), Settings::of(&after));
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
