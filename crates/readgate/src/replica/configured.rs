//! From the configuration to what opens sessions on the replica.
use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use config::{Config, Limits, ReplicaCompression, ReplicaTls};
use mysql_wire::compression::Algorithm;
use tokio_rustls::TlsConnector;

use super::account::Accounts;
use super::guard::GuardSettings;
use super::name::Name;
use super::pool::PoolSettings;
use super::{Bounds, ReplicaTarget, ReplicaTrust};
use crate::daemon::StartFault;
use crate::tls::{self, TlsFault};

/// Level of zstd towards the replica, the server's own default.
const ZSTD_LEVEL: i32 = 3;

/// How to reach the replica. Reads its CA and the accounts' passwords.
pub fn target(config: &Config) -> Result<ReplicaTarget, StartFault> {
    let replica = &config.replica;
    let tls = match &replica.tls {
        ReplicaTls::Verified { ca_file, server_name } => Some(ReplicaTrust {
            connector: ArcSwap::from_pointee(tls::connector(ca_file)?),
            name: tls::server_name(server_name)?,
        }),
        ReplicaTls::InsecurePlaintext => None,
    };
    Ok(ReplicaTarget {
        name: replica.name.clone(),
        address: Name::new(replica.address.to_string()),
        tls,
        accounts: ArcSwap::from_pointee(Accounts::read(replica)?),
        compression: match replica.compression {
            ReplicaCompression::None => None,
            ReplicaCompression::Zlib => Some(Algorithm::Zlib),
            ReplicaCompression::Zstd => Some(Algorithm::Zstd { level: ZSTD_LEVEL }),
        },
        bounds: ArcSwap::from_pointee(bounds(&config.limits)),
        refuse_writable: replica.refuse_writable,
        profile: ArcSwapOption::empty(),
    })
}

/// With the authorities that stand in the file now; `None` for plaintext.
pub fn connector(config: &Config) -> Result<Option<Arc<TlsConnector>>, TlsFault> {
    match &config.replica.tls {
        ReplicaTls::Verified { ca_file, .. } => tls::connector(ca_file).map(Arc::new).map(Some),
        ReplicaTls::InsecurePlaintext => Ok(None),
    }
}

/// What bounds sessions on it.
pub fn bounds(limits: &Limits) -> Bounds {
    Bounds {
        deadline: limits.replica_timeout,
        guard: GuardSettings {
            statement_timeout: limits.statement_timeout,
            lock_wait_timeout: limits.lock_wait_timeout,
        },
    }
}

/// How many connections to it are kept.
pub fn pool_settings(config: &Config) -> PoolSettings {
    PoolSettings {
        warm: usize::try_from(config.replica.warm_connections).unwrap_or(usize::MAX),
        idle: Duration::from_secs(300),
        max_age: Duration::from_secs(3600),
        connections: usize::try_from(config.replica.connections).unwrap_or(usize::MAX),
        longest_wait: config.replica.longest_wait,
        share_idle: config.replica.share_idle,
    }
}
