//! A hash table of numbers whose keys are stored elsewhere: four bytes per slot, at most three of four slots used.

/// An empty slot.
const EMPTY: u32 = u32::MAX;

/// Numbers below `u32::MAX` by keys that the caller compares.
#[derive(Debug, Clone, Default)]
pub(super) struct Index {
    slots: Vec<u32>,
    len: usize,
}

impl Index {
    /// Makes a table with room for `len` numbers; the table grows if there are more.
    pub(super) fn with_capacity(len: usize) -> Self {
        Self { slots: vec![EMPTY; len + len / 3 + 2], len: 0 }
    }

    /// Returns the number with this hash for which `is` returns true.
    pub(super) fn get(&self, hash: u64, is: impl Fn(u32) -> bool) -> Option<u32> {
        self.find(hash, is).ok()
    }

    /// Adds `number`, or returns the number that already has the same key. When the table grows, `hash_of` is called for the hashes of all
    /// numbers.
    pub(super) fn insert(
        &mut self,
        number: u32,
        hash: u64,
        is: impl Fn(u32) -> bool,
        hash_of: impl Fn(u32) -> u64,
    ) -> Option<u32> {
        if (self.len + 1) * 4 > self.slots.len() * 3 {
            let mut larger = Self::with_capacity((self.len + 1) * 2);
            for number in self.slots.iter().copied().filter(|number| *number != EMPTY) {
                larger.put(number, larger.find(hash_of(number), |_| false));
            }
            *self = larger;
        }
        match self.find(hash, is) {
            Ok(former) => Some(former),
            free => {
                self.put(number, free);
                None
            }
        }
    }

    fn put(&mut self, number: u32, free: Result<u32, usize>) {
        if let Some(slot) = free.err().and_then(|at| self.slots.get_mut(at)) {
            *slot = number;
            self.len += 1;
        }
    }

    /// Returns the number, or the slot where it would be.
    fn find(&self, hash: u64, is: impl Fn(u32) -> bool) -> Result<u32, usize> {
        let size = self.slots.len();
        // The hash as a fraction of the table.
        let mut at = ((u128::from(hash) * size as u128) >> 64) as usize;
        loop {
            match self.slots.get(at) {
                None | Some(&EMPTY) => return Err(at),
                Some(&number) if is(number) => return Ok(number),
                Some(_) => at = if at + 1 == size { 0 } else { at + 1 },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_however_many_there_are() {
        let hasher = ahash::RandomState::with_seeds(1, 2, 3, 4);
        let key = |number: u32| format!("key {}", number / 2);
        let hash_of = |number: u32| hasher.hash_one(key(number));
        for room in [0, 1, 7, 2000] {
            let mut index = Index::with_capacity(room);
            for number in 0..2000 {
                let former = index.insert(number, hash_of(number), |other| key(other) == key(number), hash_of);
                assert_eq!(former, (number % 2 == 1).then(|| number - 1));
            }
            for number in 0..2100 {
                let found = index.get(hash_of(number), |other| key(other) == key(number));
                assert_eq!(found, (number < 2000).then_some(number / 2 * 2));
            }
        }
        assert_eq!(Index::default().get(5, |_| true), None);
    }
}
