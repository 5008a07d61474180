//! The ledger's settings that a reload brings: where it is and its key stay as at the start.
use config::LedgerConfig;
use ledger::LedgerSettings;

use super::host_name;

/// By the configuration, in the place that the ledger has had since the start.
pub(super) fn at_reload(config: &LedgerConfig, start: &LedgerConfig) -> LedgerSettings {
    let config = LedgerConfig {
        directory: start.directory.clone(),
        node: start.node.clone(),
        redaction_key_file: start.redaction_key_file.clone(),
        ..config.clone()
    };
    config.settings(&host_name())
}
