//! `[replica]`: the server that is read, the way to it and the shared account on it.
use access::Password;

use crate::error::Wrong;
use crate::keys::{Counts, Form, Key, Kind, Section, default, optional, required};
use crate::model::{
    HostPort, Replica, ReplicaAccount, ReplicaCompression, ReplicaTls, RoleAccount, WhenBehind,
};
use crate::secret::PasswordSource;
use crate::sections::{Unique, check_password_keys, password_source};
use crate::table::Table;
use crate::values;

pub(crate) static REPLICA: Section = Section {
    name: "replica",
    form: Form::One,
    meaning: "The server that is read.",
    counts: Counts::AtNextStart,
    keys: &[
        required("name", Kind::Name, "\"clinical\"", "Name, shown in ledger and metrics."),
        required(
            "address",
            Kind::HostPort,
            "\"replica.example.org:3306\"",
            "Host name or IP address, and port.",
        ),
        optional(
            "default_schema",
            Kind::Text,
            "\"clinical\"",
            "Schema of sessions whose client names none.",
        )
        .at_reload(),
        default(
            "excess_rights",
            Kind::Choice(&["refuse", "warn"]),
            "\"refuse\"",
            "\"warn\"",
            "What happens where the account can do more than read, or that can't be told: it gets no sessions (`refuse`), or they are served and log, metrics, `/readyz` and ledger tell of it (`warn`). Reading are SELECT, SHOW VIEW, PROCESS, SHOW DATABASES and REPLICATION CLIENT (on MariaDB also BINLOG MONITOR, SLAVE MONITOR and REPLICA MONITOR), and EXECUTE where routines are listed.",
        ),
        default(
            "writable",
            Kind::Choice(&["refuse", "warn"]),
            "\"refuse\"",
            "\"warn\"",
            "The same if the replica is not read-only (`read_only`, or `innodb_read_only` as on Aurora). Each connection asks the server that it leads to.",
        ),
        default(
            "warm_connections",
            Kind::Count(0, 1000),
            "4",
            "16",
            "Logged-in connections kept ready for the next clients, from the first client on; what the replica closes is opened anew. None where it has an `init_connect`: servers run that for new connections alone.",
        ),
        default(
            "connections",
            Kind::Count(1, 100_000),
            "2000",
            "150",
            "Most connections to the replica at a time, those kept ready included. readgate has one of its own beside them, and a second while it looks. Keep it below the account's and the replica's own limits.",
        ),
        default(
            "longest_wait",
            Kind::Duration("0s", "10m"),
            "\"10s\"",
            "\"30s\"",
            "How long a login waits for a connection when all are in use, here or at the replica; then it is refused with error 1040.",
        ),
        optional(
            "share_idle",
            Kind::Duration("10ms", "1h"),
            "\"30s\"",
            "A session that has had no command for this long, and holds nothing in its connection to the replica that readgate can't set again, lends that connection to others; at its next command it gets one again, or error 1040 after `longest_wait`. Without it every session keeps its connection.",
        ),
        default(
            "compression",
            Kind::Choice(&["none", "zlib", "zstd"]),
            "\"none\"",
            "\"zstd\"",
            "Compression between readgate and the replica, for slow ways. What clients compress is independent of it.",
        ),
        optional(
            "max_lag",
            Kind::Duration("1s", "30d"),
            "\"5m\"",
            "How far the replica may be behind its source. Where it is further behind, or how far can't be told, `when_behind` says what happens. Left out, any lag will do: it is a figure in the metrics.",
        ),
        default(
            "when_behind",
            Kind::Choice(&["serve", "warn", "refuse"]),
            "\"warn\"",
            "\"refuse\"",
            "What happens then: nothing but a metric (`serve`), also a warning in log, `/readyz` and ledger (`warn`), or logins and statements are refused with an error that says so (`refuse`).",
        ),
        optional(
            "heartbeat_query",
            Kind::Text,
            "\"SELECT TIMESTAMPDIFF(SECOND, MAX(ts), UTC_TIMESTAMP()) FROM ops.heartbeat\"",
            "Query of one row and one number: how many seconds the replica is behind; less than -60 is by another clock, and tells nothing. Without it readgate asks replication itself (`SHOW REPLICA STATUS`, Aurora's `replica_host_status`), for which the account needs REPLICATION CLIENT (on MariaDB SLAVE MONITOR).",
        ),
    ],
    sections: &[&TLS, &ACCOUNT, &ROLE_ACCOUNT],
};

static TLS: Section = Section {
    name: "tls",
    form: Form::One,
    meaning: "How the way to the replica is protected.",
    counts: Counts::AtNextStart,
    keys: &[
        optional(
            "ca_file",
            Kind::Path,
            "\"certs/ca.crt\"",
            "PEM: the CA certificates that the replica's certificate must lead to. Required unless `insecure_plaintext`.",
        )
        .at_reload(),
        optional(
            "server_name",
            Kind::Text,
            "\"replica.example.org\"",
            "Name in the replica's certificate; without it, the host of `address`.",
        ),
        default(
            "insecure_plaintext",
            Kind::Flag,
            "false",
            "true",
            "Speaks to the replica without TLS: whoever is on the way can read the data and act as the replica.",
        ),
    ],
    sections: &[],
};

static ACCOUNT: Section = Section {
    name: "account",
    form: Form::One,
    meaning: "The account that all sessions share on the replica whose role names no other. Exactly one of `password_file`, `password_env`, `password_credential`, `password`.",
    counts: Counts::AtReload,
    keys: &[USER, PASSWORD_FILE, PASSWORD_ENV, PASSWORD_CREDENTIAL, PASSWORD, INLINE],
    sections: &[],
};

static ROLE_ACCOUNT: Section = Section {
    name: "role_account",
    form: Form::SeveralOrNone,
    meaning: "A further account on the replica, such as one that sees less, for the roles that name it. Checked like the other: `excess_rights` counts for its sessions alone.",
    counts: Counts::AtReload,
    keys: &[
        required("name", Kind::Name, "\"blinded\"", "Unique name, which roles give as `account`."),
        USER,
        optional(
            "default_schema",
            Kind::Text,
            "\"clinical_blinded\"",
            "Schema of its sessions whose client names none; without it, the replica's.",
        ),
        PASSWORD_FILE,
        PASSWORD_ENV,
        PASSWORD_CREDENTIAL,
        PASSWORD,
        INLINE,
    ],
    sections: &[],
};

const USER: Key = required("user", Kind::Text, "\"readonly_shared\"", "Name of the account.");
const PASSWORD_FILE: Key = optional(
    "password_file",
    Kind::Path,
    "\"certs/replica.password\"",
    "File that holds the password and at most one line end. Only readgate's account may read it.",
);
const PASSWORD_ENV: Key = optional(
    "password_env",
    Kind::Text,
    "\"READGATE_REPLICA_PASSWORD\"",
    "Environment variable that holds the password.",
);
const PASSWORD_CREDENTIAL: Key = optional(
    "password_credential",
    Kind::Name,
    "\"replica-password\"",
    "systemd credential (`LoadCredential=`) that holds the password.",
);
const PASSWORD: Key = optional(
    "password",
    Kind::Secret,
    "\"...\"",
    "The password itself; only with `insecure_inline_password = true`.",
);
const INLINE: Key = default(
    "insecure_inline_password",
    Kind::Flag,
    "false",
    "true",
    "Lets `password` stand in this file, for whoever can read the file or its backups.",
);

/// The keys that say where the password is.
const PASSWORD_KEYS: [&str; 4] =
    ["password_file", "password_env", "password_credential", "password"];

pub(super) fn read(root: &Table<'_, '_>) -> Option<Replica> {
    let table = root.child("replica")?;
    let name = table.get("name", values::name);
    let address = table.get("address", values::host_port);
    let default_schema = table.optional("default_schema", values::text);
    let excess_rights = table.get("excess_rights", values::choice);
    let writable = table.get("writable", values::choice);
    let warm_connections = table.get("warm_connections", values::count);
    let connections = table.get("connections", values::count);
    let longest_wait = table.get("longest_wait", values::duration);
    let share_idle = table.optional("share_idle", values::duration);
    let compression = table.get("compression", values::choice);
    let max_lag = table.optional("max_lag", values::duration);
    let when_behind = table.get("when_behind", values::choice);
    let heartbeat_query = table.optional("heartbeat_query", values::text);
    let tls = table.child("tls").and_then(|tls| read_tls(&tls, address.as_ref()));
    let account = table.child("account").and_then(|account| read_account(&account));
    let role_accounts = read_role_accounts(&table);
    Some(Replica {
        name: name?,
        address: address?,
        default_schema: default_schema?,
        refuse_excess_rights: excess_rights? == "refuse",
        refuse_writable: writable? == "refuse",
        warm_connections: warm_connections?,
        connections: connections?,
        longest_wait: longest_wait?,
        share_idle: share_idle?,
        compression: match compression? {
            "zlib" => ReplicaCompression::Zlib,
            "zstd" => ReplicaCompression::Zstd,
            _ => ReplicaCompression::None,
        },
        max_lag: max_lag?,
        when_behind: policy(when_behind?),
        heartbeat_query: heartbeat_query?,
        tls: tls?,
        account: account?,
        role_accounts: role_accounts?,
    })
}

/// `serve`, `warn` or `refuse`.
pub(super) fn policy(word: &str) -> WhenBehind {
    match word {
        "serve" => WhenBehind::Serve,
        "refuse" => WhenBehind::Refuse,
        _ => WhenBehind::Warn,
    }
}

fn read_tls(table: &Table<'_, '_>, address: Option<&HostPort>) -> Option<ReplicaTls> {
    let ca_file = table.optional("ca_file", values::text);
    let server_name = table.optional("server_name", values::server_name);
    let plaintext = table.get("insecure_plaintext", values::flag);
    let (ca_file, server_name) = (ca_file?, server_name?);
    if plaintext? {
        for key in ["ca_file", "server_name"] {
            if table.has(key) {
                let right = "remove it, or remove insecure_plaintext";
                table.problem(key, Wrong::new("has no use without TLS", right));
            }
        }
        let wrong = "passwords of the shared account and all data travel without TLS";
        table.warning("insecure_plaintext", Wrong::new(wrong, "use TLS with ca_file"));
        return Some(ReplicaTls::InsecurePlaintext);
    }
    let Some(ca_file) = ca_file else {
        let right = "add ca_file = \"certs/ca.crt\", the CA of the replica's certificate";
        table.problem("ca_file", Wrong::new("is missing", right));
        return None;
    };
    Some(ReplicaTls::Verified {
        ca_file: table.document().resolve(&ca_file),
        server_name: server_name.or_else(|| address.map(|address| address.host.clone()))?,
    })
}

fn read_role_accounts(replica: &Table<'_, '_>) -> Option<Vec<RoleAccount>> {
    let mut unique = Unique::default();
    let one = |table: &Table<'_, '_>| {
        let name = table.get("name", values::name);
        unique.note(table, "name", name.clone());
        let default_schema = table.optional("default_schema", values::text);
        let account = read_account(table);
        Some(RoleAccount { name: name?, account: account?, default_schema: default_schema? })
    };
    // All are read before one that failed counts, so that every problem is noted.
    let read: Vec<_> = replica.children("role_account").iter().map(one).collect();
    read.into_iter().collect()
}

fn read_account(table: &Table<'_, '_>) -> Option<ReplicaAccount> {
    let user = table.get("user", values::text);
    let source = password_source(table);
    let inline = table.optional("password", values::secret);
    let inline_allowed = table.get("insecure_inline_password", values::flag)?;
    check_password_keys(table, &PASSWORD_KEYS);
    if table.has("password") && !inline_allowed {
        let wrong = "a password stands in the configuration";
        let right = "use password_file, or set insecure_inline_password = true";
        table.problem("password", Wrong::new(wrong, right));
    }
    let inline = inline?.map(|text| PasswordSource::Inline(Password::new(text)));
    Some(ReplicaAccount { user: user?, password_source: source?.or(inline)? })
}
