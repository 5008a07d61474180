//! What keys are taken, and that the tools people have can decrypt.
use std::io::Write;
use std::path::Path;
use std::process::Command;

use crate::{Encryptor, Recipient, armoured};

/// The example key of the age documentation.
const KEY: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";

fn to(recipient: &Recipient, text: &[u8]) -> Vec<u8> {
    let mut encryptor = Encryptor::new(recipient, Vec::new()).unwrap();
    encryptor.write_all(text).unwrap();
    encryptor.finish().unwrap()
}

fn run(program: &str, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program} is needed: {error}"));
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn decrypted(file: &[u8], identity: &Path) -> Vec<u8> {
    let sealed = identity.with_extension("age");
    std::fs::write(&sealed, file).unwrap();
    run("age", &["-d", "-i", identity.to_str().unwrap(), sealed.to_str().unwrap()])
}

#[test]
fn reads_public_keys_only() {
    assert!(Recipient::parse(KEY).is_some());
    let swapped = KEY.replace("ql3", "q3l");
    let secret = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";
    let rsa = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAQQC7";
    let short = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA==";
    for text in ["", "age1", "alice", &swapped, secret, "ssh-ed25519 AAAA", rsa, short] {
        assert_eq!(Recipient::parse(text), None, "{text}");
    }
}

#[test]
fn refuses_a_key_that_protects_nothing() {
    assert!(Encryptor::new(&Recipient::X25519([0; 32]), Vec::new()).is_err());
    // The neutral point: every secret agreed with it is zero.
    let mut neutral = [0; 32];
    neutral[0] = 1;
    assert!(Encryptor::new(&Recipient::SshEd25519(neutral), Vec::new()).is_err());
}

#[test]
fn no_two_files_are_alike_and_none_shows_the_text() {
    let recipient = Recipient::parse(KEY).unwrap();
    let (one, two) = (to(&recipient, b"correct horse"), to(&recipient, b"correct horse"));
    assert_ne!(one, two);
    assert!(one.starts_with(b"age-encryption.org/v1\n-> X25519 "));
    assert!(!one.windows(7).any(|part| part == b"correct"));
    assert!(armoured(&one).lines().all(|line| line.len() <= 64));
}

#[test]
fn the_age_tool_decrypts_with_both_kinds_of_keys() {
    let directory = tempfile::tempdir().unwrap();
    let long = vec![b'x'; 200_000];
    let identity = directory.path().join("age.key");
    run("age-keygen", &["-o", identity.to_str().unwrap()]);
    let public = run("age-keygen", &["-y", identity.to_str().unwrap()]);
    let public = String::from_utf8(public).unwrap();
    let recipient = Recipient::parse(public.trim()).unwrap();
    for text in [&b""[..], b"short", &long] {
        assert_eq!(decrypted(&to(&recipient, text), &identity), text);
    }

    let identity = directory.path().join("ssh.key");
    let quiet = ["-q", "-t", "ed25519", "-N", "", "-f", identity.to_str().unwrap()];
    run("ssh-keygen", &quiet);
    let public = std::fs::read_to_string(directory.path().join("ssh.key.pub")).unwrap();
    let recipient = Recipient::parse(public.trim()).unwrap();
    for text in [&b""[..], b"short", &long] {
        assert_eq!(decrypted(&to(&recipient, text), &identity), text);
    }
    let text = armoured(&to(&recipient, b"as text"));
    assert_eq!(decrypted(text.as_bytes(), &identity), b"as text");
}

#[test]
fn the_age_tool_decrypts_with_the_passphrase() {
    let directory = tempfile::tempdir().unwrap();
    let sealed = directory.path().join("sealed.age");
    let mut encryptor = Encryptor::with_passphrase(b"correct horse battery", Vec::new()).unwrap();
    encryptor.write_all(b"a secret").unwrap();
    std::fs::write(&sealed, encryptor.finish().unwrap()).unwrap();
    // It asks on a terminal, which script(1) gives it.
    let decrypt = format!("age -d -o {0}.plain {0}", sealed.display());
    let mut script = Command::new("script")
        .args(["-qec", &decrypt, "/dev/null"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    script.stdin.take().unwrap().write_all(b"correct horse battery\n").unwrap();
    assert!(script.wait().unwrap().success());
    let plain = directory.path().join("sealed.age.plain");
    assert_eq!(std::fs::read(plain).unwrap(), b"a secret");
}
