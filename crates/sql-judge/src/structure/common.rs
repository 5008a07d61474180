//! Common table expressions: which names stand for one where the walk has come to.

use std::collections::HashMap;

/// Names of common table expressions that can be read here.
#[derive(Debug)]
pub(super) struct CommonNames {
    /// To MariaDB a table's name is one of these in any case.
    fold_case: bool,
    /// In how many parentheses each was declared. What was declared deeper than the walk stands is
    /// forgotten, so that the deepest are last.
    declared: Vec<(usize, String)>,
    /// How many of them have a name.
    count: HashMap<String, usize>,
}

impl CommonNames {
    pub(super) fn new(fold_case: bool) -> Self {
        Self { fold_case, declared: Vec::new(), count: HashMap::new() }
    }

    pub(super) fn declare(&mut self, depth: usize, name: &str) {
        let name = self.key(name);
        *self.count.entry(name.clone()).or_default() += 1;
        self.declared.push((depth, name));
    }

    /// Forgets those that were declared deeper.
    pub(super) fn leave(&mut self, depth: usize) {
        while let Some((_, name)) = self.declared.pop_if(|(declared, _)| *declared > depth) {
            if let Some(count) = self.count.get_mut(&name) {
                *count -= 1;
                if *count == 0 {
                    self.count.remove(&name);
                }
            }
        }
    }

    pub(super) fn clear(&mut self) {
        self.declared.clear();
        self.count.clear();
    }

    pub(super) fn has(&self, name: &str) -> bool {
        !self.count.is_empty() && self.count.contains_key(&self.key(name))
    }

    fn key(&self, name: &str) -> String {
        if self.fold_case { name.to_ascii_lowercase() } else { name.to_owned() }
    }
}
