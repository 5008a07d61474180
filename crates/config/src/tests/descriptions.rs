//! The descriptions of the keys agree with what the reader does, and the pages made from
//! them are current.
use std::path::Path;

use toml::{Table, Value};

use crate::keys::{Counts, Form, Key, Section};
use crate::sections::ROOT;
use crate::{Config, Problem, reference, schema};

/// Every key with the path of its table.
fn all_keys() -> Vec<(Vec<&'static Section>, &'static Key)> {
    fn collect(
        path: &[&'static Section],
        section: &'static Section,
        keys: &mut Vec<(Vec<&'static Section>, &'static Key)>,
    ) {
        keys.extend(section.keys.iter().map(|key| (path.to_vec(), key)));
        for below in section.sections {
            collect(&[path, &[*below]].concat(), below, keys);
        }
    }
    let mut keys = Vec::new();
    collect(&[], &ROOT, &mut keys);
    keys
}

fn path_of(sections: &[&Section], key: &Key) -> String {
    let names = sections.iter().map(|section| section.name).chain([key.name]);
    names.collect::<Vec<_>>().join(".")
}

/// The base file with every table in it.
fn base() -> Table {
    let text = format!(
        "{}\n[[role]]\nname = \"analyst\"\n[functions]\n[login]\n[source_rules]\n[credentials]\n[identities]\nfile = \"i\"\n[listener.tls.clients]\nca_file = \"c\"\n[reload]\n[[feed]]\nname = \"f\"\nfolder = \"d\"\npattern = \"*\"\ndue = \"06:30\"\n[[notice]]\nname = \"n\"\nca_file = \"c\"\nwebhook = \"https://h/p\"\n[ops]\naddress = \"127.0.0.1:9104\"\n[[replica.role_account]]\nname = \"blinded\"\nuser = \"b\"\npassword_file = \"b\"\n",
        include_str!("base.toml")
    );
    text.parse().unwrap()
}

fn table_at<'t>(root: &'t mut Table, sections: &[&Section]) -> &'t mut Table {
    sections.iter().fold(root, |table, section| {
        let value = &mut table[section.name];
        match section.form {
            Form::One | Form::OneOrNone => value.as_table_mut().unwrap(),
            Form::Several | Form::SeveralOrNone => value[0].as_table_mut().unwrap(),
        }
    })
}

fn problems(root: &Table) -> Vec<Problem> {
    let text = toml::to_string(root).unwrap();
    match Config::parse(&text, Path::new("proxy.toml")) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.iter().cloned().collect(),
    }
}

#[test]
fn every_example_is_accepted() {
    for (sections, key) in all_keys() {
        let path = path_of(&sections, key);
        let mut root = base();
        let table = table_at(&mut root, &sections);
        table.insert(key.name.to_owned(), key.example.parse().unwrap());
        // What an example can't stand beside, or doesn't stand without.
        match path.as_str() {
            "replica.account.password_env"
            | "replica.account.password_credential"
            | "replica.role_account.password_env"
            | "replica.role_account.password_credential" => {
                table.remove("password_file");
            }
            "replica.account.password" | "replica.role_account.password" => {
                table.remove("password_file");
                table.insert(String::from("insecure_inline_password"), Value::Boolean(true));
            }
            "replica.tls.insecure_plaintext" => {
                table.remove("ca_file");
            }
            "user.plugins" => {
                let verifier = "*6BB4837EB74329105EE4568DDA7DC67ED2CA2AD9";
                table.insert(String::from("native_verifier"), Value::from(verifier));
            }
            "user.native_verifier" => {
                table.insert(String::from("plugins"), Value::from(vec!["mysql_native_password"]));
                table.remove("caching_sha2_verifier");
            }
            "identities.url"
            | "identities.ca_file"
            | "identities.server_name"
            | "identities.password_file"
            | "identities.password_env"
            | "identities.password_credential" => {
                table.remove("file");
                let mut beside = |key: &str, value: &str| {
                    table.entry(key).or_insert_with(|| Value::from(value));
                };
                beside("url", "mysql://readgate@ids:3306/readgate");
                beside("ca_file", "ca.crt");
                if !key.name.starts_with("password") {
                    beside("password_file", "identities.password");
                }
            }
            "feed.freshness_query" => {
                table.remove("folder");
                table.remove("pattern");
            }
            "notice.webhook_header" => {
                table.insert(String::from("webhook_header_file"), Value::from("token"));
            }
            "notice.webhook_header_file" => {
                table.insert(String::from("webhook_header"), Value::from("Authorization"));
            }
            "notice.smtp"
            | "notice.smtp_tls"
            | "notice.smtp_user"
            | "notice.from"
            | "notice.smtp_password_file"
            | "notice.to"
            | "notice.subject" => {
                table.remove("webhook");
                let mut beside = |key: &str, value: Value| {
                    table.entry(key).or_insert(value);
                };
                beside("smtp", Value::from("mail.example.org:587"));
                beside("from", Value::from("readgate@example.org"));
                beside("to", Value::from(vec!["oncall@example.org"]));
                match key.name {
                    "smtp_user" => beside("smtp_password_file", Value::from("p")),
                    "smtp_password_file" => beside("smtp_user", Value::from("u")),
                    _ => {}
                }
            }
            "listener.name" | "source.name" | "role.name" => {}
            _ => {}
        }
        assert_eq!(problems(&root), [], "{path} = {}", key.example);
    }
}

#[test]
fn every_described_key_is_read() {
    for (sections, key) in all_keys() {
        let path = path_of(&sections, key);
        let mut root = base();
        let table = table_at(&mut root, &sections);
        table.insert(key.name.to_owned(), Value::Table(Table::new()));
        let found = problems(&root);
        let named =
            found.iter().any(|problem| problem.key == path && problem.wrong == "is a table");
        assert!(named, "{path} = {{}} gave {found:?}");
    }
}

#[test]
fn a_default_is_what_counts_when_the_key_is_left_out() {
    // Warnings name lines, which differ between the two texts.
    let shown = |root: &Table| {
        let parsed = Config::parse(&root.to_string(), Path::new("p")).unwrap();
        format!("{:?}", Config { warnings: Vec::new(), ..parsed })
    };
    let without = shown(&base());
    let mut root = base();
    for (sections, key) in all_keys() {
        if let crate::keys::Presence::Default(value) = key.presence {
            let table = table_at(&mut root, &sections);
            table.entry(key.name).or_insert_with(|| value.parse().unwrap());
        }
    }
    assert_eq!(shown(&root), without);
}

/// Whoever changes this list changes what a reload does (`Daemon::put_in_force`), or the other
/// way round: of each key that isn't named here a reload claims that it is in force.
#[test]
fn nothing_but_these_keys_counts_from_the_next_start() {
    let expected = "
        identities.ca_file identities.file identities.password_credential identities.password_env
        identities.password_file identities.refresh identities.server_name identities.stale_after
        identities.url
        ledger.directory ledger.node ledger.redaction_key_file
        limits.workers
        listener.address listener.name
        ops.address ops.operators ops.password_file
        reload.watch
        replica.address replica.compression replica.connections replica.excess_rights
        replica.heartbeat_query replica.longest_wait replica.max_lag replica.name
        replica.share_idle replica.tls.insecure_plaintext
        replica.tls.server_name replica.warm_connections replica.when_behind replica.writable";
    let waits = all_keys().into_iter().filter(|(sections, key)| {
        sections.last().is_some_and(|section| section.counts(key) == Counts::AtNextStart)
    });
    let mut waits: Vec<String> = waits.map(|(sections, key)| path_of(&sections, key)).collect();
    waits.sort();
    assert_eq!(waits, expected.split_whitespace().collect::<Vec<_>>());
}

#[test]
fn the_pages_in_docs_are_current() {
    let schema = format!("{:#}\n", schema::json_schema());
    for (name, text) in [("configuration.md", reference::markdown()), ("proxy.schema.json", schema)]
    {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &text).unwrap();
        }
        let shipped = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(shipped == text, "docs/{name} is old: UPDATE_DOCS=1 cargo test -p config");
    }
}
