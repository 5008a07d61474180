//! What is peculiar to each store. The suite that every store passes is `tests/stores`.
mod sqlite;

use std::time::Duration;

use access::store::{Author, IdentityStore, StoreError};
use access::{Change, CredentialPolicy, Identity, Timestamp, UserName};

const POLICY: CredentialPolicy = CredentialPolicy {
    collect_within: Duration::from_secs(14 * 86_400),
    valid_for: Some(Duration::from_secs(365 * 86_400)),
    warn_before: Duration::from_secs(30 * 86_400),
    overlap: Duration::from_secs(3600),
};

fn now() -> Timestamp {
    "2026-01-01T12:00:00.123456789Z".parse().unwrap()
}

fn name(text: &str) -> UserName {
    UserName::new(text).unwrap()
}

fn apply(store: &dyn IdentityStore, change: Change) -> Result<Identity, StoreError> {
    store.apply(&change, &Author::new("os:tester", "a test").unwrap(), &POLICY, now())
}

fn add(store: &dyn IdentityStore, user: &str) -> Identity {
    let identity = Identity::new(name(user), "Someone", "reader");
    apply(store, Change::Add(Box::new(identity))).unwrap()
}
