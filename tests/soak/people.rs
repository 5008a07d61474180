//! Who comes in.

use readgate_tests::stage::{DRIVER_PASSWORD, USER_PASSWORD};

/// Somebody with a password.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Person {
    pub(crate) name: &'static str,
    pub(crate) password: &'static str,
}

pub(crate) const ALICE: Person = Person { name: "alice", password: USER_PASSWORD };

/// Served by the console.
pub(crate) const OPERATOR: Person = Person { name: "dora", password: DRIVER_PASSWORD };
/// Where the operator stands among the harness's users.
pub(crate) const OPERATOR_AT: usize = 3;
