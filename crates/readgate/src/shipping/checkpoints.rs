//! Checkpoints on their way to a webhook.
use std::sync::Arc;
use std::time::Duration;

use config::Endpoint;
use ledger::Ledger;
use rustls::ClientConfig;

use super::orders::{Order, Orders};
use super::standing::Standing;
use super::{RETRY, wire};

/// Between two looks for a new checkpoint.
const LOOK: Duration = Duration::from_secs(1);

/// Posts each new checkpoint. The newest stands for those before it.
pub(super) fn post(
    (endpoint, tls): (&Endpoint, Option<Arc<ClientConfig>>),
    ledger: &Ledger,
    orders: &Orders,
    standing: &Standing,
) {
    let mut posted = None;
    let mut well = true;
    loop {
        let last_look = match orders.now() {
            Order::GoOn => false,
            Order::Finish => true,
            Order::Leave => return,
        };
        let newest = ledger.health().last_checkpoint;
        if let (Some(line), true) = (&newest, newest != posted) {
            let done = wire::post((endpoint, tls.clone()), None, line.as_bytes());
            match &done {
                Ok(()) => {
                    posted.clone_from(&newest);
                    standing.has(0);
                }
                Err(error) if well => {
                    tracing::warn!(%error, "a checkpoint can't be posted; tried again");
                }
                Err(_) => {}
            }
            well = done.is_ok();
            standing.tried(well);
        }
        if last_look {
            return;
        }
        orders.rest(if well { LOOK } else { RETRY });
    }
}
