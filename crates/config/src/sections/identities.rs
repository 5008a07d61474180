//! `[identities]`: where users are kept beside this file, if anywhere.
use crate::keys::{Form, Kind, Section, default, required};
use crate::model::Identities;
use crate::table::Table;
use crate::values;

pub(crate) static IDENTITIES: Section = Section {
    name: "identities",
    form: Form::OneOrNone,
    meaning: "A store of users beside the `[[user]]` tables of this file, who count first. Without this table there is none.",
    keys: &[
        required(
            "file",
            Kind::Path,
            "\"identities.sqlite\"",
            "SQLite file. Made if missing; only readgate's account may read it.",
        ),
        default(
            "refresh",
            Kind::Duration("100ms", "1m"),
            "\"2s\"",
            "\"2s\"",
            "How soon a change that another process makes counts.",
        ),
    ],
    sections: &[],
};

/// `Some(None)`: none.
pub(super) fn read(root: &Table<'_, '_>) -> Option<Option<Identities>> {
    if !root.has("identities") {
        return Some(None);
    }
    let table = root.child("identities")?;
    let file = table.get("file", values::text);
    let refresh = table.get("refresh", values::duration);
    Some(Some(Identities { file: table.document().resolve(&file?), refresh: refresh? }))
}
