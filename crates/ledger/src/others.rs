//! Journals of nodes with other names. One whose daemon was killed before its node got another
//! name, as containers do by default, has records that no start of its own will bring in.

use std::path::Path;

use crate::fault::LedgerError;
use crate::files::{checkpoints_name, list, list_all, safe_name};
use crate::journal::{Journal, MIN_JOURNAL, node_of_journal};
use crate::settings::LedgerSettings;

/// For each other node that has a journal beside this one's: the settings to open its ledger
/// with. What files lack can't be told where they were moved, or are in another folder: only of
/// those whose files are here, or that were killed before they had any.
pub(crate) fn settings(ours: &LedgerSettings) -> Result<Vec<LedgerSettings>, LedgerError> {
    let journals = ours.folder_of_journals();
    let found = list(journals).map_err(LedgerError::io("read folder", journals))?;
    let mut others = Vec::new();
    for path in &found {
        let Some(node) = node_of_journal(path).filter(|node| *node != safe_name(&ours.node)) else {
            continue;
        };
        let files = list_all(&ours.directory, node)
            .map_err(LedgerError::io("read folder", &ours.directory))?;
        if !files.is_empty() || (journals == ours.directory && holds_all(path)?) {
            others.push(of_node(ours, node));
        }
    }
    Ok(others)
}

/// Whether nothing was overwritten in a journal yet. One in use is its owner's, and what is no
/// journal by more than its name is somebody else's.
fn holds_all(path: &Path) -> Result<bool, LedgerError> {
    let mut holds_all = false;
    match Journal::open(path, MIN_JOURNAL, &mut |entry| holds_all |= entry.sequence == 1) {
        Ok(_) => Ok(holds_all),
        Err(LedgerError::InUse(_) | LedgerError::Setting(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Its checkpoints go to its own copy, and to the same anchors elsewhere.
fn of_node(ours: &LedgerSettings, node: &str) -> LedgerSettings {
    let copy = |node: &str| ours.directory.join(checkpoints_name(node));
    let mut settings = LedgerSettings { node: node.to_owned(), ..ours.clone() };
    for anchor in settings.anchors.iter_mut().filter(|anchor| **anchor == copy(&ours.node)) {
        *anchor = copy(node);
    }
    settings
}
