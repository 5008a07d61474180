//! A report as text and as CSV.

use std::io::{self, Write};

use super::{Activity, Report};
use crate::shown::{shown, shown_on_a_line};

pub(super) fn text(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}", shown_on_a_line(&report.about))?;
    writeln!(out, "{}", report.extent())?;
    writeln!(out, "\nUsers")?;
    for (user, activity) in &report.users {
        line(out, &shown_on_a_line(user), activity)?;
    }
    writeln!(out, "\nTables: who could have read them")?;
    for (table, users) in &report.tables {
        writeln!(out, "  {}", shown_on_a_line(table))?;
        for (user, activity) in users {
            line(out, &format!("  {}", shown_on_a_line(user)), activity)?;
        }
    }
    writeln!(out, "\nDenied")?;
    for (user, rules) in &report.denied {
        for (rule, denied) in rules {
            let (user, rule) = (shown_on_a_line(user), shown_on_a_line(rule));
            writeln!(out, "  {user:<24} {rule:<32} {:>8}  last {}", denied.count, denied.last)?;
        }
    }
    writeln!(out, "\nWorth a look")?;
    for note in &report.notable {
        let (user, what) = (shown_on_a_line(&note.user), shown_on_a_line(&note.what));
        writeln!(out, "  {:<27}  {:<17} {user:<24} {what}", note.time, note.kind)?;
    }
    Ok(())
}

fn line(out: &mut dyn Write, name: &str, activity: &Activity) -> io::Result<()> {
    let Activity { statements, rows, bytes, failed, first, last } = activity;
    writeln!(
        out,
        "  {name:<32} {statements:>9} statements {rows:>12} rows {bytes:>14} bytes {failed:>6} \
         failed  {first} to {last}"
    )
}

pub(super) fn csv(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    row(
        out,
        &["section", "user", "what", "statements", "rows", "bytes", "failed", "first", "last"],
    )?;
    row(out, &["about", "", &report.about, "", "", "", "", &report.first, &report.last])?;
    for (user, activity) in &report.users {
        activity_row(out, "user", user, "", activity)?;
    }
    for (table, users) in &report.tables {
        for (user, activity) in users {
            activity_row(out, "table", user, table, activity)?;
        }
    }
    for (day, activity) in &report.days {
        activity_row(out, "day", "", day, activity)?;
    }
    for (user, rules) in &report.denied {
        for (rule, denied) in rules {
            let count = denied.count.to_string();
            row(out, &["denied", user, rule, &count, "", "", "", "", &denied.last])?;
        }
    }
    for note in &report.notable {
        row(out, &[note.kind, &note.user, &note.what, "", "", "", "", &note.time, &note.time])?;
    }
    Ok(())
}

fn activity_row(
    out: &mut dyn Write,
    section: &str,
    user: &str,
    what: &str,
    activity: &Activity,
) -> io::Result<()> {
    let Activity { statements, rows, bytes, failed, first, last } = activity;
    let numbers = [*statements, *rows, *bytes, *failed].map(|number| number.to_string());
    let [statements, rows, bytes, failed] = &numbers;
    row(out, &[section, user, what, statements, rows, bytes, failed, first, last])
}

/// One row of CSV (RFC 4180). A cell that a spreadsheet would take for a formula begins with
/// an apostrophe; what would steer a terminal is written as JSON writes it.
pub(crate) fn row(out: &mut dyn Write, cells: &[&str]) -> io::Result<()> {
    for (index, cell) in cells.iter().map(|cell| shown(cell)).enumerate() {
        if index > 0 {
            out.write_all(b",")?;
        }
        let formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r']);
        if !formula && !cell.contains(['"', ',', '\n', '\r']) {
            out.write_all(cell.as_bytes())?;
            continue;
        }
        let apostrophe = if formula { "'" } else { "" };
        write!(out, "\"{apostrophe}{}\"", cell.replace('"', "\"\""))?;
    }
    out.write_all(b"\r\n")
}
