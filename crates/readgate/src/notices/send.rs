//! One try to send a letter: its text by the template, then HTTP or mail on a thread that may
//! wait, within a time.
use std::io;
use std::sync::Arc;
use std::time::Duration;

use config::{Notice, NoticeWay, SecretFile, Webhook, fill};
use tokio::sync::{Mutex, oneshot};
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::mail;
use super::rounds::Letter;
use crate::panics::errand;
use crate::shipping::wire;
use crate::tls;

/// One try, all together.
const DEADLINE: Duration = Duration::from_secs(30);

const JSON_BODY: &str = "{\"node\":\"${node}\",\"event\":\"${event}\",\"subject\":\"${subject}\",\
     \"phase\":\"${phase}\",\"since\":\"${since}\",\"time\":\"${time}\",\"text\":\"${text}\"}";
const MAIL_BODY: &str = "${text}\n\nevent    ${event} ${subject}: ${phase}\nsince    ${since}\n\
     now      ${time}\nnode     ${node}\n";

/// Why it could not be sent holds no secret: neither the address nor what goes with it.
///
/// A try keeps the `turn` beyond that time if it hangs, as where a name can't be looked up: the next
/// one would hang beside it.
pub(super) async fn send(
    notice: &Notice,
    letter: &Letter,
    node: &str,
    turn: &Arc<Mutex<()>>,
) -> Result<(), String> {
    let sending = async {
        let turn = Arc::clone(turn).lock_owned().await;
        let (done, answer) = oneshot::channel();
        let (notice, letter, node) = (notice.clone(), letter.clone(), node.to_owned());
        let work = move || {
            let _ = done.send(attempt(&notice, &letter, &node));
            drop(turn);
        };
        errand("notice", work).map_err(|error| error.to_string())?;
        answer.await.unwrap_or_else(|_| Err("the sending broke off".into()))
    };
    let late = |_| Err(format!("not sent within {} s", DEADLINE.as_secs()));
    timeout(DEADLINE, sending).await.unwrap_or_else(late)
}

fn attempt(notice: &Notice, letter: &Letter, node: &str) -> Result<(), String> {
    match &notice.way {
        NoticeWay::Webhook(webhook) => {
            let template = notice.body.as_deref().unwrap_or(JSON_BODY);
            let body = fill(template, |name| value(letter, node, name).map(|text| in_json(&text)))?;
            post(notice, webhook, &body).map_err(|error| error.to_string())
        }
        NoticeWay::Mail(to) => {
            let plain = |name: &str| value(letter, node, name);
            let one_line = |name: &str| plain(name).map(|text| text.replace(char::is_control, " "));
            let subject = fill(&to.subject, one_line)?;
            let body = fill(notice.body.as_deref().unwrap_or(MAIL_BODY), plain)?;
            mail::send(to, notice.ca_file.as_deref(), &subject, body)
        }
    }
}

fn post(notice: &Notice, webhook: &Webhook, body: &str) -> io::Result<()> {
    let tls = notice.ca_file.as_deref().filter(|_| webhook.endpoint.tls);
    let tls = tls.map(tls::client_config).transpose().map_err(io::Error::other)?;
    let header = match &webhook.header {
        Some((name, file)) => Some((name.as_str(), header_value(file)?)),
        None => None,
    };
    let header = header.as_ref().map(|(name, value)| (*name, value.as_str()));
    wire::post((&webhook.endpoint, tls), header, body.as_bytes())
}

/// A value that ended the header early would begin another one.
fn header_value(file: &SecretFile) -> io::Result<Zeroizing<String>> {
    let bytes = file.read().map_err(io::Error::other)?;
    let line = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let is_plain = |byte: &u8| (b' '..=b'~').contains(byte);
    match std::str::from_utf8(line) {
        Ok(text) if line.iter().all(is_plain) => Ok(Zeroizing::new(text.to_owned())),
        Ok(_) | Err(_) => Err(io::Error::other("the header's value is not one line of ASCII")),
    }
}

fn value(letter: &Letter, node: &str, name: &str) -> Option<String> {
    Some(match name {
        "node" => node.to_owned(),
        "event" => letter.event.name().to_owned(),
        "subject" => letter.subject.clone(),
        "phase" => letter.phase.name().to_owned(),
        "since" => letter.since.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
        "time" => letter.time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
        "text" => letter.text.clone(),
        _ => return None,
    })
}

/// As it stands within a string of JSON.
fn in_json(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted.trim_start_matches('"').strip_suffix('"').unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use access::Timestamp;
    use config::NoticeEvent;

    use super::super::rounds::Phase;
    use super::*;

    fn letter(text: &str) -> Letter {
        Letter {
            event: NoticeEvent::FeedLate,
            subject: "lab".into(),
            phase: Phase::Begins,
            text: text.into(),
            since: Timestamp::from_second(1_700_000_000).unwrap(),
            time: Timestamp::from_second(1_700_000_060).unwrap(),
        }
    }

    #[test]
    fn a_text_stays_within_its_string_of_json() {
        for text in ["feed \"lab\" is late", "\"", "\\", "a\nb\u{0}", "${node}", "\"},{\""] {
            let filled =
                fill(JSON_BODY, |name| value(&letter(text), "n1", name).map(|t| in_json(&t)));
            let body: serde_json::Value = serde_json::from_str(&filled.unwrap()).unwrap();
            assert_eq!(body["text"], text);
            assert_eq!(body["since"], "2023-11-14 22:13:20 UTC");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_tried_beside_a_try_that_hangs() {
        let receiver = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        receiver.set_nonblocking(true).unwrap();
        let address = receiver.local_addr().unwrap();
        let endpoint = config::Endpoint {
            tls: false,
            address: config::HostPort { host: "127.0.0.1".into(), port: address.port() },
            path: "/".into(),
        };
        let notice = Notice {
            name: "pager".into(),
            way: NoticeWay::Webhook(Webhook { endpoint, header: None }),
            ca_file: None,
            events: Vec::new(),
            settle: Duration::ZERO,
            repeat: None,
            body: None,
        };
        let turn = Arc::<Mutex<()>>::default();
        let hanging = turn.lock().await;
        let sent = send(&notice, &letter("it is late"), "n1", &turn).await;
        assert_eq!(sent.unwrap_err(), "not sent within 30 s");
        let error = receiver.accept().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        drop(hanging);
    }

    #[test]
    fn the_templates_here_use_known_placeholders() {
        for template in [JSON_BODY, MAIL_BODY] {
            let filled = fill(template, |name| value(&letter("it is late"), "n1", name)).unwrap();
            assert!(filled.contains("it is late") && !filled.contains("${"), "{filled}");
        }
    }

    #[test]
    fn a_header_that_would_begin_another_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let read = |content: &str| {
            std::fs::write(&path, content).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
            header_value(&SecretFile::new(&path)).map(|value| value.to_string()).ok()
        };
        assert_eq!(read("Bearer abc\r\n").as_deref(), Some("Bearer abc"));
        for wrong in ["a\r\nHost: b", "a\nb\n", "ä"] {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
    }
}
