//! Settings whose value only the replica knows: the daemon reads the session back before it
//! judges anything else.

use std::time::Duration;

use readgate_tests::raw::{Login, RawClient};
use readgate_tests::server::Flavour;
use readgate_tests::stage::{USER_PASSWORD, login_at};

/// The client's wish to do without column definitions.
const OPTIONAL_RESULTSET_METADATA: u32 = 1 << 25;
/// As dumps and scripts save and restore settings.
const RESTORES: &[&str] = &[
    "/*!40101 SET @OLD_CHARACTER_SET_CLIENT=@@CHARACTER_SET_CLIENT */",
    "/*!40101 SET @OLD_CHARACTER_SET_RESULTS=@@CHARACTER_SET_RESULTS */",
    "/*!40101 SET @OLD_COLLATION_CONNECTION=@@COLLATION_CONNECTION */",
    "/*!50503 SET NAMES utf8mb4 */",
    "/*!40103 SET @OLD_TIME_ZONE=@@TIME_ZONE */",
    "/*!40103 SET TIME_ZONE='+00:00' */",
    "/*!40014 SET @OLD_UNIQUE_CHECKS=@@UNIQUE_CHECKS, UNIQUE_CHECKS=0 */",
    "/*!40014 SET @OLD_FOREIGN_KEY_CHECKS=@@FOREIGN_KEY_CHECKS, FOREIGN_KEY_CHECKS=0 */",
    "/*!40101 SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='NO_AUTO_VALUE_ON_ZERO' */",
    "/*!40111 SET @OLD_SQL_NOTES=@@SQL_NOTES, SQL_NOTES=0 */",
    "/*!50003 SET @saved_cs_client = @@character_set_client */",
    "/*!50003 SET character_set_client = utf8mb4 */",
    "/*!50003 SET character_set_client = @saved_cs_client */",
    "/*!40103 SET TIME_ZONE=@OLD_TIME_ZONE */",
    "/*!40101 SET SQL_MODE=@OLD_SQL_MODE */",
    "/*!40014 SET FOREIGN_KEY_CHECKS=@OLD_FOREIGN_KEY_CHECKS */",
    "/*!40014 SET UNIQUE_CHECKS=@OLD_UNIQUE_CHECKS */",
    "/*!40101 SET CHARACTER_SET_CLIENT=@OLD_CHARACTER_SET_CLIENT */",
    "/*!40101 SET CHARACTER_SET_RESULTS=@OLD_CHARACTER_SET_RESULTS */",
    "/*!40101 SET COLLATION_CONNECTION=@OLD_COLLATION_CONNECTION */",
    "/*!40111 SET SQL_NOTES=@OLD_SQL_NOTES */",
    "SET sql_mode = DEFAULT",
    "SET sql_mode = (SELECT @@sql_mode)",
    "SET NAMES DEFAULT",
    "SET CHARACTER SET DEFAULT",
];
/// A write to one mode, arithmetic over a string to the other.
const TWO_READINGS: &str = "SELECT 'a\\' INTO OUTFILE '/tmp/readgate-two-readings' -- '";
const REFUSED: u16 = 1290;
const UNKNOWN_COLUMN: u16 = 1054;

on_both! {
    fn lets_dumps_save_and_restore_settings(stage) {
        let mut alice = stage.alice();
        let before = alice.query("SELECT @@sql_mode").value();
        for sql in RESTORES {
            alice.query(sql).expect_ok();
        }
        assert_eq!(alice.query("SELECT @@sql_mode").value(), before);
    }

    fn judges_by_the_mode_that_a_variable_brought(stage) {
        let mut alice = stage.alice();
        assert_eq!(alice.query(TWO_READINGS).expect_error().code, UNKNOWN_COLUMN);
        alice.query("SET @saved = @@sql_mode, @mode = 'NO_BACKSLASH_ESCAPES'").expect_ok();
        alice.query("SET sql_mode = @mode").expect_ok();
        assert_eq!(alice.query(TWO_READINGS).expect_error().code, REFUSED);
        alice.query("SET sql_mode = @saved").expect_ok();
        assert_eq!(alice.query(TWO_READINGS).expect_error().code, UNKNOWN_COLUMN);
        let prepared = alice.prepare("SET sql_mode = @mode").unwrap();
        alice.execute(&prepared, 0, &[]).expect_ok();
        assert_eq!(alice.query(TWO_READINGS).expect_error().code, REFUSED);
    }

    fn judges_by_what_a_failed_setting_left_in_force(stage) {
        let mut alice = stage.alice();
        let half = "SET sql_mode = 'NO_BACKSLASH_ESCAPES', @a = (SELECT 1 UNION SELECT 2)";
        alice.query(half).expect_error();
        let is_in_force = alice.query("SELECT @@sql_mode").value().contains("NO_BACKSLASH");
        let expected = if is_in_force { REFUSED } else { UNKNOWN_COLUMN };
        assert_eq!(alice.query(TWO_READINGS).expect_error().code, expected);
    }

    fn reads_back_whatever_the_results_character_set_and_row_limit(stage) {
        let mut alice = stage.alice();
        alice.query("SET character_set_results = utf16, sql_select_limit = 0").expect_ok();
        alice.query("SET @saved = 'ANSI_QUOTES'").expect_ok();
        alice.query("SET sql_mode = @saved").expect_ok();
        alice.query("SET NAMES utf8mb4, sql_select_limit = DEFAULT").expect_ok();
        assert_eq!(alice.query("SELECT @@sql_mode").value(), "ANSI_QUOTES");
    }

    fn reads_back_without_the_metadata_that_a_user_has_switched_off(stage) {
        if stage.server.flavour == Flavour::MariaDb {
            return;
        }
        let login = Login::user("alice", USER_PASSWORD).with(OPTIONAL_RESULTSET_METADATA);
        let mut alice = login_at(stage.readgate.port, &stage.ca_file(), &login);
        for sql in [
            "SET resultset_metadata = NONE",
            "SET @saved = 'ANSI_QUOTES'",
            "SET sql_mode = @saved",
            "SET @goes_on = 1",
        ] {
            alice.query(sql).expect_ok();
        }
    }

    fn ends_a_session_whose_mode_it_can_not_know(stage) {
        let mut alice = stage.alice();
        alice.query("SET @saved = 'swe7'").expect_ok();
        alice.query("SET character_set_client = @saved").expect_ok();
        let answer = alice.try_query("SELECT 1");
        assert!(answer.is_err() || answer.is_ok_and(|answer| answer.error().is_some()));
        assert!(alice.is_closed(), "the session goes on");
    }

    fn a_prepared_text_that_is_no_read_in_the_mode_of_now_is_refused(stage) {
        let mut alice = stage.alice();
        let statement = alice.prepare(r"SELECT '\' INTO OUTFILE f -- '").expect("one literal");
        alice.execute(&statement, 0, b"").expect_ok();
        alice.query("SET sql_mode = 'NO_BACKSLASH_ESCAPES'").expect_ok();
        let error = alice.execute(&statement, 0, b"").expect_error();
        assert_eq!((error.code, error.state.as_str()), (1290, "HY000"), "{error}");
        stage.readgate.record("refusal", |record| {
            record["rule"] == "prepared_under_other_modes" && record["command"] == "execute"
        });
        alice.query("SET sql_mode = ''").expect_ok();
        alice.execute(&statement, 0, b"").expect_ok();
    }

    fn prepares_no_other_text_than_the_judged_one(stage) {
        if stage.server.flavour == Flavour::MySql {
            return;
        }
        // swe7 has no backquotes: MariaDB would prepare `SELECT 1+?, NEXTVAL(s) -- ?`.
        let hides = "EXECUTE IMMEDIATE 'SELECT 1+`, NEXTVAL(s) -- `' USING 1";
        let mut alice = stage.alice();
        let refusal = alice.query("SET character_set_connection = swe7");
        assert_eq!(refusal.error().map(|error| error.code), Some(REFUSED));
        let unknown_column = alice.query(hides);
        assert_eq!(unknown_column.error().map(|error| error.code), Some(1054));
        let mut alice = stage.alice();
        alice.query("SET @swedish = CONCAT('swe7', '_bin')").expect_ok();
        alice.query("SET collation_database = @swedish").expect_ok();
        alice.query("SET CHARACTER SET utf8mb4").expect_ok();
        let refusal = alice.query(hides);
        assert_eq!(refusal.error().map(|error| error.code), Some(REFUSED));
        alice.query("SET NAMES utf8mb4").expect_ok();
        let unknown_column = alice.query(hides);
        assert_eq!(unknown_column.error().map(|error| error.code), Some(1054));
        alice.query("SET collation_connection = @swedish").expect_ok();
        let _ = alice.try_query(hides);
        assert!(alice.is_closed(), "the session goes on");
    }

    fn reads_a_mode_back_that_an_empty_literal_makes_null(stage) {
        if stage.server.flavour == Flavour::MySql {
            return;
        }
        let mut alice = stage.alice();
        alice.query("SET sql_mode = 'ANSI_QUOTES,EMPTY_STRING_IS_NULL'").expect_ok();
        alice.query("SET sql_mode = REPLACE(@@sql_mode, 'x', '')").expect_ok();
        // With ANSI_QUOTES, two names; without, a string and code.
        let refusal = alice.query("SELECT \"\\\" AS \" INTO OUTFILE 'f' -- \"");
        assert_eq!(refusal.error().map(|error| error.code), Some(REFUSED));
    }

    /// The question whether it was understood waits for a statement that could be misread.
    fn leaves_the_warnings_of_a_setting_to_be_asked_for(stage) {
        let (setting, code) = match stage.server.flavour {
            Flavour::MySql => ("SET NAMES utf8mb3", "1287"),
            Flavour::MariaDb => ("SET sql_mode = 'ANSI_QUOTES', max_length_for_sort_data = 1", "1292"),
        };
        let mut alice = stage.alice();
        alice.query(setting).expect_ok();
        let warnings = alice.query("SHOW WARNINGS").rows();
        assert_eq!(warnings[0][1].as_deref(), Some(code.as_bytes()), "{warnings:?}");
        assert_eq!(alice.query("SELECT 'goes on'").value(), "goes on");
    }

    /// To a function a number is a text.
    fn judges_by_the_mode_that_a_function_makes(stage) {
        let ways = [
            "SET sql_mode = REPLACE(0, 0, 'ANSI_QUOTES')",
            "SET sql_mode = (SELECT REPLACE((0), (0), 'ANSI_QUOTES'))",
        ];
        // With ANSI_QUOTES, a name and code; without, a string.
        let two_readings = r#"SELECT 1 AS "\" INTO OUTFILE '/tmp/readgate-function' -- ""#;
        for way in ways {
            let mut alice = stage.alice();
            alice.query("SET sql_mode = ''").expect_ok();
            alice.query(way).expect_ok();
            assert_eq!(alice.query("SELECT @@sql_mode").value(), "ANSI_QUOTES", "{way}");
            let message = alice.query(two_readings).expect_error().message;
            assert!(message.starts_with("readgate: "), "{way}: {message}");
        }
    }

    /// No level that can't be told from the text: SERIALIZABLE would have reads take locks.
    fn takes_no_isolation_level_that_a_function_makes(stage) {
        let name = match stage.server.flavour {
            Flavour::MySql => "transaction_isolation",
            Flavour::MariaDb => "tx_isolation",
        };
        let mut alice = stage.alice();
        let set = format!("SET {name} = REPLACE(0, 0, 'SERIALIZABLE')");
        assert_eq!(alice.query(set).expect_error().code, REFUSED);
        let level = alice.query(format!("SELECT @@{name}")).value();
        assert_eq!(level, "REPEATABLE-READ");
    }

    fn judges_by_the_mode_that_a_statement_prepared_earlier_leaves(stage) {
        // With ANSI_QUOTES, a name and code; without, a string.
        let two_readings = r#"SELECT 1 AS "\" INTO OUTFILE '/tmp/readgate-earlier' -- ""#;
        let is_refused = |alice: &mut RawClient, how: &str| {
            assert_eq!(alice.query("SELECT @@sql_mode").value(), "ANSI_QUOTES", "{how}");
            let message = alice.query(two_readings).expect_error().message;
            assert!(message.starts_with("readgate: "), "{how}: {message}");
        };
        let mut alice = stage.alice();
        alice.query("SET sql_mode = ''").expect_ok();
        let prepared = alice.prepare("SET sql_mode = CONCAT(@@sql_mode, '')").unwrap();
        alice.query("SET sql_mode = 'ANSI_QUOTES'").expect_ok();
        alice.execute(&prepared, 0, &[]).expect_ok();
        is_refused(&mut alice, "binary");
        let mut alice = stage.alice();
        alice.query("SET sql_mode = 'NO_BACKSLASH_ESCAPES'").expect_ok();
        let inner = r"SET sql_mode = REPLACE(''ANSI_QUOTES'', ''ANSI_Q\UOTES'', '''')";
        alice.query(format!("PREPARE s FROM '{inner}'")).expect_ok();
        alice.query("SET sql_mode = ''").expect_ok();
        alice.query("EXECUTE s").expect_ok();
        is_refused(&mut alice, "text");
    }

    fn knows_the_character_set_that_a_statement_prepared_earlier_leaves(stage) {
        if stage.server.flavour == Flavour::MySql {
            return;
        }
        // swe7 in another mode than NO_ZERO_DATE.
        let by_mode = "SET collation_connection = \
                       REPLACE('swe7_bin', REPLACE('swe7NO_ZERO_DATE', @@sql_mode, ''), 'utf8mb4')";
        let mut alice = stage.alice();
        alice.query("SET sql_mode = 'NO_ZERO_DATE'").expect_ok();
        let prepared = alice.prepare(by_mode).unwrap();
        alice.execute(&prepared, 0, &[]).expect_ok();
        alice.query("SET sql_mode = 'NO_ZERO_IN_DATE'").expect_ok();
        alice.execute(&prepared, 0, &[]).expect_ok();
        assert!(alice.is_sent_away(Duration::from_secs(20)), "the session goes on");
    }

    fn keeps_a_shorter_limit_of_the_user_when_it_reads_back(stage) {
        let mut alice = stage.alice();
        alice.query("SET lock_wait_timeout = 3").expect_ok();
        alice.query("SET @saved = @@sql_mode").expect_ok();
        alice.query("SET sql_mode = @saved").expect_ok();
        assert_eq!(alice.query("SELECT @@lock_wait_timeout").value(), "3");
    }
}
