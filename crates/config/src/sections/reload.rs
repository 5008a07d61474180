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
        "How often this file, certificates and keys are looked at. One that has changed, and then stayed as it is until the next look, is read again; \"0s\" waits for SIGHUP.",
    )],
    sections: &[],
};

pub(super) fn read(root: &Table<'_, '_>) -> Option<Reload> {
    let table = root.child("reload")?;
    let watch = table.get("watch", values::duration)?;
    Some(Reload { watch: (!watch.is_zero()).then_some(watch) })
}
