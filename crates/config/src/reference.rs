//! The reference of every key, as Markdown, from the same descriptions that the reader
//! uses. `docs/configuration.md` is this text; a test compares them.
use std::fmt::Write;

use crate::keys::{Counts, Form, Key, Kind, Presence, Section};
use crate::sections::ROOT;

/// The whole reference.
pub fn markdown() -> String {
    let mut text = String::from(HEAD);
    for section in ROOT.sections {
        // Writing into a String can't fail.
        let _ = write_section(&mut text, section, "");
    }
    text
}

const HEAD: &str = "\
# Configuration reference

`proxy.toml`, table by table. `readgate check --config proxy.toml` names every mistake
with its line, and once there is none, all that is wrong with the files that keys name, such as certificates
and passwords. Keys that are not listed here are mistakes. Relative paths start from
the folder of the file. Durations are written `\"500ms\"`, `\"10s\"`, `\"5m\"`, `\"8h\"`, `\"14d\"`;
sizes `\"512B\"`, `\"64KiB\"`, `\"64MiB\"`, `\"1GiB\"`, `\"1TiB\"`; dates `2026-01-31`, and days begin and end
in UTC. *changed*: from when a new value counts. `reload`: from the next reload of a running daemon,
for some keys for those who log in from then on; `start`: from its next start, and until then a
reload calls it pending. This page is made from the program's own descriptions of its keys.
";

fn write_section(text: &mut String, section: &Section, above: &str) -> std::fmt::Result {
    let path = if above.is_empty() {
        section.name.to_owned()
    } else {
        format!("{above}.{}", section.name)
    };
    let (title, how_often) = match section.form {
        Form::One => (format!("[{path}]"), "Exactly one."),
        Form::OneOrNone => (format!("[{path}]"), "May be left out."),
        Form::Several => (format!("[[{path}]]"), "One or more."),
        Form::SeveralOrNone => (format!("[[{path}]]"), "Any number."),
    };
    writeln!(text, "\n## `{title}`\n\n{} {how_often}\n", section.meaning)?;
    writeln!(text, "| key | value | default | example | changed | meaning |")?;
    writeln!(text, "|---|---|---|---|---|---|")?;
    for key in section.keys {
        write_key(text, key, section.counts(key))?;
    }
    section.sections.iter().try_for_each(|below| write_section(text, below, &path))
}

fn write_key(text: &mut String, key: &Key, counts: Counts) -> std::fmt::Result {
    let default = match key.presence {
        Presence::Required => String::from("required"),
        Presence::Optional => String::from("none"),
        Presence::Default(value) => format!("`{value}`"),
    };
    let (name, example, meaning) = (key.name, key.example, key.meaning);
    let kind = describe(key.kind).replace('|', "\\|");
    let changed = match counts {
        Counts::AtReload => "reload",
        Counts::AtNextStart => "start",
    };
    writeln!(text, "| `{name}` | {kind} | {default} | `{example}` | {changed} | {meaning} |")
}

/// A kind with its unit and bounds, in words.
fn describe(kind: Kind) -> String {
    match kind {
        Kind::Flag => String::from("true or false"),
        Kind::Text => String::from("text"),
        Kind::Name => String::from("name (letters, digits, `-`, `_`, `.`)"),
        Kind::Secret => String::from("secret text"),
        Kind::Path => String::from("path"),
        Kind::Date => String::from("date"),
        Kind::TimeOfDay => String::from("time of day, `HH:MM`"),
        Kind::Offset => String::from("offset from UTC, `+HH:MM` or `-HH:MM`"),
        Kind::Duration(least, most) => format!("duration, {least} to {most}"),
        Kind::Size(least, most) => format!("size, {least} to {most}"),
        Kind::Count(least, most) => format!("whole number, {least} to {most}"),
        Kind::Address => String::from("IP address and port"),
        Kind::HostPort => String::from("host and port"),
        Kind::Choice(words) => {
            let quoted: Vec<String> = words.iter().map(|word| format!("`\"{word}\"`")).collect();
            quoted.join(" or ")
        }
        Kind::List(item) => format!("list of: {}", describe(*item)),
        Kind::Network => String::from("network or IP address"),
        Kind::Schema => String::from("schema"),
        Kind::Function => String::from("`schema.function` or a built-in function"),
        Kind::Routine => String::from("`schema.routine`"),
    }
}
