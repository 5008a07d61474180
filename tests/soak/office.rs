//! Users of the identity store come, change and go while others are at work. Each change counts
//! soon, for whom it is made, and nobody else notices: the clients of the round look to that.

use std::path::{Path, PathBuf};
use std::time::Duration;

use access::store::{Author, IdentityStore};
use access::{Change, CredentialId, CredentialPolicy, Password, Timestamp, UserName};
use readgate::identity::SqliteStore;
use readgate_tests::config::{let_guess, set};
use readgate_tests::dice::Dice;
use readgate_tests::place::wait_for;
use readgate_tests::raw::{Login, RawClient, ServerError};
use readgate_tests::readgate::run;
use readgate_tests::stage::try_login_at;
use toml::{Table, Value};

use crate::people::{GIVEN, NATIVE, OPERATOR, SHA2, STORED};

/// `identities.refresh`, and what a busy machine makes of it.
const SOON: Duration = Duration::from_secs(10);
/// Rows that one with the narrow role may read.
const FEW: usize = 10;
const DAY: Duration = Duration::from_secs(86_400);
const POLICY: CredentialPolicy =
    CredentialPolicy { collect_within: DAY, valid_for: None, warn_before: DAY, overlap: DAY };
/// ER_ACCESS_DENIED_ERROR.
const ACCESS_DENIED: u16 = 1045;
/// ER_USER_LIMIT_REACHED.
const OVER_LIMIT: u16 = 1226;

/// Who looks after the users.
#[derive(Debug)]
pub(crate) struct Office {
    config: PathBuf,
    ca_file: PathBuf,
    store: SqliteStore,
    /// Users that it has made.
    users: usize,
}

/// Somebody who is there for a moment.
#[derive(Debug)]
struct Guest {
    name: String,
    password: String,
}

/// Has a configuration know the store, and what is done there.
pub(crate) fn configure(config: &mut Table, folder: &Path) {
    set(config, "identities.file", store_of(folder).display().to_string());
    set(config, "identities.refresh", "200ms");
    set(config, "credentials.self_service", true);
    let narrow: Table = format!("name = 'narrow'\nresult_rows = {FEW}").parse().expect("TOML");
    config["role"].as_array_mut().expect("roles").push(Value::Table(narrow));
    // Who is refused here fails at the door, where all the others come in too.
    let_guess(config);
}

fn store_of(folder: &Path) -> PathBuf {
    folder.join("identities.sqlite")
}

impl Office {
    /// Opens before the daemon does, with the users that stay as they are.
    pub(crate) fn open(folder: &Path, config: &Table, ca_file: PathBuf) -> Self {
        let store = SqliteStore::open(&store_of(folder), SOON).expect("a store");
        let file = folder.join("proxy.toml");
        std::fs::write(&file, config.to_string()).expect("can be written");
        let office = Self { config: file, ca_file, store, users: 0 };
        for (name, plugin) in STORED {
            office.add(name, plugin);
        }
        office
    }

    fn add(&self, name: &str, plugin: &str) {
        self.user(&["add", name, "--full-name", name, "--plugin", plugin]);
        self.apply(&Change::Issue(user_name(name), Password::new(GIVEN)));
    }

    /// `readgate user ...`
    fn user(&self, arguments: &[&str]) {
        let file = self.config.display().to_string();
        let rest = ["--reason", "CHG-1", "--config", &file];
        let output = run(&[&["user"], arguments, &rest].concat(), "");
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }

    fn apply(&self, change: &Change) {
        let author = Author::new("os:soak", "CHG-2").expect("both");
        self.store.apply(change, &author, &POLICY, Timestamp::now()).expect("it can be stored");
    }

    /// Somebody new comes, something becomes of them.
    pub(crate) fn change_somebody(&mut self, port: u16, dice: &mut Dice) {
        self.users += 1;
        let mut guest = Guest { name: format!("guest{}", self.users), password: GIVEN.to_owned() };
        self.add(&guest.name, if dice.roll(2) == 0 { NATIVE } else { SHA2 });
        let session = self.soon_in(port, &guest);
        match dice.roll(6) {
            0 => self.disabled(port, &guest, session),
            1 => self.locked(port, &guest, session),
            2 => self.expired(port, &guest, session),
            3 => self.given_another_role(&guest, session),
            4 => self.issued_another(port, &mut guest, session),
            _ => self.chooses(port, &mut guest, session),
        }
    }

    fn disabled(&self, port: u16, guest: &Guest, session: RawClient) {
        self.user(&["disable", &guest.name]);
        self.is_out(port, guest, session);
        self.user(&["enable", &guest.name]);
        works(&mut self.soon_in(port, guest), &guest.name);
    }

    /// The same by an operator, which counts when the order is answered.
    fn locked(&self, port: u16, guest: &Guest, session: RawClient) {
        let login = Login::user(OPERATOR.name, OPERATOR.password);
        let mut operator = try_login_at(port, &self.ca_file, &login).expect("let in");
        operator.query(format!("LOCK USER {} REASON 'CHG-3'", guest.name)).expect_ok();
        assert_eq!(self.comes_in(port, guest).map(drop).map_err(|e| e.code), Err(ACCESS_DENIED));
        self.is_out(port, guest, session);
        operator.query(format!("UNLOCK USER {} REASON 'CHG-4'", guest.name)).expect_ok();
        works(&mut self.comes_in(port, guest).expect("let in again"), &guest.name);
    }

    fn expired(&self, port: u16, guest: &Guest, session: RawClient) {
        self.user(&["expire", &guest.name, "2020-01-31"]);
        self.is_out(port, guest, session);
        self.user(&["expire", &guest.name, "2999-12-31"]);
        works(&mut self.soon_in(port, guest), &guest.name);
    }

    fn given_another_role(&self, guest: &Guest, mut session: RawClient) {
        let many = format!("SELECT * FROM clinical.subjects LIMIT {}", FEW + 1);
        session.query(&many).expect_ok();
        self.user(&["role", &guest.name, "narrow"]);
        wait_for("the role counts", SOON, || {
            session.query(&many).error().filter(|error| error.code == OVER_LIMIT)
        });
        works(&mut session, &guest.name);
    }

    fn issued_another(&self, port: u16, guest: &mut Guest, mut session: RawClient) {
        let former = Guest { password: guest.password.clone(), name: guest.name.clone() };
        guest.password = format!("{GIVEN} the second");
        let issued = Change::Issue(user_name(&guest.name), Password::new(guest.password.as_str()));
        self.apply(&issued);
        let mut second = self.soon_in(port, guest);
        works(&mut session, &guest.name);
        works(&mut self.comes_in(port, &former).expect("both count"), &guest.name);
        self.apply(&Change::Revoke(user_name(&guest.name), CredentialId(1)));
        self.is_out(port, &former, session);
        works(&mut second, &guest.name);
    }

    fn chooses(&self, port: u16, guest: &mut Guest, mut session: RawClient) {
        let former = Guest { password: guest.password.clone(), name: guest.name.clone() };
        guest.password = format!("Vk7-quiet.Lantern_2x,over-the.harbour_at-{}pm", self.users);
        session.query(format!("ALTER USER USER() IDENTIFIED BY '{}'", guest.password)).expect_ok();
        works(&mut session, &guest.name);
        works(&mut self.comes_in(port, guest).expect("it counts at once"), &guest.name);
        let refused = self.comes_in(port, &former).map(drop).map_err(|error| error.code);
        assert_eq!(refused, Err(ACCESS_DENIED), "the former password of {}", guest.name);
    }

    /// Their session ends, and they aren't let in.
    fn is_out(&self, port: u16, guest: &Guest, mut session: RawClient) {
        assert!(session.is_sent_away(SOON), "{}'s session goes on", guest.name);
        let refused = self.comes_in(port, guest).map(drop).map_err(|error| error.code);
        assert_eq!(refused, Err(ACCESS_DENIED), "{}", guest.name);
    }

    fn comes_in(&self, port: u16, guest: &Guest) -> Result<RawClient, ServerError> {
        try_login_at(port, &self.ca_file, &Login::user(&guest.name, &guest.password))
    }

    fn soon_in(&self, port: u16, guest: &Guest) -> RawClient {
        wait_for("they are let in", SOON, || self.comes_in(port, guest).ok())
    }
}

fn user_name(name: &str) -> UserName {
    UserName::new(name).expect("a name")
}

fn works(session: &mut RawClient, name: &str) {
    assert_eq!(session.query(format!("SELECT '{name}'")).value(), name);
}
