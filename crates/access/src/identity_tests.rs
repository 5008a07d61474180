use std::time::Duration;

use super::*;
use crate::credential::Standing;
use crate::store::{Author, differences};

const POLICY: CredentialPolicy = CredentialPolicy {
    collect_within: Duration::from_secs(14 * 86_400),
    valid_for: None,
    warn_before: Duration::from_secs(86_400),
    overlap: Duration::from_secs(3600),
};

fn now() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn alice() -> UserName {
    UserName::new("alice").unwrap()
}

fn added() -> Identity {
    Identity::new(alice(), "Alice Example", "analyst")
}

fn apply(before: Identity, change: &Change) -> Result<Identity, ChangeError> {
    change.apply(Some(before), &POLICY, now())
}

fn standings(user: &Identity, at: Timestamp) -> Vec<(u64, Standing)> {
    user.credentials.iter().map(|one| (one.id.0, one.standing(at))).collect()
}

#[test]
fn a_user_is_added_once() {
    let add = Change::Add(Box::new(added()));
    assert!(add.apply(None, &POLICY, now()).is_ok());
    assert_eq!(apply(added(), &add).unwrap_err(), ChangeError::UserExists);
    let alter = Change::Alter(alice(), Alteration::Role(String::from("x")));
    assert_eq!(alter.apply(None, &POLICY, now()).unwrap_err(), ChangeError::NoSuchUser);
}

#[test]
fn a_new_credential_replaces_the_old_one_with_an_overlap() {
    let first = apply(added(), &Change::Issue(alice(), Password::new("one"))).unwrap();
    let used = apply(first, &Change::Collect(alice(), CredentialId(1))).unwrap();
    let both = apply(used, &Change::Issue(alice(), Password::new("two"))).unwrap();
    let valid = |first_use| Standing::Valid { first_use };
    assert_eq!(standings(&both, now()), [(2, valid(true)), (1, valid(false))]);
    let later = now().checked_add(POLICY.overlap).unwrap();
    assert_eq!(standings(&both, later), [(2, valid(true)), (1, Standing::Retired)]);
}

#[test]
fn a_chosen_password_counts_at_once_and_alone() {
    let issued = apply(added(), &Change::Issue(alice(), Password::new("given"))).unwrap();
    let used = apply(issued, &Change::Collect(alice(), CredentialId(1))).unwrap();
    let user = apply(used, &Change::Choose(alice(), Password::new("mine"))).unwrap();
    let valid = Standing::Valid { first_use: false };
    assert_eq!(standings(&user, now()), [(2, valid), (1, Standing::Retired)]);
}

#[test]
fn old_passwords_do_not_come_back() {
    let mut user = added();
    for password in ["one", "two", "three"] {
        user = apply(user, &Change::Issue(alice(), Password::new(password))).unwrap();
    }
    for change in [Change::Issue, Change::Choose] {
        let again = apply(user.clone(), &change(alice(), Password::new("one")));
        assert_eq!(again.unwrap_err(), ChangeError::PasswordUsedBefore);
    }
}

#[test]
fn a_revoked_credential_stays_in_the_list() {
    let user = apply(added(), &Change::Issue(alice(), Password::new("one"))).unwrap();
    let revoked = apply(user.clone(), &Change::Revoke(alice(), CredentialId(1))).unwrap();
    assert_eq!(standings(&revoked, now()), [(1, Standing::Revoked)]);
    let other = apply(user, &Change::Revoke(alice(), CredentialId(2)));
    assert_eq!(other.unwrap_err(), ChangeError::NoSuchCredential);
}

#[test]
fn refuses_what_makes_no_sense() {
    let alter = |alteration| apply(added(), &Change::Alter(alice(), alteration)).unwrap_err();
    assert_eq!(alter(Alteration::Plugins(Vec::new())), ChangeError::NoPlugin);
    let escape = Alteration::FullName(String::from("Alice \u{1b}[2J"));
    assert_eq!(alter(escape), ChangeError::UnreadableText);
    assert_eq!(alter(Alteration::Owner(Some(String::new()))), ChangeError::UnreadableText);
    let (early, late) = ("2026-01-01".parse().ok(), "2026-02-01".parse().ok());
    assert_eq!(alter(Alteration::Validity(late, early)), ChangeError::EndsBeforeItBegins);
}

#[test]
fn nobody_is_added_whose_last_day_is_over_or_with_a_plugin_twice() {
    let add = |user: Identity| Change::Add(Box::new(user)).apply(None, &POLICY, now());
    let until = |day| Identity { valid_until: Some(day), ..added() };
    let today = day_of(now());
    let over = until(today.yesterday().unwrap());
    assert_eq!(add(over.clone()).unwrap_err(), ChangeError::IsOver);
    assert!(add(until(today)).is_ok(), "the day itself counts");
    let mut twice = added();
    twice.plugins.extend_from_within(..);
    assert_eq!(add(twice.clone()).unwrap_err(), ChangeError::PluginTwice);
    // Who is there, however that came about, can still be ended, today or before.
    let disable = Change::Alter(alice(), Alteration::Status(UserStatus::Disabled));
    assert!(apply(over, &disable).is_ok() && apply(twice, &disable).is_ok());
    let ended =
        Change::Alter(alice(), Alteration::Validity(None, Some(today.yesterday().unwrap())));
    assert!(apply(added(), &ended).is_ok());
}

#[test]
fn history_shows_what_differs_and_no_verifier() {
    let before = added();
    let after = apply(before.clone(), &Change::Issue(alice(), Password::new("one"))).unwrap();
    let shown: Vec<String> = differences(Some(&before), &after)
        .into_iter()
        .map(|one| format!("{}: {:?} -> {:?}", one.fact, one.before, one.after))
        .collect();
    assert_eq!(shown, ["credential 1: \"\" -> \"to be collected by 2026-01-15T00:00:00Z\""]);
    let disabled = Change::Alter(alice(), Alteration::Status(UserStatus::Disabled));
    let after = apply(before.clone(), &disabled).unwrap();
    let found = differences(Some(&before), &after);
    assert_eq!(
        (found.len(), found[0].before.as_str(), found[0].after.as_str()),
        (1, "enabled", "disabled")
    );
    assert_eq!(differences(None, &before).len(), 5);
}

#[test]
fn there_is_no_change_without_author_and_reason() {
    assert!(Author::new("os:root", "joined the team").is_ok());
    assert!(Author::new("os:root", " ").is_err());
    assert!(Author::new("", "reason").is_err());
}
