//! `[[user]]`: named people and what proves that it is they.
use access::{SourceSet, User, UserName, UserStatus, Users, user::Verifier};
use mysql_auth::{AuthPlugin, NativeVerifier, Password, Sha2Verifier};

use crate::document::Value;
use crate::error::Wrong;
use crate::keys::{Form, Kind, Section, default, optional, required};
use crate::sections::{Unique, check_source_names};
use crate::table::Table;
use crate::values;

const PLUGINS: &[&str] = &["caching_sha2_password", "mysql_native_password"];

pub(crate) static USER: Section = Section {
    name: "user",
    form: Form::SeveralOrNone,
    meaning: "A person, or a service with a named owner, who may log in.",
    keys: &[
        required(
            "name",
            Kind::Text,
            "\"alice\"",
            "Unique login name, 1 to 32 bytes, case-sensitive as in MySQL.",
        ),
        required(
            "full_name",
            Kind::Text,
            "\"Alice Example\"",
            "The person's name, for reviews.",
        ),
        default(
            "status",
            Kind::Choice(&["enabled", "disabled"]),
            "\"enabled\"",
            "\"disabled\"",
            "Whether the user may log in. Users are disabled, not deleted.",
        ),
        default(
            "plugins",
            Kind::List(&Kind::Choice(PLUGINS)),
            "[\"caching_sha2_password\"]",
            "[\"caching_sha2_password\", \"mysql_native_password\"]",
            "Authentication plugins the user may log in with, preferred first. Each needs its verifier.",
        ),
        optional(
            "sources",
            Kind::List(&Kind::Name),
            "[\"office\"]",
            "Names of the `[[source]]` entries the user may come from, if narrower than the listener's.",
        ),
        optional(
            "connections",
            Kind::Count(0, 100_000),
            "20",
            "Most connections of this user at a time, in place of `limits.connections_per_user`.",
        ),
        optional(
            "caching_sha2_verifier",
            Kind::Secret,
            "\"$sha2fast$...\"",
            "What `readgate hash-password` prints for caching_sha2_password.",
        ),
        optional(
            "native_verifier",
            Kind::Secret,
            "\"*...\"",
            "What `readgate hash-password` prints for mysql_native_password.",
        ),
    ],
    sections: &[],
};

pub(super) fn read(root: &Table<'_, '_>, known_sources: &[String]) -> Option<Users> {
    let mut names = Unique::default();
    let tables = root.children("user");
    let users = tables
        .iter()
        .map(|table| read_one(table, known_sources, &mut names));
    // Not a short-circuit: every user is looked at.
    let users: Vec<Option<User>> = users.collect();
    let users: Option<Vec<User>> = users.into_iter().collect();
    users.map(Users::new)
}

fn read_one(table: &Table<'_, '_>, known_sources: &[String], names: &mut Unique) -> Option<User> {
    let name = table.get("name", user_name);
    names.note(table, "name", name.as_ref().map(UserName::to_string));
    let full_name = table.get("full_name", values::text);
    let status = table.get("status", values::choice);
    let sources = table.list("sources", values::name);
    check_source_names(table, "sources", sources.items(), known_sources);
    let max_connections = table.optional("connections", values::count);
    let verifiers = read_verifiers(table);
    Some(User {
        name: name?,
        full_name: full_name?,
        role: String::from("default"),
        status: match status? {
            "enabled" => UserStatus::Enabled,
            _ => UserStatus::Disabled,
        },
        verifiers: verifiers?,
        sources: if table.has("sources") {
            Some(SourceSet::from_iter(sources.values()?))
        } else {
            None
        },
        max_connections: max_connections?,
    })
}

fn user_name(value: &Value<'_>, kind: Kind) -> Result<UserName, Wrong> {
    let name = values::secret(value, kind)?;
    UserName::new(name).map_err(|error| {
        Wrong::new(
            error.to_string(),
            "write 1 to 32 bytes without control characters",
        )
    })
}

/// The verifiers in the order of the plugins; every plugin has one and every one a plugin.
fn read_verifiers(table: &Table<'_, '_>) -> Option<Vec<Verifier>> {
    let plugins = table.list("plugins", plugin);
    let sha2 = table.optional("caching_sha2_verifier", sha2_verifier);
    let native = table.optional("native_verifier", native_verifier);
    let mut seen = Vec::new();
    for listed in plugins.items() {
        if seen.contains(&listed.value) {
            let wrong = Wrong::new(
                format!("\"{}\" is listed twice", listed.value),
                "list it once",
            );
            table.problem_at(listed.line, "plugins", wrong);
        }
        seen.push(listed.value);
    }
    check_verifier_use(
        table,
        "caching_sha2_verifier",
        AuthPlugin::CachingSha2Password,
        &seen,
    );
    check_verifier_use(
        table,
        "native_verifier",
        AuthPlugin::MysqlNativePassword,
        &seen,
    );
    let plugins = plugins.values()?;
    if plugins.is_empty() {
        let right = "list at least one, or set status = \"disabled\"";
        table.problem("plugins", Wrong::new("is empty", right));
    }
    let (sha2, native) = (sha2?, native?);
    let of_plugin = |plugin: &AuthPlugin| match plugin {
        AuthPlugin::CachingSha2Password => sha2.clone().map(Verifier::CachingSha2),
        AuthPlugin::MysqlNativePassword => native.clone().map(Verifier::Native),
    };
    plugins.iter().map(of_plugin).collect()
}

fn check_verifier_use(table: &Table<'_, '_>, key: &str, plugin: AuthPlugin, listed: &[AuthPlugin]) {
    match (table.has(key), listed.contains(&plugin)) {
        (false, true) => {
            let wrong = format!("is missing, plugins lists \"{plugin}\"");
            let right = format!("add {key} as `readgate hash-password` prints it");
            table.problem(key, Wrong::new(wrong, right));
        }
        (true, false) => {
            let wrong = format!("is given, plugins does not list \"{plugin}\"");
            let right = format!("remove it, or add \"{plugin}\" to plugins");
            table.problem(key, Wrong::new(wrong, right));
        }
        (true, true) | (false, false) => {}
    }
}

fn plugin(value: &Value<'_>, kind: Kind) -> Result<AuthPlugin, Wrong> {
    let name = values::choice(value, kind)?;
    AuthPlugin::from_name(name.as_bytes()).ok_or_else(|| Wrong::new("is not known", ""))
}

fn sha2_verifier(value: &Value<'_>, kind: Kind) -> Result<Sha2Verifier, Wrong> {
    let right = "write what `readgate hash-password` prints: $sha2fast$ and 64 hexadecimal digits";
    let verifier = Sha2Verifier::parse(&values::secret(value, kind)?)
        .ok_or_else(|| Wrong::new("is not a verifier", right))?;
    if verifier.verify_password(&Password::default()) {
        return Err(Wrong::new(
            "is the verifier of the empty password",
            "choose a password",
        ));
    }
    Ok(verifier)
}

fn native_verifier(value: &Value<'_>, kind: Kind) -> Result<NativeVerifier, Wrong> {
    let right = "write what `readgate hash-password` prints: * and 40 hexadecimal digits";
    let verifier = NativeVerifier::parse(&values::secret(value, kind)?)
        .ok_or_else(|| Wrong::new("is not a verifier", right))?;
    if verifier.to_text() == NativeVerifier::from_password(&Password::default()).to_text() {
        return Err(Wrong::new(
            "is the verifier of the empty password",
            "choose a password",
        ));
    }
    Ok(verifier)
}
