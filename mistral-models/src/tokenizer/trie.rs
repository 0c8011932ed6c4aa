//! A byte trie over a fixed set of keys, stored level by level: the children of a node are neighbours.
//!
//! Nine bytes a node and no pointer, so that a vocabulary of 250,000 pieces costs about as much as its text.

use std::ops::Range;

/// Value of a node at which no key ends.
const NO_VALUE: u32 = u32::MAX;

/// A set of byte strings with a `u32` each.
#[derive(Debug, Clone, Default)]
pub(super) struct Trie {
    /// `first_child[node]..first_child[node + 1]` are the children of `node`; the root is node 0.
    first_child: Vec<u32>,
    /// The byte on the edge into a node.
    labels: Vec<u8>,
    values: Vec<u32>,
}

impl Trie {
    /// Builds the trie. Of equal keys the last one counts; empty keys are left out.
    pub(super) fn new<'a>(entries: impl IntoIterator<Item = (&'a [u8], u32)>) -> Self {
        let mut entries: Vec<(&[u8], u32)> = entries.into_iter().filter(|(key, _)| !key.is_empty()).collect();
        entries.sort_by(|a, b| a.0.cmp(b.0));
        let mut trie = Self { first_child: Vec::new(), labels: vec![0], values: vec![NO_VALUE] };
        // Ranges of entries that share a prefix of `depth` bytes, one for each node of the level.
        let mut level: Vec<Range<usize>> = std::iter::once(0..entries.len()).collect();
        let mut depth = 0;
        while !level.is_empty() {
            let mut next = Vec::new();
            for range in level {
                trie.first_child.push(trie.labels.len() as u32);
                let mut at = range.start;
                while at < range.end {
                    let Some(&label) = entries[at].0.get(depth) else {
                        at += 1;
                        continue;
                    };
                    let mut value = NO_VALUE;
                    let start = at;
                    while let Some((key, v)) = entries[..range.end].get(at)
                        && key.get(depth) == Some(&label)
                    {
                        if key.len() == depth + 1 {
                            value = *v;
                        }
                        at += 1;
                    }
                    trie.labels.push(label);
                    trie.values.push(value);
                    next.push(start..at);
                }
            }
            level = next;
            depth += 1;
        }
        trie.first_child.push(trie.labels.len() as u32);
        trie
    }

    fn child(&self, node: usize, byte: u8) -> Option<usize> {
        let start = *self.first_child.get(node)? as usize;
        let end = *self.first_child.get(node + 1)? as usize;
        let found = self.labels.get(start..end)?.binary_search(&byte).ok()?;
        Some(start + found)
    }

    /// Every key that `bytes` begins with, shortest first, as (length, value). Costs the longest match.
    pub(super) fn prefixes<'t>(&'t self, bytes: &'t [u8]) -> impl Iterator<Item = (usize, u32)> + 't {
        let mut node = Some(0);
        let mut at = 0;
        std::iter::from_fn(move || {
            loop {
                let next = self.child(node?, *bytes.get(at)?);
                node = next;
                at += 1;
                match self.values.get(next?) {
                    Some(&value) if value != NO_VALUE => return Some((at, value)),
                    _ => {}
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_every_prefix() {
        let keys: [&[u8]; 5] = [b"a", b"abc", b"abd", b"b", b""];
        let trie = Trie::new(keys.iter().enumerate().map(|(i, k)| (*k, i as u32)));
        assert_eq!(trie.prefixes(b"abcd").collect::<Vec<_>>(), [(1, 0), (3, 1)]);
        assert_eq!(trie.prefixes(b"ab").collect::<Vec<_>>(), [(1, 0)]);
        assert_eq!(trie.prefixes(b"ba").collect::<Vec<_>>(), [(1, 3)]);
        assert_eq!(trie.prefixes(b"c").count(), 0);
        assert_eq!(Trie::new([]).prefixes(b"c").count(), 0);
    }
}
