//! Secrets are read from where they should be, and only if nobody else can read them.
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use access::Password;

use crate::{Config, ConfigHash, LoadError, PasswordSource, SecretFile};

/// A folder of this test's own, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("readgate-config-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, contents: &[u8], mode: u32) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, contents).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let source = PasswordSource::File(SecretFile::new(path));
    source.read().map(|password| password.reveal().to_vec()).map_err(|error| error.to_string())
}

#[test]
fn one_line_end_does_not_count() {
    let folder = Folder::new("line-end");
    for (contents, password) in [
        (b"secret".as_slice(), b"secret".as_slice()),
        (b"secret\n", b"secret"),
        (b"secret\r\n", b"secret"),
        (b" se cret \n", b" se cret "),
    ] {
        let path = folder.file("password", contents, 0o600);
        assert_eq!(read(&path).unwrap(), password);
    }
}

#[test]
fn refuses_a_secret_that_others_can_read() {
    let folder = Folder::new("exposed");
    for mode in [0o640, 0o604, 0o660, 0o644] {
        let path = folder.file("password", b"secret", mode);
        let shown = path.display();
        assert_eq!(
            read(&path).unwrap_err(),
            format!("{shown}: mode {mode:04o} lets others at a secret; chmod 600 {shown}")
        );
    }
    assert!(read(&folder.file("password", b"secret", 0o400)).is_ok());
}

#[test]
fn refuses_an_empty_or_a_huge_secret() {
    let folder = Folder::new("sizes");
    let empty = folder.file("empty", b"\n", 0o600);
    assert!(
        read(&empty)
            .unwrap_err()
            .ends_with("is empty; an account without password is not accepted")
    );
    let huge = folder.file("huge", &vec![b'x'; 64 * 1024 + 1], 0o600);
    assert!(
        read(&huge).unwrap_err().ends_with("has more than 64 KiB; name the file of the secret")
    );
    let no_file = huge.parent().unwrap();
    assert!(read(no_file).unwrap_err().ends_with("is a folder; name the file of the secret"));
    let largest = folder.file("largest", &vec![b'x'; 64 * 1024], 0o600);
    assert_eq!(read(&largest).unwrap().len(), 64 * 1024);
}

#[test]
fn refuses_a_password_of_two_lines() {
    let folder = Folder::new("lines");
    for text in ["# the password\nsecret", "secret\nother\n", "secret\n\n"] {
        let path = folder.file("password", text.as_bytes(), 0o600);
        assert_eq!(
            read(&path).unwrap_err(),
            format!(
                "{}: has more than one line; write the password and nothing else",
                path.display()
            )
        );
        std::fs::remove_file(path).unwrap();
    }
    let inline = PasswordSource::Inline(Password::new("secret\n")).read().unwrap_err();
    assert!(inline.to_string().starts_with("password in the configuration: has more than one"));
}

#[test]
fn says_what_is_missing() {
    let name = "READGATE_TEST_NO_SUCH_VARIABLE";
    assert_eq!(
        PasswordSource::Environment(name.to_owned()).read().unwrap_err().to_string(),
        format!("environment variable {name} is not set; set it for readgate's process")
    );
    let path = Path::new("/nonexistent/readgate/password");
    assert!(read(path).unwrap_err().starts_with("/nonexistent/readgate/password: No such file"));
}

#[test]
fn reads_the_environment_and_inline_passwords() {
    let path = PasswordSource::Environment(String::from("PATH")).read().unwrap();
    assert_eq!(path.reveal(), std::env::var("PATH").unwrap().as_bytes());
    let inline = PasswordSource::Inline(Password::new("secret")).read().unwrap();
    assert_eq!(inline.reveal(), b"secret");
}

#[test]
fn a_configuration_that_everybody_can_change_is_refused() {
    let folder = Folder::new("writable");
    let base = include_str!("base.toml");
    let path = folder.file("proxy.toml", base.as_bytes(), 0o602);
    assert!(matches!(Config::load(&path), Err(LoadError::Writable { mode: 0o602, .. })));
    let path = folder.file("proxy.toml", base.as_bytes(), 0o600);
    let (config, hash) = Config::load(&path).unwrap();
    assert_eq!(hash, ConfigHash::of(base.as_bytes()));
    assert_eq!(config.ledger.directory, folder.0.join("ledger"));
    assert_eq!(config.warnings, []);
}

#[test]
fn a_configuration_with_a_password_is_for_its_owner_alone() {
    let folder = Folder::new("inline");
    let text = include_str!("base.toml").replace(
        "password_file = \"replica.password\"",
        "password = \"x\"\ninsecure_inline_password = true",
    );
    let path = folder.file("proxy.toml", text.as_bytes(), 0o640);
    assert!(matches!(Config::load(&path), Err(LoadError::Exposed { mode: 0o640, .. })));
    let path = folder.file("proxy.toml", text.as_bytes(), 0o600);
    assert!(Config::load(&path).is_ok());
}

#[test]
fn verifiers_that_everybody_can_read_are_a_warning() {
    let folder = Folder::new("readable");
    let path = folder.file("proxy.toml", include_bytes!("base.toml"), 0o644);
    let (config, _) = Config::load(&path).unwrap();
    assert_eq!(config.warnings[0].wrong, "mode 0644 lets everybody read the users' verifiers");
}

#[test]
fn bytes_that_are_no_text_are_named_by_line() {
    let folder = Folder::new("utf8");
    let path = folder.file("proxy.toml", b"# a\n# \xff\n", 0o600);
    let error = Config::load(&path).unwrap_err().to_string();
    assert!(error.ends_with("proxy.toml:2: is not UTF-8; save the file as UTF-8"), "{error}");
}

#[test]
fn the_hash_is_sha256_in_hexadecimal() {
    // printf abc | sha256sum
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(ConfigHash::of(b"abc").as_str(), abc);
}
