//! The table of a registry at one moment.

use std::{
    hash::BuildHasher,
    sync::{Arc, OnceLock},
};

use hashbrown::{DefaultHashBuilder, HashTable};

use super::Change;
use crate::RegisteredTool;

/// Tools by the hash of their name. The hash is kept with the pointer, so that a copy hashes nothing.
#[derive(Default)]
pub(crate) struct Tools {
    table: HashTable<(u64, Arc<RegisteredTool>)>,
    hasher: DefaultHashBuilder,
    /// Sorted by name, once somebody wants a list.
    sorted: OnceLock<Arc<[Arc<RegisteredTool>]>>,
}

impl Tools {
    /// A copy with these changes.
    pub(super) fn with(&self, changes: &[Change]) -> Self {
        let mut table = self.table.clone();
        let added = changes.iter().filter(|change| matches!(change, Change::Add(_))).count();
        table.reserve(added, |(hash, _)| *hash);
        for change in changes {
            match change {
                Change::Add(tool) => {
                    let hash = self.hasher.hash_one(tool.name());
                    let same = |(_, other): &(u64, Arc<RegisteredTool>)| other.name() == tool.name();
                    match table.find_mut(hash, same) {
                        Some((_, other)) => *other = Arc::clone(tool),
                        None => {
                            table.insert_unique(hash, (hash, Arc::clone(tool)), |(hash, _)| *hash);
                        }
                    }
                }
                Change::Remove(name) => {
                    let hash = self.hasher.hash_one(name.as_ref());
                    if let Ok(entry) = table.find_entry(hash, |(_, tool)| tool.name() == name) {
                        entry.remove();
                    }
                }
            }
        }
        Self { table, hasher: self.hasher.clone(), sorted: OnceLock::new() }
    }

    pub(super) fn get(&self, name: &str) -> Option<&Arc<RegisteredTool>> {
        let hash = self.hasher.hash_one(name);
        self.table.find(hash, |(_, tool)| tool.name() == name).map(|(_, tool)| tool)
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    pub(super) fn sorted(&self) -> &Arc<[Arc<RegisteredTool>]> {
        self.sorted.get_or_init(|| {
            let mut tools: Vec<_> = self.table.iter().map(|(_, tool)| Arc::clone(tool)).collect();
            tools.sort_unstable_by(|a, b| a.name().cmp(b.name()));
            tools.into()
        })
    }

    pub(super) fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.sorted().iter().map(|tool| tool.name())
    }
}
