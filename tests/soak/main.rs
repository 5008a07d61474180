//! A long day: many clients at once, and now and then something breaks. Whatever happens, each
//! statement that was answered or reached the replica has its records, which name its user and hold
//! its text as it was sent, each answer is the asker's own, nothing is written, and the daemon grows
//! no larger.
//!
//! Rounds in turns: in quiet ones no client may see an error that isn't its own doing, though
//! statements and sessions are killed and users come, change and go. Without
//! READGATE_SOAK_MINUTES it is over after two short ones; `./soak` runs it for longer.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test reports by panicking, and says what it did"
)]

mod client;
mod meddling;
mod office;
mod people;
mod records;
mod said;
mod scene;
mod trouble;

use std::time::{Duration, Instant};

use readgate_tests::dice::Dice;
use readgate_tests::place::wanted;
use readgate_tests::server::Flavour;

use scene::Scene;

#[test]
fn mariadb_survives_a_long_day() {
    run(Flavour::MariaDb);
}

#[test]
fn mysql_survives_a_long_day() {
    run(Flavour::MySql);
}

fn run(flavour: Flavour) {
    let minutes = wanted("READGATE_SOAK_MINUTES");
    let seed = wanted("READGATE_SOAK_SEED").unwrap_or(1);
    let round = Duration::from_secs(if minutes.is_some() { 20 } else { 3 });
    let end = Instant::now() + Duration::from_secs(60 * minutes.unwrap_or(0));
    let mut dice = Dice::new(seed);
    // One of both servers has sessions that lend their connections.
    let lends = (flavour == Flavour::MySql) == (seed % 2 == 1);
    let mut scene = Scene::start(flavour, lends);
    for pair in 0_u64.. {
        scene.quiet_round(2 * pair, round, &mut dice);
        scene.troubled_round(2 * pair + 1, round, &mut dice);
        if Instant::now() >= end {
            break;
        }
    }
    scene.end();
}
