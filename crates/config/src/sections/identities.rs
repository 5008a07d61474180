//! `[identities]`: where users are kept beside this file, if anywhere: in an SQLite file of
//! this machine, or in a MySQL that several nodes share.
use crate::document::Value;
use crate::error::Wrong;
use crate::keys::{Counts, Form, Kind, Section, default, optional};
use crate::model::{HostPort, Identities, IdentityPlace, SharedStore};
use crate::secret::PasswordSource;
use crate::sections::{check_password_keys, password_source};
use crate::table::Table;
use crate::values;

pub(crate) static IDENTITIES: Section = Section {
    name: "identities",
    form: Form::OneOrNone,
    meaning: "A store of users beside the `[[user]]` tables of this file, who count first. Without this table there is none. Exactly one of `file` and `url`.",
    counts: Counts::AtNextStart,
    keys: &[
        optional(
            "file",
            Kind::Path,
            "\"identities.sqlite\"",
            "SQLite file, for one node. Made if missing; only readgate's account may read it.",
        ),
        optional(
            "url",
            Kind::Text,
            "\"mysql://readgate@ids.example.org:3306/readgate\"",
            "MySQL or MariaDB that several nodes share: account, host, port, schema. Always over verified TLS; the password is never part of it.",
        ),
        optional(
            "ca_file",
            Kind::Path,
            "\"certs/ca.crt\"",
            "With `url`, required: PEM, the CA certificates that the server's certificate must lead to.",
        ),
        optional(
            "server_name",
            Kind::Text,
            "\"ids.example.org\"",
            "With `url`: name in the server's certificate; without it, the host of `url`.",
        ),
        optional(
            "password_file",
            Kind::Path,
            "\"certs/identities.password\"",
            "With `url`: file that holds the account's password and at most one line end. Only readgate's account may read it.",
        ),
        optional(
            "password_env",
            Kind::Text,
            "\"READGATE_IDENTITIES_PASSWORD\"",
            "With `url`: environment variable that holds the password.",
        ),
        optional(
            "password_credential",
            Kind::Name,
            "\"identities-password\"",
            "With `url`: systemd credential (`LoadCredential=`) that holds the password.",
        ),
        default(
            "refresh",
            Kind::Duration("100ms", "1m"),
            "\"2s\"",
            "\"2s\"",
            "How soon a change that another process or node makes counts.",
        ),
        default(
            "stale_after",
            Kind::Duration("1s", "30d"),
            "\"30s\"",
            "\"30s\"",
            "Stored users can't log in once the store has been out of reach for so long. Running sessions and users of this file go on.",
        ),
    ],
    sections: &[],
};

/// The keys that say where the password is.
const PASSWORD_KEYS: [&str; 3] = ["password_file", "password_env", "password_credential"];

/// `Some(None)`: none.
pub(super) fn read(root: &Table<'_, '_>) -> Option<Option<Identities>> {
    if !root.has("identities") {
        return Some(None);
    }
    let table = root.child("identities")?;
    let place = read_place(&table);
    let refresh = table.get("refresh", values::duration);
    let stale_after = table.get("stale_after", values::duration);
    if let (Some(refresh), Some(stale_after)) = (refresh, stale_after)
        && stale_after < refresh * 2
    {
        let wrong = "is shorter than two periods of refresh";
        table.problem("stale_after", Wrong::new(wrong, "write a longer time, or lower refresh"));
    }
    Some(Some(Identities { place: place?, refresh: refresh?, stale_after: stale_after? }))
}

fn read_place(table: &Table<'_, '_>) -> Option<IdentityPlace> {
    let file = table.optional("file", values::text);
    let url = table.optional("url", url);
    let shared = read_shared(table);
    match (file?, url?) {
        (Some(file), None) => {
            for key in PASSWORD_KEYS.into_iter().chain(["ca_file", "server_name"]) {
                if table.has(key) {
                    table.problem(key, Wrong::new("has no use with file", "remove it"));
                }
            }
            Some(IdentityPlace::File(table.document().resolve(&file)))
        }
        (None, Some(url)) => shared?.at(table, url),
        (Some(_), Some(_)) => {
            let right = "keep the one that holds the users";
            table.problem("url", Wrong::new("is given beside file", right));
            None
        }
        (None, None) => {
            let right = "add file = \"identities.sqlite\", or url = \"mysql://...\"";
            table.problem("file", Wrong::new("is missing", right));
            None
        }
    }
}

/// What stands beside a URL.
struct Beside {
    ca_file: Option<String>,
    server_name: Option<String>,
    password: Option<PasswordSource>,
}

fn read_shared(table: &Table<'_, '_>) -> Option<Beside> {
    let ca_file = table.optional("ca_file", values::text);
    let server_name = table.optional("server_name", values::server_name);
    let password = password_source(table);
    Some(Beside { ca_file: ca_file?, server_name: server_name?, password: password? })
}

impl Beside {
    fn at(self, table: &Table<'_, '_>, url: Url) -> Option<IdentityPlace> {
        check_password_keys(table, &PASSWORD_KEYS);
        if self.ca_file.is_none() {
            let right = "add ca_file = \"certs/ca.crt\", the CA of the server's certificate";
            table.problem("ca_file", Wrong::new("is missing", right));
        }
        Some(IdentityPlace::Shared(SharedStore {
            user: url.user,
            server_name: self.server_name.unwrap_or_else(|| url.address.host.clone()),
            address: url.address,
            schema: url.schema,
            ca_file: table.document().resolve(&self.ca_file?),
            password_source: self.password?,
        }))
    }
}

/// The parts of `mysql://user@host:port/schema`.
struct Url {
    user: String,
    address: HostPort,
    schema: String,
}

/// No message shows the text: somebody may have put a password into it.
fn url(value: &Value<'_>, kind: Kind) -> Result<Url, Wrong> {
    let text = values::text(value, kind)?;
    let malformed = || Wrong::new("is not a URL of a MySQL", "");
    let rest = text.strip_prefix("mysql://").ok_or_else(malformed)?;
    let (user, rest) = rest.rsplit_once('@').ok_or_else(malformed)?;
    if user.contains(':') {
        let right = "take it out and use password_file";
        return Err(Wrong::new("holds a password", right));
    }
    let (address, schema) = rest.split_once('/').ok_or_else(malformed)?;
    let is_plain = |text: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        (1..=64).contains(&text.len()) && text.chars().all(plain)
    };
    if !is_plain(user) || !is_plain(schema) {
        return Err(malformed());
    }
    let address = toml::de::DeValue::String(address.into());
    let address = values::host_port(&address, Kind::HostPort).map_err(|_| malformed())?;
    Ok(Url { user: user.to_owned(), address, schema: schema.to_owned() })
}
