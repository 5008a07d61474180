//! The verifier: reads ledger files as they are, on any machine, and tells what was
//! done to them and where. Needs nothing but the files, the public key and, against a
//! cut tail, a copy of the checkpoints.
//!
//! Within a file the order of trust is: a checkpoint's signature, the hashes it stands
//! for, the sequence numbers. A record after the last checkpoint can be checked against
//! its neighbours only, which the report says.

mod hashed;
mod input;
mod lanes;
mod node;
mod report;
mod trust;
mod vouched;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

pub use input::VerifyError;
pub use report::{Finding, NodeReport, VerifyReport, What};

use input::{Content, Inputs, LedgerFile};
use node::NodeCheck;

use crate::archive;
use crate::keys::PublicKey;

/// What to verify, and against what.
#[derive(Debug, Clone, Default)]
pub struct VerifyRequest {
    /// Ledger files, or folders of them.
    pub paths: Vec<PathBuf>,
    /// The key that is trusted. Without it the chain and the signatures are checked, but
    /// whoever wrote the files may have made the key.
    pub public_key: Option<PublicKey>,
    /// Copies of checkpoints, beside those found in the folders.
    pub anchors: Vec<PathBuf>,
}

/// Reads all files and reports. An error means that something can't be read, or that there is
/// nothing to read, not that something was changed.
pub fn verify(request: &VerifyRequest) -> Result<VerifyReport, VerifyError> {
    let mut inputs = Inputs::find(request)?;
    let mut report = VerifyReport::default();
    let mut nodes: BTreeMap<String, NodeCheck> = BTreeMap::new();
    for file in std::mem::take(&mut inputs.files) {
        let check = nodes.entry(file.node.clone()).or_insert_with(|| {
            NodeCheck::new(&file.node, request.public_key, inputs.whole, &inputs.anchors)
        });
        look_at(file, check, &mut inputs)?;
    }
    for anchor in inputs.anchors.iter().filter(|anchor| !nodes.contains_key(&anchor.node)) {
        report.strays.push(Finding {
            file: anchor.file.clone(),
            line: anchor.line,
            sequence: Some(anchor.sequence),
            what: What::NoLedger { node: anchor.node.clone() },
        });
    }
    report.strays.extend(inputs.strays);
    if nodes.is_empty() && report.strays.is_empty() {
        // A folder that isn't mounted, or another one than was meant, proves nothing.
        let path = request.paths.first().cloned().unwrap_or_default();
        let source = io::Error::new(io::ErrorKind::NotFound, "there is no record of a ledger");
        return Err(VerifyError { path, source });
    }
    report.nodes = nodes.into_values().map(NodeCheck::finish).collect();
    Ok(report)
}

/// A file as it was found, or as it has become since.
fn look_at(
    mut file: LedgerFile,
    check: &mut NodeCheck,
    inputs: &mut Inputs,
) -> Result<(), VerifyError> {
    loop {
        let statements = inputs.statements.get(&archive::name(&file.path));
        let statements = statements.map(Vec::as_slice).unwrap_or_default();
        let looked = match file.content {
            Content::Lines => check.file(&file.path),
            Content::Sealed => check.sealed(&file.path, statements),
            Content::Retired => {
                check.retired(&file.path, statements);
                Ok(())
            }
        };
        let Err(source) = looked else { return Ok(()) };
        let now = inputs.was_put_away(&file.path, &source).then(|| inputs.put_away(&file));
        match now.transpose()?.flatten() {
            Some(now) => file = now,
            None => return Err(VerifyError { path: file.path, source }),
        }
    }
}
