//! A record that names another one's text (`text_of`, `text_like`) names, in its own file, what
//! tells the text that ran, whatever sessions share it and whatever becomes of daemon and files
//! meanwhile.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use readgate_tests::config::{set, set_roles};
use readgate_tests::place::{wait_for, wait_until_ok};
use readgate_tests::raw::Login;
use readgate_tests::readgate::Readgate;
use readgate_tests::server::Flavour;
use readgate_tests::stage::{Stage, USER_PASSWORD, login_at, try_login_at};
use serde_json::Value;

const SESSIONS: usize = 6;

/// What a session asks again and again: pairs of sessions ask the same. Two of them ask for
/// something else each time.
fn report(number: usize, turn: usize) -> String {
    let filter = if number < 2 { format!(" -- {turn}") } else { String::new() };
    format!("SELECT '{}', '{}'{filter}", number % 3, "r".repeat(300))
}

/// Asks until the daemon is gone.
fn ask_on(stage: &Stage, port: u16, number: usize, answers: &AtomicUsize) {
    let user = if number < 5 { "alice" } else { "olga" };
    let mut client = login_at(port, &stage.ca_file(), &Login::user(user, USER_PASSWORD));
    let begins = [
        format!("SELECT 'session {number}'"),
        String::from(if number == 3 { "USE clinical" } else { "SELECT 1" }),
        String::from(if number == 4 { "SET sql_mode = 'IGNORE_SPACE'" } else { "SELECT 1" }),
    ];
    for text in begins {
        if client.try_query(text).is_err() {
            return;
        }
    }
    for turn in 0.. {
        let Ok(answer) = client.try_query(report(number, turn)) else { return };
        answer.expect_ok();
        answers.fetch_add(1, Ordering::Relaxed);
    }
}

/// A daemon that was just started looks at its replica first.
fn until_it_serves(stage: &Stage, port: u16) {
    let login = Login::user("alice", USER_PASSWORD);
    wait_until_ok("alice is let in", Duration::from_secs(10), || {
        try_login_at(port, &stage.ca_file(), &login).map_err(|error| error.to_string())
    });
}

/// The ledger's files in order, also those that were renamed.
fn files(folder: &Path) -> Vec<PathBuf> {
    let all = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        all.filter(|path| path.display().to_string().contains("/ledger-")).collect();
    files.sort();
    files
}

/// The text that a record tells by another one's, as `docs/ledger.md` says.
fn told(record: &Value, texts: &HashMap<u64, String>) -> Option<String> {
    if let Some(sequence) = record["text_of"].as_u64() {
        return texts.get(&sequence).cloned();
    }
    let whole = texts.get(&record["text_like"].as_u64()?)?;
    let [head, tail] = ["text_head", "text_tail"]
        .map(|name| usize::try_from(record[name].as_u64().unwrap()).unwrap());
    let between = record["text_between"].as_str().unwrap();
    Some([&whole[..head], between, &whole[whole.len() - tail..]].concat())
}

/// Holds each reference against the text that its session asks; how many there are of a text, and
/// of all of it but a piece.
fn references(folder: &Path) -> [usize; 2] {
    // Number and turn.
    let mut sessions: HashMap<u64, (usize, usize)> = HashMap::new();
    let mut referring = [0, 0];
    for file in files(folder) {
        let mut texts: HashMap<u64, String> = HashMap::new();
        for line in fs::read_to_string(&file).unwrap().lines() {
            let record: Value = serde_json::from_str(line).unwrap();
            let session = record["session"].as_u64().unwrap_or_default();
            if let Some(text) = record["text"].as_str() {
                texts.insert(record["seq"].as_u64().unwrap(), text.to_owned());
                let asker = text.strip_prefix("SELECT 'session ");
                if let Some(number) = asker.and_then(|rest| rest.strip_suffix('\'')) {
                    sessions.insert(session, (number.parse().unwrap(), 0));
                }
                if text.len() > 300
                    && let Some((_, turn)) = sessions.get_mut(&session)
                {
                    *turn += 1;
                }
            } else if record["text_of"].is_u64() || record["text_like"].is_u64() {
                let (number, turn) = sessions.get_mut(&session).unwrap();
                let asked = report(*number, *turn);
                *turn += 1;
                assert_eq!(told(&record, &texts), Some(asked), "{record} in {file:?}");
                assert_eq!(record["user"], "alice", "redacted texts stand for themselves");
                referring[usize::from(record["text_like"].is_u64())] += 1;
            }
        }
    }
    referring
}

/// One flavour is enough: no server has a part in it.
#[test]
fn what_a_record_refers_to_is_what_ran_through_kills_and_renames() {
    let stage = readgate_tests::stage::stage(Flavour::MariaDb);
    let (directory, mut config) = stage.own_config("references");
    set(&mut config, "ledger.sync_delay", "1ms");
    set(&mut config, "ledger.text_other_way_for", vec!["hidden"]);
    set_roles(&mut config, "[[role]]\nname = \"hidden\"\n");
    set(&mut config, "user.1.role", "hidden");
    let mut daemon = Readgate::start(&directory, config);
    let folder = directory.join("ledger");
    for round in 0..4 {
        until_it_serves(stage, daemon.port);
        let answers = AtomicUsize::new(0);
        let until = |more: usize| {
            let before = answers.load(Ordering::Relaxed);
            wait_for("answers", Duration::from_secs(30), || {
                (answers.load(Ordering::Relaxed) >= before + more).then_some(())
            });
        };
        std::thread::scope(|scope| {
            for number in 0..SESSIONS {
                let (answers, port) = (&answers, daemon.port);
                scope.spawn(move || ask_on(stage, port, number, answers));
            }
            until(300);
            for part in 0..3 {
                if let Some(newest) = files(&folder).pop() {
                    let moved = newest.with_extension(format!("jsonl.{round}{part}"));
                    fs::rename(newest, moved).unwrap();
                }
                // Killed before it is noticed, the daemon finds no file at all at its next start,
                // and in the journal what is left of those that were moved.
                wait_for("the next file", Duration::from_secs(30), || {
                    let is_plain = |file: &PathBuf| file.extension() == Some("jsonl".as_ref());
                    files(&folder).iter().any(is_plain).then_some(())
                });
                until(150);
            }
            daemon.kill();
        });
        daemon.restart();
        daemon.record("recovered", |_| true);
    }
    daemon.stop(std::time::Duration::from_secs(10));
    let referring = references(&folder);
    assert!(referring.iter().all(|count| *count > 300), "{referring:?}");
}
