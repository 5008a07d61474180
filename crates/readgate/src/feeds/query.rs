//! A freshness query, on a connection of its own that is as guarded as a user's: when the data
//! arrived, or how many seconds ago.
use std::sync::Arc;

use access::Timestamp;
use config::Feed;
use jiff::SignedDuration;
use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};

use super::CLOCKS;
use super::standing::Seen;
use crate::replica::pool::Pool;
use crate::replica::text_query::{self, QueryFault, TextRow};
use crate::replica::{ReplicaFault, SessionWish};

/// Asks the replica; whatever goes wrong makes the state unknown.
pub(super) async fn look(pool: &Pool, feed: &Feed, query: &str) -> Seen {
    match ask(pool, query).await {
        Ok(Ok(rows)) => answer(&rows, feed.utc_offset, Timestamp::now()),
        Ok(Err(QueryFault::Replica(err))) => {
            Seen::Unknown(format!("error {} when the replica was asked", err.code))
        }
        Ok(Err(QueryFault::Stream(_))) | Err(_) => {
            Seen::Unknown("the replica could not be asked".into())
        }
    }
}

async fn ask(pool: &Pool, query: &str) -> Result<Result<Vec<TextRow>, QueryFault>, ReplicaFault> {
    let target = &pool.target;
    let accounts = target.accounts.load_full();
    let wish = Arc::new(SessionWish::own("readgate-feeds", accounts.own()));
    let mut session = pool.or_spare(target.open(&wish).await, &wish).await?;
    let asked =
        target.within_deadline(async { Ok(text_query::run(&mut session.channel, query).await) });
    let rows = asked.await?;
    pool.keep_to_spare(session);
    Ok(rows)
}

/// What one row with one value says.
fn answer(rows: &[TextRow], utc_offset: i32, now: Timestamp) -> Seen {
    let [row] = rows else {
        return Seen::Unknown("the query's answer is not one row".into());
    };
    let value = match row.first() {
        Some(Some(value)) => value,
        Some(None) => return Seen::Nothing { pending: None },
        None => return Seen::Unknown("the query's answer has no column".into()),
    };
    let text = String::from_utf8_lossy(value);
    let latest = now.checked_add(CLOCKS).unwrap_or(now);
    match moment(text.trim(), utc_offset, now) {
        // By another clock than it should be: how old the data is can't be told from it.
        Some(at) if at > latest => {
            Seen::Unknown("the query's answer lies in the future (utc_offset)".into())
        }
        Some(at) => Seen::Arrived { at, pending: None },
        None => Seen::Unknown("the query's answer is neither a moment nor a number".into()),
    }
}

fn moment(text: &str, utc_offset: i32, now: Timestamp) -> Option<Timestamp> {
    if let Ok(age) = text.parse::<f64>() {
        let age = SignedDuration::try_from_secs_f64(age).ok()?;
        return now.checked_sub(age).ok();
    }
    let at: DateTime = text.parse().ok()?;
    let zone = TimeZone::fixed(Offset::from_seconds(utc_offset).ok()?);
    zone.to_timestamp(at).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(value: Option<&str>) -> Seen {
        let now = "2026-03-10T06:00:00Z".parse().unwrap();
        answer(&[vec![value.map(|text| text.as_bytes().to_vec())]], -5 * 3600, now)
    }

    #[test]
    fn an_age_and_a_moment_by_the_feeds_clock_are_understood() {
        for (text, at) in [
            ("90", "2026-03-10T05:58:30Z"),
            ("0.5", "2026-03-10T05:59:59.5Z"),
            ("2026-03-10 00:10:00", "2026-03-10T05:10:00Z"),
            ("2026-03-10 00:10:00.250000", "2026-03-10T05:10:00.25Z"),
            ("2026-03-10", "2026-03-10T05:00:00Z"),
            ("2026-03-10 01:01:00", "2026-03-10T06:01:00Z"),
        ] {
            let expected = Seen::Arrived { at: at.parse().unwrap(), pending: None };
            assert_eq!(said(Some(text)), expected, "{text}");
        }
    }

    #[test]
    fn null_is_no_delivery_and_everything_else_is_unknown() {
        assert_eq!(said(None), Seen::Nothing { pending: None });
        let ahead = ["2026-03-10 01:01:01", "2099-12-31", "-61"];
        for text in ["soon", "", "nan", "1e300", "0000-00-00 00:00:00"].into_iter().chain(ahead) {
            assert!(matches!(said(Some(text)), Seen::Unknown(_)), "{text}");
        }
        for rows in [vec![], vec![vec![], vec![]], vec![vec![]]] {
            assert!(matches!(answer(&rows, 0, Timestamp::now()), Seen::Unknown(_)));
        }
    }
}
