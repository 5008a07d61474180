//! The operator console by real drivers that prepare, and by what tools say on their own.

use std::path::PathBuf;
use std::process::Command;

use readgate_tests::conversation::conversation;
use readgate_tests::place::{cache, repository};
use readgate_tests::readgate::Readgate;
use readgate_tests::stage::{DRIVER_PASSWORD, Stage};

use crate::console::daemon;

/// What each driver's program prints.
const PREPARED: &str =
    "dora|42|1.5|null|it's\ndora|37|1.5|null|x' OR '1'='1\nsince True\nfailing 1146\n";

fn printed(stage: &Stage, readgate: &Readgate, program: &str, arguments: &[&str]) -> String {
    let clients: PathBuf = repository().join("tests/clients");
    let mut command = Command::new(program);
    command.args(arguments).current_dir(clients);
    command.env("PORT", readgate.port.to_string());
    command.env("USER_NAME", "dora").env("USER_PASSWORD", DRIVER_PASSWORD);
    command.env("CA_FILE", stage.ca_file()).env("NODE_PATH", cache("node/node_modules"));
    command.env("GO111MODULE", "off").env("GOPATH", "/usr/share/gocode");
    let output = command.output().unwrap_or_else(|error| panic!("{program}: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

fn prepares(stage: &Stage, name: &str, program: &str, arguments: &[&str]) {
    let readgate = daemon(stage, name);
    assert_eq!(printed(stage, &readgate, program, arguments), PREPARED);
}

fn python() -> String {
    cache("venv/bin/python").display().to_string()
}

on_both! {
    fn connector_python_prepares_in_the_console(stage) {
        prepares(stage, "console-connector", &python(), &["console.py", "0"]);
    }
    fn connector_python_pure_prepares_in_the_console(stage) {
        prepares(stage, "console-pure", &python(), &["console.py", "1"]);
    }
    fn node_mysql2_prepares_in_the_console(stage) {
        prepares(stage, "console-mysql2", "node", &["console.js", "mysql2"]);
    }
    fn node_mariadb_prepares_in_the_console(stage) {
        prepares(stage, "console-mariadb", "node", &["console.js", "mariadb"]);
    }
    fn php_mysqli_prepares_in_the_console(stage) {
        prepares(stage, "console-php", "php", &["console.php"]);
    }
    fn go_prepares_in_the_console(stage) {
        prepares(stage, "console-go", "go", &["run", "go-console/main.go"]);
    }
    fn connector_j_prepares_and_browses_the_console(stage) {
        let readgate = daemon(stage, "console-java");
        let jar = "/usr/share/java/mariadb-java-client.jar";
        let shown = printed(stage, &readgate, "java", &["-cp", jar, "Console.java", "browse"]);
        let browsed = shown.strip_prefix(PREPARED).unwrap_or_else(|| panic!("{shown}"));
        let counts: Vec<&str> = browsed.lines().collect();
        // Schemas, kinds of tables, the table, its column; no keys, indexes and procedures.
        assert_eq!((counts[0], counts[2], counts[3]), ("rows 2", "rows 1", "rows 1"), "{shown}");
        assert_eq!(counts[4..], ["rows 0"; 4], "{shown}");
    }

    fn what_recorded_tools_ask_about_the_server_is_answered(stage) {
        let readgate = daemon(stage, "console-recorded");
        let mut said = 0;
        for tool in ["connector-j", "connector-j-8", "dbeaver", "grafana", "heidisql", "workbench"] {
            let mut olga = stage.enter(&readgate, "olga");
            for line in conversation(tool).lines {
                let text = line.text.replace("clinical", "readgate");
                let is_said = ["same", "like"].contains(&line.how.as_str());
                if !is_said || !is_about_the_server(&text) {
                    continue;
                }
                said += 1;
                if let Some(error) = olga.query(&text).error() {
                    panic!("{tool}:{}: {text}: {error}", line.number);
                }
            }
        }
        assert!(said > 120, "only {said}");
    }
}

/// Not about rows of the clinical tables, which the console has none of. Nor does it have the
/// server's accounts, and it takes one statement at a time.
fn is_about_the_server(text: &str) -> bool {
    let absent = [
        "subjects",
        "visits",
        "studies",
        "sites",
        "forms",
        "items",
        "adverse_events",
        "lab_results",
        "enrolment",
        "mysql.user",
        "SELECT 1; SHOW WARNINGS",
    ];
    !absent.iter().any(|name| text.contains(name))
}
