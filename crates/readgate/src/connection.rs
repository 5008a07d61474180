//! One client connection, from accept to close: the table of contents.
//!
//! Each step takes what the former proved and returns what the next demands. Whatever
//! goes wrong becomes an [`Ending`] and falls through to [`close`], the only place that
//! records how a connection finished.
pub mod admit;
pub mod balancer;
pub mod close;
pub mod encrypt;
pub mod greet;
pub mod login;
pub mod proxy_header;
pub mod turn;

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::time::{timeout, timeout_at};

use crate::console;
use crate::context::Context;
use crate::daemon::{Daemon, DoorWay};
use crate::ending::{Ending, EndingKind};
use crate::metrics::OpenConnection;
use crate::packet_stream::PacketStream;
use crate::room::Held;
use crate::session::{Leaving, Session};
use login::LoggedIn;

/// Serves one connection, which counts as open, to its end.
pub async fn serve(
    daemon: Arc<Daemon>,
    door: Arc<DoorWay>,
    socket: TcpStream,
    peer: SocketAddr,
    open: OpenConnection,
) {
    let mut context = Context::new(&daemon, &door, peer);
    let mut channel = PacketStream::new(socket);
    let ending = match live(&daemon, &door, &mut channel, &mut context).await {
        Ok(ending) | Err(ending) => ending,
    };
    close::close(&daemon, channel, context, ending).await;
    drop(open);
}

async fn live(
    daemon: &Arc<Daemon>,
    door: &DoorWay,
    channel: &mut PacketStream,
    context: &mut Context,
) -> Result<Ending, Ending> {
    let deadline = tokio::time::Instant::now() + daemon.live().login_timeout;
    let late = || Ending::silent(EndingKind::LoginTimeout, "login_timeout");
    let identified = balancer::identify(daemon, door, channel, context);
    timeout_at(deadline, identified).await.map_err(|_| late())??;
    let admitted = admit::admit(daemon, door, channel, context).await?;
    let mut logged_in = timeout_at(deadline, async {
        let greeted = greet::greet(daemon, channel, context, admitted).await?;
        let encrypted = encrypt::encrypt(door, channel, context, greeted).await?;
        login::log_in(daemon, channel, context, encrypted).await
    })
    .await
    .map_err(|_| late())??;
    loop {
        let left = match session(daemon, channel, context, logged_in).await {
            Leaving::Ended(ending) => return Ok(ending),
            Leaving::ToBecome(left) => left,
        };
        close::record_end_of_session(daemon, context, "change_user").await;
        let again = login::log_in_again(daemon, channel, context, left);
        logged_in = timeout(daemon.live().login_timeout, again)
            .await
            .map_err(|_| Ending::silent(EndingKind::LoginTimeout, "login_timeout"))??;
    }
}

/// An operator's session is the console's; it has no way to a replica. All others are the
/// replica's.
async fn session(
    daemon: &Arc<Daemon>,
    channel: &mut PacketStream,
    context: &mut Context,
    logged_in: LoggedIn,
) -> Leaving {
    let user = logged_in.named.user();
    channel.keep_in(Held::nothing(&daemon.rooms, user.name.as_str()));
    if user.role.operator {
        // Few have one: the others' futures needn't have room for it.
        return Box::pin(console::session::run(daemon, channel, context, logged_in)).await;
    }
    let session = match Session::open(daemon, channel, context, logged_in).await {
        Ok(session) => Box::new(session),
        Err(ending) => return Leaving::Ended(ending),
    };
    session.run().await
}
