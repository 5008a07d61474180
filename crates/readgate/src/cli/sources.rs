//! `readgate sources`: which addresses may connect, by which entry, and until when.
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use access::{Date, SourceEntry, SourceSet, Timestamp, UserStore, Users, day_of};
use clap::{Args, Subcommand};
use config::Config;

use super::activity::{Activity, Denials};
use super::{EXIT_CONFIG, EXIT_UNAVAILABLE, fail, say};
use crate::identity::Directory;

/// Which configuration is looked at.
#[derive(Debug, Args)]
pub(super) struct Where {
    /// Configuration file.
    #[arg(long, default_value = "/etc/readgate/proxy.toml")]
    config: PathBuf,
}

/// `readgate sources ...`
#[derive(Debug, Subcommand)]
pub(super) enum SourcesCommand {
    /// Say whether an address may connect to each listener, and by which entry. Exit code 1:
    /// to none.
    Check {
        /// The address.
        address: IpAddr,
        /// Ask for this user as well.
        #[arg(long)]
        user: Option<String>,
        #[command(flatten)]
        place: Where,
    },
    /// List all entries.
    List(Where),
    /// List the entries that end soon or have ended.
    Expiring {
        /// How soon.
        #[arg(long, default_value_t = 30)]
        days: u32,
        #[command(flatten)]
        place: Where,
    },
    /// Count the connections that were refused for their address, by network (/24, /48 with
    /// IPv6), most first.
    Denied {
        /// Over how many days.
        #[arg(long, default_value_t = 30)]
        days: u32,
        /// Ledger files, or folders of them; default: the ledger of the configuration.
        #[arg(long = "ledger")]
        ledgers: Vec<PathBuf>,
        #[command(flatten)]
        place: Where,
    },
}

/// Of the table of refused networks.
pub(super) const DENIED_COLUMNS: &[&str] = &["network", "refused", "last"];

/// The networks that were refused, most first.
pub(super) fn denied_rows(activity: &Activity) -> Vec<Vec<String>> {
    let mut denials: Vec<_> = activity.denials.iter().collect();
    denials.sort_by_key(|(_, denials)| std::cmp::Reverse(denials.count));
    let row = |(network, denials): (&ipnet::IpNet, &Denials)| {
        vec![network.to_string(), denials.count.to_string(), denials.last.clone()]
    };
    denials.into_iter().map(row).collect()
}

fn denied(config: &Config, ledgers: Vec<PathBuf>, days: u32) -> ExitCode {
    let given = if ledgers.is_empty() { vec![config.ledger.directory.clone()] } else { ledgers };
    let period = Duration::from_secs(u64::from(days) * 86_400);
    let since = Timestamp::now().checked_sub(period).unwrap_or(Timestamp::MIN);
    match Activity::read(&given, since) {
        Ok(activity) => {
            let lines = denied_rows(&activity).into_iter().map(|row| row.join("\t"));
            let lines = std::iter::once(DENIED_COLUMNS.join("\t")).chain(lines);
            say(&lines.collect::<Vec<_>>().join("\n"));
            ExitCode::SUCCESS
        }
        Err(error) => fail(EXIT_UNAVAILABLE, &format!("ledger: {error}")),
    }
}

impl SourcesCommand {
    /// Does it.
    pub(super) fn run(self) -> ExitCode {
        let (Self::Check { place, .. }
        | Self::List(place)
        | Self::Expiring { place, .. }
        | Self::Denied { place, .. }) = &self;
        let config = match Config::load(&place.config) {
            Ok((config, _)) => config,
            Err(error) => return fail(EXIT_CONFIG, &error.to_string()),
        };
        let today = day_of(Timestamp::now());
        match self {
            Self::Check { address, user: None, .. } => {
                answer(&check(&config, None, address, today))
            }
            Self::Check { address, user: Some(name), .. } => match users(&config) {
                Ok(users) => answer(&check(&config, Some((&users, &name)), address, today)),
                Err(why) => fail(EXIT_UNAVAILABLE, &why),
            },
            Self::List(_) => {
                say(&table(config.sources.entries().map(AsRef::as_ref)));
                ExitCode::SUCCESS
            }
            Self::Denied { days, ledgers, .. } => denied(&config, ledgers, days),
            Self::Expiring { days, .. } => {
                let period = Duration::from_secs(u64::from(days) * 86_400);
                let last = Timestamp::now().checked_add(period).map_or(Date::MAX, day_of);
                let ends = |entry: &&SourceEntry| entry.expires_on.is_some_and(|end| end <= last);
                say(&table(config.sources.entries().map(AsRef::as_ref).filter(ends)));
                ExitCode::SUCCESS
            }
        }
    }
}

fn users(config: &Config) -> Result<Users, String> {
    let directory = Directory::open(config).map_err(|error| error.to_string())?;
    let Some(directory) = directory else { return Ok(config.users.clone()) };
    let listed = directory.list(&config.users, &config.roles);
    listed.map(|listed| listed.users).map_err(|error| error.to_string())
}

fn answer(found: &[(bool, String)]) -> ExitCode {
    let lines: Vec<&str> = found.iter().map(|(_, line)| line.as_str()).collect();
    say(&lines.join("\n"));
    if found.iter().any(|(allowed, _)| *allowed) { ExitCode::SUCCESS } else { ExitCode::from(1) }
}

/// A line for each listener; for a user all of listener, role and user must agree.
fn check(
    config: &Config,
    user: Option<(&Users, &str)>,
    address: IpAddr,
    today: Date,
) -> Vec<(bool, String)> {
    let user = match user.map(|(users, name)| (users.find(name.as_bytes()), name)) {
        Some((None, name)) => return vec![(false, format!("refused: there is no user {name:?}"))],
        Some((Some(user), _)) => Some(user),
        None => None,
    };
    let of_user = user.iter().flat_map(|user| {
        let role = user.role.sources.as_ref().map(|set| (format!("role {}", user.role.name), set));
        let own = user.sources.as_ref().map(|set| (format!("user {}", user.name), set));
        role.into_iter().chain(own)
    });
    let of_user: Vec<(String, &SourceSet)> = of_user.collect();
    let of_listener = |listener: &config::Listener| {
        let first = (format!("listener {}", listener.name), &listener.sources);
        let mut by = Vec::new();
        for (asked, set) in std::iter::once(&first).chain(&of_user) {
            match config.sources.admit(set, address, today) {
                Ok(admitted) => by.push(format!("{asked} by {:?}", admitted.entry().name)),
                Err(denied) => return (false, format!("refused: {asked}: {denied}")),
            }
        }
        (true, format!("allowed: {}", by.join(", ")))
    };
    config.listeners.iter().map(of_listener).collect()
}

fn table<'e>(entries: impl Iterator<Item = &'e SourceEntry>) -> String {
    let mut lines = vec![String::from("name\tadded\texpires\towner\tticket\tnetworks\treason")];
    let day = |day: Option<Date>| day.map_or_else(|| String::from("-"), |day| day.to_string());
    for entry in entries {
        let networks: Vec<String> = entry.networks.iter().map(ToString::to_string).collect();
        lines.push(format!(
            "{}\t{}\t{}\t{}\t{}\t{}\t{}",
            entry.name,
            day(entry.added_on),
            day(entry.expires_on),
            entry.owner,
            entry.ticket.as_deref().unwrap_or("-"),
            networks.join(" "),
            entry.reason
        ));
    }
    lines.join("\n")
}
