//! What all connections share: the configuration in force, limits, replica, ledger,
//! registry, metrics.
mod doors;
mod fault;
mod ledger_settings;
mod live;
mod open_files;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use access::store::StoreError;
use access::{
    Blocked, ConnectionLimits, LoginThrottle, NamedUser, Password, Role, SharedBlock,
    SourceAdmitted, SourceDenied, Timestamp,
};
use arc_swap::ArcSwap;
use config::{Config, ConfigHash, LedgerConfig, Settings};
use ledger::{Event, Ledger};
use sql_judge::{Judge, ServerVersion};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::console::Console;
use crate::denials::Denials;
use crate::feeds::{self, Feeds};
use crate::identity::Directory;
use crate::identity::directory::{Listed, configured_alone, known_before};
use crate::identity::outbox::Outbox;
use crate::metrics::Metrics;
use crate::notices::Signals;
use crate::recording::within_deadline;
use crate::registry::Registry;
use crate::reload::kept::KeptFile;
use crate::replica::account::{Account, Accounts};
use crate::replica::configured;
use crate::replica::pool::Pool;
use crate::replica::seat::Seat;
use crate::replica_watch::{StandingWalls, WallPolicy};
use crate::role_policy::{Judges, RoleJudge};
use crate::room::Rooms;
use crate::session::aside::Turns;
use crate::shipping::{Shipping, Wanted};
use crate::usage::DailyBytes;
use crate::workers::{self, Workers};
pub use doors::DoorWay;
pub use fault::StartFault;
pub use live::{DoorPolicy, Live, SessionLimits};

/// A login waits this long for the store of users: shorter than any login may take, so that the
/// client is told.
const STORE_PATIENCE: Duration = Duration::from_secs(4);

/// Name and version, in the ledger's `start` records and `readgate version`.
pub const BUILD: &str = concat!("readgate ", env!("CARGO_PKG_VERSION"));

/// The daemon.
pub struct Daemon {
    live: ArcSwap<Live>,
    /// What it has started with: what a reload can't swap is as it was then.
    started: Arc<Settings>,
    /// Held by the one reload that is under way.
    pub(crate) reloading: tokio::sync::Mutex<()>,
    /// The one in force, for the next start to compare with.
    pub(crate) kept: KeptFile,
    /// Listeners, by name.
    pub doors: Vec<Arc<DoorWay>>,
    pub(crate) directory: Option<Directory>,
    /// Held from reading users to putting them in force: what was read first never counts last.
    listing: Mutex<()>,
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
    /// Places for looking at long texts beside them.
    pub long_texts: Turns,
    /// Room for large commands and prepared texts.
    pub rooms: Arc<Rooms>,
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
    /// One copy is held by each order to the replica to end a statement that is under way.
    kills: Arc<()>,
}

impl Daemon {
    /// Reads certificates and secrets, opens the ledger. Nothing listens yet.
    pub fn new(config: &Config, hash: &ConfigHash) -> Result<Arc<Self>, StartFault> {
        let doors = doors::opened(config)?;
        let count = usize::try_from(config.limits.workers).unwrap_or_default();
        let count = if count == 0 { workers::default_count() } else { count };
        let workers = Arc::new(Workers::start(count).map_err(StartFault::Workers)?);
        let pool = Pool::new(
            configured::target(config)?,
            configured::pool_settings(config),
            Arc::clone(&workers),
        );
        let directory = Directory::open(config)?;
        let listed = match &directory {
            Some(directory) => directory.list(&config.users, &config.roles)?,
            None => configured_alone(&config.users),
        };
        let live = Live::new(config, hash, listed);
        let wall_policy = WallPolicy::of(&config.replica);
        let ledger_settings = config.ledger.settings(&host_name());
        let ledger = Ledger::open(ledger_settings.clone())?;
        let daemon = Self {
            live: ArcSwap::from_pointee(live),
            started: Arc::clone(&config.settings),
            reloading: tokio::sync::Mutex::default(),
            kept: KeptFile::new(&ledger_settings),
            directory,
            listing: Mutex::default(),
            outbox: Arc::new(Outbox::new(config.ledger.directory.clone()).into()),
            doors,
            limits: ConnectionLimits::new(open_files::within(config)),
            throttle: LoginThrottle::new(config.throttle),
            denials: Denials::default(),
            shipping: Shipping::new(&ledger, &ledger_settings),
            ledger,
            ledger_began: config.ledger.clone(),
            metrics: Metrics::new()?,
            registry: Arc::default(),
            long_texts: Turns::for_workers(workers.count()),
            rooms: Arc::default(),
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
            kills: Arc::default(),
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
        let fresh = doors::opened(config)?;
        let accounts = Accounts::read(&config.replica)?;
        let connector = configured::connector(config)?;
        let shipping = Wanted::by(&config.ledger)?;
        let _alone = self.alone_with_users();
        let mut live = Live::new(config, hash, self.listed(config));
        live.pending = config.settings.pending(&self.started).into();
        self.ledger.put_in_force(ledger_settings::at_reload(&config.ledger, &self.ledger_began))?;
        self.shipping.put_in_force(shipping);
        for door in &self.doors {
            if let Some(new) = fresh.iter().find(|new| new.name == door.name) {
                door.take_over(new);
            }
        }
        self.limits.set(open_files::within(config));
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
        feeds::put_in_force(self);
        self.judges.forget();
        self.look_at_walls.notify_one();
        self.validities_changed.notify_one();
        Ok(())
    }

    /// All users by a configuration that is read while the daemon runs. Nobody whom it takes something
    /// from keeps that because the identity store doesn't answer.
    fn listed(&self, config: &Config) -> Listed {
        let Some(directory) = &self.directory else { return configured_alone(&config.users) };
        directory.list(&config.users, &config.roles).unwrap_or_else(|error| {
            tracing::error!(%error, "the stored users known before go on counting");
            known_before(&config.users, self.live().stored(), &config.roles)
        })
    }

    fn alone_with_users(&self) -> MutexGuard<'_, ()> {
        self.listing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over what has changed in the identity store. True if users are not those of
    /// before. Blocks.
    pub fn take_changes(&self) -> Result<bool, StoreError> {
        let Some(directory) = &self.directory else { return Ok(false) };
        let _alone = self.alone_with_users();
        let live = self.live();
        let news = directory.news(live.revision, &live.configured, &live.roles)?;
        let Some((users, revision)) = news.map(Listed::told) else { return Ok(false) };
        self.live.store(Arc::new(live.with_users(users, revision)));
        self.judges.forget();
        self.validities_changed.notify_one();
        Ok(true)
    }

    /// Learns what other nodes block. Blocks.
    pub fn take_blocks(&self) -> Result<(), StoreError> {
        let Some(directory) = &self.directory else { return Ok(()) };
        let now = Timestamp::now();
        for block in directory.blocks(now)? {
            self.throttle.learn(&block, now, Instant::now());
        }
        Ok(())
    }

    /// Counts a connection that is refused for its address, and logs it now and then.
    pub fn note_denial(&self, denied: &SourceDenied) {
        let address = denied.addr;
        let noted = self.denials.note(address, Instant::now());
        self.metrics.source_denied(&noted.label);
        self.signals.note_denial();
        if let Some(count) = noted.to_log {
            let network = noted.label;
            tracing::warn!(network, count, %address, "connections refused: {denied}");
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

    /// Records an event that nobody's answer depends on. If it can't be recorded, false, the
    /// ledger counts as failed, which `/readyz` and the next statement show.
    pub async fn record(&self, event: &Event<'_>) -> bool {
        let recorded = within_deadline(self.ledger.event(event)).await;
        if let Err(why) = &recorded {
            self.metrics.ledger_fault();
            tracing::error!(why, "an event could not be recorded");
        }
        recorded.is_ok()
    }

    /// Ends a statement on the replica whose client is gone, without waiting for it.
    pub fn kill_later(self: &Arc<Self>, account: &Arc<Account>, seat: &Seat) {
        let (daemon, account, seat) = (Arc::clone(self), Arc::clone(account), seat.clone());
        let under_way = Arc::clone(&self.kills);
        tokio::spawn(async move {
            if let Err(fault) = daemon.pool.end(&account, &seat).await {
                tracing::warn!(replica_session = seat.id, %fault, "a statement could not be ended");
            }
            drop(under_way);
        });
    }

    /// Whether the replica is still being told to end statements.
    pub fn kills(&self) -> bool {
        Arc::strong_count(&self.kills) > 1
    }
}

/// The host's name.
pub fn host_name() -> String {
    let name = rustix::system::uname();
    name.nodename().to_string_lossy().into_owned()
}
