//! What operators see over HTTP.

/// The value of a series, labels included as written.
fn series(metrics: &str, name: &str) -> f64 {
    let matching = metrics.lines().filter(|line| line.starts_with(name));
    matching.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

on_both! {
    fn is_healthy_and_ready(stage) {
        assert_eq!(stage.readgate.http("/healthz").unwrap().0, 200);
        assert_eq!(stage.readgate.http("/readyz").unwrap().0, 200);
        assert_eq!(stage.readgate.http("/no_such_page").unwrap().0, 404);
    }

    fn counts_logins_statements_and_refusals(stage) {
        let page = || stage.readgate.http("/metrics").unwrap().1;
        let before = page();
        let mut alice = stage.alice();
        for _ in 0..5 {
            alice.query("SELECT 1").expect_ok();
            alice.query("DELETE FROM clinical.forms").expect_error();
        }
        let after = page();
        // Other tests run at the same time, so each count has grown by at least ours.
        for (name, at_least) in [
            ("readgate_logins_total{result=\"ok\"}", 1.0),
            ("readgate_statements_total{", 10.0),
            ("readgate_refusals_total{", 5.0),
            ("readgate_statement_duration_seconds_count", 5.0),
        ] {
            let grown = series(&after, name) - series(&before, name);
            assert!(grown >= at_least, "{name} grew by {grown}");
        }
        for name in ["readgate_connections_open", "readgate_replica_up", "readgate_ledger_up"] {
            assert!(series(&after, name) >= 1.0, "{name}");
        }
        assert!(after.contains("# TYPE readgate_client_bytes_total counter"), "{after}");
    }

    fn names_no_text_in_metrics(stage) {
        stage.alice().query("SELECT 'not for the metrics'").expect_ok();
        let page = stage.readgate.http("/metrics").unwrap().1;
        assert!(!page.contains("not for the metrics"));
    }
}
