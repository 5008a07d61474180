//! Clients that people use, each run twice: straight at the replica and through readgate.
//! What they print must be the same.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use readgate_tests::place::mysql_program;
use readgate_tests::server::{Flavour, SHARED_PASSWORD};
use readgate_tests::stage::{Stage, USER_PASSWORD};

/// A client and what to run with it.
const STATEMENTS: &str = "
SELECT * FROM studies ORDER BY study_id;
SELECT * FROM adverse_events ORDER BY event_id;
SELECT * FROM lab_results ORDER BY result_id LIMIT 100000;
SELECT screening_no, HEX(consent_scan) FROM subjects ORDER BY subject_id LIMIT 300;
SELECT '🧠 é 日本', NULL, '', 1.50;
SELECT REPEAT('é', 10000000);
SHOW TABLES;
SHOW FULL COLUMNS FROM visits;
DESCRIBE forms;
SET @subject = 17;
PREPARE report FROM 'SELECT * FROM visits WHERE subject_id = ?';
EXECUTE report USING @subject;
DEALLOCATE PREPARE report;
START TRANSACTION READ ONLY;
SELECT COUNT(*) FROM items;
COMMIT;
USE information_schema;
SELECT table_name FROM tables WHERE table_schema = 'clinical' ORDER BY 1;
";

/// Where a client connects to, and as whom.
pub(crate) struct Target {
    pub(crate) port: u16,
    pub(crate) user: &'static str,
    pub(crate) password: &'static str,
}

fn targets(stage: &Stage) -> [Target; 2] {
    [
        Target { port: stage.server.port, user: "readonly_shared", password: SHARED_PASSWORD },
        Target { port: stage.readgate.port, user: "alice", password: USER_PASSWORD },
    ]
}

/// The command line client of this name, connected over verified TLS.
pub(crate) fn command_line(client: &str, stage: &Stage, target: &Target) -> Command {
    let mut command = if client == "mysql" {
        let mut command = Command::new(mysql_program("mysql"));
        command.arg("--ssl-mode=VERIFY_IDENTITY");
        command
    } else {
        let mut command = Command::new("mariadb");
        command.args(["--no-defaults", "--ssl-verify-server-cert"]);
        command
    };
    command.args(["--host=127.0.0.1", "--default-character-set=utf8mb4"]);
    command.arg(format!("--max-allowed-packet={}", 64 << 20));
    command.arg(format!("--port={}", target.port)).arg(format!("--user={}", target.user));
    command.arg(format!("--ssl-ca={}", stage.ca_file().display()));
    command.env("MYSQL_PWD", target.password);
    command
}

fn succeeded(output: &Output) -> &[u8] {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    &output.stdout
}

fn printed(client: &str, stage: &Stage, target: &Target, more: &[&str]) -> Vec<u8> {
    let mut command = command_line(client, stage, target);
    command.args(["--batch", "--database=clinical"]).args(more);
    let output = command.args(["--execute", STATEMENTS]).output().expect("the client starts");
    succeeded(&output).to_vec()
}

fn same_output(client: &str, stage: &Stage) {
    let [direct, through] = targets(stage);
    let more = ["--column-type-info"];
    let expected = printed(client, stage, &direct, &more);
    assert!(expected.len() > 20_000_000);
    assert!(printed(client, stage, &through, &more) == expected, "{client} prints something else");
}

/// The error that the client shows for a write, and that its connection goes on.
fn shows_refusal(client: &str, stage: &Stage) {
    let [_, target] = targets(stage);
    let mut command = command_line(client, stage, &target);
    command.args(["--batch", "--skip-column-names", "--force", "--database=clinical"]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the client starts");
    let statements = b"DELETE FROM forms;\nSELECT 'still here';\n";
    child.stdin.take().expect("piped").write_all(statements).expect("the client reads");
    let output = child.wait_with_output().expect("the client ends");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("ERROR 1290 (HY000)") && errors.contains("readgate: "), "{errors}");
    assert_eq!(output.stdout, b"still here\n");
}

/// A Python script of tests/clients, run at `target`.
fn python(script: &str, stage: &Stage, target: &Target) -> Output {
    let python = std::env::var_os("READGATE_TEST_PYTHON").unwrap_or_else(|| "python3".into());
    Command::new(python)
        .arg(readgate_tests::place::repository().join("tests/clients").join(script))
        .env("PORT", target.port.to_string())
        .env("USER_NAME", target.user)
        .env("USER_PASSWORD", target.password)
        .env("CA_FILE", stage.ca_file())
        .output()
        .expect("python starts")
}

on_both! {
    fn mysql_command_line_prints_the_same(stage) {
        if stage.server.flavour == Flavour::MySql {
            same_output("mysql", stage);
        } else {
            // MySQL 9's client has no mysql_native_password, so it can't log in to MariaDB
            // itself; through readgate it can, and prints what MariaDB's own client prints.
            let [direct, through] = targets(stage);
            let expected = printed("mariadb", stage, &direct, &[]);
            assert!(printed("mysql", stage, &through, &[]) == expected);
        }
    }

    fn mysql_command_line_shows_a_refusal(stage) {
        shows_refusal("mysql", stage);
    }

    fn mariadb_command_line_prints_the_same(stage) {
        same_output("mariadb", stage);
    }

    fn mariadb_command_line_shows_a_refusal(stage) {
        shows_refusal("mariadb", stage);
    }

    fn pymysql_prints_the_same(stage) {
        let [direct, through] = targets(stage).map(|target| python("pymysql_reads.py", stage, &target));
        assert!(!succeeded(&direct).is_empty());
        assert_eq!(String::from_utf8_lossy(succeeded(&through)), String::from_utf8_lossy(succeeded(&direct)));
    }

    fn mysql_async_reads_the_same(stage) {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let read = |target: Target| runtime.block_on(async_reads(stage, target));
        let [direct, through] = targets(stage).map(read);
        assert_eq!(through, direct);
    }
}

/// Text and binary reads with a driver that keeps and resets its connections.
async fn async_reads(stage: &Stage, target: Target) -> Vec<String> {
    use mysql_async::prelude::Queryable;
    let tls = mysql_async::SslOpts::default().with_root_certs(vec![stage.ca_file().into()]);
    let options = mysql_async::OptsBuilder::default()
        .ip_or_hostname("127.0.0.1")
        .tcp_port(target.port)
        .user(Some(target.user))
        .pass(Some(target.password))
        .db_name(Some("clinical"))
        .prefer_socket(false)
        .ssl_opts(tls);
    let pool = mysql_async::Pool::new(options);
    let mut seen = Vec::new();
    // Each round gets the connection that the former one gave back, reset.
    for round in 1_u32..4 {
        let mut connection = pool.get_conn().await.expect("a connection");
        let rows: Vec<mysql_async::Row> =
            connection.query("SELECT * FROM adverse_events ORDER BY 1").await.expect("text rows");
        seen.push(format!("{rows:?}"));
        let sql = "SELECT * FROM lab_results WHERE visit_id = ? ORDER BY result_id";
        let rows: Vec<mysql_async::Row> =
            connection.exec(sql, (round,)).await.expect("binary rows");
        seen.push(format!("{rows:?}"));
    }
    pool.disconnect().await.expect("the pool closes");
    seen
}
