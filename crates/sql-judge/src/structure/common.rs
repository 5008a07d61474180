//! Common table expressions: which names stand for one where the walk has come to.

use std::collections::HashMap;
use std::rc::Rc;

use super::scope::Columns;

/// Names of common table expressions that can be read here.
#[derive(Debug)]
pub(super) struct CommonNames {
    /// To MariaDB a table's name is one of these in any case.
    fold_case: bool,
    /// In how many parentheses each was declared. What was declared deeper than the walk stands is
    /// forgotten, so that the deepest are last.
    declared: Vec<(usize, String)>,
    /// What the columns of those with a name may be named, the deepest last.
    by_name: HashMap<String, Vec<Rc<Columns>>>,
}

impl CommonNames {
    pub(super) fn new(fold_case: bool) -> Self {
        Self { fold_case, declared: Vec::new(), by_name: HashMap::new() }
    }

    pub(super) fn declare(&mut self, depth: usize, name: &str, columns: Columns) {
        let name = self.key(name);
        self.by_name.entry(name.clone()).or_default().push(Rc::new(columns));
        self.declared.push((depth, name));
    }

    /// Forgets those that were declared deeper.
    pub(super) fn leave(&mut self, depth: usize) {
        while let Some((_, name)) = self.declared.pop_if(|(declared, _)| *declared > depth) {
            if let Some(columns) = self.by_name.get_mut(&name) {
                columns.pop();
                if columns.is_empty() {
                    self.by_name.remove(&name);
                }
            }
        }
    }

    pub(super) fn clear(&mut self) {
        self.declared.clear();
        self.by_name.clear();
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.columns_of(name).is_some()
    }

    /// Of the innermost with that name, if there is one.
    pub(super) fn columns_of(&self, name: &str) -> Option<Rc<Columns>> {
        if self.by_name.is_empty() {
            return None;
        }
        self.by_name.get(&self.key(name))?.last().cloned()
    }

    fn key(&self, name: &str) -> String {
        if self.fold_case { name.to_ascii_lowercase() } else { name.to_owned() }
    }
}
