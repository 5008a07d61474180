//! `ALTER USER USER() IDENTIFIED BY '...'` and `SET PASSWORD = '...'`: a user chooses a
//! password. readgate answers it itself; neither the replica nor the ledger ever sees the
//! password. What isn't exactly one of the forms below goes on to the judge, who refuses it.
use access::{ChangeError, NamedUser, Password, StoreError, Weak};
use bytes::Bytes;
use ledger::{Refusal, TextForm};
use mysql_wire::error_code::{
    ER_CREDENTIALS_CONTRADICT_TO_HISTORY, ER_NOT_VALID_PASSWORD, ER_UNKNOWN_ERROR,
};
use mysql_wire::{Command, ErrPacket, SqlState};

use super::{Session, refuse};
use crate::ending::Ending;
use crate::{recording, reload};

/// What the ledger has for the text.
const SHOWN: &[u8] = b"ALTER USER USER() IDENTIFIED BY '***'";

/// What may stand before the literal, and after it. `*` is any number of blanks, a blank at
/// least one; letters in any case.
const FORMS: [(&str, &str); 5] = [
    ("ALTER USER USER*(*)*IDENTIFIED BY*", ""),
    ("ALTER USER CURRENT_USER*(*)*IDENTIFIED BY*", ""),
    ("ALTER USER CURRENT_USER IDENTIFIED BY*", ""),
    ("SET PASSWORD*=*", ""),
    ("SET PASSWORD*=*PASSWORD*(*", "*)"),
];

/// A password that somebody wishes to have.
pub struct Wish(Password);

/// The wish that a statement is, where the configuration lets users choose.
///
/// Only literals of printable ASCII without backslash are taken: those mean the same in every
/// sql_mode and character set that a session can have.
pub fn wish(session: &Session<'_>, text: &Bytes) -> Option<Wish> {
    // Nearly every text fails here, before the configuration is looked at.
    let wish = read(text)?;
    session.daemon.live().passwords.chosen.map(|_| wish)
}

fn read(text: &[u8]) -> Option<Wish> {
    let begin = text.first_chunk::<3>()?;
    if !begin.eq_ignore_ascii_case(b"ALT") && !begin.eq_ignore_ascii_case(b"SET") {
        return None;
    }
    FORMS.iter().find_map(|(before, after)| {
        let (password, rest) = literal(skip(text, before)?)?;
        let rest = skip(skip(rest, after)?, "*")?;
        let rest = skip(rest.strip_prefix(b";").unwrap_or(rest), "*")?;
        rest.is_empty().then_some(Wish(password))
    })
}

/// What follows a form's words in the text, if it begins with them.
fn skip<'t>(text: &'t [u8], form: &str) -> Option<&'t [u8]> {
    let trim = |text: &'t [u8]| {
        let blanks = text.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        (blanks, text.get(blanks..).unwrap_or_default())
    };
    form.bytes().try_fold(text, |rest, expected| match expected {
        b'*' => Some(trim(rest).1),
        b' ' => Some(trim(rest)).filter(|(blanks, _)| *blanks > 0).map(|(_, rest)| rest),
        expected => {
            let (first, rest) = rest.split_first()?;
            first.eq_ignore_ascii_case(&expected).then_some(rest)
        }
    })
}

/// A literal in single quotes, and what follows it. A quote in it is written twice.
fn literal(text: &[u8]) -> Option<(Password, &[u8])> {
    let mut rest = text.strip_prefix(b"'")?;
    let mut password = Vec::with_capacity(rest.len());
    loop {
        let (&byte, after) = rest.split_first()?;
        rest = match (byte, after.first()) {
            (b'\'', Some(b'\'')) => after.get(1..)?,
            (b'\'', _) => return Some((Password::new(password), after)),
            (b' '..=b'~', _) if byte != b'\\' => after,
            (_, _) => return None,
        };
        password.push(byte);
    }
}

/// Why a wish isn't granted.
enum Refused {
    Weak(Weak),
    Store(StoreError),
    NotStored,
    Broken(String),
}

/// Grants or refuses a wish, with a record of either.
pub async fn choose(session: &mut Session<'_>, wish: Wish) -> Result<(), Ending> {
    let named = session.named.clone();
    let refused = match check(session, &named, &wish) {
        Ok(()) => grant(session, named, wish).await.err(),
        Err(refused) => Some(refused),
    };
    let (verdict, reason) = match &refused {
        None => ("absorbed", String::from("the user has chosen a password")),
        Some(refused) => ("refused", refused.to_string()),
    };
    let record = Refusal {
        command: Command::Query.name(),
        schema: session.facts.schema(),
        text: SHOWN,
        kind: "password",
        form: TextForm::Full,
        verdict,
        rule: "password",
        reason: &reason,
        offset: 0,
    };
    let recorded = recording::refusal(session, &record).await;
    match (refused, recorded) {
        (None, Ok(())) => {
            session.daemon.metrics.statements.absorbed(&session.tally, "password");
            session.send_ok(false).await
        }
        (Some(refused), Ok(())) => {
            refuse::note(session, ("password", "password"), SHOWN, None);
            session.send_err(&refused.err_packet()).await
        }
        (Some(_), Err(why)) => session.send_err(&refuse::ledger_down(&why)).await,
        (None, Err(why)) => {
            let text =
                format!("readgate: your password is changed; the ledger can't say so: {why}");
            session.send_err(&ErrPacket::new(ER_UNKNOWN_ERROR, SqlState::GENERAL, text)).await
        }
    }
}

fn check(session: &Session<'_>, named: &NamedUser, Wish(password): &Wish) -> Result<(), Refused> {
    let live = session.daemon.live();
    let user = named.user();
    if !live.is_stored(&user.name) {
        return Err(Refused::NotStored);
    }
    let about = [user.full_name.as_str(), user.email.as_deref().unwrap_or_default()];
    match live.passwords.chosen {
        Some(rules) => rules.check(password, user.name.as_str(), &about).map_err(Refused::Weak),
        None => Err(Refused::NotStored),
    }
}

/// The password counts on this node when this returns, and on the others soon.
async fn grant(
    session: &Session<'_>,
    named: NamedUser,
    Wish(password): Wish,
) -> Result<(), Refused> {
    let daemon = std::sync::Arc::clone(session.daemon);
    let chosen = tokio::task::spawn_blocking(move || daemon.choose(&named, password)).await;
    chosen.map_err(|error| Refused::Broken(error.to_string()))?.map_err(Refused::Store)?;
    if let Err(error) = reload::take_over(session.daemon).await {
        tracing::warn!(error, "a chosen password will count with the next look at the store");
    }
    Ok(())
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Weak(weak) => weak.fmt(f),
            Self::Store(error) => error.fmt(f),
            Self::NotStored => f.write_str("the user is kept in the configuration"),
            Self::Broken(why) => f.write_str(why),
        }
    }
}

impl Refused {
    fn err_packet(&self) -> ErrPacket {
        let general =
            |code, text: &str| ErrPacket::new(code, SqlState::GENERAL, format!("readgate: {text}"));
        match self {
            Self::Weak(weak) => general(ER_NOT_VALID_PASSWORD, &weak.to_string()),
            Self::Store(StoreError::Change(error @ ChangeError::PasswordUsedBefore)) => {
                general(ER_CREDENTIALS_CONTRADICT_TO_HISTORY, &error.to_string())
            }
            Self::NotStored => {
                let text = "your password is kept in the configuration; ask who keeps that";
                general(ER_UNKNOWN_ERROR, text)
            }
            Self::Store(StoreError::Unsure { .. }) => {
                let text = "the store of users did not say whether your password is changed: \
                            see which one lets you in";
                general(ER_UNKNOWN_ERROR, text)
            }
            Self::Store(_) | Self::Broken(_) => {
                let text = "the store of users can't be used at this moment; try again later";
                general(ER_UNKNOWN_ERROR, text)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wished(text: &str) -> Option<String> {
        let Wish(password) = read(text.as_bytes())?;
        Some(String::from_utf8(password.reveal().to_vec()).unwrap())
    }

    #[test]
    fn reads_the_forms_that_clients_send() {
        for text in [
            "ALTER USER USER() IDENTIFIED BY 'a''b'",
            "alter  user\nuser ( ) identified by'a''b' ;",
            "ALTER USER CURRENT_USER() IDENTIFIED BY 'a''b'",
            "ALTER USER CURRENT_USER IDENTIFIED BY 'a''b';",
            "SET PASSWORD = 'a''b'",
            "set password='a''b'",
            "SET PASSWORD = PASSWORD('a''b')",
        ] {
            assert_eq!(wished(text).as_deref(), Some("a'b"), "{text}");
        }
    }

    #[test]
    fn everything_else_goes_on_to_the_judge() {
        for text in [
            "ALTER USER bob IDENTIFIED BY 'x'",
            "ALTER USER 'bob'@'%' IDENTIFIED BY 'x'",
            "ALTER USER USER() IDENTIFIED BY 'x', bob IDENTIFIED BY 'y'",
            "ALTER USER USER() IDENTIFIED BY 'x' ACCOUNT UNLOCK",
            "ALTER USER USER() IDENTIFIED BY \"x\"",
            "ALTER USER USER() IDENTIFIED BY 'x\\'y'",
            "ALTER USER USER() IDENTIFIED BY 'ä'",
            "ALTER USER USER() IDENTIFIED BY 'x' 'y'",
            "ALTER USER USER() IDENTIFIED BY 'x",
            "ALTER USERUSER() IDENTIFIED BY 'x'",
            "SET PASSWORD FOR bob = 'x'",
            "SET PASSWORD = 'x'; DELETE FROM t",
            "SET PASSWORD = PASSWORD('x'",
            "/*! SET PASSWORD = 'x' */",
        ] {
            assert_eq!(wished(text), None, "{text}");
        }
    }
}
