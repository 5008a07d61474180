//! What configuration makes of findings, and who waits for them.
use super::*;

const REFUSE: WallPolicy = WallPolicy {
    refuse_excess_rights: true,
    refuse_writable: true,
    max_lag: Some(Duration::from_secs(60)),
    when_behind: WhenBehind::Refuse,
};

fn behind(lag: &Lag, when_behind: WhenBehind) -> (usize, bool, bool) {
    let policy = WallPolicy { when_behind, ..REFUSE };
    let walls = Walls::of(&Findings::default(), lag, &policy);
    (walls.problems.len(), walls.stale.is_some(), walls.is_behind)
}

fn found(name: Option<&str>, rights: Result<&[&str], &str>) -> AccountFindings {
    AccountFindings {
        name: name.map(str::to_owned),
        user: name.unwrap_or("shared").to_owned(),
        excess_rights: rights
            .map(|rights| rights.iter().map(ToString::to_string).collect())
            .map_err(str::to_owned),
    }
}

fn account(user: &str) -> Account {
    let password = mysql_auth::Password::new(String::new());
    Account { name: None, user: user.to_owned(), password, default_schema: None }
}

#[test]
fn config_decides_between_no_service_and_a_warning() {
    let warn = WallPolicy { refuse_excess_rights: false, refuse_writable: false, ..REFUSE };
    let accounts = vec![found(None, Ok(&["INSERT ON *.*"]))];
    let findings = Findings { accounts, is_writable: true };
    let (now, shared) = (Lag::Seconds(0.0), account("shared"));
    let refused = Walls::of(&findings, &now, &REFUSE);
    let err = refused.err_packet(&shared).expect("no service");
    assert_eq!((err.code, err.sqlstate), (ER_SERVER_ISNT_AVAILABLE, SqlState::LINK));
    let read_only = Findings { is_writable: false, ..findings.clone() };
    let err = Walls::of(&read_only, &now, &REFUSE).err_packet(&shared).expect("no service");
    assert!(String::from_utf8_lossy(&err.message).contains("replica.excess_rights"));
    let warned = Walls::of(&findings, &now, &warn);
    assert_eq!((warned.problems.len(), warned.refusal_of(&shared)), (2, None));
    assert!(Walls::unseen(&REFUSE).refusal_of(&shared).is_some());
    let sound = Findings { accounts: vec![found(None, Ok(&[]))], is_writable: false };
    assert_eq!(Walls::of(&sound, &now, &REFUSE).refusal_of(&shared), None);
}

#[test]
fn what_is_wrong_with_one_account_concerns_its_own_sessions_alone() {
    let accounts = vec![
        found(None, Ok(&[])),
        found(Some("blinded"), Ok(&["INSERT ON *.*"])),
        found(Some("locked"), Err("it refused the shared account: error 1045")),
    ];
    let findings = Findings { accounts, is_writable: false };
    assert!(!findings.accounts_only_read());
    let walls = Walls::of(&findings, &Lag::Seconds(0.0), &REFUSE);
    assert_eq!((walls.refusal(), walls.refusal_of(&account("shared"))), (None, None));
    let told = walls.refusal_of(&account("blinded")).expect("refused");
    assert_eq!(told, "the role's account can do more than read (replica.excess_rights)");
    assert!(walls.refusal_of(&account("locked")).is_some());
    // One that a reload has brought, before it was looked at.
    assert!(walls.refusal_of(&account("new")).is_some());
    assert_eq!(
        walls.problems,
        [
            "the account 'blinded' can do more than read: INSERT ON *.*",
            "the account 'locked' could not be checked: \
             it refused the shared account: error 1045",
        ]
    );
}

#[test]
fn a_replica_too_far_behind_is_served_warned_of_or_refused() {
    let (near, far) = (Lag::Seconds(60.0), Lag::Seconds(60.5));
    for when in [WhenBehind::Serve, WhenBehind::Warn, WhenBehind::Refuse] {
        assert_eq!(behind(&near, when), (0, false, false), "{when:?}");
    }
    assert_eq!(behind(&far, WhenBehind::Serve), (0, false, true));
    assert_eq!(behind(&far, WhenBehind::Warn), (1, false, true));
    assert_eq!(behind(&far, WhenBehind::Refuse), (1, true, true));
    let told = |most| too_far(&far, Duration::from_millis(most)).unwrap_or_default();
    assert!(told(60_000).contains("more than 60 s behind"), "{}", told(60_000));
    assert!(told(1_500).contains("more than 1.5 s behind"), "{}", told(1_500));
    let unlimited = WallPolicy { max_lag: None, ..REFUSE };
    assert_eq!(Walls::of(&Findings::default(), &far, &unlimited), Walls::sound(&unlimited));
}

#[test]
fn a_stale_feed_has_the_same_say_and_hides_nothing_of_the_replica() {
    let walls = StandingWalls::unseen(&REFUSE);
    let trouble = |when_stale| FeedTrouble {
        why: "feed \"lab\" is late".into(),
        when_stale,
        is_unseen: false,
    };
    walls.feeds(vec![trouble(WhenBehind::Refuse)]);
    assert!(walls.load().refusal().is_some(), "not checked yet");
    walls.replica(Walls::sound(&REFUSE));
    let stale = walls.load().stale.clone().expect("refused");
    assert_eq!((stale.rule, stale.why.as_str()), ("feed_stale", "feed \"lab\" is late"));
    walls.feeds(vec![trouble(WhenBehind::Warn)]);
    assert_eq!((walls.load().problems.len(), walls.load().no_service()), (1, None));
    walls.feeds(vec![trouble(WhenBehind::Serve)]);
    assert_eq!(**walls.load(), Walls::sound(&REFUSE));
}

#[tokio::test(start_paused = true)]
async fn who_comes_before_the_first_look_waits_for_it_and_no_longer() {
    let (soon, shared) = (Duration::from_secs(4), account("shared"));
    let sound = |names: &[&str]| {
        let accounts = names.iter().map(|name| found(Some(name), Ok(&[]))).collect();
        let findings = Findings { accounts, is_writable: false };
        Walls::of(&findings, &Lag::Seconds(0.0), &REFUSE)
    };
    let walls = StandingWalls::unseen(&REFUSE);
    let begun = tokio::time::Instant::now();
    let unseen =
        FeedTrouble { why: "unseen".into(), when_stale: REFUSE.when_behind, is_unseen: true };
    walls.feeds(vec![unseen]);
    let looking = async {
        tokio::task::yield_now().await;
        walls.replica(sound(&["shared"]));
        tokio::task::yield_now().await;
        walls.feeds(vec![]);
    };
    tokio::join!(walls.seen(&shared, soon), looking);
    assert!(begun.elapsed().is_zero() && walls.load().err_packet(&shared).is_none());
    // One that a reload has brought, and the look after it.
    let new = account("new");
    let looking = async {
        tokio::task::yield_now().await;
        walls.replica(sound(&["shared", "new"]));
    };
    tokio::join!(walls.seen(&new, soon), looking);
    assert!(begun.elapsed().is_zero() && walls.load().err_packet(&new).is_none());
    walls.seen(&account("newer"), soon).await;
    assert_eq!(begun.elapsed(), soon);
    walls.not_there("it refused the shared account");
    walls.seen(&account("newer"), soon).await;
    assert_eq!(begun.elapsed(), soon, "nobody waits for what isn't there");
}

#[test]
fn what_was_never_there_is_refused_with_the_reason_and_only_where_that_counts() {
    let shared = account("shared");
    let walls = StandingWalls::unseen(&REFUSE);
    walls.not_there("it can't be reached");
    walls.not_there("it refused the shared account");
    let why = "no service: the replica has not been checked yet: it refused the shared account";
    assert_eq!(walls.load().no_session(&shared).as_deref(), Some(why));
    assert_eq!(
        walls.load().err_packet(&shared).map(|err| err.message),
        Some(format!("readgate: {why}").into_bytes())
    );
    let policy = WallPolicy { refuse_excess_rights: false, refuse_writable: false, ..REFUSE };
    let walls = StandingWalls::unseen(&policy);
    walls.not_there("it can't be reached");
    assert_eq!(walls.load().no_session(&shared), None);
}

#[test]
fn a_lag_that_nobody_knows_counts_as_too_far() {
    let unknown = Lag::Unknown("replication is not running".to_owned());
    assert_eq!(behind(&unknown, WhenBehind::Refuse), (1, true, true));
}
