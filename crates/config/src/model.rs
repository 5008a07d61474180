//! What a valid configuration is, as types.
mod feed;
mod ledger;
mod notice;
mod replica;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use access::{
    CredentialPolicy, LimitSettings, PasswordRules, Role, SourceNetworks, SourceSet,
    ThrottleSettings, Users,
};

pub use self::ledger::{LedgerConfig, RecordedText, Shipping};
use crate::error::Problem;
use crate::secret::{PasswordSource, SecretFile};
use crate::settings::Settings;
use crate::values::is_host;
pub use feed::{Deadline, Feed, FeedFiles, FeedPlace, FileForm, TimeOfDay, Weekday};
pub(crate) use notice::PLACEHOLDERS;
pub use notice::{Mail, MailTls, Notice, NoticeEvent, NoticeWay, Webhook, fill};
pub use replica::{
    Replica, ReplicaAccount, ReplicaCompression, ReplicaTls, RoleAccount, WhenBehind,
};

/// A whole, valid configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where clients connect. At least one.
    pub listeners: Vec<Listener>,
    /// All `[[source]]` entries, indexed; listeners and users name the ones they accept.
    pub sources: Arc<SourceNetworks>,
    /// All `[[user]]` entries.
    pub users: Users,
    /// All `[[role]]` entries and the built-in one; users hold theirs.
    pub roles: Vec<Arc<Role>>,
    /// A store of users beside this file, if any.
    pub identities: Option<Identities>,
    /// The life of stored users' credentials.
    pub credentials: CredentialPolicy,
    /// What new passwords are like.
    pub passwords: PasswordRules,
    /// The server that is read.
    pub replica: Replica,
    /// Deliveries that the replica's data comes with.
    pub feeds: Vec<Feed>,
    /// Who is told when something is wrong.
    pub notices: Vec<Notice>,
    /// What configuration adds to the judge's own rules.
    pub policy: sql_judge::Policy,
    /// Numbers and times.
    pub limits: Limits,
    /// What failed logins cost.
    pub throttle: ThrottleSettings,
    /// The audit ledger.
    pub ledger: LedgerConfig,
    /// Metrics and health over HTTP, if wanted.
    pub ops: Option<Ops>,
    /// When it is read again without being told.
    pub reload: Reload,
    /// Its keys and values as written, to say what a reload has changed; none unless it was
    /// read from a file.
    pub settings: Arc<Settings>,
    /// What is allowed and still worth a look, for the log.
    pub warnings: Vec<Problem>,
}

/// A socket that clients connect to.
#[derive(Debug, Clone)]
pub struct Listener {
    /// Unique name, in ledger and metrics.
    pub name: String,
    /// Address and port; port 0 lets the system choose.
    pub address: SocketAddr,
    /// The `[[source]]` entries that may use it.
    pub sources: SourceSet,
    /// Balancers, from which a PROXY header is mandatory.
    pub proxy_protocol_from: Vec<IpNet>,
    /// Its end of TLS.
    pub tls: ListenerTls,
}

/// A listener's certificate and whether clients must use it.
#[derive(Debug, Clone)]
pub struct ListenerTls {
    /// PEM, leaf first, then intermediates.
    pub certificate_file: PathBuf,
    /// PEM.
    pub private_key: SecretFile,
    /// `false`: clients may log in without TLS.
    pub required: bool,
    /// Client certificates; `None`: not asked for.
    pub clients: Option<ClientTls>,
}

/// Which client certificates a listener takes.
#[derive(Debug, Clone)]
pub struct ClientTls {
    /// PEM: authorities that sign them.
    pub ca_file: PathBuf,
    /// PEM: revocation lists.
    pub crl_file: Option<PathBuf>,
    /// `false`: clients may come without.
    pub required: bool,
    /// A user's certificate is proof enough, without password.
    pub suffices: bool,
}

/// A host, by name or address, and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    /// DNS name or IP address, without brackets.
    pub host: String,
    /// TCP port, never 0.
    pub port: u16,
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            return write!(f, "[{}]:{}", self.host, self.port);
        }
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Numbers and times that bound what clients can use up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections: all, per source, per user.
    pub connections: LimitSettings,
    /// From accept to the end of login.
    pub login_timeout: Duration,
    /// To connect and log in to the replica.
    pub replica_timeout: Duration,
    /// Between two commands.
    pub idle_timeout: Duration,
    /// How long a client may read nothing of what is sent to it.
    pub write_timeout: Duration,
    /// Longest statement, by the replica's own clock; `None`: no end.
    pub statement_timeout: Option<Duration>,
    /// Longest wait for a lock at the replica. Whole seconds.
    pub lock_wait_timeout: Duration,
    /// Largest command of a client, in bytes.
    pub max_payload: u32,
    /// Prepared statements of one session.
    pub prepared_statements: u32,
    /// Threads that connections live on; 0: one for each core.
    pub workers: u32,
    /// How long statements under way may take to end when the daemon stops.
    pub drain: Duration,
}

/// Something to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Over TLS.
    pub tls: bool,
    /// Host and port.
    pub address: HostPort,
    /// From the first slash on; `/` if there was none.
    pub path: String,
}

impl Endpoint {
    /// Reads `scheme://host[:port][/path]`; of the two schemes, each with its usual port, the
    /// second means TLS.
    pub(crate) fn parse(text: &str, schemes: [(&str, u16); 2]) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let found = schemes.iter().position(|(name, _)| *name == scheme)?;
        let (_, usual_port) = schemes.get(found)?;
        let (host_port, path) = match rest.find('/') {
            Some(at) => rest.split_at_checked(at)?,
            None => (rest, "/"),
        };
        let (host, port) = match host_port.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
            Some(_) | None => (host_port, *usual_port),
        };
        let host = host.strip_prefix('[').map_or(host, |inner| inner.trim_end_matches(']'));
        let is_plain = path.bytes().all(|byte| byte.is_ascii_graphic());
        let fits = port > 0 && is_host(host) && is_plain;
        let address = HostPort { host: host.to_owned(), port };
        fits.then(|| Self { tls: found == 1, address, path: path.to_owned() })
    }
}

/// Metrics and health over HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ops {
    /// Address and port; port 0 lets the system choose.
    pub address: SocketAddr,
    /// Password of the status page; `None`: it is for this machine alone.
    pub password_file: Option<SecretFile>,
    /// Whether named operators log in to the status page.
    pub operators: bool,
    /// Users with metrics of their own; the others count together.
    pub user_labels: u32,
}

/// When the configuration is read again without being told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reload {
    /// How often the files are looked at; `None`: never.
    pub watch: Option<Duration>,
}

/// A store of users.
#[derive(Debug, Clone)]
pub struct Identities {
    /// Where it is.
    pub place: IdentityPlace,
    /// How soon a change that another process makes must count.
    pub refresh: Duration,
    /// How long the store may be out of reach before its users can't log in any more.
    pub stale_after: Duration,
}

/// What a store of users is made of.
#[derive(Debug, Clone)]
pub enum IdentityPlace {
    /// An SQLite file.
    File(PathBuf),
    /// A MySQL or MariaDB that several nodes share.
    Shared(SharedStore),
}

/// A MySQL or MariaDB with the users of several nodes. Always spoken to over verified TLS.
#[derive(Debug, Clone)]
pub struct SharedStore {
    /// Account.
    pub user: String,
    /// Where it listens.
    pub address: HostPort,
    /// Schema of the tables.
    pub schema: String,
    /// DNS name or IP address that its certificate must be for.
    pub server_name: String,
    /// PEM, one or more CA certificates.
    pub ca_file: PathBuf,
    /// Where the account's password is.
    pub password_source: PasswordSource,
}
