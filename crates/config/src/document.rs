//! The text of a configuration as a tree whose every part knows its line.
use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::error::{ConfigErrors, Problem, Wrong};

pub(crate) type Value<'t> = DeValue<'t>;
pub(crate) type Items<'t> = DeTable<'t>;

/// A text, where its lines begin, and the problems found in it so far.
pub(crate) struct Document<'t> {
    file: &'t Path,
    line_starts: Vec<usize>,
    defaults: RefCell<HashMap<&'static str, Value<'static>>>,
    problems: RefCell<Vec<Problem>>,
    warnings: RefCell<Vec<Problem>>,
}

impl<'t> Document<'t> {
    /// Parses the text. Syntax errors end it: what they leave of the tree says nothing.
    pub(crate) fn parse(
        text: &'t str,
        file: &'t Path,
    ) -> Result<(Self, Spanned<Items<'t>>), ConfigErrors> {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let line_starts = std::iter::once(0).chain(breaks.map(|(at, _)| at + 1)).collect();
        let (problems, warnings) = (RefCell::default(), RefCell::default());
        let document = Self { file, line_starts, defaults: RefCell::default(), problems, warnings };
        let (root, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            let span = error.span().unwrap_or(0..0);
            let message = error.message().trim_end_matches('.').replace('\n', ", ");
            let wrong = match text.get(span.clone()) {
                Some(key) if message == "duplicate key" => {
                    let several = format!("[[{key}]]");
                    let before = text.get(..span.start).unwrap_or_default();
                    let right = match text.contains(&several) && !before.ends_with("[[") {
                        true => format!("write each as `{several}`"),
                        false => "leave one of the two".to_owned(),
                    };
                    Wrong::new(format!("`{key}` stands here a second time"), right)
                }
                _ => Wrong::new(message, "write it as TOML 1.0 wants it"),
            };
            document.problem(document.line(span), "syntax", wrong);
        }
        document.into_result(root)
    }

    fn into_result<T>(self, value: T) -> Result<(Self, T), ConfigErrors> {
        if self.problems.borrow().is_empty() {
            return Ok((self, value));
        }
        Err(ConfigErrors::new(self.problems.into_inner()))
    }

    /// The value and the warnings, or every problem that was noted.
    pub(crate) fn finish<T>(self, value: Option<T>) -> Result<(T, Vec<Problem>), ConfigErrors> {
        let warnings = self.warnings.into_inner();
        match (value, self.problems.into_inner()) {
            (Some(value), problems) if problems.is_empty() => Ok((value, warnings)),
            (_, problems) => Err(ConfigErrors::new(problems)),
        }
    }

    /// The line, counted from 1, in which a span begins.
    pub(crate) fn line(&self, span: Range<usize>) -> usize {
        self.line_starts.partition_point(|start| *start <= span.start)
    }

    pub(crate) fn problem(&self, line: usize, key: impl Into<String>, wrong: Wrong) {
        self.problems.borrow_mut().push(wrong.at(self.file, line, key));
    }

    pub(crate) fn warning(&self, line: usize, key: impl Into<String>, wrong: Wrong) {
        self.warnings.borrow_mut().push(wrong.at(self.file, line, key));
    }

    /// What a default says, which most tables of a long list ask for; `None` if it is broken.
    pub(crate) fn default(&self, text: &'static str) -> Option<Value<'static>> {
        let mut known = self.defaults.borrow_mut();
        if let Some(value) = known.get(text) {
            return Some(value.clone());
        }
        let value = DeValue::parse(text).ok()?.into_inner();
        known.insert(text, value.clone());
        Some(value)
    }

    /// A path as the daemon must open it: relative ones start from the file's folder.
    pub(crate) fn resolve(&self, path: &str) -> PathBuf {
        self.file.parent().unwrap_or_else(|| Path::new("")).join(path)
    }
}
