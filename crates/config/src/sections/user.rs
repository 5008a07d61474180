//! `[[user]]`: named people and what proves that it is they.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use access::certificate::{CertificateName, CertificateNameError};
use access::{AuthPlugin, NativeVerifier, Password, Sha2Verifier};
use access::{Credential, CredentialId, Role, Stage, User, UserName, UserStatus, Users};

use crate::document::Value;
use crate::error::Wrong;
use crate::keys::{Counts, Form, Kind, Section, default, optional, required};
use crate::sections::{Unique, date_range, optional_sources, suggestion};
use crate::table::Table;
use crate::values;

const PLUGINS: &[&str] = &["caching_sha2_password", "mysql_native_password"];

pub(crate) static USER: Section = Section {
    name: "user",
    form: Form::SeveralOrNone,
    meaning: "A person, or a service with a named owner, who may log in.",
    counts: Counts::AtReload,
    keys: &[
        required(
            "name",
            Kind::Text,
            "\"alice\"",
            "Unique login name, 1 to 32 bytes, case-sensitive as in MySQL.",
        ),
        required("full_name", Kind::Text, "\"Alice Example\"", "The person's name, for reviews."),
        optional("email", Kind::Text, "\"alice@example.org\"", "Address for notices."),
        optional(
            "owner",
            Kind::Text,
            "\"Alice Example\"",
            "Who answers for it, if it is a service and not a person.",
        ),
        default(
            "role",
            Kind::Name,
            "\"default\"",
            "\"analyst\"",
            "Name of a `[[role]]`. The role \"default\" is there without being written.",
        ),
        optional("valid_from", Kind::Date, "2026-01-31", "First day (UTC) on which it may log in."),
        optional("valid_until", Kind::Date, "2027-01-31", "Last day (UTC) on which it may log in."),
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
        default(
            "certificates",
            Kind::List(&Kind::Text),
            "[]",
            "[\"cn:alice\", \"email:alice@example.org\"]",
            "Names of client certificates, as `subject:`, `cn:`, `email:`, `dns:` or `uri:` and the value, of `subject:` as RFC 4514 writes it (`CN=alice,O=Example`; `openssl x509 -noout -subject -nameopt RFC2253,-esc_msb` prints it). If any is listed, the user must present a certificate that holds one of them. If none is, a certificate that is presented must hold the user's name as common name or alternative name.",
        ),
        optional(
            "connections",
            Kind::Count(0, 100_000),
            "20",
            "Most connections of this user at a time, more or fewer than others have: in place of `limits.connections_per_user` and of its role's. With 0 the user can't log in.",
        ),
        optional(
            "caching_sha2_verifier",
            Kind::Secret,
            "\"$sha2fast$9b3c4fa1e08d7a6f25c1b0e9d8374655f2e1a0c9b8d7e6f504132231405f6e7d\"",
            "What `readgate hash-password` prints for caching_sha2_password.",
        ),
        optional(
            "native_verifier",
            Kind::Secret,
            "\"*6BB4837EB74329105EE4568DDA7DC67ED2CA2AD9\"",
            "What `readgate hash-password` prints for mysql_native_password.",
        ),
    ],
    sections: &[],
};

/// What `[[user]]` tables refer to.
pub(super) struct Known<'k> {
    pub(super) sources: &'k BTreeSet<String>,
    /// Roles by name; `None`: one with a problem of its own.
    pub(super) roles: &'k BTreeMap<String, Option<Arc<Role>>>,
}

pub(super) fn read(root: &Table<'_, '_>, known: &Known<'_>) -> Option<Users> {
    let mut names = Unique::default();
    let tables = root.children("user");
    let users = tables.iter().map(|table| read_one(table, known, &mut names));
    // Not a short-circuit: every user is looked at.
    let users: Vec<Option<User>> = users.collect();
    let users: Option<Vec<User>> = users.into_iter().collect();
    users.map(Users::new)
}

fn read_one(table: &Table<'_, '_>, known: &Known<'_>, names: &mut Unique) -> Option<User> {
    let name = table.get("name", user_name);
    names.note(table, "name", name.as_ref().map(UserName::to_string));
    let full_name = table.get("full_name", values::text);
    let email = table.optional("email", values::text);
    let owner = table.optional("owner", values::text);
    let role = read_role(table, known.roles);
    let status = table.get("status", values::choice);
    let (valid_from, valid_until) = date_range(table, "valid_from", "valid_until");
    let sources = optional_sources(table, known.sources);
    let certificates = table.list("certificates", certificate_name);
    let max_connections = table.optional("connections", values::count);
    let login = read_login(table, role.as_deref());
    let (plugins, credential) = login?;
    Some(User {
        name: name?,
        full_name: full_name?,
        email: email?,
        owner: owner?,
        role: role?,
        status: match status? {
            "enabled" => UserStatus::Enabled,
            _ => UserStatus::Disabled,
        },
        valid_from: valid_from?,
        valid_until: valid_until?,
        plugins,
        credentials: vec![credential],
        sources: sources?,
        certificates: certificates.values()?,
        max_connections: max_connections?,
    })
}

fn read_role(
    table: &Table<'_, '_>,
    roles: &BTreeMap<String, Option<Arc<Role>>>,
) -> Option<Arc<Role>> {
    let name = table.get("role", values::name)?;
    let Some(role) = roles.get(&name) else {
        let right =
            suggestion(&name, roles.keys().map(String::as_str), "name a [[role]] of this file");
        table.problem("role", Wrong::new(format!("no role is named {name:?}"), right));
        return None;
    };
    role.clone()
}

fn user_name(value: &Value<'_>, kind: Kind) -> Result<UserName, Wrong> {
    let name = values::secret(value, kind)?;
    UserName::new(name).map_err(|error| {
        Wrong::new(error.to_string(), "write 1 to 32 bytes without control characters")
    })
}

fn certificate_name(value: &Value<'_>, kind: Kind) -> Result<CertificateName, Wrong> {
    let text = values::text(value, kind)?;
    text.parse().map_err(|error: CertificateNameError| {
        let right = "write subject:, cn:, email:, dns: or uri: and the value";
        Wrong::new(format!("{text:?} {error}"), right)
    })
}

/// The plugins and the credential; every plugin has a verifier and every verifier a plugin.
fn read_login(table: &Table<'_, '_>, role: Option<&Role>) -> Option<(Vec<AuthPlugin>, Credential)> {
    let listed = table.list("plugins", plugin);
    let sha2 = table.optional("caching_sha2_verifier", sha2_verifier);
    let native = table.optional("native_verifier", native_verifier);
    let mut plugins = Vec::new();
    for plugin in listed.items() {
        let (line, shown) = (plugin.line, plugin.value.name());
        if plugins.contains(&plugin.value) {
            let wrong = Wrong::new(format!("{shown:?} is listed twice"), "list it once");
            table.problem_at(line, "plugins", wrong);
        }
        if plugin.value == AuthPlugin::MysqlNativePassword
            && let Some(Role { name, allow_native: false, .. }) = role
        {
            let wrong = format!("{shown:?} is not allowed in role {name:?}");
            let right = "remove it, or set allow_native = true in the role";
            table.problem_at(line, "plugins", Wrong::new(wrong, right));
        }
        plugins.push(plugin.value);
    }
    check_verifier_use(table, "caching_sha2_verifier", AuthPlugin::CachingSha2Password, &plugins);
    check_verifier_use(table, "native_verifier", AuthPlugin::MysqlNativePassword, &plugins);
    let plugins = listed.values()?;
    if plugins.is_empty() {
        let right = "list at least one, or set status = \"disabled\"";
        table.problem("plugins", Wrong::new("is empty", right));
    }
    let credential = Credential {
        id: CredentialId(0),
        sha2: sha2?,
        native: native?,
        stage: Stage::InUse { expires_at: None },
        retires_at: None,
    };
    Some((plugins, credential))
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
        return Err(Wrong::new("is the verifier of the empty password", "choose a password"));
    }
    Ok(verifier)
}

fn native_verifier(value: &Value<'_>, kind: Kind) -> Result<NativeVerifier, Wrong> {
    let right = "write what `readgate hash-password` prints: * and 40 hexadecimal digits";
    let verifier = NativeVerifier::parse(&values::secret(value, kind)?)
        .ok_or_else(|| Wrong::new("is not a verifier", right))?;
    if verifier.to_text() == NativeVerifier::from_password(&Password::default()).to_text() {
        return Err(Wrong::new("is the verifier of the empty password", "choose a password"));
    }
    Ok(verifier)
}
