//! Tables as text for people, CSV for sheets, JSON for programs and HTML for files.
use serde_json::{Map, Value, json};

/// Rows under a title; all rows are as long as the columns.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) title: &'static str,
    pub(super) columns: &'static [&'static str],
    pub(super) rows: Vec<Vec<String>>,
}

/// How tables are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// Columns in line, for people.
    Text,
    /// Comma-separated values; the first column names the table.
    Csv,
    /// One object: a list for each table.
    Json,
    /// A page.
    Html,
}

/// Writes tables, and what they are about before them.
pub(super) fn write(heading: &str, tables: &[Table], format: Format) -> String {
    match format {
        Format::Text => text(heading, tables),
        Format::Csv => csv(heading, tables),
        Format::Json => json(heading, tables),
        Format::Html => html(heading, tables),
    }
}

fn text(heading: &str, tables: &[Table]) -> String {
    let mut out = heading.to_owned();
    for table in tables {
        out.push_str(&format!("\n\n{} ({})", table.title, table.rows.len()));
        let header: Vec<String> = table.columns.iter().map(|name| (*name).to_owned()).collect();
        let lines: Vec<Vec<String>> = std::iter::once(&header)
            .chain(&table.rows)
            .map(|row| row.iter().map(|cell| shown(cell)).collect())
            .collect();
        let width = |column: usize| {
            let cells = lines.iter().filter_map(|line| line.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..header.len()).map(width).collect();
        for line in &lines {
            let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
            out.push_str(&format!("\n  {}", cells.collect::<Vec<_>>().join("  ").trim_end()));
        }
    }
    out
}

/// What a stranger sent must not steer a terminal.
fn shown(cell: &str) -> String {
    match cell.is_empty() {
        true => String::from("-"),
        false => cell.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect(),
    }
}

/// What the tables are about is the first of them, a row for each line.
fn csv(heading: &str, tables: &[Table]) -> String {
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        cells.map(csv_cell).collect::<Vec<_>>().join(",") + "\r\n"
    };
    let mut out = line(&mut ["table", "about"].into_iter());
    for about in heading.lines() {
        out.push_str(&line(&mut ["about", about].into_iter()));
    }
    for table in tables {
        let title = || std::iter::once(table.title);
        out.push_str(&line(&mut std::iter::once("table").chain(table.columns.iter().copied())));
        for row in &table.rows {
            out.push_str(&line(&mut title().chain(row.iter().map(String::as_str))));
        }
    }
    out.truncate(out.trim_end().len());
    out
}

/// Quoted (RFC 4180). What a sheet would compute is made text.
fn csv_cell(cell: &str) -> String {
    let computes = cell.starts_with(['=', '+', '-', '@', '\t', '\r']);
    format!("\"{}{}\"", if computes { "'" } else { "" }, cell.replace('"', "\"\""))
}

fn json(heading: &str, tables: &[Table]) -> String {
    let mut all = Map::from_iter([(String::from("about"), json!(heading))]);
    for table in tables {
        let object = |row: &Vec<String>| -> Value {
            let fields = table.columns.iter().zip(row);
            fields.map(|(name, value)| (key(name), json!(value))).collect::<Map<_, _>>().into()
        };
        all.insert(key(table.title), table.rows.iter().map(object).collect());
    }
    Value::Object(all).to_string()
}

fn key(name: &str) -> String {
    name.replace(' ', "_")
}

fn html(heading: &str, tables: &[Table]) -> String {
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>Access review</title>\n\
         <style>body{{font-family:sans-serif}}table{{border-collapse:collapse}}\
         td,th{{border:1px solid #999;padding:.2em .5em;text-align:left;vertical-align:top}}</style>\n\
         <pre>{}</pre>\n",
        escaped(heading)
    );
    for table in tables {
        out.push_str(&format!("<h2>{}</h2>\n<table><tr>", escaped(table.title)));
        out.extend(table.columns.iter().map(|name| format!("<th>{}</th>", escaped(name))));
        out.push_str("</tr>\n");
        for row in &table.rows {
            let cells: String =
                row.iter().map(|cell| format!("<td>{}</td>", escaped(cell))).collect();
            out.push_str(&format!("<tr>{cells}</tr>\n"));
        }
        out.push_str("</table>\n");
    }
    out + "</html>"
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let rows = [["bob", "=1+1"], ["<b>", "say \"x\"\u{1b}[2J"]];
        Table {
            title: "denied attempts",
            columns: &["user", "last try"],
            rows: rows.map(|row| row.map(str::to_owned).to_vec()).to_vec(),
        }
    }

    #[test]
    fn nothing_that_a_stranger_sent_is_run_by_whoever_reads_it() {
        let text = write("about", &[table()], Format::Text);
        assert!(text.starts_with("about\n\ndenied attempts (2)\n  user  last try\n  bob   =1+1\n"));
        assert!(!text.contains('\u{1b}'), "{text:?}");
        let csv = write("what, why\n=when", &[table()], Format::Csv);
        let expected = "\"table\",\"about\"\r\n\"about\",\"what, why\"\r\n\"about\",\"'=when\"\r\n\
                        \"table\",\"user\",\"last try\"\r\n\"denied attempts\",\"bob\",\"'=1+1\"\r\n\
                        \"denied attempts\",\"<b>\",\"say \"\"x\"\"\u{1b}[2J\"";
        assert_eq!(csv, expected);
        let html = write("<about>", &[table()], Format::Html);
        assert!(html.contains("<pre>&lt;about&gt;</pre>") && html.contains("<td>&lt;b&gt;</td>"));
        assert!(!html.contains("<b>"));
        let json: Value = serde_json::from_str(&write("a", &[table()], Format::Json)).unwrap();
        assert_eq!(json["denied_attempts"][1]["last_try"], "say \"x\"\u{1b}[2J");
    }
}
