//! Deliveries that the replica's data comes with: awaited, late, missing, malformed, and what
//! follows for who reads.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, SystemTime};

use readgate_tests::config::{make_operators, set};
use readgate_tests::place::wait_for;
use readgate_tests::raw::{Login, RawClient, ServerError};
use readgate_tests::readgate::{self, Readgate};
use readgate_tests::server::Server;
use readgate_tests::stage::{USER_PASSWORD, login_at};
use ring::digest::{SHA256, digest};
use serde_json::Value;
use toml::Table;

const SOON: Duration = Duration::from_secs(20);
const HOUR: u64 = 3600;

/// A whole archive of one file.
const ARCHIVE: &[u8] = b"PK\x03\x04\x14\x00\x00\x00\x08\x00\x00 j\x5c\x14\x29\x0bm\x12\x00\x00\x00\x10\x00\x00\
    \x00\x05\x00\x00\x00a.csv\xcbL\xd1I\xcc\x2b.O\x2d\xe22\xd4\xa9L\x2d\xe6\x02\x00PK\x01\x02\x14\x03\x14\x00\
    \x00\x00\x08\x00\x00 j\x5c\x14\x29\x0bm\x12\x00\x00\x00\x10\x00\x00\x00\x05\x00\x00\x00\
    \x00\x00\x00\x00\x00\x00\x00\x00\x80\x01\x00\x00\x00\x00a.csvPK\x05\x06\x00\x00\x00\x00\
    \x01\x00\x01\x003\x00\x00\x005\x00\x00\x00\x00\x00";

/// A delivery, `age` seconds old, with its checksum beside it.
fn deliver(folder: &Path, name: &str, content: &[u8], sum_of: &[u8], age: u64) {
    let sum: String = digest(&SHA256, sum_of).as_ref().iter().map(|b| format!("{b:02x}")).collect();
    fs::write(folder.join(format!("{name}.sha256")), format!("{sum}  {name}\n")).unwrap();
    let hidden = folder.join(format!(".{name}"));
    let mut file = File::create(&hidden).unwrap();
    file.write_all(content).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
    fs::rename(hidden, folder.join(name)).unwrap();
}

pub(crate) fn feed(config: &mut Table, keys: &str) {
    let table: Table = format!("[[feed]]\nlook_every = \"1s\"\n{keys}").parse().unwrap();
    let mut feeds =
        config.get("feed").and_then(|feeds| feeds.as_array().cloned()).unwrap_or_default();
    feeds.extend(table["feed"].as_array().unwrap().iter().cloned());
    set(config, "feed", feeds);
}

fn status(daemon: &Readgate) -> Value {
    serde_json::from_str(&daemon.http("/status.json").unwrap().1).unwrap()
}

/// The first feed, once it is in that state.
fn in_state(daemon: &Readgate, state: &str) -> Value {
    wait_for(&format!("the feed is {state}"), SOON, || {
        // A daemon that has just been started may not answer yet.
        let page: Value = serde_json::from_str(&daemon.http("/status.json")?.1).ok()?;
        Some(page["feeds"][0].clone()).filter(|feed| feed["state"] == state)
    })
}

fn refused(client: &mut RawClient) -> ServerError {
    wait_for("a refusal", SOON, || client.query("SELECT 1").error())
}

fn served(client: &mut RawClient) {
    wait_for("service", SOON, || client.query("SELECT 1").error().is_none().then_some(()));
}

/// Hours and minutes of so many seconds ago, in UTC.
fn time_of_day(ago: u64) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() - ago;
    format!("{:02}:{:02}", now / HOUR % 24, now / 60 % 60)
}

on_both! {
    fn statements_are_refused_while_the_files_are_missing_malformed_or_late(stage) {
        let (directory, mut config) = stage.own_config("feed_files");
        let folder = directory.join("in");
        fs::create_dir_all(&folder).unwrap();
        let daemon = Readgate::start(&directory, config.clone());
        let mut alice = stage.enter(&daemon, "alice");
        served(&mut alice);

        // A reload brings the feed.
        set(&mut config, "listener.0.address", format!("127.0.0.1:{}", daemon.port));
        set(&mut config, "ops.address", format!("127.0.0.1:{}", daemon.ops_port));
        feed(&mut config, &format!(
            "name = \"lab\"\nfolder = {:?}\npattern = \"lab-*.zip\"\nmax_age = \"1h\"\n\
             stable_for = \"1s\"\nverify = \"zip\"\nchecksum = \"sha256\"\nwhen_stale = \"refuse\"\n",
            folder.display().to_string()
        ));
        fs::write(directory.join("proxy.toml"), config.to_string()).unwrap();
        daemon.signal("HUP");
        in_state(&daemon, "missing");
        let error = refused(&mut alice);
        assert_eq!(error.code, 1290, "{error}");
        assert!(error.to_string().contains("feed \"lab\" is missing since 20"), "{error}");
        daemon.record("refusal", |record| record["rule"] == "feed_stale");
        daemon.record("feed_state", |record| record["feed"] == "lab" && record["state"] == "missing");
        let mut late = RawClient::connect(daemon.port).unwrap();
        let login = Login::user("alice", USER_PASSWORD);
        late.start_tls(&stage.ca_file(), &login).unwrap();
        let no_service = late.login(&login).expect_err("no service").to_string();
        assert!(no_service.contains("feed \"lab\" is missing"), "{no_service}");
        let asked = readgate::run(
            &["status", "--config", directory.join("proxy.toml").to_str().unwrap()], "");
        let said = String::from_utf8_lossy(&asked.stdout).into_owned();
        assert!(asked.status.code() == Some(1) && said.contains("feed lab: missing"), "{said}");

        deliver(&folder, "lab-1.zip", ARCHIVE, ARCHIVE, 600);
        in_state(&daemon, "fresh");
        served(&mut alice);
        let metrics = daemon.http("/metrics").unwrap().1;
        assert!(metrics.contains("readgate_feed_state{feed=\"lab\",state=\"fresh\"} 1\n"), "{metrics}");
        assert!(metrics.contains("readgate_feed_state{feed=\"lab\",state=\"late\"} 0\n"));

        let cut = &ARCHIVE[..ARCHIVE.len() - 30];
        deliver(&folder, "lab-2.zip", cut, cut, 500);
        let found = in_state(&daemon, "malformed");
        assert!(found["reason"].as_str().unwrap().contains("lab-2.zip"), "{found}");
        let error = refused(&mut alice).to_string();
        assert!(error.contains("feed \"lab\" is malformed") && error.contains("lab-2.zip"), "{error}");

        deliver(&folder, "lab-3.zip", ARCHIVE, b"something else", 400);
        wait_for("the checksum is named", SOON, || {
            refused(&mut alice).to_string().contains("\"lab-3.zip\" differs from its .sha256").then_some(())
        });

        deliver(&folder, "lab-4.zip", ARCHIVE, ARCHIVE, 300);
        in_state(&daemon, "fresh");
        served(&mut alice);

        for name in ["lab-1.zip", "lab-2.zip", "lab-3.zip", "lab-4.zip"] {
            fs::remove_file(folder.join(name)).unwrap();
        }
        deliver(&folder, "lab-5.zip", ARCHIVE, ARCHIVE, 2 * HOUR);
        in_state(&daemon, "late");
        assert!(refused(&mut alice).to_string().contains("older than max_age"));
        let metrics = daemon.http("/metrics").unwrap().1;
        let age = metrics.lines().find_map(|line| line.strip_prefix("readgate_feed_age_seconds{feed=\"lab\"} "));
        let age: f64 = age.unwrap().parse().unwrap();
        assert!((7200.0..7300.0).contains(&age), "{age}");

        fs::remove_dir_all(&folder).unwrap();
        in_state(&daemon, "unknown");
        assert!(refused(&mut alice).to_string().contains("can't be read"));
        for state in ["missing", "fresh", "malformed", "fresh", "late", "unknown"] {
            daemon.record("feed_state", |record| record["state"] == state);
        }
        let schema = fs::read_to_string(readgate_tests::place::repository().join("docs/ledger.schema.json"));
        let schema = serde_json::from_str(&schema.unwrap()).unwrap();
        for record in daemon.ledger() {
            let found = readgate_tests::json_schema::disagreements(&schema, &record);
            assert!(found.is_empty(), "{found:?} in {record}");
        }
    }

    fn what_follows_from_a_stale_feed_changes_with_the_reload(stage) {
        let (directory, mut config) = stage.own_config("feed_reload");
        fs::create_dir(directory.join("in")).unwrap();
        feed(&mut config, "name = 'lab'\nfolder = 'in'\npattern = '*'\nmax_age = '1h'\nwhen_stale = 'warn'");
        set(&mut config, "reload.watch", "0s");
        let daemon = Readgate::start(&directory, config);
        in_state(&daemon, "missing");
        let file = directory.join("proxy.toml");
        let written = fs::read_to_string(&file).unwrap();
        let mut alice = stage.enter(&daemon, "alice");
        let loads = || daemon.reloads().len();
        for (when_stale, is_refused) in [("refuse", true), ("serve", false), ("refuse", true)] {
            let before = loads();
            fs::write(&file, written.replace("\"warn\"", &format!("{when_stale:?}"))).unwrap();
            daemon.signal("HUP");
            wait_for("the reload", SOON, || (loads() > before).then_some(()));
            assert_eq!(alice.query("SELECT 1").error().is_some(), is_refused, "{when_stale}");
        }
    }

    fn a_deadline_is_missed_by_what_came_before_its_window(stage) {
        let (directory, mut config) = stage.own_config("feed_deadline");
        let folder = directory.join("in");
        fs::create_dir_all(&folder).unwrap();
        deliver(&folder, "b-1.csv", b"1", b"1", 5 * HOUR);
        // Due two minutes ago, and in the coming minutes; the window of both is 4 hours.
        for (name, ago) in [("past", 120), ("coming", 24 * HOUR - 600)] {
            feed(&mut config, &format!(
                "name = {name:?}\nfolder = {:?}\npattern = \"b-?.csv\"\ndue = {:?}\nwindow = \"4h\"\n",
                folder.display().to_string(), time_of_day(ago)
            ));
        }
        let daemon = Readgate::start(&directory, config);
        let feeds = wait_for("both are looked at", SOON, || {
            Some(status(&daemon)["feeds"].clone()).filter(|feeds| feeds.as_array().unwrap().len() == 2)
        });
        let state = |name: &str| feeds.as_array().unwrap().iter().find(|f| f["name"] == name).unwrap()["state"].clone();
        assert_eq!((state("past"), state("coming")), ("late".into(), "waiting".into()), "{feeds}");
        // The policy is to warn, which is the default.
        let mut alice = stage.enter(&daemon, "alice");
        alice.query("SELECT 1").expect_ok();
        let (code, said) = daemon.http("/readyz").unwrap();
        assert!(code == 200 && said.contains("check: feed \"past\" is late since"), "{code} {said}");
        assert!(!said.contains("check: feed \"coming\""), "{said}");

        deliver(&folder, "b-2.csv", b"1", b"1", 90);
        wait_for("it has come", SOON, || daemon.http("/readyz")?.1.contains("feed past: fresh").then_some(()));
    }

    fn a_query_says_how_fresh_the_data_is(stage) {
        let mut server = Server::start(stage.server.flavour, &stage.own_directory("feed_server"));
        server.load_sample();
        server.sql(
            "CREATE TABLE clinical.loads (loaded_at DATETIME(6));
             INSERT INTO clinical.loads VALUES (UTC_TIMESTAMP() - INTERVAL 2 HOUR)");
        let (directory, mut config) = stage.own_config_for(&server, "feed_query");
        feed(&mut config, "name = \"loads\"\nmax_age = \"1h\"\nwhen_stale = \"refuse\"\n\
            freshness_query = \"SELECT MAX(loaded_at) FROM clinical.loads\"\n");
        feed(&mut config, "name = \"none\"\nmax_age = \"1h\"\n\
            freshness_query = \"SELECT MAX(x) FROM clinical.no_such_table\"\n");
        feed(&mut config, "name = \"seconds\"\nmax_age = \"1h\"\nfreshness_query = \"SELECT 30\"\n");
        let daemon = Readgate::start_unready(&directory, config);
        in_state(&daemon, "late");
        server.sql("INSERT INTO clinical.loads VALUES (UTC_TIMESTAMP())");
        in_state(&daemon, "fresh");
        let login = Login::user("alice", USER_PASSWORD);
        let mut alice = login_at(daemon.port, &server.ca_file(), &login);
        served(&mut alice);
        let said = daemon.http("/readyz").unwrap().1;
        assert!(said.contains("feed none: unknown\n") && said.contains("error 1146"), "{said}");
        assert!(said.contains("feed seconds: fresh\n"), "{said}");

        server.sql("DELETE FROM clinical.loads");
        in_state(&daemon, "missing");
        assert!(refused(&mut alice).to_string().contains("feed \"loads\" is missing"));
        server.sql("INSERT INTO clinical.loads VALUES (UTC_TIMESTAMP())");
        in_state(&daemon, "fresh");
        served(&mut alice);
        server.kill();
        let unknown = in_state(&daemon, "unknown");
        assert!(unknown["arrived"].is_number(), "what was known stays: {unknown}");
    }

    fn operators_see_feeds_in_the_console(stage) {
        let (directory, mut config) = stage.own_config("feed_console");
        make_operators(&mut config, &[1]);
        feed(&mut config, "name = \"seconds\"\nmax_age = \"1h\"\nfreshness_query = \"SELECT 30\"\n");
        let daemon = Readgate::start(&directory, config);
        in_state(&daemon, "fresh");
        let mut olga = stage.enter(&daemon, "olga");
        let shown = olga.query("SELECT CONCAT(name, ' ', state, ' ', when_stale, ' ', age_s >= 30) FROM feeds");
        assert_eq!(shown.value(), "seconds fresh warn 1");
    }
}

#[test]
fn check_warns_of_a_folder_that_is_not_there() {
    let stage = readgate_tests::stage::stage(readgate_tests::server::Flavour::MariaDb);
    let (directory, mut config) = stage.own_config("feed_check");
    feed(
        &mut config,
        "name = \"lab\"\nfolder = \"not-there\"\npattern = \"*\"\nmax_age = \"1h\"\n",
    );
    let path = directory.join("proxy.toml");
    fs::write(&path, config.to_string()).unwrap();
    let output = readgate::run(&["check", "--config", path.to_str().unwrap()], "");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{output:?}");
    assert!(said.contains("warning: feed 'lab': ") && said.contains("not-there"), "{said}");
}
