//! The table of a registry at one moment.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    hash::BuildHasher,
    iter,
    sync::{Arc, OnceLock},
};

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::{registry::registered_tool::RegisteredTool, tool::spec};

/// What a publish changes.
pub(crate) enum Change {
    Add(Arc<RegisteredTool>),
    Remove(Cow<'static, str>),
}

/// Tools by the hash of their name. The hash is kept with the pointer, so that a copy hashes nothing.
#[derive(Default)]
pub(crate) struct Tools {
    /// Tools by their own names.
    table: HashTable<(u64, Arc<RegisteredTool>)>,
    /// Tools by the names that models write, where those differ from their own names.
    aliases: BTreeMap<Box<str>, Arc<RegisteredTool>>,
    hasher: DefaultHashBuilder,
    /// Tools sorted by the name that models write. Filled when the list is first asked for.
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
                    let named = self.get(name).filter(|tool| tool.alias() == name).map(|tool| tool.name());
                    let name = named.unwrap_or(name);
                    let hash = self.hasher.hash_one(name);
                    if let Ok(entry) = table.find_entry(hash, |(_, tool)| tool.name() == name) {
                        entry.remove();
                    }
                }
            }
        }
        let mut tools = Self { table, hasher: self.hasher.clone(), ..Self::default() };
        tools.assign_aliases();
        tools
    }

    /// Finds an alias for each tool whose name models cannot write. The aliases depend only on the names, not on the order in which the
    /// tools were added. A name that models can write stays with its tool; then the other tools get aliases in sorted order.
    fn assign_aliases(&mut self) {
        let odd = self.table.iter().filter(|(_, tool)| !spec::is_name(tool.name()));
        let mut odd: Vec<_> = odd.map(|(_, tool)| Arc::clone(tool)).collect();
        odd.sort_unstable_by(|a, b| a.name().cmp(b.name()));
        for tool in odd {
            let salts = iter::once(None).chain((0..).map(Some));
            let mut aliases = salts.map(|salt| spec::alias(tool.name(), salt));
            let free = |alias: &str| !self.aliases.contains_key(alias) && self.named(alias).is_none();
            let Some(alias) = aliases.find(|alias| free(alias)) else { continue };
            let hash = self.hasher.hash_one(tool.name());
            let Some((_, entry)) = self.table.find_mut(hash, |(_, other)| other.name() == tool.name()) else {
                continue;
            };
            if entry.alias() != alias {
                *entry = Arc::new(tool.aliased(&alias));
            }
            let entry = Arc::clone(entry);
            self.aliases.insert(alias.into_owned().into(), entry);
        }
    }

    /// Returns the tool with this name: its own name, or the name that models write.
    pub(crate) fn get(&self, name: &str) -> Option<&Arc<RegisteredTool>> {
        self.named(name).or_else(|| self.aliases.get(name))
    }

    fn named(&self, name: &str) -> Option<&Arc<RegisteredTool>> {
        let hash = self.hasher.hash_one(name);
        self.table.find(hash, |(_, tool)| tool.name() == name).map(|(_, tool)| tool)
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    pub(super) fn sorted(&self) -> &Arc<[Arc<RegisteredTool>]> {
        self.sorted.get_or_init(|| {
            let mut tools: Vec<_> = self.table.iter().map(|(_, tool)| Arc::clone(tool)).collect();
            tools.sort_unstable_by(|a, b| a.alias().cmp(b.alias()));
            tools.into()
        })
    }

    pub(super) fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.sorted().iter().map(|tool| tool.alias())
    }
}
