//! `[ledger]`: where the audit record is kept, and how safely.
use ledger::SyncPolicy;

use crate::error::Wrong;
use crate::keys::{Form, Kind, Section, default, optional, required};
use crate::model::LedgerConfig;
use crate::table::Table;
use crate::values;

pub(crate) static LEDGER: Section = Section {
    name: "ledger",
    form: Form::One,
    meaning: "The audit record. If it can't be written, nothing is forwarded.",
    keys: &[
        required("directory", Kind::Path, "\"ledger\"", "Its folder. Made if missing."),
        optional(
            "node",
            Kind::Name,
            "\"readgate-1\"",
            "Name of this node; without it, the host's.",
        ),
        default(
            "sync",
            Kind::Choice(&["each", "group", "interval"]),
            "\"group\"",
            "\"each\"",
            "When records are forced to the disk: each before its answer, in groups, or once in a period. In every mode they survive the end of the process.",
        ),
        default(
            "sync_delay",
            Kind::Duration("1ms", "1h"),
            "\"10ms\"",
            "\"10ms\"",
            "\"group\": the longest wait; \"interval\": the period. No use with \"each\".",
        ),
    ],
    sections: &[],
};

pub(super) fn read(root: &Table<'_, '_>) -> Option<LedgerConfig> {
    let table = root.child("ledger")?;
    let directory = table.get("directory", values::text);
    let node = table.optional("node", values::name);
    let sync = table.get("sync", values::choice);
    let delay = table.get("sync_delay", values::duration);
    if sync == Some("each") && table.has("sync_delay") {
        let right = "remove it, or set sync = \"group\"";
        table.problem("sync_delay", Wrong::new("has no use with sync = \"each\"", right));
    }
    let sync = match (sync?, delay?) {
        ("interval", period) => SyncPolicy::Interval(period),
        ("group", delay) => SyncPolicy::Group(delay),
        (_, _) => SyncPolicy::Each,
    };
    Some(LedgerConfig { directory: table.document().resolve(&directory?), node: node?, sync })
}
