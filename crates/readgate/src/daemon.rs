//! What all connections share: the configuration in force, limits, replica, ledger,
//! registry, metrics.
mod fault;
mod ledger_settings;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use access::store::StoreError;
use access::{
    Blocked, ConnectionLimits, CredentialPolicy, Endings, LoginThrottle, NamedUser, Password,
    PasswordRules, Role, RoleLimits, SharedBlock, SourceAdmitted, SourceNetworks, SourceSet,
    Timestamp, UserName, UserStore, Users,
};
use arc_swap::ArcSwap;
use config::{Config, ConfigHash, Feed, LedgerConfig, Notice, Settings};
use ipnet::IpNet;
use ledger::{Event, Ledger};
use sql_judge::{Judge, Policy, ServerVersion};
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::console::Console;
use crate::denials::Denials;
use crate::feeds::{self, Feeds};
use crate::identity::Directory;
use crate::identity::directory::{Listed, configured_alone};
use crate::identity::outbox::Outbox;
use crate::metrics::Metrics;
use crate::notices::Signals;
use crate::recording::{RecordPolicy, within_deadline};
use crate::registry::Registry;
use crate::replica::account::{Account, Accounts};
use crate::replica::configured;
use crate::replica::pool::Pool;
use crate::replica_watch::{StandingWalls, WallPolicy};
use crate::role_policy;
use crate::role_policy::{Judges, RoleJudge};
use crate::shipping::{Shipping, Wanted};
use crate::tls;
use crate::usage::DailyBytes;
use crate::workers::{self, Workers};
pub use fault::StartFault;

/// A login waits this long for the store of users: shorter than any login may take, so that the
/// client is told.
const STORE_PATIENCE: Duration = Duration::from_secs(4);

/// Version and commit, in the ledger's records and `readgate version`.
pub const BUILD: &str = concat!("readgate ", env!("CARGO_PKG_VERSION"));

/// The part of the configuration that a reload swaps.
#[derive(Clone)]
pub struct Live {
    /// Listed networks.
    pub sources: Arc<SourceNetworks>,
    /// Named users, of the configuration and the identity store.
    pub users: Users,
    /// Revision of the identity store that they are of.
    revision: u64,
    configured: Users,
    pub(crate) roles: Vec<Arc<Role>>,
    doors: HashMap<String, DoorPolicy>,
    /// Deadline from accept to the end of login.
    pub login_timeout: Duration,
    /// What statements under way get when readgate stops.
    pub drain: Duration,
    /// Limits of a session.
    pub session_limits: SessionLimits,
    /// How statements are recorded.
    pub records: RecordPolicy,
    /// Who is told when something is wrong.
    pub notices: Arc<[Arc<Notice>]>,
    /// Deliveries that are watched.
    pub feeds: Arc<[Arc<Feed>]>,
    policy: Policy,
    credentials: CredentialPolicy,
    /// What new passwords are like, and whether users may choose theirs.
    pub passwords: PasswordRules,
    /// SHA-256 of the file, hex.
    pub config_hash: String,
    /// Its keys and values, to say what a reload changes.
    pub settings: Arc<Settings>,
    /// Of these, the keys that don't count before the next start.
    pub pending: Arc<[String]>,
}

/// What a listener accepts.
#[derive(Clone)]
pub struct DoorPolicy {
    /// Names of source entries.
    pub sources: SourceSet,
    /// Networks of balancers.
    pub balancers: Vec<IpNet>,
    /// A user's client certificate is proof enough.
    pub certificate_suffices: bool,
}

/// Limits that a session keeps from its start.
#[derive(Debug, Clone)]
pub struct SessionLimits {
    /// Between two commands.
    pub idle_timeout: Duration,
    /// For a client that reads nothing at all.
    pub write_timeout: Duration,
    /// Largest command, in bytes.
    pub max_payload: usize,
    /// Prepared statements at a time.
    pub prepared_statements: usize,
}

impl SessionLimits {
    /// With a shorter idle timeout, where a role has one.
    pub fn narrowed(&self, role: &RoleLimits) -> Self {
        let idle_timeout = role.idle_timeout.unwrap_or(self.idle_timeout).min(self.idle_timeout);
        Self { idle_timeout, ..self.clone() }
    }
}

/// A listener: its name and its TLS, which a reload may swap.
pub struct DoorWay {
    /// Name in config, ledger and metrics.
    pub name: String,
    acceptor: ArcSwap<TlsAcceptor>,
    required: AtomicBool,
}

impl DoorWay {
    /// TLS with the certificate in force.
    pub fn acceptor(&self) -> Option<TlsAcceptor> {
        Some(TlsAcceptor::clone(&self.acceptor.load()))
    }

    /// Whether a client that won't use TLS is refused.
    pub fn requires_tls(&self) -> bool {
        self.required.load(Ordering::Relaxed)
    }
}

/// The daemon.
pub struct Daemon {
    live: ArcSwap<Live>,
    /// What it has started with: what a reload can't swap is as it was then.
    started: Arc<Settings>,
    /// Held by the one reload that is under way.
    pub(crate) reloading: tokio::sync::Mutex<()>,
    /// Listeners, by name.
    pub doors: Vec<Arc<DoorWay>>,
    pub(crate) directory: Option<Directory>,
    /// What of its changes the ledger holds; one round at a time.
    pub(crate) outbox: Arc<tokio::sync::Mutex<Outbox>>,
    /// Connection counters.
    pub limits: ConnectionLimits,
    /// What failed logins cost.
    pub throttle: LoginThrottle,
    denials: Denials,
    /// The audit ledger.
    pub ledger: Ledger,
    /// Copies of it on their way elsewhere.
    pub shipping: Shipping,
    /// Its configuration at the start.
    ledger_began: LedgerConfig,
    /// Counters.
    pub metrics: Metrics,
    /// Sessions at this moment.
    pub registry: Arc<Registry>,
    /// The threads that connections live on.
    pub workers: Arc<Workers>,
    /// The replica, and warm connections to it.
    pub pool: Arc<Pool>,
    /// What config says about the walls behind the judge, and how they stand.
    pub wall_policy: WallPolicy,
    /// The walls as last seen.
    pub walls: StandingWalls,
    /// Something has changed that the walls should be looked at for.
    pub look_at_walls: Notify,
    /// Users or sources have changed, and with them when validities end.
    pub validities_changed: Notify,
    /// What notices are made of and nothing else remembers.
    pub signals: Signals,
    /// How deliveries stand.
    pub feeds: Feeds,
    /// Bytes that users have read today.
    pub usage: DailyBytes,
    /// What operators can ask of it.
    pub console: Console,
    /// The judges of roles.
    pub judges: Judges,
}

impl Daemon {
    /// Reads certificates and secrets, opens the ledger. Nothing listens yet.
    pub fn new(config: &Config, hash: &ConfigHash) -> Result<Arc<Self>, StartFault> {
        let doors = doors(config)?;
        let count = usize::try_from(config.limits.workers).unwrap_or_default();
        let count = if count == 0 { workers::default_count() } else { count };
        let workers = Arc::new(Workers::start(count).map_err(StartFault::Workers)?);
        let pool = Pool::new(
            configured::target(config)?,
            configured::pool_settings(config),
            Arc::clone(&workers),
        );
        let directory = Directory::open(config)?;
        let live = Live::new(config, hash, directory.as_ref())?;
        let wall_policy = WallPolicy::of(&config.replica);
        let ledger_settings = config.ledger.settings(&host_name());
        let ledger = Ledger::open(ledger_settings.clone())?;
        let daemon = Self {
            live: ArcSwap::from_pointee(live),
            started: Arc::clone(&config.settings),
            reloading: tokio::sync::Mutex::default(),
            directory,
            outbox: Arc::new(Outbox::new(config.ledger.directory.clone()).into()),
            doors,
            limits: ConnectionLimits::new(config.limits.connections),
            throttle: LoginThrottle::new(config.throttle),
            denials: Denials::default(),
            shipping: Shipping::new(&ledger, &ledger_settings),
            ledger,
            ledger_began: config.ledger.clone(),
            metrics: Metrics::new()?,
            registry: Arc::default(),
            workers,
            pool,
            walls: StandingWalls::unseen(&wall_policy),
            wall_policy,
            look_at_walls: Notify::new(),
            validities_changed: Notify::new(),
            feeds: Feeds::default(),
            signals: Signals::default(),
            usage: DailyBytes::wanted_by(config).map_err(StartFault::Usage)?,
            console: Console::default(),
            judges: Judges::default(),
        };
        feeds::put_in_force(&daemon);
        Ok(Arc::new(daemon))
    }

    /// The configuration in force at this moment.
    pub fn live(&self) -> Arc<Live> {
        self.live.load_full()
    }

    /// Puts the reloadable part of a valid configuration in force: what can fail first, so that a
    /// bad one leaves everything as it was. The ledger goes before sessions: where they redact, it
    /// has the key.
    pub fn put_in_force(&self, config: &Config, hash: &ConfigHash) -> Result<(), StartFault> {
        let fresh = doors(config)?;
        let accounts = Accounts::read(&config.replica)?;
        let connector = configured::connector(config)?;
        let pending = config.settings.pending(&self.started).into();
        let live = Live { pending, ..Live::new(config, hash, self.directory.as_ref())? };
        let shipping = Wanted::by(&config.ledger)?;
        self.ledger.put_in_force(ledger_settings::at_reload(&config.ledger, &self.ledger_began))?;
        self.shipping.put_in_force(shipping);
        for door in &self.doors {
            if let Some(new) = fresh.iter().find(|new| new.name == door.name) {
                door.acceptor.store(new.acceptor.load_full());
                door.required.store(new.requires_tls(), Ordering::Relaxed);
            }
        }
        self.limits.set(config.limits.connections);
        self.throttle.set(config.throttle);
        if let Some(directory) = &self.directory {
            directory.set_policy(config.credentials);
        }
        if let Some((trust, connector)) = self.pool.target.tls.as_ref().zip(connector) {
            trust.connector.store(connector);
        }
        self.pool.target.accounts.store(Arc::new(accounts));
        self.pool.target.bounds.store(Arc::new(configured::bounds(&config.limits)));
        self.live.store(Arc::new(live));
        self.judges.forget();
        self.look_at_walls.notify_one();
        self.validities_changed.notify_one();
        Ok(())
    }

    /// Takes over what has changed in the identity store. True if users are not those of
    /// before. Blocks.
    pub fn take_changes(&self) -> Result<bool, StoreError> {
        let Some(directory) = &self.directory else { return Ok(false) };
        let live = self.live();
        let mut users_changed = false;
        if directory.revision()? != live.revision {
            let Listed { users, revision, unusable } =
                directory.list(&live.configured, &live.roles)?;
            for unusable in unusable {
                tracing::warn!(%unusable, "a stored user can't log in");
            }
            // Where a reload came between, the next look decides.
            let fresh = Arc::new(Live { users, revision, ..Live::clone(&live) });
            self.live.compare_and_swap(&live, fresh);
            self.judges.forget();
            self.validities_changed.notify_one();
            users_changed = true;
        }
        let now = Timestamp::now();
        for block in directory.blocks(now)? {
            self.throttle.learn(&block, now, Instant::now());
        }
        Ok(users_changed)
    }

    /// Counts a connection that is refused for its address, and logs it now and then.
    pub fn note_denial(&self, address: IpAddr) {
        let noted = self.denials.note(address, Instant::now());
        self.metrics.source_denied(&noted.label);
        self.signals.note_denial();
        if let Some(count) = noted.to_log {
            let network = noted.label;
            tracing::warn!(network, count, %address, "connections refused: source not listed");
        }
    }

    /// Tells the other nodes of a block, without waiting for it.
    pub fn share_block(self: &Arc<Self>, source: &SourceAdmitted, user: &[u8], blocked: Blocked) {
        if self.directory.is_none() {
            return;
        }
        let now = Timestamp::now();
        let (daemon, block) = (Arc::clone(self), SharedBlock::new(source, user, blocked, now));
        tokio::task::spawn_blocking(move || {
            let shared = daemon.directory.as_ref().map(|directory| directory.block(&block, now));
            if let Some(Err(error)) = shared {
                tracing::warn!(%error, "the other nodes could not be told of a block");
            }
        });
    }

    /// What the identity store has to say to a login: a stored user's needs one that answers,
    /// and a first one is noted there as the credential's collection.
    pub async fn confirm(self: &Arc<Self>, named: &NamedUser) -> Result<(), String> {
        let Some(directory) = &self.directory else { return Ok(()) };
        if !self.live().is_stored(&named.user().name) {
            return Ok(());
        }
        if directory.is_stale() {
            return Err(String::from("the identity store has been out of reach for too long"));
        }
        if !named.collects_credential() {
            return Ok(());
        }
        let (daemon, named) = (Arc::clone(self), named.clone());
        let collected = tokio::task::spawn_blocking(move || match &daemon.directory {
            Some(directory) => directory.collect(&named, Timestamp::now()),
            None => Ok(()),
        });
        match timeout(STORE_PATIENCE, collected).await {
            Ok(Ok(result)) => result.map_err(|error| error.to_string()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(String::from("the identity store does not answer in time")),
        }
    }

    /// A stored user chooses a password. Blocks.
    pub fn choose(&self, named: &NamedUser, password: Password) -> Result<(), StoreError> {
        match &self.directory {
            Some(directory) => directory.choose(named, password, Timestamp::now()),
            None => Ok(()),
        }
    }

    /// The judge for a replica of that version, under the policy in force for a role.
    pub fn judge(&self, version: ServerVersion, role: &Role) -> RoleJudge {
        self.judges.of(version, role, || {
            // The role as it is now: the one at hand may be of before a reload.
            let live = self.live();
            let role = live.roles.iter().find(|now| now.name == role.name).map_or(role, |r| r);
            let guard = self.pool.target.guard(role.limits.statement_timeout);
            Judge::new(version, live.policy_of(role)).with_limits(guard.limits())
        })
    }

    /// Records an event that nobody's answer depends on. If it can't be recorded the
    /// ledger counts as failed, which `/readyz` and the next statement show.
    pub async fn record(&self, event: &Event<'_>) {
        if let Err(why) = within_deadline(self.ledger.event(event)).await {
            self.metrics.ledger_fault();
            tracing::error!(why, "an event could not be recorded");
        }
    }

    /// Ends a statement on the replica whose client is gone, without waiting for it.
    pub fn kill_later(self: &Arc<Self>, account: &Arc<Account>, replica_session: u32) {
        let (daemon, account) = (Arc::clone(self), Arc::clone(account));
        tokio::spawn(async move {
            if let Err(fault) = daemon.pool.kill(&account, replica_session, false).await {
                tracing::warn!(replica_session, %fault, "a statement could not be ended");
            }
        });
    }
}

impl Live {
    fn new(
        config: &Config,
        hash: &ConfigHash,
        directory: Option<&Directory>,
    ) -> Result<Self, StoreError> {
        let Listed { users, revision, .. } = match directory {
            Some(directory) => directory.list(&config.users, &config.roles)?,
            None => configured_alone(&config.users),
        };
        let doors = config.listeners.iter().map(|listener| {
            let sources = listener.sources.clone();
            let balancers = listener.proxy_protocol_from.clone();
            let certificate_suffices = listener.tls.clients.as_ref().is_some_and(|c| c.suffices);
            (listener.name.clone(), DoorPolicy { sources, balancers, certificate_suffices })
        });
        let limits = &config.limits;
        Ok(Self {
            sources: Arc::clone(&config.sources),
            users,
            revision,
            configured: config.users.clone(),
            roles: config.roles.clone(),
            doors: doors.collect(),
            login_timeout: limits.login_timeout,
            drain: limits.drain,
            session_limits: SessionLimits {
                idle_timeout: limits.idle_timeout,
                write_timeout: limits.write_timeout,
                max_payload: usize::try_from(limits.max_payload).unwrap_or(usize::MAX),
                prepared_statements: usize::try_from(limits.prepared_statements)
                    .unwrap_or(usize::MAX),
            },
            records: RecordPolicy::new(&config.ledger),
            notices: config.notices.iter().cloned().map(Arc::new).collect(),
            feeds: config.feeds.iter().cloned().map(Arc::new).collect(),
            policy: config.policy.clone(),
            credentials: config.credentials,
            passwords: config.passwords,
            config_hash: hash.as_str().to_owned(),
            settings: Arc::clone(&config.settings),
            pending: Arc::default(),
        })
    }

    /// What a role's users may have judged a read.
    pub fn policy_of(&self, role: &Role) -> Policy {
        role_policy::of(&self.policy, role)
    }

    /// Whether stored functions or routines are allowed, so that the account needs EXECUTE.
    pub fn calls_routines(&self) -> bool {
        let is_stored = |name: &String| name.contains('.');
        self.policy.allowed_functions.iter().any(is_stored)
            || !self.policy.allowed_calls.is_empty()
            || self
                .roles
                .iter()
                .any(|role| role.functions.iter().any(is_stored) || !role.calls.is_empty())
    }

    /// What ends soon, or has ended and is still listed.
    pub fn endings(&self) -> Endings {
        let users = self.users.iter().map(AsRef::as_ref);
        Endings::count(users, &self.sources, &self.credentials, Timestamp::now())
    }

    /// The next moment at which somebody's validity ends by itself.
    pub fn next_end(&self, now: Timestamp) -> Option<Timestamp> {
        access::next_end(self.users.iter().map(AsRef::as_ref), &self.sources, now)
    }

    /// Whether a user is kept in the identity store.
    pub fn is_stored(&self, user: &UserName) -> bool {
        self.configured.find(user.as_str().as_bytes()).is_none()
    }

    /// What the listener of that name accepts.
    pub fn door(&self, name: &str) -> Option<&DoorPolicy> {
        self.doors.get(name)
    }
}

fn doors(config: &Config) -> Result<Vec<Arc<DoorWay>>, StartFault> {
    let open = |listener: &config::Listener| {
        let tls = &listener.tls;
        let acceptor = tls::acceptor(tls, &tls.private_key.read()?)?;
        Ok(Arc::new(DoorWay {
            name: listener.name.clone(),
            acceptor: ArcSwap::from_pointee(acceptor),
            required: AtomicBool::new(tls.required),
        }))
    };
    config.listeners.iter().map(open).collect()
}

/// The host's name.
pub fn host_name() -> String {
    let name = rustix::system::uname();
    name.nodename().to_string_lossy().into_owned()
}
