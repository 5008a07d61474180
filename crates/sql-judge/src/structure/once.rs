//! A list that holds each item once, in order, and finds it quickly however long it is: texts are
//! as long as their clients like.

use std::collections::HashSet;
use std::hash::Hash;

/// So many are compared one by one, which is cheaper than hashing.
const FEW: usize = 16;

/// The list.
#[derive(Debug)]
pub(super) struct Once<T> {
    items: Vec<T>,
    /// The same items, once they are more than a few.
    seen: HashSet<T>,
}

impl<T> Default for Once<T> {
    fn default() -> Self {
        Self { items: Vec::new(), seen: HashSet::new() }
    }
}

impl<T: Clone + Eq + Hash> Once<T> {
    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.items.iter()
    }

    pub(super) fn contains(&self, item: &T) -> bool {
        if self.seen.is_empty() { self.items.contains(item) } else { self.seen.contains(item) }
    }

    pub(super) fn push(&mut self, item: T) {
        if self.contains(&item) {
            return;
        }
        if self.items.len() == FEW {
            self.seen.extend(self.items.iter().cloned());
        }
        if self.items.len() >= FEW {
            self.seen.insert(item.clone());
        }
        self.items.push(item);
    }

    /// Of the items from a place on, keeps those that are wanted.
    pub(super) fn retain_from(&mut self, start: usize, mut wanted: impl FnMut(&T) -> bool) {
        let tail = self.items.split_off(start.min(self.items.len()));
        for item in tail {
            if wanted(&item) {
                self.items.push(item);
            } else {
                self.seen.remove(&item);
            }
        }
    }

    pub(super) fn into_items(self) -> Vec<T> {
        self.items
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_item_is_kept_once_in_order() {
        let mut list = Once::default();
        for number in (0..100).chain(0..100) {
            list.push(number);
        }
        list.retain_from(10, |number| number % 2 == 0);
        assert!(list.contains(&98) && !list.contains(&99) && list.contains(&9));
        list.push(99);
        list.push(98);
        assert_eq!((list.len(), list.iter().last()), (10 + 45 + 1, Some(&99)));
    }
}
