//! `[ledger]`: where the audit record is kept, and how safely.
use std::collections::BTreeMap;
use std::sync::Arc;

use access::Role;
use ledger::{Recipient, SyncPolicy};

use crate::error::Wrong;
use crate::keys::{Counts, Form, Kind, Section, default, optional, required};
use crate::model::{Endpoint, LedgerConfig, RecordedText, Shipping};
use crate::sections::suggestion;
use crate::table::Table;
use crate::values;

pub(crate) static LEDGER: Section = Section {
    name: "ledger",
    form: Form::One,
    meaning: "The audit record. If it can't be written, nothing is forwarded.",
    counts: Counts::AtReload,
    keys: &[
        required("directory", Kind::Path, "\"ledger\"", "Its folder. Made if missing.")
            .at_next_start(),
        optional(
            "node",
            Kind::Name,
            "\"readgate-1\"",
            "Name of this node; without it, the host's.",
        )
        .at_next_start(),
        default(
            "sync",
            Kind::Choice(&["each", "group", "interval"]),
            "\"group\"",
            "\"each\"",
            "When records are forced to the disk: each before its answer, in groups, or once in a period. In every mode they survive the end of the process.",
        ),
        default(
            "sync_delay",
            Kind::Duration("1ms", "1h"),
            "\"25ms\"",
            "\"25ms\"",
            "\"group\": the longest wait; \"interval\": the period. No use with \"each\".",
        ),
        default(
            "text",
            Kind::Choice(&["full", "redacted"]),
            "\"full\"",
            "\"redacted\"",
            "How statements are recorded. \"redacted\": values in texts, bound values and attributes are replaced by keyed hashes (equal values, equal hashes), comments too; messages that may repeat them are left out. Passwords are masked either way.",
        ),
        default(
            "text_other_way_for",
            Kind::List(&Kind::Name),
            "[]",
            "[\"analyst\"]",
            "Roles whose statements are recorded the other way: redacted where `text` is \"full\", in full where it is \"redacted\".",
        ),
        default(
            "text_by_reference",
            Kind::Flag,
            "true",
            "false",
            "Whether a long text that comes again is recorded as `text_of`, the sequence of a record of the same file that holds it, and one that differs from it in one place as `text_like` and what stands there. false: each record holds its text, as a receiver of `ship_to` may want it.",
        ),
        optional(
            "redaction_key_file",
            Kind::Path,
            "\"/etc/readgate/redaction.key\"",
            "Key of those hashes, at least 32 bytes. Made if missing; without it, `redaction.key` in `directory`. Who has it can test guesses of values.",
        )
        .at_next_start(),
        optional(
            "asserted_user_attribute",
            Kind::Text,
            "\"end_user\"",
            "Query attribute, or else connection attribute, in which a reporting tool names the person it acts for. Recorded as `end_user`; asserted, not verified.",
        ),
        default(
            "hash_results",
            Kind::Flag,
            "false",
            "true",
            "Whether each outcome holds the SHA-256 of the answer: its packets, headers included, as the client got them inside TLS and compression.",
        ),
        default(
            "file_bytes",
            Kind::Size("1MiB", "1GiB"),
            "\"256MiB\"",
            "\"64MiB\"",
            "Size at which a file is closed and the next one begun; one that is a day old is closed too. A start reads the newest file into memory.",
        ),
        default(
            "compress",
            Kind::Flag,
            "true",
            "false",
            "Whether closed files are compressed (zstd).",
        ),
        default(
            "compress_within",
            Kind::Duration("0s", "7d"),
            "\"6h\"",
            "\"0s\"",
            "While more than 1,000 records a second come, closed files wait for their compression, at most this long; those that are to be encrypted don't. \"0s\": none waits.",
        ),
        optional(
            "encrypt_to",
            Kind::Text,
            "\"age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj\"",
            "age public key. Closed files are encrypted to it; the identity is needed to read them (`age --decrypt`), not to verify them. The newest file stays readable.",
        ),
        optional(
            "keep_for",
            Kind::Duration("1d", "36500d"),
            "\"2555d\"",
            "Files whose last record is older are removed, which is recorded and signed; without it, never. A file named `legal-hold` in `directory` stops it.",
        ),
        default(
            "anchors",
            Kind::List(&Kind::Path),
            "[]",
            "[\"/mnt/elsewhere/checkpoints.jsonl\"]",
            "Files that get a copy of each signed checkpoint: on another mount, best of another host. `readgate ledger verify --anchor FILE` then tells a cut tail.",
        ),
        optional(
            "anchor_webhook",
            Kind::Secret,
            "\"http://127.0.0.1:8080/anchors\"",
            "`http://` or `https://` address that gets the newest signed checkpoint by POST, at most one a second. It is shown nowhere, since it may hold a token.",
        ),
        optional(
            "ship_to",
            Kind::Text,
            "\"stdout\"",
            "Where each record is sent beside: \"stdout\" (one line of JSON each), \"tls://HOST:PORT\" or \"tcp://HOST:PORT\" (syslog, RFC 5424 with octet counts). Read from the files: a receiver that is slow or gone holds nothing up and gets the rest later.",
        ),
        optional(
            "ship_ca_file",
            Kind::Path,
            "\"/etc/readgate/certs/siem-ca.crt\"",
            "PEM. Who must have signed the certificates of `ship_to` and `anchor_webhook`; needed for tls:// and https://.",
        ),
        default(
            "ship_longest",
            Kind::Size("4KiB", "4MiB"),
            "\"64KiB\"",
            "\"256KiB\"",
            "Longest message to a syslog receiver: of a record that is longer it gets what remains without the longest members, and its hash. Receivers must take as much: some cut what is longer, others hang up, or lose all that follows.",
        ),
    ],
    sections: &[],
};

pub(super) fn read(
    root: &Table<'_, '_>,
    roles: &BTreeMap<String, Option<Arc<Role>>>,
) -> Option<LedgerConfig> {
    let table = root.child("ledger")?;
    let directory = table.get("directory", values::text);
    let node = table.optional("node", values::name);
    let sync = table.get("sync", values::choice);
    let delay = table.get("sync_delay", values::duration);
    if sync == Some("each") && table.has("sync_delay") {
        let right = "remove it, or set sync = \"group\"";
        table.problem("sync_delay", Wrong::new("has no use with sync = \"each\"", right));
    }
    let sync = match (sync?, delay?) {
        ("interval", period) => SyncPolicy::Interval(period),
        ("group", delay) => SyncPolicy::Group(delay),
        (_, _) => SyncPolicy::Each,
    };
    let text = read_text(&table, roles);
    let key_file = table.optional("redaction_key_file", values::text);
    let asserted = table.optional("asserted_user_attribute", values::text);
    let anchors = table.list("anchors", values::text);
    let text_by_reference = table.get("text_by_reference", values::flag);
    let hash_results = table.get("hash_results", values::flag);
    let file_bytes = table.get("file_bytes", values::size);
    let compress = table.get("compress", values::flag);
    let compress_within = table.get("compress_within", values::duration);
    let encrypt_to = read_recipient(&table);
    let keep_for = table.optional("keep_for", values::duration);
    let shipping = read_shipping(&table);
    let document = table.document();
    let directory = document.resolve(&directory?);
    Some(LedgerConfig {
        redaction_key_file: match key_file? {
            Some(path) => document.resolve(&path),
            None => directory.join("redaction.key"),
        },
        directory,
        node: node?,
        sync,
        text: text?,
        text_by_reference: text_by_reference?,
        asserted_user_attribute: asserted?,
        file_bytes: file_bytes?,
        compress: compress?,
        compress_within: compress_within?,
        hash_results: hash_results?,
        shipping: shipping?,
        encrypt_to: encrypt_to?,
        keep_for: keep_for?,
        anchors: anchors.values()?.iter().map(|path| document.resolve(path)).collect(),
    })
}

fn read_shipping(table: &Table<'_, '_>) -> Option<Shipping> {
    let ca_file = table.optional("ship_ca_file", values::text);
    let longest = table.get("ship_longest", values::size);
    let endpoint = |key: &str, schemes: [(&str, u16); 2], example: &str| {
        let Some(text) = table.optional(key, values::text)? else {
            return Some(None);
        };
        let endpoint = Endpoint::parse(&text, schemes);
        if endpoint.is_none() {
            table.problem(key, Wrong::new("is no address of its sort", example));
        } else if endpoint.as_ref().is_some_and(|one| one.tls) && !table.has("ship_ca_file") {
            let right = "add ship_ca_file, the PEM file of who signs its certificate";
            table.problem(key, Wrong::new("needs a certificate authority", right));
        }
        endpoint.map(Some)
    };
    let webhook = endpoint(
        "anchor_webhook",
        [("http", 80), ("https", 443)],
        "write it as \"https://HOST/PATH\"",
    );
    let to_stdout = table.optional("ship_to", values::text)?.as_deref() == Some("stdout");
    let syslog = match to_stdout {
        true => Some(None),
        false => endpoint(
            "ship_to",
            [("tcp", 601), ("tls", 6514)],
            "write \"stdout\", \"tls://HOST:PORT\" or \"tcp://HOST:PORT\"",
        ),
    };
    Some(Shipping {
        to_stdout,
        syslog: syslog?,
        longest: longest?.try_into().unwrap_or(usize::MAX),
        anchor_webhook: webhook?,
        ca_file: ca_file?.map(|path| table.document().resolve(&path)),
    })
}

fn read_recipient(table: &Table<'_, '_>) -> Option<Option<Recipient>> {
    let Some(text) = table.optional("encrypt_to", values::text)? else {
        return Some(None);
    };
    let recipient = Recipient::parse(&text);
    if recipient.is_none() {
        let right = "write the public key, age1..., that `age-keygen -y` prints";
        table.problem("encrypt_to", Wrong::new("is no age public key", right));
    }
    recipient.map(Some)
}

fn read_text(
    table: &Table<'_, '_>,
    roles: &BTreeMap<String, Option<Arc<Role>>>,
) -> Option<RecordedText> {
    let redacted = table.get("text", values::choice);
    let except = table.list("text_other_way_for", values::name);
    for name in except.items() {
        if !roles.contains_key(&name.value) {
            let right =
                suggestion(&name.value, roles.keys().map(String::as_str), "name a [[role]]");
            let wrong = Wrong::new(format!("no role is named {:?}", name.value), right);
            table.problem_at(name.line, "text_other_way_for", wrong);
        }
    }
    Some(RecordedText { redacted: redacted? == "redacted", except_roles: except.values()? })
}
