//! Who a session is, in the ledger's terms, and the record of its login: the same for
//! sessions on the replica and for operators' on the console.
use access::NamedUser;
use ledger::{Event, Who, WhoTag};
use mysql_wire::handshake_response::Attribute;

use crate::connection::login::LoggedIn;
use crate::context::{Context, SessionNote};
use crate::daemon::Daemon;
use crate::ending::{Ending, EndingKind};
use crate::recording;
use crate::session::refuse::ledger_down;

/// Where a session's statements run.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// Name of the replica.
    pub replica: &'a str,
    /// The account there.
    pub account: &'a str,
    /// The replica's id of the session, if it has one.
    pub replica_session: Option<u64>,
    /// Hash of the policy that statements are judged under.
    pub policy: &'a str,
}

/// The program that the client says it is.
pub fn program_of(attributes: &[Attribute]) -> Option<String> {
    let program = attributes.iter().find(|attribute| attribute.name == b"program_name");
    program.map(|attribute| String::from_utf8_lossy(&attribute.value).into_owned())
}

/// Who a session is. `role` is the user's now, which a reload may have changed since login.
pub fn who<'a>(
    context: &'a Context,
    (named, role): (&'a NamedUser, &'a str),
    program: Option<&'a str>,
    at: Place<'a>,
) -> Who<'a> {
    Who {
        session: u64::from(context.connection_id),
        user: named.user().name.as_str(),
        role,
        source: named.source().addr(),
        source_port: context.peer.port(),
        listener: &context.listener,
        tls_version: context.tls.as_ref().map(|tls| tls.0.as_str()),
        tls_cipher: context.tls.as_ref().map(|tls| tls.1.as_str()),
        program,
        replica: at.replica,
        account: at.account,
        replica_session: at.replica_session,
        policy: Some(at.policy),
    }
}

/// Records a login; without the record there is no session.
pub async fn record(
    daemon: &Daemon,
    context: &mut Context,
    logged_in: &LoggedIn,
    at: Place<'_>,
) -> Result<WhoTag, Ending> {
    let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let attributes = logged_in.attributes.iter().map(|a| (lossy(&a.name), lossy(&a.value)));
    let certificate = logged_in.named.certificate();
    let certificate = certificate.map(|of| ("readgate_certificate".to_owned(), of.shown()));
    let attributes: Vec<(String, String)> = attributes.chain(certificate).collect();
    let program = program_of(&logged_in.attributes);
    let named = (&logged_in.named, logged_in.named.user().role.name.as_str());
    let who = who(context, named, program.as_deref(), at);
    let event = Event::Login {
        who: who.clone(),
        method: logged_in.named.method(),
        attributes: &attributes,
    };
    let login = recording::within_deadline(daemon.ledger.event(&event))
        .await
        .map_err(|why| Ending::told(EndingKind::LedgerFault, why.as_str(), ledger_down(&why)))?;
    let tag = daemon.ledger.tag_after(login, &who);
    daemon.metrics.login("ok");
    context.session = Some(SessionNote { statements: 0, refusals: 0 });
    Ok(tag)
}
