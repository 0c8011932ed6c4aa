//! Texts that must differ from each other: the names of the properties of one object, the items of one list.

use std::collections::HashMap;

/// The number of a text: where it ends in a tree of all texts. 0 is the empty text.
pub(super) type Path = u32;
/// The number of a set of texts. 0 is the empty set.
pub(super) type Set = u32;

/// The set of all texts, to which no text can be added.
pub(super) const FULL: Set = u32::MAX;
/// The most texts per set; later texts may repeat each other.
pub(super) const TEXTS: usize = 512;

/// Texts and sets of texts by their numbers.
#[derive(Debug)]
pub(super) struct Memory {
    /// For each text: the text before its last byte, that byte, and the length.
    nodes: Vec<(Path, u8, u32)>,
    paths: HashMap<(Path, u8), Path>,
    /// The sorted texts of each set.
    sets: Vec<Box<[Path]>>,
    numbers: HashMap<Box<[Path]>, Set>,
}

impl Default for Memory {
    fn default() -> Self {
        let numbers = HashMap::from([(Box::default(), 0)]);
        Self { nodes: vec![(0, 0, 0)], paths: HashMap::new(), sets: vec![Box::default()], numbers }
    }
}

impl Memory {
    /// Returns the number of texts, including their beginnings.
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Returns a text with one more byte.
    pub(super) fn extended(&mut self, path: Path, byte: u8) -> Path {
        let length = self.length(path) + 1;
        let nodes = &mut self.nodes;
        *self.paths.entry((path, byte)).or_insert_with(|| {
            nodes.push((path, byte, length));
            (nodes.len() - 1) as Path
        })
    }

    /// Returns a set with one more text, or `None` if the set already has the text.
    pub(super) fn with(&mut self, set: Set, path: Path) -> Option<Set> {
        let texts = self.sets.get(set as usize)?;
        let Err(at) = texts.binary_search(&path) else { return None };
        if texts.len() >= TEXTS {
            return Some(set);
        }
        let mut texts = texts.to_vec();
        texts.insert(at, path);
        Some(self.numbered(texts))
    }

    fn numbered(&mut self, texts: Vec<Path>) -> Set {
        let texts = texts.into_boxed_slice();
        if let Some(&known) = self.numbers.get(&texts) {
            return known;
        }
        let set = self.sets.len() as Set;
        self.sets.push(texts.clone());
        self.numbers.insert(texts, set);
        set
    }

    /// Returns the endings that would make a text equal to a text of a set.
    pub(super) fn rests(&self, set: Set, path: Path) -> Vec<Vec<u8>> {
        let length = self.length(path) as usize;
        let texts = self.sets.get(set as usize).into_iter().flatten();
        let rest = |&text: &Path| {
            let mut rest = Vec::new();
            let mut at = text;
            for _ in length..self.length(text) as usize {
                let &(before, byte, _) = self.nodes.get(at as usize)?;
                rest.push(byte);
                at = before;
            }
            rest.reverse();
            (at == path).then_some(rest)
        };
        texts.filter_map(rest).collect()
    }

    /// Returns the number of the text that continues another text with two pieces, if there is such a text.
    pub(super) fn found(&self, path: Path, first: &[u8], then: &[u8]) -> Option<Path> {
        let mut bytes = first.iter().chain(then);
        bytes.try_fold(path, |path, &byte| self.paths.get(&(path, byte)).copied())
    }

    fn length(&self, path: Path) -> u32 {
        self.nodes.get(path as usize).map_or(0, |&(_, _, length)| length)
    }

    /// Returns the number, in this memory, of a text of another memory.
    pub(super) fn adopted(&mut self, other: &Self, path: Path) -> Path {
        let mut bytes = Vec::new();
        let mut at = path;
        while let Some(&(before, byte, _)) = other.nodes.get(at as usize).filter(|_| at != 0) {
            bytes.push(byte);
            at = before;
        }
        bytes.into_iter().rev().fold(0, |path, byte| self.extended(path, byte))
    }

    /// Returns the number, in this memory, of a set of another memory.
    pub(super) fn adopted_set(&mut self, other: &Self, set: Set) -> Set {
        let Some(texts) = other.sets.get(set as usize) else { return set };
        let mut texts: Vec<Path> = texts.iter().map(|&path| self.adopted(other, path)).collect();
        texts.sort_unstable();
        self.numbered(texts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_remembered() {
        let mut memory = Memory::default();
        let text = |memory: &mut Memory, text: &str| text.bytes().fold(0, |path, byte| memory.extended(path, byte));
        let [a, ab, abc, x] = ["a", "ab", "abc", "x"].map(|word| text(&mut memory, word));
        let set = memory.with(0, abc).and_then(|set| memory.with(set, x)).unwrap();
        assert_eq!(memory.with(0, x).and_then(|set| memory.with(set, abc)), Some(set));
        assert_eq!((memory.with(set, x), memory.with(FULL, a)), (None, None));
        assert_eq!((memory.rests(set, a), memory.rests(set, abc)), (vec![b"bc".to_vec()], vec![Vec::new()]));
        assert_eq!(memory.rests(set, 0).len(), 2);
        assert!(memory.rests(0, ab).is_empty());
        let mut other = Memory::default();
        let same = other.adopted_set(&memory, set);
        let ab = text(&mut other, "ab");
        assert_eq!(other.rests(same, ab), [b"c"]);
    }
}
