//! `[[notice]]`: who is told, and how, when something is wrong.
use crate::error::Wrong;
use crate::keys::{Counts, Form, Kind, Section, default, optional, required};
use crate::model::{
    Endpoint, Mail, MailTls, Notice, NoticeEvent, NoticeWay, PLACEHOLDERS, Webhook, fill,
};
use crate::secret::SecretFile;
use crate::sections::Unique;
use crate::table::Table;
use crate::values;

pub(crate) static NOTICE: Section = Section {
    name: "notice",
    form: Form::SeveralOrNone,
    meaning: "Who is told when something is wrong, and when it is over: by HTTP (`webhook`) or by mail (`smtp`). Each sending is recorded in the ledger; nothing waits for it.",
    counts: Counts::AtReload,
    keys: &[
        required("name", Kind::Name, "\"pager\"", "Name, shown in ledger and metrics."),
        optional(
            "webhook",
            Kind::Secret,
            "\"https://alerts.example.org/readgate\"",
            "`http://` or `https://` address that gets each notice by POST, as JSON. It is shown nowhere, since it may hold a token. Either this or `smtp`.",
        ),
        optional(
            "webhook_header",
            Kind::Text,
            "\"Authorization\"",
            "Name of a header that goes with it.",
        ),
        optional(
            "webhook_header_file",
            Kind::Path,
            "\"certs/pager.token\"",
            "File that holds that header's value, and at most one line end. Only readgate's account may read it.",
        ),
        optional(
            "smtp",
            Kind::HostPort,
            "\"mail.example.org:587\"",
            "Mail server that takes notices.",
        ),
        default(
            "smtp_tls",
            Kind::Choice(&["starttls", "tls", "none"]),
            "\"starttls\"",
            "\"tls\"",
            "TLS asked for after the greeting and required, TLS from the first byte on, or none.",
        ),
        optional("smtp_user", Kind::Text, "\"readgate\"", "Account on the mail server."),
        optional(
            "smtp_password_file",
            Kind::Path,
            "\"certs/mail.password\"",
            "File that holds its password, and at most one line end. Only readgate's account may read it.",
        ),
        optional("from", Kind::Text, "\"readgate@example.org\"", "Address of the sender."),
        optional(
            "to",
            Kind::List(&Kind::Text),
            "[\"oncall@example.org\"]",
            "Addresses that get it.",
        ),
        default(
            "subject",
            Kind::Text,
            "\"[readgate ${node}] ${event} ${subject} ${phase}\"",
            "\"readgate: ${event} ${phase}\"",
            "Subject of mails. Placeholders as in `body`.",
        ),
        optional(
            "body",
            Kind::Text,
            "'{\"text\": \"${event} ${subject} ${phase}: ${text}\"}'",
            "Template of the body; of a webhook it must be JSON. Without it there is one that says everything. Placeholders: `${node}`, `${event}`, `${subject}` (which feed, file, source), `${phase}` (`begins`, `goes on`, `ends`), `${since}`, `${time}` (both UTC), `${text}` (what is wrong).",
        ),
        optional(
            "ca_file",
            Kind::Path,
            "\"/etc/ssl/certs/ca-certificates.crt\"",
            "PEM: who must have signed the receiver's certificate. Needed with TLS.",
        ),
        default(
            "events",
            Kind::List(&Kind::Choice(&EVENTS)),
            "[\"replica_down\", \"replica_behind\", \"replica_unsafe\", \"feed_late\", \"feed_malformed\", \"feed_unknown\", \"ledger_trouble\", \"config_rejected\", \"certificate_expiring\", \"access_expiring\", \"login_blocked\", \"source_denied_burst\"]",
            "[\"replica_down\", \"ledger_trouble\"]",
            "What it is sent for; docs/operations.md says what each means.",
        ),
        default(
            "settle",
            Kind::Duration("0s", "1h"),
            "\"30s\"",
            "\"2m\"",
            "How long something must be wrong, or be over, before that is told.",
        ),
        default(
            "repeat",
            Kind::Duration("0s", "7d"),
            "\"4h\"",
            "\"30m\"",
            "Time between reminders while it goes on; \"0s\": none.",
        ),
    ],
    sections: &[],
};

/// The names of [`NoticeEvent::ALL`].
#[expect(clippy::indexing_slicing, reason = "a constant: an index out of bounds does not build")]
const EVENTS: [&str; NoticeEvent::ALL.len()] = {
    let mut names = [""; NoticeEvent::ALL.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = NoticeEvent::ALL[at].0;
        at += 1;
    }
    names
};
const OF_WEBHOOKS: [&str; 2] = ["webhook_header", "webhook_header_file"];
const OF_MAIL: [&str; 4] = ["smtp_user", "smtp_password_file", "from", "to"];

pub(super) fn read(root: &Table<'_, '_>) -> Option<Vec<Notice>> {
    let mut names = Unique::default();
    let notices = root.children("notice").into_iter().map(|table| {
        let name = table.get("name", values::name);
        names.note(&table, "name", name.clone());
        let notice = read_one(&table);
        Some(Notice { name: name?, ..notice? })
    });
    // All of them, so that every problem is found.
    notices.collect::<Vec<_>>().into_iter().collect()
}

/// All but its name.
fn read_one(table: &Table<'_, '_>) -> Option<Notice> {
    let way = read_way(table);
    let ca_file = table.optional("ca_file", values::text);
    let uses_tls = match &way {
        Some(NoticeWay::Webhook(webhook)) => webhook.endpoint.tls,
        Some(NoticeWay::Mail(mail)) => mail.tls != MailTls::None,
        None => false,
    };
    if uses_tls && !table.has("ca_file") {
        let right = "add ca_file, the PEM file of who signs the receiver's certificate";
        table.problem("ca_file", Wrong::new("is missing", right));
    }
    let events = table.list("events", values::choice).values();
    let settle = table.get("settle", values::duration);
    let repeat = table.get("repeat", values::duration);
    let body = read_template(table, "body", table.has("webhook"));
    let is_wanted = |(name, _): &&(&str, NoticeEvent)| {
        events.as_ref().is_some_and(|events| events.contains(name))
    };
    let wanted = NoticeEvent::ALL.iter().filter(is_wanted).map(|(_, event)| *event).collect();
    events.as_ref()?;
    Some(Notice {
        name: String::new(),
        way: way?,
        ca_file: ca_file?.map(|path| table.document().resolve(&path)),
        events: wanted,
        settle: settle?,
        repeat: Some(repeat?).filter(|repeat| !repeat.is_zero()),
        body: body?,
    })
}

fn read_way(table: &Table<'_, '_>) -> Option<NoticeWay> {
    let (is_webhook, is_mail) = (table.has("webhook"), table.has("smtp"));
    let no_use = |keys: &[&str], without: &str| {
        for key in keys.iter().filter(|key| table.has(key)) {
            table.problem(key, Wrong::new(format!("has no use without {without}"), "remove it"));
        }
    };
    // Both are read, so that every problem is found.
    let (webhook, mail) = (read_webhook(table), read_mail(table, is_mail));
    match (is_webhook, is_mail) {
        (true, true) => {
            table.problem("smtp", Wrong::new("is given beside webhook", "keep one of them"));
            None
        }
        (true, false) => {
            no_use(&OF_MAIL, "smtp");
            webhook.map(NoticeWay::Webhook)
        }
        (false, true) => {
            no_use(&OF_WEBHOOKS, "webhook");
            mail.map(NoticeWay::Mail)
        }
        (false, false) => {
            table.problem("webhook", Wrong::new("is missing", "add webhook, or smtp"));
            None
        }
    }
}

fn read_webhook(table: &Table<'_, '_>) -> Option<Webhook> {
    let address = table.optional("webhook", values::secret);
    let name = table.optional("webhook_header", values::header_name);
    let file = table.optional("webhook_header_file", values::text);
    let header = pair(table, OF_WEBHOOKS, name, file);
    let address = address??;
    let endpoint = Endpoint::parse(&address, [("http", 80), ("https", 443)]);
    if endpoint.is_none() {
        let right = "write it as \"https://HOST/PATH\"";
        table.problem("webhook", Wrong::new("is no address of HTTP", right));
    }
    Some(Webhook { endpoint: endpoint?, header: header? })
}

fn read_mail(table: &Table<'_, '_>, is_wanted: bool) -> Option<Mail> {
    let server = table.optional("smtp", values::host_port);
    let tls = table.get("smtp_tls", values::choice);
    let user = table.optional("smtp_user", values::text);
    let file = table.optional("smtp_password_file", values::text);
    let account = pair(table, ["smtp_user", "smtp_password_file"], user, file);
    let from = table.optional("from", values::mail_address);
    let to = table.list("to", values::mail_address).values();
    let subject = read_template(table, "subject", false);
    if is_wanted && !table.has("from") {
        let right = "add from = \"readgate@example.org\"";
        table.problem("from", Wrong::new("is missing", right));
    }
    if is_wanted && to.as_ref().is_some_and(Vec::is_empty) {
        let right = "name at least one address, such as [\"oncall@example.org\"]";
        table.problem("to", Wrong::new("names nobody", right));
    }
    let tls = match tls? {
        "tls" => MailTls::Tls,
        "none" => MailTls::None,
        _ => MailTls::StartTls,
    };
    if is_wanted && tls == MailTls::None {
        if table.has("smtp_user") {
            let right = "use TLS, or remove smtp_user";
            table.problem("smtp_user", Wrong::new("would send its password without TLS", right));
        }
        let wrong = "notices travel without TLS";
        table.warning("smtp_tls", Wrong::new(wrong, "use \"starttls\" or \"tls\""));
    }
    Some(Mail {
        server: server??,
        tls,
        account: account?,
        from: from??,
        to: to?,
        subject: subject??,
    })
}

/// A name, and the file of its secret: both or neither.
fn pair(
    table: &Table<'_, '_>,
    keys: [&str; 2],
    name: Option<Option<String>>,
    file: Option<Option<String>>,
) -> Option<Option<(String, SecretFile)>> {
    let [name_key, file_key] = keys;
    for (here, other) in [(name_key, file_key), (file_key, name_key)] {
        if table.has(here) && !table.has(other) {
            table.problem(here, Wrong::new(format!("has no use without {other}"), "give both"));
        }
    }
    let file = file?.map(|path| SecretFile::new(table.document().resolve(&path)));
    Some(name?.zip(file))
}

/// A text whose placeholders are known; if it must be JSON, one that is with them filled in.
fn read_template(table: &Table<'_, '_>, key: &str, is_json: bool) -> Option<Option<String>> {
    let text = table.optional(key, values::lines)?;
    let Some(template) = &text else { return Some(None) };
    let known = |name: &str| PLACEHOLDERS.contains(&name).then(|| name.to_owned());
    match fill(template, known) {
        Err(name) => {
            let right = format!("known are: {}", PLACEHOLDERS.join(", "));
            let wrong =
                format!("{:?} is not a placeholder", name.chars().take(40).collect::<String>());
            table.problem(key, Wrong::new(wrong, right));
            None
        }
        Ok(filled) if is_json && serde_json::from_str::<serde_json::Value>(&filled).is_err() => {
            let right = "write JSON; placeholders stand within its strings";
            table.problem(key, Wrong::new("is not JSON", right));
            None
        }
        Ok(_) => Some(text),
    }
}
