//! The parts of a stored user as texts, the same in every store. Reading is strict: a text
//! that no readgate writes means a damaged store, never a guess.
use access::credential::{Credential, CredentialId, Stage};
use access::store::Difference;
use access::{Date, Identity, SharedBlock, SourceSet, Timestamp, UserName, UserStatus};
use mysql_auth::{AuthPlugin, NativeVerifier, Sha2Verifier};
use serde_json::{Value, json};

/// A text that can't be read: its column and, for a column without secrets, what it held.
#[derive(Debug, thiserror::Error)]
#[error("column {column}: {found:?}")]
pub(super) struct Unreadable {
    column: &'static str,
    found: String,
}

impl Unreadable {
    pub(super) fn new(column: &'static str, found: impl Into<String>) -> Self {
        Self { column, found: found.into() }
    }
}

pub(super) fn plugins_to_text(plugins: &[AuthPlugin]) -> String {
    plugins.iter().map(|plugin| plugin.name()).collect::<Vec<_>>().join(",")
}

pub(super) fn plugins(text: &str) -> Result<Vec<AuthPlugin>, Unreadable> {
    let names = text.split(',').map(|name| AuthPlugin::from_name(name.as_bytes()));
    names.collect::<Option<_>>().ok_or_else(|| Unreadable::new("plugins", text))
}

/// Source names hold no comma; an empty text is an empty set, which no source is in.
pub(super) fn sources_to_text(sources: &SourceSet) -> String {
    sources.names().join(",")
}

pub(super) fn sources(text: &str) -> SourceSet {
    text.split(',').filter(|name| !name.is_empty()).collect()
}

pub(super) fn day(column: &'static str, text: Option<String>) -> Result<Option<Date>, Unreadable> {
    text.map(|text| text.parse().map_err(|_| Unreadable::new(column, text))).transpose()
}

pub(super) fn moment(column: &'static str, text: &str) -> Result<Timestamp, Unreadable> {
    text.parse().map_err(|_| Unreadable::new(column, text))
}

/// A user as its columns, in the order of the table.
pub(super) struct UserRow {
    pub(super) name: String,
    pub(super) full_name: String,
    pub(super) email: Option<String>,
    pub(super) owner: Option<String>,
    pub(super) role: String,
    pub(super) status: String,
    pub(super) valid_from: Option<String>,
    pub(super) valid_until: Option<String>,
    pub(super) plugins: String,
    pub(super) sources: Option<String>,
    pub(super) connections: Option<u32>,
}

impl UserRow {
    pub(super) fn of(user: &Identity) -> Self {
        let day = |day: Option<Date>| day.map(|day| day.to_string());
        Self {
            name: user.name.as_str().to_owned(),
            full_name: user.full_name.clone(),
            email: user.email.clone(),
            owner: user.owner.clone(),
            role: user.role.clone(),
            status: user.status.name().to_owned(),
            valid_from: day(user.valid_from),
            valid_until: day(user.valid_until),
            plugins: plugins_to_text(&user.plugins),
            sources: user.sources.as_ref().map(sources_to_text),
            connections: user.max_connections,
        }
    }

    /// The user, still without credentials.
    pub(super) fn read(self) -> Result<Identity, Unreadable> {
        let status = UserStatus::from_name(&self.status);
        Ok(Identity {
            name: UserName::new(self.name.clone())
                .map_err(|_| Unreadable::new("name", self.name))?,
            full_name: self.full_name,
            email: self.email,
            owner: self.owner,
            role: self.role,
            status: status.ok_or_else(|| Unreadable::new("status", self.status))?,
            valid_from: day("valid_from", self.valid_from)?,
            valid_until: day("valid_until", self.valid_until)?,
            plugins: plugins(&self.plugins)?,
            sources: self.sources.as_deref().map(sources),
            max_connections: self.connections,
            credentials: Vec::new(),
        })
    }
}

/// Gives each credential to its owner. Both lists are in the order of names, so one walk
/// joins them.
pub(super) fn join(
    identities: &mut [Identity],
    credentials: impl IntoIterator<Item = (String, CredentialRow)>,
) -> Result<(), Unreadable> {
    let mut owners = identities.iter_mut().peekable();
    for (user, row) in credentials {
        while owners.next_if(|owner| owner.name.as_str() != user).is_some() {}
        let owner = owners.peek_mut().ok_or_else(|| Unreadable::new("user", user))?;
        owner.credentials.push(row.read()?);
    }
    Ok(())
}

/// A credential as its columns, in the order of the table after `user`.
pub(super) struct CredentialRow {
    pub(super) id: i64,
    pub(super) sha2: Option<String>,
    pub(super) native: Option<String>,
    pub(super) stage: String,
    pub(super) until: Option<String>,
    pub(super) retires_at: Option<String>,
}

impl CredentialRow {
    pub(super) fn of(credential: &Credential) -> Result<Self, Unreadable> {
        let (stage, until) = match credential.stage {
            Stage::Pending { collect_by } => ("pending", Some(collect_by)),
            Stage::InUse { expires_at } => ("in_use", expires_at),
            Stage::Revoked => ("revoked", None),
        };
        let id = i64::try_from(credential.id.0);
        Ok(Self {
            id: id.map_err(|_| Unreadable::new("id", credential.id.0.to_string()))?,
            sha2: credential.sha2.as_ref().map(Sha2Verifier::to_text),
            native: credential.native.as_ref().map(NativeVerifier::to_text),
            stage: stage.to_owned(),
            until: until.map(|until| until.to_string()),
            retires_at: credential.retires_at.map(|end| end.to_string()),
        })
    }

    pub(super) fn read(&self) -> Result<Credential, Unreadable> {
        let until = self.until.as_deref().map(|text| moment("until", text)).transpose()?;
        let stage = match (self.stage.as_str(), until) {
            ("pending", Some(collect_by)) => Stage::Pending { collect_by },
            ("in_use", expires_at) => Stage::InUse { expires_at },
            ("revoked", None) => Stage::Revoked,
            (stage, _) => return Err(Unreadable::new("stage", stage)),
        };
        // What a verifier held must not come into a message.
        let sha2 = self.sha2.as_deref().map(|text| {
            Sha2Verifier::parse(text).ok_or_else(|| Unreadable::new("sha2", "not a verifier"))
        });
        let native = self.native.as_deref().map(|text| {
            NativeVerifier::parse(text).ok_or_else(|| Unreadable::new("native", "not a verifier"))
        });
        let retires_at = self.retires_at.as_deref().map(|text| moment("retires_at", text));
        let id = u64::try_from(self.id).map_err(|_| Unreadable::new("id", self.id.to_string()))?;
        Ok(Credential {
            id: CredentialId(id),
            sha2: sha2.transpose()?,
            native: native.transpose()?,
            stage,
            retires_at: retires_at.transpose()?,
        })
    }
}

/// A block as its columns. Names are whatever clients sent, so they are kept as digits.
pub(super) fn block_to_texts(block: &SharedBlock) -> (String, String, String) {
    let name = block.user.iter().flatten().map(|byte| format!("{byte:02x}")).collect();
    (block.source.to_string(), name, block.until.to_string())
}

pub(super) fn block(
    (source, name, until): (String, String, String),
) -> Result<SharedBlock, Unreadable> {
    let bytes = name.as_bytes().chunks(2).map(|pair| {
        let digits = std::str::from_utf8(pair).ok()?;
        u8::from_str_radix(digits, 16).ok()
    });
    let bytes: Option<Vec<u8>> = bytes.collect();
    let user = bytes.ok_or_else(|| Unreadable::new("name", name))?;
    Ok(SharedBlock {
        source: source.parse().map_err(|_| Unreadable::new("source", source))?,
        user: (!user.is_empty()).then_some(user),
        until: moment("until", &until)?,
    })
}

/// A JSON list of `[fact, before, after]`.
pub(super) fn differences_to_text(differences: &[Difference]) -> String {
    let triple = |one: &Difference| json!([one.fact, one.before, one.after]);
    differences.iter().map(triple).collect::<Value>().to_string()
}

pub(super) fn differences(text: &str) -> Result<Vec<Difference>, Unreadable> {
    let triples: Result<Vec<(String, String, String)>, _> = serde_json::from_str(text);
    let triples = triples.map_err(|_| Unreadable::new("differences", text))?;
    let read = |(fact, before, after)| Difference { fact, before, after };
    Ok(triples.into_iter().map(read).collect())
}
