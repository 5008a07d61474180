//! Who comes in: users of the configuration and of the identity store, with either plugin.

use readgate_tests::stage::{DRIVER_PASSWORD, USER_PASSWORD};

/// Somebody with a password.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Person {
    pub(crate) name: &'static str,
    pub(crate) password: &'static str,
    /// What their client proposes, where it isn't the greeting's.
    pub(crate) plugin: Option<&'static str>,
}

/// Password of the stored users.
pub(crate) const GIVEN: &str = "Xk3-handed.over_Once,by-an.operator_44-letters";
pub(crate) const NATIVE: &str = "mysql_native_password";
pub(crate) const SHA2: &str = "caching_sha2_password";

const fn person(
    name: &'static str,
    password: &'static str,
    plugin: Option<&'static str>,
) -> Person {
    Person { name, password, plugin }
}

/// Who is let in all the time. The first two stand in the configuration.
pub(crate) const STEADY: [Person; 5] = [
    person("alice", USER_PASSWORD, None),
    person("olga", USER_PASSWORD, Some(NATIVE)),
    // The server asks for the plugin that olga has first.
    person("olga", USER_PASSWORD, Some(SHA2)),
    person("stella", GIVEN, None),
    // Is told of the only plugin that nils has.
    person("nils", GIVEN, None),
];

/// Those of them who are stored, and the plugin that each has.
pub(crate) const STORED: [(&str, &str); 2] = [("stella", SHA2), ("nils", NATIVE)];

/// Served by the console.
pub(crate) const OPERATOR: Person = person("dora", DRIVER_PASSWORD, None);
/// Where the operator stands among the harness's users.
pub(crate) const OPERATOR_AT: usize = 3;
