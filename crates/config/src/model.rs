//! What a valid configuration is, as types.
mod feed;
mod notice;

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
use ledger::{LedgerSettings, Recipient, SyncPolicy};

use crate::error::Problem;
use crate::secret::{PasswordSource, SecretFile};
use crate::settings::Settings;
use crate::values::is_host;
pub use feed::{Deadline, Feed, FeedFiles, FeedPlace, FileForm, TimeOfDay, Weekday};
pub(crate) use notice::PLACEHOLDERS;
pub use notice::{Mail, MailTls, Notice, NoticeEvent, NoticeWay, Webhook, fill};

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

/// The server that is read.
#[derive(Debug, Clone)]
pub struct Replica {
    /// Name, in ledger and metrics.
    pub name: String,
    /// Where it listens.
    pub address: HostPort,
    /// Schema of sessions that name none.
    pub default_schema: Option<String>,
    /// No sessions while the shared account can do more than read.
    pub refuse_excess_rights: bool,
    /// No sessions while the replica is not read-only.
    pub refuse_writable: bool,
    /// Connections kept ready.
    pub warm_connections: u32,
    /// Most connections to it at a time.
    pub connections: u32,
    /// A client waits this long for one of them.
    pub longest_wait: Duration,
    /// A session without a command for this long lends its connection; `None`: never.
    pub share_idle: Option<Duration>,
    /// Compression of the way to it.
    pub compression: ReplicaCompression,
    /// How far behind its source it may be; `None`: any time.
    pub max_lag: Option<Duration>,
    /// What happens when it is further behind.
    pub when_behind: WhenBehind,
    /// Query for the seconds it is behind; `None`: replication itself is asked.
    pub heartbeat_query: Option<String>,
    /// How the way to it is protected.
    pub tls: ReplicaTls,
    /// The account that all sessions share whose role names no other.
    pub account: ReplicaAccount,
    /// Further accounts, for the roles that name them.
    pub role_accounts: Vec<RoleAccount>,
}

impl Replica {
    /// The names that a role may give as its account.
    pub(crate) fn role_account_names(&self) -> Vec<String> {
        self.role_accounts.iter().map(|account| account.name.clone()).collect()
    }
}

/// What happens when the replica is too far behind, or a delivery is not as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenBehind {
    /// Nothing but a metric.
    Serve,
    /// A warning in log, health and ledger.
    Warn,
    /// No logins and no statements.
    Refuse,
}

/// How the way to the replica is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplicaCompression {
    /// Not at all.
    None,
    /// The classic protocol's zlib.
    Zlib,
    /// zstd, MySQL 8.0.18 and later.
    Zstd,
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

/// How the way to the replica is protected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplicaTls {
    /// TLS, the certificate verified against a CA and a name.
    Verified {
        /// PEM, one or more CA certificates.
        ca_file: PathBuf,
        /// DNS name or IP address that the certificate must be for.
        server_name: String,
    },
    /// None. Anybody on the way can read data and act as the replica.
    InsecurePlaintext,
}

/// A shared account on the replica for the roles that name it.
#[derive(Debug, Clone)]
pub struct RoleAccount {
    /// Name in roles.
    pub name: String,
    /// The account.
    pub account: ReplicaAccount,
    /// Schema of its sessions whose client names none; `None`: the replica's.
    pub default_schema: Option<String>,
}

/// A shared account on the replica.
#[derive(Debug, Clone)]
pub struct ReplicaAccount {
    /// Its name.
    pub user: String,
    /// Where its password is.
    pub password_source: PasswordSource,
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

/// Where and how the audit ledger is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerConfig {
    /// Its folder.
    pub directory: PathBuf,
    /// Name of this node; `None`: the host's.
    pub node: Option<String>,
    /// When records are forced to the disk.
    pub sync: SyncPolicy,
    /// How statements stand in it.
    pub text: RecordedText,
    /// Whether a text that comes again may stand in an earlier record alone.
    pub text_by_reference: bool,
    /// Key of the hashes that stand for redacted values; needed where any are.
    pub redaction_key_file: PathBuf,
    /// Query or connection attribute that names the person a reporting tool acts for.
    pub asserted_user_attribute: Option<String>,
    /// Whether outcomes hold a hash of the answer.
    pub hash_results: bool,
    /// Size in bytes at which a file is closed.
    pub file_bytes: u64,
    /// Whether closed files are compressed.
    pub compress: bool,
    /// How long they may wait for it while many records come.
    pub compress_within: Duration,
    /// Whom closed files are encrypted to, if anybody.
    pub encrypt_to: Option<Recipient>,
    /// How old a file's last record may be before the file is removed; `None`: any age.
    pub keep_for: Option<Duration>,
    /// Where records and checkpoints are sent beside.
    pub shipping: Shipping,
    /// Files that get a copy of each checkpoint, beside the one in its folder.
    pub anchors: Vec<PathBuf>,
}

/// Where records and checkpoints are sent beside the ledger's own files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shipping {
    /// Records, one a line, to standard output.
    pub to_stdout: bool,
    /// Records, to a syslog receiver.
    pub syslog: Option<Endpoint>,
    /// Bytes of the longest message that this receiver takes.
    pub longest: usize,
    /// Checkpoints, by HTTP POST.
    pub anchor_webhook: Option<Endpoint>,
    /// PEM file of who signs the certificates of both. There if either is reached by TLS.
    pub ca_file: Option<PathBuf>,
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

/// Whether statements are recorded with the values in them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordedText {
    /// Roles without a rule of their own: values are replaced by keyed hashes.
    pub redacted: bool,
    /// Roles for which the opposite holds.
    pub except_roles: Vec<String>,
}

impl RecordedText {
    /// Whether values in the statements of a role's users are replaced.
    pub fn redacts(&self, role: &str) -> bool {
        self.redacted != self.except_roles.iter().any(|except| except == role)
    }

    /// Whether values of any role's users are replaced.
    pub fn redacts_any(&self) -> bool {
        self.redacted || !self.except_roles.is_empty()
    }
}

impl LedgerConfig {
    /// The ledger's settings on a host of that name.
    pub fn settings(&self, host_name: &str) -> LedgerSettings {
        let node = self.node.clone().unwrap_or_else(|| host_name.to_owned());
        let mut settings = LedgerSettings::new(self.directory.clone(), node);
        settings.sync = self.sync;
        settings.rotate_bytes = self.file_bytes;
        settings.compress = self.compress;
        settings.compress_within = self.compress_within;
        settings.encrypt_to = self.encrypt_to;
        settings.keep_for = self.keep_for;
        settings.anchors.extend(self.anchors.iter().cloned());
        settings.redaction_key_file =
            self.text.redacts_any().then(|| self.redaction_key_file.clone());
        settings
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
