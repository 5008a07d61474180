//! What is wrong with a configuration, one line for each problem.
use std::fmt;
use std::path::{Path, PathBuf};

/// One problem: where it is, what is wrong, and what would be right. Never holds the
/// value of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file, as it was named.
    pub file: PathBuf,
    /// Line of the value, counted from 1; of the table's header if a key is missing.
    pub line: usize,
    /// Key with its path, such as `replica.tls.ca_file`; `syntax` if there is no key yet.
    pub key: String,
    /// What is wrong.
    pub wrong: String,
    /// What would be right.
    pub right: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, key, wrong, right } = self;
        write!(f, "{}:{line}: {key}: {wrong}; {right}", file.display())
    }
}

/// Every problem of a configuration, in the order of its lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors(Vec<Problem>);

impl ConfigErrors {
    pub(crate) fn new(mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| problem.line);
        Self(problems)
    }

    /// The problems.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Problem> {
        self.0.iter()
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let line_end = if index == 0 { "" } else { "\n" };
            write!(f, "{line_end}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// What a value is and should be; becomes a [`Problem`] where its place is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(crate) wrong: String,
    pub(crate) right: String,
}

impl Wrong {
    pub(crate) fn new(wrong: impl Into<String>, right: impl Into<String>) -> Self {
        Self { wrong: wrong.into(), right: right.into() }
    }

    pub(crate) fn at(self, file: &Path, line: usize, key: impl Into<String>) -> Problem {
        let Self { wrong, right } = self;
        Problem { file: file.to_owned(), line, key: key.into(), wrong, right }
    }
}
