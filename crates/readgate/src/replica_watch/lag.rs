//! How far the replica is behind its source: by a query of the operator's, as Aurora says
//! it, or as replication itself says it.
use sql_judge::Flavour;

use crate::replica::text_query::{self, NamedAnswer, QueryFault, TextRow};
use crate::replica::{ReplicaFault, ReplicaSession, ReplicaTarget};
use mysql_wire::error_code::{ER_PARSE_ERROR, ER_UNKNOWN_SYSTEM_VARIABLE, ER_UNKNOWN_TABLE};

/// What Aurora's readers know of themselves (documentation of Aurora MySQL,
/// `information_schema.replica_host_status`). Error 1193 elsewhere.
const AURORA: &str = "SELECT MAX(replica_lag_in_milliseconds) / 1000 \
    FROM information_schema.replica_host_status \
    WHERE server_id = @@aurora_server_id AND session_id <> 'MASTER_SESSION_ID'";
/// What servers answer that are not Aurora.
const NOT_AURORA: [u16; 2] = [ER_UNKNOWN_SYSTEM_VARIABLE, ER_UNKNOWN_TABLE];
/// Seconds by which the clocks of source and replica may differ.
const CLOCKS: f64 = 60.0;
/// What the number is called, by age of the server.
const COLUMNS: [&str; 2] = ["Seconds_Behind_Source", "Seconds_Behind_Master"];

/// How far behind.
#[derive(Debug, Clone, PartialEq)]
pub enum Lag {
    /// So many seconds.
    Seconds(f64),
    /// Nobody knows, and why.
    Unknown(String),
}

impl Lag {
    /// The seconds, if known.
    pub fn seconds(&self) -> Option<f64> {
        match self {
            Self::Seconds(seconds) => Some(*seconds),
            Self::Unknown(_) => None,
        }
    }
}

/// Asks the replica, in a session of readgate's own, which is as guarded as a user's.
pub async fn ask(
    target: &ReplicaTarget,
    session: &mut ReplicaSession,
    heartbeat: Option<&str>,
) -> Result<Lag, ReplicaFault> {
    let answered = target.within_deadline(async {
        Ok(match heartbeat {
            Some(query) => by_query(session, query).await,
            None => by_replication(session).await,
        })
    });
    match answered.await? {
        Ok(lag) => Ok(lag),
        Err(QueryFault::Replica(err)) => {
            Ok(Lag::Unknown(format!("error {} when asked for it", err.code)))
        }
        Err(QueryFault::Stream(fault)) => Err(fault.into()),
    }
}

async fn by_query(session: &mut ReplicaSession, query: &str) -> Result<Lag, QueryFault> {
    let rows = text_query::run(&mut session.channel, query).await?;
    Ok(match rows.as_slice() {
        [row] => of_heartbeat(number(row.first())),
        _ => Lag::Unknown("the query's answer is not one row".to_owned()),
    })
}

async fn by_replication(session: &mut ReplicaSession) -> Result<Lag, QueryFault> {
    if session.version.flavour == Flavour::MySql {
        match text_query::run(&mut session.channel, AURORA).await {
            Ok(rows) => return Ok(of_aurora(&rows)),
            Err(QueryFault::Replica(err)) if NOT_AURORA.contains(&err.code) => {}
            Err(fault) => return Err(fault),
        }
    }
    match text_query::run_named(&mut session.channel, "SHOW REPLICA STATUS").await {
        // It doesn't know the newer name.
        Err(QueryFault::Replica(err)) if err.code == ER_PARSE_ERROR => {
            Ok(of_status(&text_query::run_named(&mut session.channel, "SHOW SLAVE STATUS").await?))
        }
        answer => Ok(of_status(&answer?)),
    }
}

/// A heartbeat that has yet to be is by another clock, which hides as much of the lag.
fn of_heartbeat(answer: Option<f64>) -> Lag {
    match answer {
        None => Lag::Unknown("the query's answer is no number".to_owned()),
        Some(seconds) if seconds < -CLOCKS => {
            Lag::Unknown("the query's answer lies in the future".to_owned())
        }
        Some(seconds) => Lag::Seconds(seconds.max(0.0)),
    }
}

fn of_aurora(rows: &[TextRow]) -> Lag {
    let lag = rows.first().and_then(|row| number(row.first()));
    lag.map_or_else(|| Lag::Unknown("Aurora does not say it".to_owned()), Lag::Seconds)
}

/// Of several channels the slowest counts; one that stands still makes the lag unknown.
fn of_status((columns, rows): &NamedAnswer) -> Lag {
    let unknown = |why: &str| Lag::Unknown(why.to_owned());
    if rows.is_empty() {
        return unknown("the server is no replica; replica.heartbeat_query can say it");
    }
    let is_it = |name: &Vec<u8>| COLUMNS.iter().any(|column| column.as_bytes() == name);
    let Some(at) = columns.iter().position(is_it) else {
        return unknown("its status has no Seconds_Behind_Source");
    };
    let lags: Option<Vec<f64>> = rows.iter().map(|row| number(row.get(at))).collect();
    match lags {
        Some(lags) => Lag::Seconds(lags.into_iter().fold(0.0, f64::max)),
        None => unknown("replication is not running"),
    }
}

fn number(value: Option<&Option<Vec<u8>>>) -> Option<f64> {
    let text = std::str::from_utf8(value?.as_ref()?).ok()?;
    text.trim().parse().ok().filter(|number: &f64| number.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(column: &str, lags: &[Option<&str>]) -> Lag {
        let columns = vec![b"Channel_Name".to_vec(), column.as_bytes().to_vec()];
        let row = |lag: &Option<&str>| vec![None, lag.map(|lag| lag.as_bytes().to_vec())];
        of_status(&(columns, lags.iter().map(row).collect()))
    }

    #[test]
    fn the_slowest_channel_counts() {
        assert_eq!(status("Seconds_Behind_Source", &[Some("3"), Some("7")]), Lag::Seconds(7.0));
        assert_eq!(status("Seconds_Behind_Master", &[Some("0")]), Lag::Seconds(0.0));
    }

    #[test]
    fn a_heartbeat_that_is_yet_to_be_tells_nothing() {
        assert_eq!(of_heartbeat(Some(7.5)), Lag::Seconds(7.5));
        assert_eq!(of_heartbeat(Some(-3.0)), Lag::Seconds(0.0), "clocks differ a little");
        assert_eq!(of_heartbeat(Some(-3600.0)).seconds(), None);
        assert_eq!(of_heartbeat(None).seconds(), None);
    }

    #[test]
    fn stopped_replication_is_unknown_and_never_zero() {
        for found in [
            status("Seconds_Behind_Source", &[Some("0"), None]),
            status("Seconds_Behind_Source", &[]),
            status("Something_Else", &[Some("0")]),
            status("Seconds_Behind_Source", &[Some("nan")]),
            of_aurora(&[vec![None]]),
        ] {
            assert_eq!(found.seconds(), None, "{found:?}");
        }
        assert_eq!(of_aurora(&[vec![Some(b"0.0210".to_vec())]]), Lag::Seconds(0.021));
    }
}
