//! A report as one HTML file: no script, nothing from elsewhere, a chart in SVG.

use std::io::{self, Write};

use super::{Activity, Report};
use crate::shown::shown_on_a_line;

const HEAD: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\
<title>readgate ledger</title><style>body{font:14px sans-serif;margin:2em}\
table{border-collapse:collapse;margin-bottom:2em}td,th{border:1px solid #ccc;padding:3px 8px;\
text-align:left}td.n{text-align:right}rect{fill:#36c}</style>";

pub(super) fn write(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    write!(out, "{HEAD}<h1>readgate ledger</h1><p>{}", escaped(&report.about))?;
    write!(out, "<p>{}", report.extent())?;
    chart(report, out)?;
    let head = "<th>statements<th>rows<th>bytes<th>failed<th>first<th>last";
    write!(out, "<h2>Users</h2><table><tr><th>user{head}")?;
    for (user, activity) in &report.users {
        write!(out, "<tr><td>{}", escaped(user))?;
        cells(out, activity)?;
    }
    write!(
        out,
        "</table><h2>Tables: who could have read them</h2><table><tr><th>table<th>user{head}"
    )?;
    for (table, users) in &report.tables {
        for (user, activity) in users {
            write!(out, "<tr><td>{}<td>{}", escaped(table), escaped(user))?;
            cells(out, activity)?;
        }
    }
    write!(out, "</table><h2>Denied</h2><table><tr><th>user<th>rule<th>times<th>last")?;
    for (user, rules) in &report.denied {
        for (rule, denied) in rules {
            let (user, rule) = (escaped(user), escaped(rule));
            write!(out, "<tr><td>{user}<td>{rule}<td class=n>{}<td>{}", denied.count, denied.last)?;
        }
    }
    write!(out, "</table><h2>Worth a look</h2><table><tr><th>time<th>kind<th>user<th>what")?;
    for note in &report.notable {
        let (user, what) = (escaped(&note.user), escaped(&note.what));
        write!(out, "<tr><td>{}<td>{}<td>{user}<td>{what}", escaped(&note.time), note.kind)?;
    }
    writeln!(out, "</table></html>")
}

fn cells(out: &mut dyn Write, activity: &Activity) -> io::Result<()> {
    let Activity { statements, rows, bytes, failed, first, last } = activity;
    for number in [statements, rows, bytes, failed] {
        write!(out, "<td class=n>{number}")?;
    }
    write!(out, "<td>{first}<td>{last}")
}

/// Statements by day, at most the last 366.
fn chart(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let days: Vec<_> = report.days.iter().rev().take(366).collect();
    let most = days.iter().map(|(_, activity)| activity.statements).max().unwrap_or(0);
    if most == 0 {
        return Ok(());
    }
    let width = days.len() * 12;
    write!(
        out,
        "<h2>Statements by day</h2><svg width=\"{width}\" height=\"120\" role=\"img\" \
         aria-label=\"Statements by day, at most {most}\">"
    )?;
    for (index, (day, activity)) in days.into_iter().rev().enumerate() {
        let height = activity.statements * 118 / most + 1;
        write!(
            out,
            "<rect x=\"{}\" y=\"{}\" width=\"10\" height=\"{height}\"><title>{}: {}</title></rect>",
            index * 12,
            120 - height,
            escaped(day),
            activity.statements
        )?;
    }
    write!(out, "</svg>")
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in shown_on_a_line(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
    out
}
