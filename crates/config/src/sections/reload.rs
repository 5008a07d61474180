//! `[reload]`: when the configuration is read again without being told.
use crate::keys::{Counts, Form, Kind, Section, default};
use crate::model::Reload;
use crate::table::Table;
use crate::values;

pub(crate) static RELOAD: Section = Section {
    name: "reload",
    form: Form::OneOrNone,
    meaning: "When the configuration is read again without being told by SIGHUP.",
    counts: Counts::AtNextStart,
    keys: &[default(
        "watch",
        Kind::Duration("0s", "1d"),
        "\"2s\"",
        "\"10s\"",
        "How often readgate looks at this file and at those that it names: certificates, keys, CAs and revocation lists, passwords for the replica. If one has changed, and all stay as they are until the next look, the configuration is read again, as by SIGHUP. With \"0s\" that happens at SIGHUP alone.",
    )],
    sections: &[],
};

pub(super) fn read(root: &Table<'_, '_>) -> Option<Reload> {
    let table = root.child("reload")?;
    let watch = table.get("watch", values::duration)?;
    Some(Reload { watch: (!watch.is_zero()).then_some(watch) })
}
