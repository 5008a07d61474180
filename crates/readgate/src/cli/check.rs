//! `readgate check`: the configuration's text, then the files it names.
use std::path::Path;
use std::process::ExitCode;

use access::Timestamp;
use config::{Config, Feed, FeedPlace, IdentityPlace, Notice, NoticeWay, ReplicaTls, SharedStore};

use super::{EXIT_CONFIG, fail, say};
use crate::replica::account::Accounts;
use crate::shipping::Wanted;
use crate::tls;

/// Exit 0 if the configuration could come into force.
pub fn run(path: &Path, text_only: bool) -> ExitCode {
    let (config, hash) = match Config::load(path) {
        Ok(loaded) => loaded,
        Err(error) => return fail(EXIT_CONFIG, &error.to_string()),
    };
    for warning in &config.warnings {
        say(&format!("warning: {warning}"));
    }
    if !text_only {
        let ends = tls::expiry::ends(&config);
        let endings = ends.iter().filter_map(|end| end.warning(Timestamp::now()));
        for warning in folder_warnings(&config).into_iter().chain(endings) {
            say(&format!("warning: {warning}"));
        }
    }
    let problems = if text_only { Vec::new() } else { file_problems(&config) };
    if !problems.is_empty() {
        return fail(EXIT_CONFIG, &problems.join("\nreadgate: "));
    }
    say(&format!("{}: ok (sha256 {hash})", path.display()));
    ExitCode::SUCCESS
}

/// A folder that isn't there now may be there when the daemon runs.
fn folder_warnings(config: &Config) -> Vec<String> {
    let unreadable = |feed: &Feed| {
        let FeedPlace::Files(files) = &feed.place else { return None };
        let error = std::fs::read_dir(&files.folder).err()?;
        Some(format!("feed '{}': {}: {error}", feed.name, files.folder.display()))
    };
    config.feeds.iter().filter_map(unreadable).collect()
}

fn file_problems(config: &Config) -> Vec<String> {
    let mut problems = Vec::new();
    for listener in &config.listeners {
        let made = listener
            .tls
            .private_key
            .read()
            .map_err(|error| error.to_string())
            .and_then(|key| tls::acceptor(&listener.tls, &key).map_err(|e| e.to_string()));
        if let Err(why) = made {
            problems.push(format!("listener '{}': TLS: {why}", listener.name));
        }
    }
    if let ReplicaTls::Verified { ca_file, server_name } = &config.replica.tls {
        let made = tls::connector(ca_file).and_then(|_| tls::server_name(server_name));
        if let Err(fault) = made {
            problems.push(format!("replica '{}': TLS: {fault}", config.replica.name));
        }
    }
    if let Err(error) = Accounts::read(&config.replica) {
        problems.push(format!("replica '{}': account: {error}", config.replica.name));
    }
    if let Some(IdentityPlace::Shared(store)) = config.identities.as_ref().map(|of| &of.place)
        && let Err(why) = store_secrets(store)
    {
        problems.push(format!("identities: {why}"));
    }
    if let Err(fault) = Wanted::by(&config.ledger) {
        problems.push(format!("ledger: ship_ca_file: {fault}"));
    }
    let ops_password = config.ops.as_ref().and_then(|ops| ops.password_file.as_ref());
    if let Some(Err(error)) = ops_password.map(|file| file.read()) {
        problems.push(format!("ops: password_file: {error}"));
    }
    for notice in &config.notices {
        if let Err(why) = notice_secrets(notice) {
            problems.push(format!("notice '{}': {why}", notice.name));
        }
    }
    problems
}

/// Whether the store itself answers is not asked: it may when the daemon starts.
fn store_secrets(store: &SharedStore) -> Result<(), String> {
    tls::client_config(&store.ca_file).map_err(|error| error.to_string())?;
    store.password_source.read().map(drop).map_err(|error| error.to_string())
}

/// What is read anew at each sending.
fn notice_secrets(notice: &Notice) -> Result<(), String> {
    if let Some(ca_file) = &notice.ca_file {
        tls::client_config(ca_file).map_err(|error| error.to_string())?;
    }
    let secret = match &notice.way {
        NoticeWay::Webhook(webhook) => webhook.header.as_ref(),
        NoticeWay::Mail(mail) => mail.account.as_ref(),
    };
    let read = secret.map(|(_, file)| file.read()).transpose();
    read.map(drop).map_err(|error| error.to_string())
}
