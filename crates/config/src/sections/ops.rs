//! `[ops]`: metrics and health over HTTP, if wanted.
use crate::error::Wrong;
use crate::keys::{Counts, Form, Kind, Section, default, optional, required};
use crate::model::Ops;
use crate::secret::SecretFile;
use crate::sections::Addresses;
use crate::table::Table;
use crate::values;

pub(crate) static OPS: Section = Section {
    name: "ops",
    form: Form::OneOrNone,
    meaning: "`/metrics`, `/healthz`, `/readyz` and the status page `/` over HTTP. Without this table there is none.",
    counts: Counts::AtReload,
    keys: &[
        required(
            "address",
            Kind::Address,
            "\"127.0.0.1:9104\"",
            "IP address and port. Keep it on a management network: only the status page has a login.",
        )
        .at_next_start(),
        optional(
            "password_file",
            Kind::Path,
            "\"certs/ops.password\"",
            "File that holds the password of the status page at `/`, and at most one line end. Without it the page is shown to this machine alone, by `127.0.0.1` or `localhost`.",
        )
        .at_next_start(),
        default(
            "operators",
            Kind::Flag,
            "false",
            "true",
            "Whether users of a role with `operator = true` log in to the status page by name, with a record in the ledger, the throttle and the sources of other logins (any `[[source]]`). The page speaks plain HTTP, so their passwords are taken from this machine alone (`ssh -L`), and not in a role with `require_tls`. Then it is shown to nobody without a login.",
        )
        .at_next_start(),
        default(
            "user_labels",
            Kind::Count(0, 100_000),
            "200",
            "1000",
            "So many users have metrics of their own, by first login; those that come later count together as `other`. With 0 no user's name stands in the metrics; a reload to fewer leaves those that stand there until the next start.",
        ),
    ],
    sections: &[],
};

/// `Some(None)`: not wanted.
pub(super) fn read(root: &Table<'_, '_>, addresses: &mut Addresses) -> Option<Option<Ops>> {
    if !root.has("ops") {
        return Some(None);
    }
    let table = root.child("ops")?;
    let address = table.get("address", values::address)?;
    addresses.note(&table, address);
    if address.ip().is_unspecified() {
        let right = "name the address of a management network";
        table.warning("address", Wrong::new("every network can read metrics", right));
    }
    let operators = table.get("operators", values::flag)?;
    let user_labels = table.get("user_labels", values::count)?;
    let file = table.optional("password_file", values::text)?;
    let password_file = file.map(|path| SecretFile::new(table.document().resolve(&path)));
    Some(Some(Ops { address, password_file, operators, user_labels }))
}
