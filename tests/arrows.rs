//! The dependency graph against the table in ARCHITECTURE.md: an arrow between our crates
//! that isn't in it, or a runtime, TLS or HTTP library below the daemon, fails here.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test reports by panicking"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// Each crate and the crates of ours that it may depend on.
const ALLOWED: &[(&str, &[&str])] = &[
    ("age-file", &[]),
    ("mysql-wire", &[]),
    ("mysql-auth", &[]),
    ("sql-judge", &[]),
    ("access", &["mysql-auth"]),
    ("ledger", &["age-file"]),
    ("config", &["access", "ledger", "sql-judge"]),
    (
        "readgate",
        &["access", "age-file", "config", "ledger", "mysql-auth", "mysql-wire", "sql-judge"],
    ),
];

/// Packages outside `crates/`, which may depend on all of them.
const OUTSIDE: &[&str] = &["readgate-tests", "readgate-benches", "readgate-load"];

/// Libraries that only the daemon may reach, by any path.
const DAEMON_ONLY: &[&str] = &["tokio", "rustls", "tokio-rustls", "axum", "hyper"];

/// The parts of `cargo metadata` that the claims below need.
struct Graph {
    /// Our crates: name to package id.
    ours: BTreeMap<String, String>,
    /// Package id to the ids of what it depends on when built, tests aside.
    built_on: BTreeMap<String, Vec<String>>,
    /// Package id to name.
    names: BTreeMap<String, String>,
    /// Our crates: name to the names that its manifest lists, in any section.
    listed: BTreeMap<String, BTreeSet<String>>,
}

impl Graph {
    fn read() -> Self {
        let output = Command::new(env!("CARGO"))
            .args(["metadata", "--format-version=1", "--locked"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .expect("cargo runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let metadata: Value = serde_json::from_slice(&output.stdout).expect("metadata is JSON");
        let members: BTreeSet<&str> = strings(&metadata["workspace_members"]).collect();
        let mut graph = Self {
            ours: BTreeMap::new(),
            built_on: BTreeMap::new(),
            names: BTreeMap::new(),
            listed: BTreeMap::new(),
        };
        for package in metadata["packages"].as_array().unwrap() {
            let (name, id) = (text(&package["name"]), text(&package["id"]));
            graph.names.insert(id.clone(), name.clone());
            if members.contains(id.as_str()) {
                let dependencies = package["dependencies"].as_array().unwrap();
                let listed = dependencies.iter().map(|dependency| text(&dependency["name"]));
                graph.listed.insert(name.clone(), listed.collect());
                graph.ours.insert(name, id);
            }
        }
        for node in metadata["resolve"]["nodes"].as_array().unwrap() {
            let built = node["deps"].as_array().unwrap().iter().filter(|dependency| {
                let kinds = dependency["dep_kinds"].as_array().unwrap();
                kinds.iter().any(|kind| kind["kind"] != "dev")
            });
            let built = built.map(|dependency| text(&dependency["pkg"])).collect();
            graph.built_on.insert(text(&node["id"]), built);
        }
        graph
    }

    /// Names of everything that a crate is built on, near or far.
    fn closure(&self, name: &str) -> BTreeSet<&str> {
        let mut seen = BTreeSet::new();
        let mut waiting = vec![self.ours[name].as_str()];
        while let Some(id) = waiting.pop() {
            for next in &self.built_on[id] {
                if seen.insert(self.names[next].as_str()) {
                    waiting.push(next);
                }
            }
        }
        seen
    }
}

fn strings(value: &Value) -> impl Iterator<Item = &str> {
    value.as_array().unwrap().iter().filter_map(Value::as_str)
}

fn text(value: &Value) -> String {
    value.as_str().expect("a string").to_owned()
}

#[test]
fn crates_depend_on_each_other_only_as_the_design_says() {
    let graph = Graph::read();
    for (name, listed) in &graph.listed {
        if OUTSIDE.contains(&name.as_str()) {
            continue;
        }
        let entry = ALLOWED.iter().find(|(known, _)| known == name);
        let (_, allowed) = entry.unwrap_or_else(|| panic!("{name} is not in the table"));
        for dependency in listed.iter().filter(|dependency| graph.ours.contains_key(*dependency)) {
            assert!(allowed.contains(&dependency.as_str()), "{name} may not need {dependency}");
        }
    }
}

#[test]
fn runtime_tls_and_http_are_reached_by_the_daemon_alone() {
    let graph = Graph::read();
    for (name, _) in ALLOWED.iter().filter(|(name, _)| *name != "readgate") {
        let reached = graph.closure(name);
        for library in DAEMON_ONLY {
            assert!(!reached.contains(library), "{name} is built on {library}");
        }
    }
    // The walk itself works: the daemon does reach them.
    assert!(graph.closure("readgate").contains("tokio"));
}
