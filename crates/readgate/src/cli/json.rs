//! What the command line says for programs: one JSON value a line. Members are never renamed.
use access::{Credential, HistoryEntry, Identity, SourceEntry};
use serde_json::{Value, json};

/// One a line.
pub(super) fn lines(values: impl Iterator<Item = Value>) -> String {
    values.map(|value| value.to_string()).collect::<Vec<_>>().join("\n")
}

/// A stored user. No secrets.
pub(super) fn user(user: &Identity) -> Value {
    let text = |value: &dyn ToString| value.to_string();
    let plugins: Vec<&str> = user.plugins.iter().map(|plugin| plugin.name()).collect();
    json!({
        "name": user.name.as_str(),
        "full_name": user.full_name,
        "email": user.email,
        "owner": user.owner,
        "role": user.role,
        "status": user.status.name(),
        "valid_from": user.valid_from.as_ref().map(|day| text(day)),
        "valid_until": user.valid_until.as_ref().map(|day| text(day)),
        "plugins": plugins,
        "sources": user.sources.as_ref().map(access::SourceSet::names),
        "connections": user.max_connections,
        "credentials": user.credentials.iter().map(credential).collect::<Vec<_>>(),
    })
}

fn credential(credential: &Credential) -> Value {
    json!({
        "number": credential.id.0,
        "life": credential.life(),
        "ends_at": credential.ends_at().map(|end| end.to_string()),
    })
}

/// A credential that was just issued, and the file for its owner.
pub(super) fn issued(user: &Identity, file: &str) -> Value {
    let newest = user.credentials.first().map(credential);
    json!({ "user": user.name.as_str(), "credential": newest, "file": file })
}

/// A change of the history.
pub(super) fn change(entry: &HistoryEntry) -> Value {
    let HistoryEntry { number, at, by, reason, user, label, differences } = entry;
    let difference = |one: &access::store::Difference| json!({ "fact": one.fact, "before": one.before, "after": one.after });
    json!({
        "number": number,
        "at": at.to_string(),
        "change": label,
        "user": user,
        "by": by,
        "reason": reason,
        "differences": differences.iter().map(difference).collect::<Vec<_>>(),
    })
}

/// An entry of the networks that may connect.
pub(super) fn source(entry: &SourceEntry) -> Value {
    json!({
        "name": entry.name,
        "networks": entry.networks.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "owner": entry.owner,
        "reason": entry.reason,
        "ticket": entry.ticket,
        "added_on": entry.added_on.map(|day| day.to_string()),
        "expires_on": entry.expires_on.map(|day| day.to_string()),
    })
}
