//! What is masked, and what stays.
use super::*;

#[test]
fn passwords_never_reach_a_record() {
    for text in [
        "SET PASSWORD = 'sesame'",
        "set password for 'bob'@'%' = 'sesame'",
        "SET PASSWORD FOR bob = PASSWORD('sesame')",
        "ALTER USER bob IDENTIFIED BY 'sesame'",
        "CREATE USER 'bob'@'%' IDENTIFIED WITH caching_sha2_password BY \"sesame\" REPLACE 'x'",
        "create user b identified with 'plugin' as 'sesame', c identified by 'sesame'",
        "CHANGE MASTER TO MASTER_HOST='h', MASTER_PASSWORD='sesame', MASTER_PORT=1",
        "CREATE SERVER s FOREIGN DATA WRAPPER mysql OPTIONS (PASSWORD 'sesame')",
        "SELECT PASSWORD('sesame')",
        "GRANT ALL ON *.* TO b IDENTIFIED BY PASSWORD 'sesame'",
        "IDENTIFIED BY 'sesame",
        "IDENTIFIED BY 'it''s sesame\\' sesame'",
        "SET PASSWORD = 'a'; SET PASSWORD = 'sesame'",
        "SELECT 1 FROM t WHERE `password` = 'sesame'",
        "SELECT PASSWORD/* x */('sesame')",
        "SET PASSWORD/**/FOR 'b'@'%' = 'sesame'",
        "SET PASSWORD /*!50000 = 'sesame' */",
        "SELECT PASSWORD(_utf8'sesame')",
        "SET PASSWORD = CONCAT('ses', 'sesame')",
        "SET PASSWORD = 'new' REPLACE 'sesame'",
        "SET PASSWORD = 'new'/* x */REPLACE 'sesame'",
        "SET PASSWORD -- it's new\n = 'sesame'",
        "SET PASSWORD # new\n FOR bob = 'sesame'",
        "ALTER USER bob IDENTIFIED -- it's new\n BY 'sesame'",
        "ALTER USER a IDENTIFIED BY 'x\\', b IDENTIFIED BY 'sesame'",
        "ALTER USER a IDENTIFIED BY 'x\\', b IDENTIFIED BY ' sesame'",
        "SELECT 'a\\', PASSWORD('sesame')",
        "ALTER USER o'brien IDENTIFIED BY 'sesame'",
        "ALTER USER o'b IDENTIFIED BY ' sesame' - '",
        "SET PASSWORD FOR `o'b`@`h` = 'sesame'",
        "PREPARE s FROM 'ALTER USER u IDENTIFIED BY ''sesame'''",
        "EXECUTE IMMEDIATE 'SET PASSWORD=''sesame'''",
        "EXECUTE IMMEDIATE \"SET PASSWORD FOR 'u' = 'sesame'\"",
        "SET @s = 'SET PASSWORD = \\'sesame\\''",
        "SET @s = 'CREATE SERVER s OPTIONS (PASSWORD \\'sesame\\')'",
        "CREATE TABLE t (a INT) COMMENT='wrapper \"mysql\", password \"sesame\"'",
        "SELECT 1 FROM t WHERE \"password\" = 'sesame'",
        "-- SET PASSWORD = 'sesame'\nSELECT 1",
        "ALTER USER b IDENTIFIED 'sesame'",
        "ALTER USER b IDENTIFIED VIA p USING PASSWORD('sesame') OR q",
        "START REPLICA USER='u' PASSWORD='sesame'",
        "SELECT PASSWORD(?), PASSWORD('sesame')",
        "SELECT VALIDATE_PASSWORD_STRENGTH('sesame')",
        "SELECT `validate_password_strength` (CONCAT('ses', 'sesame')",
        "SELECT VALIDATE_PASSWORD_STRENGTH('sesame'), 'it''s",
        "PREPARE s FROM 'SELECT VALIDATE_PASSWORD_STRENGTH(''sesame'')'",
        "ALTER USER USER() IDENTIFIED BY sesame",
        "ALTER USER USER() IDENTIFIED BY pass;word sesame",
        "ALTER USER USER() IDENTIFIED BY \u{2018}sesame\u{2019}",
        "ALTER USER USER() IDENTIFIED BY \u{201c}my sesame\u{201d};",
        "ALTER USER USER() IDENTIFIED BY `sesame`",
        "ALTER USER USER() IDENTIFIED BY $$sesame$$",
        "ALTER USER bob IDENTIFIED WITH `p` BY /* x */ sesame REQUIRE SSL",
        "ALTER USER bob IDENTIFIED VIA 'p' USING 12345678sesame",
        "SET PASSWORD = sesame",
        "SET PASSWORD sesame",
        "SET PASSWORD 'sesame' = x",
        "SET PASSWORD 'sesame'; SET @a = b",
        "SET PASSWORD FOR 'bob' 'sesame'; SET @a = b",
        "SET PASSWORD FOR 'bob'@'%' = sesame",
        "SET PASSWORD FOR bob@localhost = \u{b4}sesame\u{b4}",
    ] {
        let masked = passwords(text.as_bytes());
        let masked = String::from_utf8_lossy(&masked);
        assert!(!masked.contains("sesame"), "{text} gave {masked}");
        assert!(masked.contains("'***'"), "{text} gave {masked}");
    }
}

#[test]
fn passwords_are_found_wherever_they_stand() {
    for word in ["PASSWORD", "identified by", "pAsSwOrD", "iDENTIFIED BY"] {
        for (before, after) in (0..100).flat_map(|n| [(n, 0), (n, 40)]) {
            let (before, after) = ("x ".repeat(before), "; y".repeat(after));
            let text = format!("{before}{word} 'sesame'{after}");
            let masked = passwords(text.as_bytes());
            assert!(!String::from_utf8_lossy(&masked).contains("sesame"), "{text}");
        }
    }
}

#[test]
fn passwords_in_addresses_never_reach_a_record() {
    let text = b"CREATE TABLE t (a INT) CONNECTION='mysql://bob:sesame@h/db'";
    let masked = String::from_utf8(passwords(text).into_owned()).unwrap();
    assert!(masked.contains("bob") && !masked.contains("sesame"), "{masked}");
}

#[test]
fn blanks_hide_no_password_however_many_they_are() {
    for blanks in (4080..4110).chain([10_000]) {
        let blank = " ".repeat(blanks);
        for text in [
            format!("SET PASSWORD{blank}= 'sesame'"),
            format!("SET PASSWORD{blank}FOR 'bob'@'%' = 'sesame'"),
            format!("ALTER USER bob IDENTIFIED{blank}BY 'sesame'"),
            format!("SET PASSWORD = 'new'{blank}REPLACE 'sesame'"),
        ] {
            let masked = passwords(text.as_bytes());
            assert!(!String::from_utf8_lossy(&masked).contains("sesame"), "{blanks} in {text}");
        }
    }
}

#[test]
fn parameters_that_stand_for_passwords_are_told_by_their_numbers() {
    for (text, count, secret) in [
        ("SELECT PASSWORD(?)", 1, &[0][..]),
        ("SELECT ?, VALIDATE_PASSWORD_STRENGTH(?)", 2, &[1]),
        ("SELECT ?, PASSWORD( /* ? */ ?), '?', `?`, ? -- ?", 3, &[1]),
        ("SELECT 1 FROM t WHERE mrn = ? AND password = ? AND name = ?", 3, &[1]),
        ("SELECT PASSWORD(CONCAT(?, ?)), ?", 3, &[0, 1, 2]),
        ("SELECT password FROM t WHERE name = ?", 1, &[]),
        ("SELECT mrn FROM t WHERE name = ?", 1, &[]),
        // What a server of another version doesn't run, it doesn't count either.
        ("SELECT ? /*!99999 + ? */ FROM t WHERE password = ?", 2, &[0, 1]),
        ("SELECT 'a\\', PASSWORD(?), ?", 2, &[0, 1]),
    ] {
        assert_eq!(password_parameters(text.as_bytes(), count), secret, "{text}");
        assert_eq!(tells_password(text.as_bytes()), !secret.is_empty(), "{text}");
        assert!(matches!(passwords(text.as_bytes()), Cow::Borrowed(_)), "{text}");
    }
}

#[test]
fn hashes_given_as_hex_are_masked() {
    let masked = passwords(b"ALTER USER b IDENTIFIED WITH p AS 0x2441AB REQUIRE SSL");
    assert_eq!(&*masked, b"ALTER USER b IDENTIFIED WITH p AS '***' REQUIRE SSL");
}

#[test]
fn other_texts_stay_as_they_are() {
    for text in [
        "SELECT 'a' FROM t",
        "SELECT password, name FROM t WHERE name = 'x'",
        "SELECT identified FROM t",
        "SELECT identified bypass FROM t WHERE a = 'x'",
        "SELECT mrn FROM lesions WHERE name = _utf8mb4'x' AND date_identified > N'2026-01-01'",
        "SELECT mrn FROM lesions WHERE bits = b'01' AND id = x'41' AND date_identified > n'2026'",
        "SELECT identified, COUNT(*) FROM t GROUP BY identified WITH ROLLUP",
        "SELECT 1 FROM t WHERE password = other AND site = mine",
        "ALTER USER bob IDENTIFIED BY RANDOM PASSWORD",
        "ALTER USER bob IDENTIFIED BY @sesame",
        "SET PASSWORD FOR bob TO RANDOM",
        "SELECT mrn FROM lesions WHERE date_identified > '2026-01-01' AND site = 'lung'",
        "SELECT mrn FROM lesions WHERE identified = 'yes' AND site = 'lung'",
        "SELECT mrn FROM lesions WHERE note LIKE '%mass identified by CT%' AND site = 'lung'",
        "SELECT mrn FROM lesions WHERE name = 'O\\'Brien' AND date_identified > '2026-01-01'",
        "SELECT note FROM t WHERE note LIKE '%lost password%' AND name = 'bob'",
        "SELECT `password`.a FROM `password` WHERE b = 'x'",
        "SELECT a FROM t WHERE b IN ('password', 'x')",
        "SET PASSWORD",
    ] {
        assert!(matches!(passwords(text.as_bytes()), Cow::Borrowed(_)), "{text}");
    }
}
