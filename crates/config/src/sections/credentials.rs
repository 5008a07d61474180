//! `[credentials]`: how long credentials live, and what new ones are like.
use access::{ChosenRules, CredentialPolicy, PasswordRules};

use crate::error::Wrong;
use crate::keys::{Counts, Form, Kind, Section, default, optional};
use crate::table::Table;
use crate::values;

pub(crate) static CREDENTIALS: Section = Section {
    name: "credentials",
    form: Form::OneOrNone,
    meaning: "The life of the credentials of stored users, and what new ones are like.",
    counts: Counts::AtReload,
    keys: &[
        default(
            "length",
            Kind::Count(41, 256),
            "44",
            "64",
            "Characters of a new credential, of all four classes.",
        ),
        default(
            "collect_within",
            Kind::Duration("1m", "365d"),
            "\"14d\"",
            "\"14d\"",
            "Time for the first login with a new credential; then it is void.",
        ),
        optional(
            "valid_for",
            Kind::Duration("1h", "3650d"),
            "\"365d\"",
            "Life of a credential from its first login; without it, no end.",
        ),
        default(
            "warn_before",
            Kind::Duration("0s", "365d"),
            "\"30d\"",
            "\"30d\"",
            "How long before its end a credential is reported.",
        ),
        default(
            "overlap",
            Kind::Duration("0s", "90d"),
            "\"24h\"",
            "\"24h\"",
            "How long a replaced credential still counts beside its successor.",
        ),
        default(
            "self_service",
            Kind::Flag,
            "false",
            "true",
            "Lets stored users choose their own password with `ALTER USER USER() IDENTIFIED BY '...'` or `SET PASSWORD = '...'`. readgate answers it; the replica never sees it.",
        ),
        default(
            "chosen_length",
            Kind::Count(12, 256),
            "41",
            "41",
            "Fewest characters of a chosen password, of all four classes.",
        ),
        default(
            "chosen_strength",
            Kind::Count(0, 4),
            "4",
            "4",
            "Lowest strength of a chosen password as zxcvbn estimates it, 0 to 4.",
        ),
    ],
    sections: &[],
};

pub(super) fn read(root: &Table<'_, '_>) -> Option<(CredentialPolicy, PasswordRules)> {
    let table = root.child("credentials")?;
    let length = table.get("length", values::count);
    let collect_within = table.get("collect_within", values::duration);
    let valid_for = table.optional("valid_for", values::duration);
    let warn_before = table.get("warn_before", values::duration);
    let overlap = table.get("overlap", values::duration);
    let self_service = table.get("self_service", values::flag);
    let chosen_length = table.get("chosen_length", values::count);
    let chosen_strength = table.get("chosen_strength", values::count);
    if let (Some(Some(life)), Some(overlap)) = (valid_for, overlap)
        && overlap > life
    {
        let wrong = "is longer than valid_for";
        table.problem("overlap", Wrong::new(wrong, "write a shorter time, or raise valid_for"));
    }
    let policy = CredentialPolicy {
        collect_within: collect_within?,
        valid_for: valid_for?,
        warn_before: warn_before?,
        overlap: overlap?,
    };
    let strength = u8::try_from(chosen_strength?).unwrap_or(u8::MAX);
    let chosen = ChosenRules { length: chosen_length?, strength };
    let chosen = self_service?.then_some(chosen);
    Some((policy, PasswordRules { length: length?, chosen }))
}
