//! The command line: what it prints for machines, its exit codes, its man pages.

use std::io::Write as _;
use std::process::{Command, Stdio};

use readgate_tests::place::{repository, scratch};
use readgate_tests::readgate::{program, run};
use readgate_tests::server::Flavour;
use readgate_tests::stage::stage;
use serde_json::Value;

/// Code and command of each line in the table of docs/cli.md that has one.
fn documented() -> Vec<(i32, Vec<String>)> {
    let text = std::fs::read_to_string(repository().join("docs/cli.md")).unwrap();
    let rows = text.lines().filter_map(|line| {
        let mut cells = line.split('|').map(str::trim).skip(1);
        let code = cells.next()?.parse().ok()?;
        let command = cells.nth(1)?.trim_matches('`').strip_prefix("readgate ")?;
        // Split as a shell does, with double quotes.
        let words = command.split('"').enumerate().flat_map(|(index, part)| match index % 2 {
            0 => part.split_whitespace().map(str::to_owned).collect(),
            _ => vec![part.to_owned()],
        });
        Some((code, words.collect()))
    });
    rows.collect()
}

#[test]
fn sources_are_told_to_programs_too() {
    let config = repository().join("proxy.toml").display().to_string();
    let json = |arguments: &[&str], code: i32| -> Vec<Value> {
        let output = run(&[arguments, &["--json", "--config", &config]].concat(), "");
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let listed = json(&["sources", "list"], 0);
    assert_eq!(listed[0]["name"], "this-host");
    assert!(listed[0]["networks"].as_array().is_some_and(|all| !all.is_empty()));
    assert!(json(&["sources", "expiring", "--days", "1"], 0).is_empty());
    let allowed = json(&["sources", "check", "127.0.0.1"], 0);
    assert_eq!((&allowed[0]["listener"], &allowed[0]["allowed"]), (&"main".into(), &true.into()));
    let refused = json(&["sources", "check", "203.0.113.7"], 1);
    assert_eq!(refused[0]["allowed"], false);
    assert!(refused[0]["why"].as_str().unwrap().contains("source not listed"));
}

#[test]
fn a_review_that_was_signed_off_is_found_by_its_hash() {
    let place = scratch().join("review");
    std::fs::create_dir_all(place.join("ledger")).unwrap();
    let file = place.join("proxy.toml");
    let sample = std::fs::read_to_string(repository().join("proxy.toml")).unwrap();
    let stored = "[identities]\nfile = \"identities.sqlite\"";
    std::fs::write(&file, sample.replace("# [identities]\n# file = \"identities.sqlite\"", stored))
        .unwrap();
    let config = file.display().to_string();
    for format in ["text", "csv", "json", "html"] {
        let review =
            ["access", "review", "--sign-off", "Rita", "--comment", "agreed", "--format", format];
        let printed = run(&[&review[..], &["--config", &config]].concat(), "");
        assert!(printed.status.success(), "{printed:?}");
        let page = place.join(format);
        std::fs::write(&page, &printed.stdout).unwrap();
        let summed = Command::new("sha256sum").arg(&page).output().unwrap();
        let summed = String::from_utf8(summed.stdout).unwrap();
        let history = run(&["access", "history", "--config", &config], "");
        let history = String::from_utf8(history.stdout).unwrap();
        let (digest, _) = summed.split_once(' ').expect("a digest and a name");
        assert!(
            history.trim_end().ends_with(&format!("\"{digest}\"")),
            "{format}: {summed}{history}"
        );
    }
}

#[test]
fn output_that_nobody_reads_to_the_end_is_no_fault() {
    let config = repository().join("proxy.toml");
    let shell =
        format!("{} sources list --config {} | true", program().display(), config.display());
    let output = Command::new("sh").args(["-c", &shell]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn each_documented_exit_code_is_what_its_example_gives() {
    let documented = documented();
    assert!(documented.len() >= 8, "{documented:?}");
    for (code, arguments) in documented {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let output = run(&arguments, "");
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {output:?}");
        assert!(code == 0 || code == 1 || !output.stderr.is_empty(), "{arguments:?} says why");
    }
}

#[test]
fn a_word_that_is_no_level_does_not_silence_the_log() {
    for (levels, code) in [("warning", 2), ("info,readgate=debgu", 2), ("WARN,readgate=debug", 78)]
    {
        let arguments = ["serve", "--log-level", levels, "--config", "/no/such/file"];
        let output = run(&arguments, "");
        assert_eq!(output.status.code(), Some(code), "{levels}: {output:?}");
    }
}

#[test]
fn a_password_is_one_line_however_that_ends() {
    let hashed = |input: &str| {
        let output = run(&["hash-password"], input);
        output.status.success().then_some(output.stdout)
    };
    let plain = hashed("secret").unwrap();
    assert_eq!(hashed("secret\n").unwrap(), plain);
    assert_eq!(hashed("secret\r\n").unwrap(), plain);
    for two in ["secret\n\n", "secret\nother", "secret\rother"] {
        assert_eq!(hashed(two), None, "{two:?}");
    }
}

#[test]
fn mariadb_status_tells_whether_a_daemon_is_ready() {
    let readgate = &stage(Flavour::MariaDb).readgate;
    let config = readgate.directory.join("proxy.toml").display().to_string();
    let output = run(&["status", "--config", &config], "");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("ready\n"), "{output:?}");
    let output =
        run(&["status", "--json", "--address", &format!("127.0.0.1:{}", readgate.ops_port)], "");
    let status: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&status["ready"], &status["metrics"]["readgate_ledger_up"]),
        (&true.into(), &1.0.into())
    );
}

#[test]
fn version_is_readable_by_machines() {
    let output = run(&["version", "--json"], "");
    let version: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = String::from_utf8(run(&["version"], "").stdout).unwrap();
    assert_eq!(text.trim(), format!("readgate {}", version["version"].as_str().unwrap()));
}

#[test]
fn man_pages_and_completions_are_there_and_well_formed() {
    let directory = scratch().join("generated");
    let output = run(&["generate", &directory.display().to_string()], "");
    assert!(output.status.success(), "{output:?}");
    let pages: Vec<_> = std::fs::read_dir(directory.join("man1"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    for name in
        ["readgate.1", "readgate-status.1", "readgate-user-add.1", "readgate-ledger-verify.1"]
    {
        assert!(pages.iter().any(|page| page.ends_with(name)), "{name} is missing");
    }
    for page in pages {
        let groff = Command::new("groff").args(["-man", "-Tutf8", "-ww", "-z"]).arg(&page).output();
        let groff = groff.expect("groff is installed with man-db");
        assert!(groff.status.success() && groff.stderr.is_empty(), "{}: {groff:?}", page.display());
    }
    let bash = directory.join("completions/readgate.bash");
    let checked = Command::new("bash").arg("-n").arg(&bash).stdin(Stdio::null()).status().unwrap();
    assert!(checked.success(), "{}", bash.display());
    let text = std::fs::read_to_string(bash).unwrap();
    assert!(text.contains("hash-password") && text.contains("--timeout"));
    assert!(program().exists());
}

#[test]
fn who_has_seen_enough_of_a_ledger_gets_no_error() {
    let ledger = repository().join("crates/ledger/tests/data/version-1");
    for command in ["search", "report"] {
        // Nobody reads, as behind `head` that has gone.
        let (_, output) = std::io::pipe().unwrap();
        let mut program = Command::new(program());
        let ended = program.args(["ledger", command]).arg(&ledger).stdout(output).output().unwrap();
        assert!(ended.status.success() && ended.stderr.is_empty(), "{command}: {ended:?}");
    }
}

#[test]
fn who_has_seen_enough_explanations_gets_no_error() {
    let (_, output) = std::io::pipe().unwrap();
    let mut program = Command::new(program());
    let program = program.args(["explain", "--batch"]).stdout(output).stderr(Stdio::piped());
    let mut explaining = program.stdin(Stdio::piped()).spawn().unwrap();
    let mut input = explaining.stdin.take().unwrap();
    input.write_all(b"{\"sql\":\"SELECT 1\"}\n").unwrap();
    drop(input);
    let ended = explaining.wait_with_output().unwrap();
    assert!(ended.status.success() && ended.stderr.is_empty(), "{ended:?}");
}

#[test]
fn a_source_is_looked_for_by_its_address_alone() {
    let ledger = repository().join("crates/ledger/tests/data/version-1").display().to_string();
    for (source, code) in [
        ("127.0.0.1", 0),
        ("::FFFF:127.0.0.1", 0),
        ("192.0.2.1", 1),
        // Names and networks stand in no record: nothing found would look like an answer.
        ("office", 2),
        ("127.0.0.0/8", 2),
    ] {
        let output = run(&["ledger", "search", "--source", source, &ledger], "");
        assert_eq!(output.status.code(), Some(code), "{source}: {output:?}");
    }
}

#[test]
fn a_ledger_that_is_not_intact_stays_so_though_nobody_reads_why() {
    let name = "ledger-n1-000000000001.jsonl";
    let whole = repository().join("crates/ledger/tests/data/version-1").join(name);
    let records = std::fs::read_to_string(whole).unwrap();
    let first = scratch().join(name);
    std::fs::write(&first, records.replacen("\"seq\":2,", "\"seq\":3,", 1)).unwrap();
    // Another one's report is more than what is written at once.
    let long = scratch().join("ledger-n2-000000000001.jsonl");
    std::fs::write(&long, "no record\n".repeat(1_000)).unwrap();
    for paths in [vec![&first], vec![&first, &long]] {
        let (_, output) = std::io::pipe().unwrap();
        let mut program = Command::new(program());
        let ended =
            program.args(["ledger", "verify"]).args(&paths).stdout(output).output().unwrap();
        assert_eq!(ended.status.code(), Some(1), "{paths:?}: {ended:?}");
        assert!(ended.stderr.is_empty(), "{ended:?}");
    }
}
