//! docs/metrics.md, made from the metrics' own descriptions.
use super::Metrics;

/// What stands above the tables.
const HEAD: &str = "# Metrics

`/metrics` of the `[ops]` address, Prometheus' text format 0.0.4. This page is made from the
program's own descriptions. Alert rules are in `deploy/prometheus`, a dashboard in
`deploy/grafana`. Standard `process_*` metrics (CPU, memory, open files, start) come beside.

Labels are bounded: kinds, rules, results and endings are closed sets of the program; users
are named users that have logged in, the first `ops.user_labels` of them, and `other` for the
rest; roles, listeners and the replica are those of the configuration; networks of refused
connections are the first 200 seen. No text of a client becomes a label.

Latency histograms have a family by kind and one by user, and none by both: their product
would be series without number. `readgate_statement_duration_seconds` ends when the last
packet of the answer is at hand; it is held until its outcome is recorded, which takes
microseconds. What readgate itself takes is the duration less the replica's part of it; the
replica's part holds the waits for a client that reads slowly.
";

impl Metrics {
    /// The page.
    pub fn reference(&self) -> String {
        let mut page = String::from(HEAD);
        page.push_str("\n| metric | sort | labels | meaning |\n|---|---|---|---|\n");
        let mut all: Vec<_> = self.described.iter().collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        for one in all {
            let labels: Vec<String> = one.labels.iter().map(|label| format!("`{label}`")).collect();
            let row = format!(
                "| `{}` | {} | {} | {} |\n",
                one.name,
                one.sort,
                labels.join(", "),
                one.help
            );
            page.push_str(&row);
        }
        page
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn repository() -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
    }

    #[test]
    fn the_page_is_current() {
        let path = repository().join("docs/metrics.md");
        let page = Metrics::new().unwrap().reference();
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, &page).unwrap();
        }
        let kept = std::fs::read_to_string(path).unwrap_or_default();
        assert!(kept == page, "docs/metrics.md is old: UPDATE_DOCS=1 cargo test -p readgate");
    }

    #[test]
    fn dashboard_and_alerts_use_metrics_that_are_there() {
        let metrics = Metrics::new().unwrap();
        let files = ["deploy/grafana/readgate.json", "deploy/prometheus/readgate-alerts.yml"];
        for file in files {
            let text = std::fs::read_to_string(repository().join(file)).unwrap();
            let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let words = text.split(|c| !is_part(c)).filter(|word| word.starts_with("readgate_"));
            let mut seen = 0;
            for word in words {
                let base =
                    ["_bucket", "_sum", "_count"].iter().find_map(|end| word.strip_suffix(end));
                let names = [Some(word), base];
                let known = metrics.described.iter().any(|one| names.contains(&Some(&one.name)));
                assert!(known, "{file} uses {word}");
                seen += 1;
            }
            assert!(seen > 10, "{file}");
        }
    }
}
