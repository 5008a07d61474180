//! Whether the time of a refused login tells if its name exists. It asserts a timing, so it
//! runs by hand, on a quiet machine:
//!
//!     cargo test --release -p readgate-tests --test e2e timing -- --ignored --nocapture
//!
//! 2,000 tries in random order: an existing name and one that nobody has, each with the
//! plugin of the user and with another. For each plugin the two samples are compared by the
//! Mann-Whitney U test, two-sided, at 1%; both comparisons must find no difference.

use std::time::{Duration, Instant};

use readgate_tests::config::let_guess;
use readgate_tests::raw::{Login, RawClient};
use readgate_tests::readgate::Readgate;
use readgate_tests::server::Flavour;
use readgate_tests::stage::stage;

const TRIES: usize = 500;
/// Two-sided, 1%.
const Z_LIMIT: f64 = 2.576;

/// From the handshake response to the refusal.
fn refused_after(port: u16, ca_file: &std::path::Path, user: &str, plugin: &str) -> Duration {
    let login = Login::user(user, "wrong password").proposing(plugin);
    let mut client = RawClient::connect(port).unwrap();
    client.start_tls(ca_file, &login).unwrap();
    let sent = Instant::now();
    client.login(&login).expect_err("nobody is let in");
    sent.elapsed()
}

/// How far the rank sum of `a` is from what chance gives, in standard deviations.
fn mann_whitney_z(a: &[Duration], b: &[Duration]) -> f64 {
    let (n, m) = (a.len() as f64, b.len() as f64);
    let wins: f64 = a
        .iter()
        .flat_map(|x| b.iter().map(move |y| x.cmp(y)))
        .map(|order| match order {
            std::cmp::Ordering::Less => 0.0,
            std::cmp::Ordering::Equal => 0.5,
            std::cmp::Ordering::Greater => 1.0,
        })
        .sum();
    (wins - n * m / 2.0) / (n * m * (n + m + 1.0) / 12.0).sqrt()
}

fn median(times: &[Duration]) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort();
    sorted[sorted.len() / 2]
}

#[test]
#[ignore = "asserts a timing"]
fn the_time_of_a_refusal_says_nothing_about_the_name() {
    let stage = stage(Flavour::MariaDb);
    let (directory, mut config) = stage.own_config("timing");
    let_guess(&mut config);
    let readgate = Readgate::start(&directory, config);
    let classes = [
        ("alice", "caching_sha2_password"),
        ("bobby", "caching_sha2_password"),
        ("alice", "mysql_native_password"),
        ("bobby", "mysql_native_password"),
    ];
    let mut times: [Vec<Duration>; 4] = Default::default();
    let mut order: Vec<usize> = (0..4 * TRIES).map(|number| number % 4).collect();
    // A fixed shuffle: what the machine does meanwhile hits all classes alike.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for last in (1..order.len()).rev() {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        order.swap(last, (state >> 33) as usize % (last + 1));
    }
    for class in order {
        let (user, plugin) = classes[class];
        times[class].push(refused_after(readgate.port, &stage.ca_file(), user, plugin));
    }
    for (pair, plugin) in [(0, "the user's plugin"), (2, "another plugin")] {
        let (known, unknown) = (&times[pair], &times[pair + 1]);
        let z = mann_whitney_z(known, unknown);
        println!("{plugin}: known {:?}, unknown {:?}, z = {z:.2}", median(known), median(unknown));
        assert!(z.abs() < Z_LIMIT, "{plugin}: names can be told apart, z = {z:.2}");
    }
}
