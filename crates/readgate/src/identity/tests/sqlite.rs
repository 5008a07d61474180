//! What can happen to a file.
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use access::store::{IdentityStore, StoreError};
use access::{Change, Identity};
use rusqlite::Connection;

use super::{add, apply, name};
use crate::identity::SqliteStore;

const PATIENCE: Duration = Duration::from_secs(5);

/// A folder of this test's own, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("readgate-store-{}-{test}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("identities.sqlite")
    }

    fn open(&self) -> Result<SqliteStore, StoreError> {
        SqliteStore::open(&self.file(), PATIENCE)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_second_process_sees_each_change() {
    let folder = Folder::new("second");
    let (daemon, command) = (folder.open().unwrap(), folder.open().unwrap());
    add(&command, "alice");
    assert_eq!(daemon.revision().unwrap(), 1);
    assert_eq!(daemon.load().unwrap().identities.len(), 1);
    drop((daemon, command));
    assert_eq!(folder.open().unwrap().load().unwrap().identities.len(), 1);
}

#[test]
fn what_root_makes_is_the_account_s_that_the_folder_is_of() {
    let folder = Folder::new("root");
    // Without root's rights both belong to whoever runs this.
    let _ = chown(&folder.0, Some(4242), Some(4243));
    let store = folder.open().unwrap();
    add(&store, "alice");
    let owner = |path: &Path| fs::metadata(path).map(|found| (found.uid(), found.gid())).unwrap();
    let made: Vec<_> = fs::read_dir(&folder.0).unwrap().map(|file| file.unwrap().path()).collect();
    assert_eq!(made.len(), 3, "the file, its log and the log's index: {made:?}");
    made.iter().for_each(|file| assert_eq!(owner(file), owner(&folder.0), "{file:?}"));
}

#[test]
fn changes_at_once_all_happen() {
    let folder = Folder::new("at-once");
    let path = Arc::new(folder.file());
    folder.open().unwrap();
    let threads = (0..4).map(|thread| {
        let path = Arc::clone(&path);
        std::thread::spawn(move || {
            let store = SqliteStore::open(&path, PATIENCE).unwrap();
            for user in 0..10 {
                add(&store, &format!("user-{thread}-{user}"));
            }
        })
    });
    let threads: Vec<_> = threads.collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let store = folder.open().unwrap();
    assert_eq!(store.load().unwrap().identities.len(), 40);
    assert_eq!(store.revision().unwrap(), 40);
}

#[test]
fn the_file_is_its_owners_alone() {
    let folder = Folder::new("mode");
    add(&folder.open().unwrap(), "alice");
    for entry in fs::read_dir(&folder.0).unwrap() {
        let mode = entry.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0);
    }
    fs::set_permissions(folder.file(), fs::Permissions::from_mode(0o640)).unwrap();
    let error = folder.open().unwrap_err().to_string();
    assert!(error.contains("mode 0640 lets others at verifiers; chmod 600"), "{error}");
}

#[test]
fn nothing_is_deleted_even_by_hand() {
    let folder = Folder::new("by-hand");
    let store = folder.open().unwrap();
    add(&store, "alice");
    apply(&store, Change::Issue(name("alice"), mysql_auth::Password::new("x"))).unwrap();
    let other = Connection::open(folder.file()).unwrap();
    for (statement, answer) in [
        ("DELETE FROM user", "users are disabled, not deleted"),
        ("DELETE FROM credential", "credentials are revoked, not deleted"),
        ("DELETE FROM change", "history is not deleted"),
        ("UPDATE change SET by = 'x'", "history is not changed"),
    ] {
        assert_eq!(other.execute(statement, []).unwrap_err().to_string(), answer);
    }
}

#[test]
fn a_damaged_file_is_refused_whole() {
    let folder = Folder::new("damaged");
    let store = folder.open().unwrap();
    for i in 0..300 {
        add(&store, &format!("user{i}"));
    }
    drop(store);
    let mut bytes = fs::read(folder.file()).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 8192].fill(0xAA);
    fs::write(folder.file(), bytes).unwrap();
    assert!(matches!(folder.open(), Err(StoreError::Damaged { .. })));
}

#[test]
fn a_value_that_no_readgate_writes_is_damage() {
    let folder = Folder::new("value");
    let store = folder.open().unwrap();
    add(&store, "alice");
    let other = Connection::open(folder.file()).unwrap();
    other.execute("UPDATE user SET plugins = 'dialog'", []).unwrap();
    let error = store.load().unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("column plugins: \"dialog\""), "{error}");
}

#[test]
fn another_kind_of_file_is_left_alone() {
    let folder = Folder::new("other");
    fs::write(folder.file(), b"[[user]]\nname = \"alice\"\n".repeat(100)).unwrap();
    fs::set_permissions(folder.file(), fs::Permissions::from_mode(0o600)).unwrap();
    assert!(matches!(folder.open(), Err(StoreError::Damaged { .. })));
    fs::remove_file(folder.file()).unwrap();
    let other = Connection::open(folder.file()).unwrap();
    other.execute_batch("PRAGMA user_version = 3; CREATE TABLE t (a)").unwrap();
    fs::set_permissions(folder.file(), fs::Permissions::from_mode(0o600)).unwrap();
    let error = folder.open().unwrap_err().to_string();
    assert!(error.contains("it is not an identity store"), "{error}");
}

#[test]
fn a_later_version_is_refused() {
    let folder = Folder::new("later");
    drop(folder.open().unwrap());
    Connection::open(folder.file()).unwrap().execute_batch("PRAGMA user_version = 2").unwrap();
    assert!(matches!(folder.open(), Err(StoreError::TooNew { found: 2, known: 1, .. })));
}

fn bob() -> Change {
    Change::Add(Box::new(Identity::new(name("bob"), "Bob", "reader")))
}

#[test]
fn a_locked_file_is_an_error_and_loses_nothing() {
    let folder = Folder::new("locked");
    let store = SqliteStore::open(&folder.file(), Duration::ZERO).unwrap();
    add(&store, "alice");
    let other = Connection::open(folder.file()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert!(matches!(apply(&store, bob()), Err(StoreError::Busy { .. })));
    assert_eq!(store.load().unwrap().identities.len(), 1);
    other.execute_batch("ROLLBACK").unwrap();
    assert!(apply(&store, bob()).is_ok());
}

#[test]
fn a_full_disk_is_an_error_and_loses_nothing() {
    let folder = Folder::new("full");
    let store = folder.open().unwrap();
    let limit = "PRAGMA max_page_count = 20";
    store.connection().query_row(limit, [], |_| Ok(())).unwrap();
    let mut added = 0;
    let error = loop {
        let user = Identity::new(name(&format!("user{added}")), "x".repeat(500), "reader");
        match apply(&store, Change::Add(Box::new(user))) {
            Ok(_) => added += 1,
            Err(error) => break error,
        }
        assert!(added < 1000, "the limit never came");
    };
    assert!(matches!(error, StoreError::Full { .. }), "{error}");
    let snapshot = store.load().unwrap();
    assert_eq!(snapshot.identities.len(), added);
    assert_eq!(snapshot.revision, u64::try_from(added).unwrap());
}

#[test]
fn a_file_that_took_the_place_of_the_opened_one_is_not_taken_for_it() {
    let folder = Folder::new("replaced");
    let store = folder.open().unwrap();
    store.revision().unwrap();
    let aside = folder.file().with_extension("aside");
    fs::rename(folder.file(), &aside).unwrap();
    assert!(matches!(store.revision(), Err(StoreError::Unreachable { .. })));
    fs::copy(&aside, folder.file()).unwrap();
    let why = store.revision().unwrap_err().to_string();
    assert!(why.contains("another file stands in its place"), "{why}");
    assert!(apply(&store, bob()).is_err(), "a change that nobody would find");
    fs::rename(&aside, folder.file()).unwrap();
    store.revision().unwrap();
}

#[test]
fn changes_beside_a_log_that_was_removed_are_not_missed() {
    let folder = Folder::new("log_removed");
    let store = folder.open().unwrap();
    fs::remove_file(folder.file().with_extension("sqlite-wal")).unwrap();
    let why = store.revision().unwrap_err().to_string();
    assert!(why.contains("-wal"), "{why}");
    assert!(apply(&store, bob()).is_err());
}
