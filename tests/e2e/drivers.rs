//! The drivers that tools are built on: one program of tests/clients for each, run straight at
//! the replica and through readgate. What they print must be the same.

use std::path::PathBuf;
use std::process::{Command, Output};

use readgate_tests::place::{cache, repository};
use readgate_tests::server::{Flavour, SHARED_PASSWORD};
use readgate_tests::stage::{DRIVER_PASSWORD, Stage};

fn client(name: &str) -> PathBuf {
    repository().join("tests/clients").join(name)
}

fn run(program: &str, arguments: &[&str], stage: &Stage, through: bool) -> Output {
    let mut command = Command::new(program);
    let (port, user, password) = if through {
        (stage.readgate.port, "dora", DRIVER_PASSWORD)
    } else {
        (stage.server.port, "readonly_shared", SHARED_PASSWORD)
    };
    command.args(arguments).current_dir(client("."));
    command.env("PORT", port.to_string()).env("USER_NAME", user).env("USER_PASSWORD", password);
    command.env("CA_FILE", stage.ca_file()).env("READS_FILE", client("reads.sql"));
    command.env("NODE_PATH", cache("node/node_modules"));
    // Debian ships Go libraries as sources in a folder of their own.
    command.env("GO111MODULE", "off").env("GOPATH", "/usr/share/gocode");
    command.output().unwrap_or_else(|error| panic!("{program} can't be started: {error}"))
}

fn printed(output: Output, how: &str) -> String {
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{how}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn same(stage: &Stage, program: &str, arguments: &[&str]) {
    let direct = printed(run(program, arguments, stage, false), "straight at the replica");
    let through = printed(run(program, arguments, stage, true), "through readgate");
    compare(&through, &direct);
}

/// Fails at the first line that differs.
fn compare(through: &str, direct: &str) {
    assert!(direct.len() > 1000, "it printed next to nothing: {direct}");
    assert!(!direct.contains("WRITE WENT THROUGH"));
    for (ours, theirs) in through.lines().zip(direct.lines()) {
        assert_eq!(ours, theirs);
    }
    assert_eq!(through.len(), direct.len());
}

fn python(stage: &Stage, driver: &str) {
    let python = cache("venv/bin/python").display().to_string();
    same(stage, &python, &["mysqlclients.py", driver]);
}

/// A dump as ELT jobs make it.
fn same_dump(stage: &Stage, program: &str, more: &[&str]) {
    let dump = |port: u16, user: &str, password: &str| {
        let mut command = Command::new(program);
        command.args(more).args(["--host=127.0.0.1", "--single-transaction", "--skip-comments"]);
        command.arg(format!("--ssl-ca={}", stage.ca_file().display()));
        command.arg(format!("--port={port}")).arg(format!("--user={user}"));
        command.args(["--hex-blob", "clinical"]).env("MYSQL_PWD", password);
        printed(command.output().expect("the dump starts"), "dump")
    };
    let direct = dump(stage.server.port, "readonly_shared", SHARED_PASSWORD);
    let through = dump(stage.readgate.port, "dora", DRIVER_PASSWORD);
    assert!(direct.contains("CREATE TABLE `lab_results`"));
    assert!(through == direct, "the dumps differ");
}

on_both! {
    fn connector_python_reads_the_same(stage) {
        let python = cache("venv/bin/python").display().to_string();
        // Its C library has no mysql_native_password, so MariaDB is asked by the pure one.
        let direct = match stage.server.flavour {
            Flavour::MariaDb => "connector-pure",
            Flavour::MySql => "connector",
        };
        let direct = run(&python, &["mysqlclients.py", direct], stage, false);
        let through = run(&python, &["mysqlclients.py", "connector"], stage, true);
        compare(&printed(through, "through readgate"), &printed(direct, "straight at the replica"));
    }
    fn connector_python_pure_reads_the_same(stage) { python(stage, "connector-pure"); }
    fn pymysql_reads_the_same(stage) { python(stage, "pymysql"); }
    fn mysqlclient_reads_the_same(stage) { python(stage, "mysqlclient"); }
    fn sqlalchemy_reads_the_same(stage) { python(stage, "sqlalchemy"); }

    fn the_urls_that_the_documents_give_to_sqlalchemy_connect(stage) {
        let python = cache("venv/bin/python").display().to_string();
        let document = repository().join("docs/clients.md").display().to_string();
        let output = run(&python, &["sqlalchemy_urls.py", &document], stage, true);
        let connected = printed(output, "the documents' URLs");
        assert_eq!(connected, "mysql+pymysql 42\nmysql+mysqldb 42\n");
    }
    fn odbc_reads_the_same(stage) { python(stage, "pyodbc"); }
    fn node_mysql2_reads_the_same(stage) { same(stage, "node", &["node.js", "mysql2"]); }
    fn node_mariadb_reads_the_same(stage) { same(stage, "node", &["node.js", "mariadb"]); }
    fn php_mysqli_reads_the_same(stage) { same(stage, "php", &["drivers.php", "mysqli"]); }
    fn php_pdo_reads_the_same(stage) { same(stage, "php", &["drivers.php", "pdo"]); }
    fn perl_dbd_mysql_reads_the_same(stage) { same(stage, "perl", &["drivers.pl", "mysql"]); }
    fn perl_dbd_mariadb_reads_the_same(stage) { same(stage, "perl", &["drivers.pl", "MariaDB"]); }
    fn ruby_mysql2_reads_the_same(stage) { same(stage, "ruby", &["mysql2.rb"]); }
    fn go_reads_the_same(stage) { same(stage, "go", &["run", "go/main.go"]); }

    fn connector_j_reads_the_same(stage) {
        same(stage, "java", &["-cp", "/usr/share/java/mariadb-java-client.jar", "Driver.java"]);
    }

    fn mariadb_dump_is_the_same(stage) {
        same_dump(stage, "mariadb-dump", &["--no-defaults", "--ssl-verify-server-cert"]);
    }
}

mod mysql_only {
    use super::Flavour;
    use readgate_tests::place::mysql_program;
    use readgate_tests::stage::stage;

    // MySQL 9's own programs have no mysql_native_password, so MariaDB can't be asked directly.
    #[test]
    fn mysqldump_is_the_same() {
        let program = mysql_program("mysqldump").display().to_string();
        let more = ["--ssl-mode=VERIFY_CA", "--no-tablespaces", "--set-gtid-purged=OFF"];
        super::same_dump(stage(Flavour::MySql), &program, &more);
    }
}
