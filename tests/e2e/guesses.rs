//! What guessing passwords costs, for guessers who don't do as clients do.

use std::time::{Duration, Instant};

use readgate_tests::config::set;
use readgate_tests::place::wait_for;
use readgate_tests::protocol::scramble;
use readgate_tests::raw::{Login, RawClient};
use readgate_tests::readgate::Readgate;
use readgate_tests::stage::{Stage, USER_PASSWORD, try_login_at};

use crate::reloads::{reload, written};

/// Failures that block.
const BLOCKING: usize = 3;
/// AuthMoreData: the password itself, please.
const ASKED_FOR_THE_PASSWORD: [u8; 2] = [1, 4];

/// A daemon that blocks a user from a source after a few failures, and never waits before.
fn blocking(stage: &Stage, name: &str) -> Readgate {
    let (directory, mut config) = stage.own_config(name);
    set(&mut config, "login.free_failures", 100);
    set(&mut config, "login.block_after", i64::try_from(BLOCKING).unwrap());
    Readgate::start(&directory, config)
}

/// A client that has sent its name and its first answer.
fn begun(stage: &Stage, readgate: &Readgate, login: &Login) -> RawClient {
    let mut client = RawClient::connect(readgate.port).expect("a greeting");
    client.start_tls(&stage.ca_file(), login).expect("TLS");
    let response = login.response(true, &client.greeting);
    client.send(&response).expect("the server reads");
    client
}

/// Whether the right password is let in.
fn gets_in(stage: &Stage, readgate: &Readgate) -> bool {
    let login = Login::user("alice", USER_PASSWORD);
    try_login_at(readgate.port, &stage.ca_file(), &login).is_ok()
}

/// The block is on record, beside what it was for.
fn is_on_record(readgate: &Readgate) {
    readgate.record("login_failed", |record| {
        record["user"] == "alice"
            && record["reason"]
                .as_str()
                .is_some_and(|why| why.contains("wrong_password") && why.contains("is blocked for"))
    });
}

on_both! {
    fn a_guess_counts_though_its_maker_leaves_when_asked_for_more(stage) {
        let readgate = blocking(stage, "guess-and-leave");
        assert!(gets_in(stage, &readgate));
        for _ in 0..BLOCKING {
            let mut guesser = begun(stage, &readgate, &Login::user("alice", "a guess"));
            assert_eq!(guesser.receive().unwrap(), ASKED_FOR_THE_PASSWORD, "it was wrong");
        }
        assert!(!gets_in(stage, &readgate), "as many failures as block");
        is_on_record(&readgate);
    }

    fn a_guess_counts_though_its_maker_stays_silent_when_asked_for_more(stage) {
        let readgate = blocking(stage, "guess-and-stay");
        let silent = [(); BLOCKING].map(|()| {
            let mut guesser = begun(stage, &readgate, &Login::user("alice", "a guess"));
            assert_eq!(guesser.receive().unwrap(), ASKED_FOR_THE_PASSWORD, "it was wrong");
            guesser
        });
        assert!(!gets_in(stage, &readgate), "as many failures as block");
        drop(silent);
    }

    fn guesses_begun_at_once_get_no_more_tries_than_others(stage) {
        let readgate = blocking(stage, "guess-at-once");
        let login = Login::user("alice", USER_PASSWORD).proposing("mysql_native_password");
        // All are asked for their proof before any has given it.
        let mut waiting: Vec<(RawClient, Vec<u8>)> = (0..=BLOCKING)
            .map(|_| {
                let mut guesser = begun(stage, &readgate, &login);
                let switch = guesser.receive().unwrap();
                let end = switch.iter().position(|byte| *byte == 0).expect("a plugin name");
                (guesser, switch[end + 1..switch.len() - 1].to_vec())
            })
            .collect();
        let (mut right, nonce) = waiting.pop().unwrap();
        for (guesser, nonce) in &mut waiting {
            guesser.send(&scramble("caching_sha2_password", b"a guess", nonce)).unwrap();
            assert_eq!(guesser.receive().unwrap(), ASKED_FOR_THE_PASSWORD, "it was wrong");
        }
        right.send(&scramble("caching_sha2_password", USER_PASSWORD.as_bytes(), &nonce)).unwrap();
        assert_eq!(right.receive().unwrap(), ASKED_FOR_THE_PASSWORD, "as if it were wrong");
        right.send(&[USER_PASSWORD.as_bytes(), &[0]].concat()).unwrap();
        assert_eq!(right.receive().unwrap().first(), Some(&0xff), "one try too many");
    }

    fn guesses_cost_time_and_are_forgotten_behind_the_right_password(stage) {
        const WAIT: Duration = Duration::from_secs(2);
        let (directory, mut config) = stage.own_config("guess-and-wait");
        set(&mut config, "login.free_failures", 1);
        set(&mut config, "login.first_delay", "2s");
        set(&mut config, "login.longest_delay", "2s");
        set(&mut config, "login.block_after", i64::try_from(BLOCKING).unwrap());
        let readgate = Readgate::start(&directory, config);
        let guess = Login::user("alice", "a guess");
        for round in 0..2 {
            let begun = Instant::now();
            for _ in 1..BLOCKING {
                try_login_at(readgate.port, &stage.ca_file(), &guess).expect_err("a guess");
            }
            assert!(gets_in(stage, &readgate), "one guess too few to be blocked, in round {round}");
            assert!(begun.elapsed() >= WAIT, "after {:?} in round {round}", begun.elapsed());
        }
    }

    fn a_block_ends_however_often_it_is_tried_meanwhile(stage) {
        let (directory, mut config) = stage.own_config("guess-and-try");
        set(&mut config, "login.free_failures", 100);
        let readgate = Readgate::start(&directory, config);
        let mut config = written(&readgate);
        set(&mut config, "login.block_after", 2);
        set(&mut config, "login.block_time", "3s");
        reload(&readgate, &config);
        let guess = Login::user("alice", "a guess");
        let begun = Instant::now();
        for _ in 0..2 {
            try_login_at(readgate.port, &stage.ca_file(), &guess).expect_err("a guess");
        }
        wait_for("the end of the block", Duration::from_secs(20), || {
            gets_in(stage, &readgate).then_some(())
        });
        assert!(begun.elapsed() >= Duration::from_secs(3), "after {:?}", begun.elapsed());
    }
}
