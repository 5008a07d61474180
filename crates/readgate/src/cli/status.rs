//! `readgate status`: asks a running daemon over its ops address whether it is ready, and how
//! it stands. Fit for a container's health check: no shell, no other program.
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use config::Config;
use serde_json::{Map, Value, json};

use super::{EXIT_CONFIG, EXIT_NO, EXIT_UNAVAILABLE, fail, say};

/// Most bytes of an answer.
const MOST: u64 = 16 << 20;

/// `readgate status ...`
#[derive(Debug, Args)]
pub(super) struct StatusArguments {
    /// Configuration file, whose `ops.address` is asked.
    #[arg(long, default_value = "/etc/readgate/proxy.toml")]
    config: PathBuf,
    /// Ask this address instead of the configuration's.
    #[arg(long)]
    address: Option<SocketAddr>,
    /// Print JSON, with all metrics.
    #[arg(long)]
    json: bool,
    /// Longest wait, in seconds.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=60))]
    timeout: u64,
}

/// Exit 0 if the daemon is ready, 1 if it answers and isn't, 69 if it doesn't answer.
pub(super) fn run(arguments: &StatusArguments) -> ExitCode {
    let address = match address(arguments) {
        Ok(address) => reachable(address),
        Err(why) => return fail(EXIT_CONFIG, &why),
    };
    let patience = Duration::from_secs(arguments.timeout);
    let (code, ready) = match get(address, "/readyz", patience) {
        Ok(answer) => answer,
        Err(why) => return fail(EXIT_UNAVAILABLE, &format!("{address} does not answer: {why}")),
    };
    if arguments.json {
        let metrics = get(address, "/metrics", patience).map(|(_, text)| text).unwrap_or_default();
        let checks: Vec<&str> = ready.lines().collect();
        let is_ready = code == 200;
        say(&json!({"ready": is_ready, "checks": checks, "metrics": samples(&metrics)}).to_string());
    } else {
        say(if code == 200 { "ready" } else { "NOT ready" });
        say(ready.trim_end());
    }
    if code == 200 { ExitCode::SUCCESS } else { ExitCode::from(EXIT_NO) }
}

fn address(arguments: &StatusArguments) -> Result<SocketAddr, String> {
    if let Some(address) = arguments.address {
        return Ok(address);
    }
    let (config, _) = Config::load(&arguments.config).map_err(|error| error.to_string())?;
    let ops = config.ops.map(|ops| ops.address);
    ops.ok_or_else(|| String::from("the configuration has no [ops] address to ask"))
}

/// What listens everywhere is asked at the loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    if !address.ip().is_unspecified() {
        return address;
    }
    let loopback: IpAddr = match address {
        SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(loopback, address.port())
}

/// Status code and body.
fn get(address: SocketAddr, path: &str, patience: Duration) -> Result<(u16, String), String> {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&address, patience)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.take(MOST).read_to_string(&mut answer)?;
        Ok(answer)
    };
    let answer = ask().map_err(|error| error.to_string())?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("it does not speak HTTP")?;
    let code = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    Ok((code.ok_or("it does not speak HTTP")?, body.to_owned()))
}

/// Series with their labels as written, and their values.
fn samples(metrics: &str) -> Map<String, Value> {
    let lines = metrics.lines().filter(|line| !line.starts_with('#'));
    let sample = |line: &str| {
        let (series, value) = line.rsplit_once(' ')?;
        Some((series.to_owned(), json!(value.parse::<f64>().ok()?)))
    };
    lines.filter_map(sample).collect()
}
