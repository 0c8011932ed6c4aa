//! How fast memory can be read: the roof of everything that reads each weight once.

use std::hint::black_box;
use std::time::Instant;

/// Words summed side by side: four registers of 64 bytes.
const LANES: usize = 32;

/// Memory to be read, larger than any cache.
#[derive(Debug)]
pub struct Memory(Vec<u64>);

impl Memory {
    /// This many bytes, all written.
    pub fn new(bytes: usize) -> Self {
        Self((0..bytes as u64 / 8).collect())
    }

    /// GB/s of adding all of it up once on this many threads, each with a part of its own.
    pub fn read(&self, threads: usize) -> f64 {
        let part = self.0.len().div_ceil(threads.max(1)).next_multiple_of(LANES).max(LANES);
        let start = Instant::now();
        std::thread::scope(|scope| {
            let mut parts = self.0.chunks(part);
            let own = parts.next();
            for part in parts {
                scope.spawn(move || black_box(sum(part)));
            }
            black_box(own.map(sum));
        });
        (self.0.len() * 8) as f64 / start.elapsed().as_secs_f64() / 1e9
    }
}

fn sum(words: &[u64]) -> u64 {
    let mut sums = [0u64; LANES];
    let (rows, rest) = black_box(words).as_chunks::<LANES>();
    for row in rows {
        for (sum, word) in sums.iter_mut().zip(row) {
            *sum = sum.wrapping_add(*word);
        }
    }
    sums.iter().chain(rest).fold(0, |all, word| all.wrapping_add(*word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_added_once() {
        for len in [0, 1, LANES - 1, LANES, 3 * LANES + 5] {
            let words: Vec<u64> = (1..=len as u64).collect();
            assert_eq!(sum(&words), words.iter().sum::<u64>());
        }
        assert!(Memory::new(1 << 20).read(3) > 0.0);
    }
}
