//! What was changed in the configuration while no daemon ran is in the ledger, or that it can't be
//! told; and the start goes its way.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use readgate_tests::config::set;
use readgate_tests::readgate::{Readgate, run};
use readgate_tests::server::Flavour;
use readgate_tests::stage::stage;
use serde_json::{Value, json};
use toml::Table;

use crate::reloads::{LONG, reload, start};

const BY_START: &str = "in force by a start";

fn write(readgate: &Readgate, config: &Table) {
    fs::write(readgate.directory.join("proxy.toml"), config.to_string()).unwrap();
}

/// The file beside the ledger.
fn kept(readgate: &Readgate) -> PathBuf {
    let files = fs::read_dir(readgate.directory.join("ledger")).unwrap();
    let mut paths = files.map(|file| file.unwrap().path());
    let is_it =
        |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with("configuration-");
    paths.find(is_it).unwrap()
}

/// Starts the daemon anew with another idle timeout, and returns what it records of it.
fn restart_with(readgate: &mut Readgate, config: &mut Table, idle_timeout: &str) -> Value {
    set(config, "limits.idle_timeout", idle_timeout);
    write(readgate, config);
    readgate.restart();
    let told = json!(format!("{idle_timeout:?}"));
    let is_it = |load: &Value| {
        let differences = load["differences"].as_array();
        let mut differences = differences.into_iter().flatten();
        load["result"].as_str().unwrap().starts_with(BY_START)
            && differences.any(|one| one[0] == "limits.idle_timeout" && one[2] == told)
    };
    readgate.record("config_load", is_it)
}

#[test]
fn what_was_changed_while_no_daemon_ran_is_on_record() {
    let (mut readgate, mut config) = start(stage(Flavour::MariaDb), "changed_while_down");
    let first = readgate.record("config_load", |_| true);
    assert_eq!(first["result"], "in force by a start, the first that tells all of it");
    assert_eq!(first["not_compared"], Value::Null, "{first}");
    let names_alice = |one: &Value| *one == json!(["user[alice].name", "", "\"alice\""]);
    assert!(first["differences"].as_array().unwrap().iter().any(names_alice), "{first}");
    let mode = fs::metadata(kept(&readgate)).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);

    // What is the same is no change: neither at an orderly start nor after a crash.
    readgate.stop(LONG);
    readgate.restart();
    readgate.kill();

    let verifier = config["user"][0]["caching_sha2_verifier"].as_str().unwrap().to_owned();
    let (same, last) = verifier.split_at(verifier.len() - 1);
    let other = format!("{same}{}", if last == "0" { "1" } else { "0" });
    set(&mut config, "user.0.caching_sha2_verifier", other);
    set(&mut config, "source.0.networks", vec!["127.0.0.0/8", "10.9.0.0/16"]);
    let load = restart_with(&mut readgate, &mut config, "7m");
    let expected = json!([
        ["limits.idle_timeout", "", "\"7m\""],
        [
            "source[this-host].networks",
            "[\"127.0.0.0/8\", \"::1/128\"]",
            "[\"127.0.0.0/8\", \"10.9.0.0/16\"]"
        ],
        ["user[alice].caching_sha2_verifier", "(secret)", "(secret)"],
    ]);
    assert_eq!((&load["result"], &load["differences"]), (&json!(BY_START), &expected), "{load}");

    // A start compares with what a reload has put in force, also one that a kill came soon after.
    set(&mut config, "limits.idle_timeout", "8m");
    reload(&readgate, &config);
    readgate.kill();
    let load = restart_with(&mut readgate, &mut config, "9m");
    assert_eq!(load["differences"], json!([["limits.idle_timeout", "\"8m\"", "\"9m\""]]));
    readgate.stop(LONG);

    // A kill right behind the record leaves it under its other name.
    fs::rename(kept(&readgate), kept(&readgate).with_extension("new")).unwrap();
    let load = restart_with(&mut readgate, &mut config, "10m");
    assert_eq!(load["differences"], json!([["limits.idle_timeout", "\"9m\"", "\"10m\""]]));
    assert_eq!(kept(&readgate).extension(), None);
    readgate.stop(LONG);
    let records = readgate.ledger();
    let loads = records.iter().filter(|record| record["event"] == "config_load").count();
    assert_eq!(loads, 5);
    let shown = fs::read_to_string(kept(&readgate)).unwrap() + &format!("{records:?}");
    assert!(!shown.contains(&verifier), "a verifier is shown");
}

#[test]
fn a_change_is_not_hidden_by_a_kept_configuration_that_was_changed_too() {
    let (mut readgate, mut config) = start(stage(Flavour::MariaDb), "kept_meddled");
    let path = kept(&readgate);
    let first = fs::read(&path).unwrap();
    readgate.stop(LONG);
    restart_with(&mut readgate, &mut config, "7m");
    let as_is_now = |idle_timeout: &str| {
        fs::read_to_string(&path).unwrap().replace("\\\"7m\\\"", &format!("\\\"{idle_timeout}\\\""))
    };
    let all = config["user"].as_array().unwrap().len();
    let not_compared =
        |readgate: &mut Readgate, config: &mut Table, idle_timeout: &str, why: &str| {
            let load = restart_with(readgate, config, idle_timeout);
            assert_eq!(load["result"], "in force by a start, all of it told", "{load}");
            assert!(load["not_compared"].as_str().unwrap().contains(why), "{load}");
            let differences = load["differences"].as_array().unwrap();
            let users = differences.iter().filter(|one| {
                let key = one[0].as_str().unwrap();
                key.starts_with("user[") && key.ends_with("].name")
            });
            assert_eq!(users.count(), all, "{load}");
        };
    let edited = as_is_now("8m");
    readgate.stop(LONG);
    fs::write(&path, edited).unwrap();
    not_compared(&mut readgate, &mut config, "8m", "is not what the ledger names");
    readgate.kill();
    fs::write(&path, first).unwrap();
    not_compared(&mut readgate, &mut config, "9m", "is not what the ledger names");
    readgate.stop(LONG);
    fs::remove_file(&path).unwrap();
    not_compared(&mut readgate, &mut config, "10m", "No such file");

    // The next one can be told again.
    readgate.stop(LONG);
    let load = restart_with(&mut readgate, &mut config, "11m");
    assert_eq!(load["differences"], json!([["limits.idle_timeout", "\"10m\"", "\"11m\""]]));
    readgate.stop(LONG);
    let ledger = readgate.directory.join("ledger").display().to_string();
    let report = run(&["ledger", "report", &ledger, "--format", "json"], "");
    let report: Value = serde_json::from_slice(&report.stdout).unwrap();
    let notes = report["notable"].as_array().unwrap().iter();
    let told: Vec<&Value> = notes.filter(|note| note["kind"] == "config_changed").collect();
    let untold =
        told.iter().filter(|note| note["what"].as_str().unwrap().contains("can't be told"));
    assert_eq!((told.len(), untold.count()), (8, 3), "{told:?}");
    assert!(run(&["ledger", "verify", &ledger], "").status.success());
}

#[test]
fn a_configuration_that_is_refused_takes_no_place_of_the_one_in_force() {
    let (mut readgate, mut config) = start(stage(Flavour::MariaDb), "refused_not_kept");
    let in_the_way = kept(&readgate).with_extension("new");
    let certificate = config["listener"][0]["tls"]["certificate_file"].as_str().unwrap().to_owned();
    let refuse = |readgate: &Readgate, config: &mut Table| {
        set(config, "listener.0.tls.certificate_file", "there_is_none.crt");
        let load = reload(readgate, config);
        assert!(load["result"].as_str().unwrap().contains("there_is_none"), "{load}");
        set(config, "listener.0.tls.certificate_file", certificate.clone());
    };
    // One that could not even be written down, and one that could where the one in force couldn't.
    fs::create_dir_all(in_the_way.join("x")).unwrap();
    refuse(&readgate, &mut config);
    fs::remove_dir_all(&in_the_way).unwrap();
    readgate.stop(LONG);
    let load = restart_with(&mut readgate, &mut config, "7m");
    assert_eq!(load["differences"], json!([["limits.idle_timeout", "", "\"7m\""]]), "{load}");

    fs::create_dir_all(in_the_way.join("x")).unwrap();
    set(&mut config, "limits.idle_timeout", "8m");
    reload(&readgate, &config);
    fs::remove_dir_all(&in_the_way).unwrap();
    refuse(&readgate, &mut config);
    readgate.stop(LONG);
    let load = restart_with(&mut readgate, &mut config, "9m");
    let expected = json!([["limits.idle_timeout", "\"8m\"", "\"9m\""]]);
    assert_eq!(load["differences"], expected, "{load}");
}

#[test]
fn a_configuration_that_cannot_be_kept_comes_into_force_all_the_same() {
    let (mut readgate, mut config) = start(stage(Flavour::MariaDb), "unkept");
    // Nothing can be written where that stands.
    let in_the_way = kept(&readgate).with_extension("new");
    let block = || fs::create_dir_all(in_the_way.join("x")).unwrap();
    block();
    set(&mut config, "limits.idle_timeout", "7m");
    let load = reload(&readgate, &config);
    let result = load["result"].as_str().unwrap();
    let told = "in force, 0 sessions ended; not kept for the next start: ";
    assert!(result.starts_with(told), "{load}");
    assert!(readgate.log().contains("the configuration can't be kept"), "{}", readgate.log());

    // What was kept before is older than what the ledger names.
    readgate.kill();
    let load = restart_with(&mut readgate, &mut config, "8m");
    assert!(
        load["not_compared"].as_str().unwrap().contains("is not what the ledger names"),
        "{load}"
    );
    assert!(load["result"].as_str().unwrap().contains("; not kept for the next start: "), "{load}");

    // A stop tries once more.
    fs::remove_dir_all(&in_the_way).unwrap();
    readgate.stop(LONG);
    let load = restart_with(&mut readgate, &mut config, "9m");
    assert_eq!(load["differences"], json!([["limits.idle_timeout", "\"8m\"", "\"9m\""]]), "{load}");
}
