//! The readgate daemon: a door, a judge, a relay and a ledger in front of one read
//! replica. Modules in the order a connection meets them; `ARCHITECTURE.md` has the map.
pub mod server;
pub mod workers;

pub mod connection;

pub mod session;

pub mod replica;

pub mod console;

pub mod clock;
pub mod context;
pub mod daemon;
pub mod denials;
pub mod ending;
pub mod feeds;
pub mod identity;
pub mod idle;
pub mod ledger_watch;
pub mod log;
pub mod login_record;
pub mod metrics;
pub mod net_stream;
pub mod notices;
pub mod ops;
pub mod packet_stream;
pub mod panics;
pub mod patience;
pub mod recording;
pub mod registry;
pub mod reload;
pub mod replica_watch;
pub mod role_policy;
pub mod room;
pub mod shipping;
pub mod slices;
pub mod tls;
pub mod usage;

pub mod cli;
