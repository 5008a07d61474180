//! `readgate sources`: which addresses may connect, by which entry, and until when.
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use access::{Date, SourceEntry, SourceSet, Timestamp, UserStore, Users, day_of};
use clap::{Args, Subcommand};
use config::Config;
use ipnet::IpNet;

use super::activity::{Activity, Denials, LACKS_FILES};
use super::{EXIT_CONFIG, EXIT_UNAVAILABLE, fail, json, note, say};
use crate::identity::Directory;

/// Which configuration is looked at.
#[derive(Debug, Args)]
pub(super) struct Where {
    /// Configuration file.
    #[arg(long, default_value = "/etc/readgate/proxy.toml")]
    config: PathBuf,
    /// Print JSON, one value a line.
    #[arg(long)]
    json: bool,
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
fn most_denied(activity: &Activity) -> Vec<(&IpNet, &Denials)> {
    let mut denials: Vec<_> = activity.denials.iter().collect();
    denials.sort_by_key(|(_, denials)| std::cmp::Reverse(denials.count));
    denials
}

/// The same as a table.
pub(super) fn denied_rows(activity: &Activity) -> Vec<Vec<String>> {
    let row = |(network, denials): (&IpNet, &Denials)| {
        vec![network.to_string(), denials.count.to_string(), denials.last.clone()]
    };
    most_denied(activity).into_iter().map(row).collect()
}

fn denied(config: &Config, ledgers: Vec<PathBuf>, days: u32, as_json: bool) -> ExitCode {
    let given = if ledgers.is_empty() { vec![config.ledger.directory.clone()] } else { ledgers };
    let period = Duration::from_secs(u64::from(days) * 86_400);
    let since = Timestamp::now().checked_sub(period).unwrap_or(Timestamp::MIN);
    let activity = Activity::read(&given, since);
    if activity.as_ref().is_ok_and(|activity| activity.lacks_files) {
        note(LACKS_FILES);
    }
    match activity {
        Ok(activity) if as_json => {
            let row = |(network, denials): (&IpNet, &Denials)| {
                serde_json::json!({
                    "network": network.to_string(),
                    "refused": denials.count,
                    "last": denials.last,
                })
            };
            print(&json::lines(most_denied(&activity).into_iter().map(row)));
            ExitCode::SUCCESS
        }
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
        let (today, as_json) = (day_of(Timestamp::now()), place.json);
        match self {
            Self::Check { address, user: None, .. } => {
                answer(&check(&config, None, address, today), as_json)
            }
            Self::Check { address, user: Some(name), .. } => match users(&config) {
                Ok(users) => {
                    answer(&check(&config, Some((&users, &name)), address, today), as_json)
                }
                Err(why) => fail(EXIT_UNAVAILABLE, &why),
            },
            Self::List(_) => {
                print(&listed(config.sources.entries().map(AsRef::as_ref), as_json));
                ExitCode::SUCCESS
            }
            Self::Denied { days, ledgers, .. } => denied(&config, ledgers, days, as_json),
            Self::Expiring { days, .. } => {
                let period = Duration::from_secs(u64::from(days) * 86_400);
                let last = Timestamp::now().checked_add(period).map_or(Date::MAX, day_of);
                let ends = |entry: &&SourceEntry| entry.expires_on.is_some_and(|end| end <= last);
                print(&listed(config.sources.entries().map(AsRef::as_ref).filter(ends), as_json));
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

fn answer(found: &[Answer], as_json: bool) -> ExitCode {
    let text = |one: &Answer| match one.allowed {
        true => format!("allowed: {}", one.why),
        false => format!("refused: {}", one.why),
    };
    let value = |one: &Answer| serde_json::json!({ "listener": one.listener, "allowed": one.allowed, "why": one.why });
    match as_json {
        true => print(&json::lines(found.iter().map(value))),
        false => say(&found.iter().map(text).collect::<Vec<_>>().join("\n")),
    }
    if found.iter().any(|one| one.allowed) { ExitCode::SUCCESS } else { ExitCode::from(1) }
}

/// Whether a listener lets an address in.
struct Answer {
    /// Its name; `None` if no listener would matter.
    listener: Option<String>,
    allowed: bool,
    /// By which entries, or why not.
    why: String,
}

/// One for each listener; for a user all of listener, role and user must agree.
fn check(
    config: &Config,
    user: Option<(&Users, &str)>,
    address: IpAddr,
    today: Date,
) -> Vec<Answer> {
    let user = match user.map(|(users, name)| (users.find(name.as_bytes()), name)) {
        Some((None, name)) => {
            let why = format!("there is no user {name:?}");
            return vec![Answer { listener: None, allowed: false, why }];
        }
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
        let (name, mut by) = (listener.name.clone(), Vec::new());
        for (asked, set) in std::iter::once(&first).chain(&of_user) {
            match config.sources.admit(set, address, today) {
                Ok(admitted) => by.push(format!("{asked} by {:?}", admitted.entry().name)),
                Err(denied) => {
                    let (listener, why) = (Some(name), format!("{asked}: {denied}"));
                    return Answer { listener, allowed: false, why };
                }
            }
        }
        Answer { listener: Some(name), allowed: true, why: by.join(", ") }
    };
    config.listeners.iter().map(of_listener).collect()
}

/// Of nothing there is no line.
fn print(text: &str) {
    if !text.is_empty() {
        say(text);
    }
}

fn listed<'e>(entries: impl Iterator<Item = &'e SourceEntry>, as_json: bool) -> String {
    if as_json { json::lines(entries.map(json::source)) } else { table(entries) }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_network_that_was_refused_most_comes_first() {
        let mut activity = Activity::default();
        for (network, count) in [("192.0.2.0/24", 1), ("198.51.100.0/24", 9), ("10.0.0.0/8", 4)] {
            let denials = Denials { count, ..Denials::default() };
            activity.denials.insert(network.parse().unwrap(), denials);
        }
        let counts: Vec<u64> = most_denied(&activity).iter().map(|(_, one)| one.count).collect();
        assert_eq!(counts, [9, 4, 1]);
    }
}
