//! `[ops]`: metrics and health over HTTP, if wanted.
use crate::error::Wrong;
use crate::keys::{Form, Kind, Section, required};
use crate::model::Ops;
use crate::table::Table;
use crate::values;

pub(crate) static OPS: Section = Section {
    name: "ops",
    form: Form::OneOrNone,
    meaning: "`/metrics`, `/healthz` and `/readyz` over HTTP. Without this table there is none.",
    keys: &[required(
        "address",
        Kind::Address,
        "\"127.0.0.1:9104\"",
        "IP address and port. Keep it on a management network: there is no login.",
    )],
    sections: &[],
};

/// `Some(None)`: not wanted.
pub(super) fn read(root: &Table<'_, '_>) -> Option<Option<Ops>> {
    if !root.has("ops") {
        return Some(None);
    }
    let table = root.child("ops")?;
    let address = table.get("address", values::address)?;
    if address.ip().is_unspecified() {
        let right = "name the address of a management network";
        table.warning("address", Wrong::new("every network can read metrics", right));
    }
    Some(Some(Ops { address }))
}
