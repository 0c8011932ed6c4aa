//! How fast memory can be read: the roof of everything that reads each weight once.

use std::hint::black_box;
use std::sync::Barrier;

use crate::clock::Clock;

/// Memory to be read, larger than any cache.
#[derive(Debug)]
pub struct Memory(Vec<u64>);

impl Memory {
    /// This many bytes, all written.
    pub fn new(bytes: usize) -> Self {
        Self((0..bytes as u64 / 8).collect())
    }

    /// GB/s of adding all of it up on this many threads, each with a part of its own: once for the system to give every thread a core,
    /// then once with the clock running.
    ///
    /// # Errors
    /// Those of the clock.
    pub fn read(&self, threads: usize, clock: Clock) -> std::io::Result<f64> {
        let threads = threads.max(1);
        let part = self.0.len().div_ceil(threads).max(1);
        let barrier = Barrier::new(threads);
        let pass = |index: usize| {
            let words = self.0.chunks(part).nth(index).unwrap_or_default();
            black_box(sum(words));
            barrier.wait();
            let start = clock.seconds()?;
            black_box(sum(words));
            barrier.wait();
            Ok::<f64, std::io::Error>(clock.seconds()? - start)
        };
        let seconds = std::thread::scope(|scope| {
            for index in 1..threads {
                let pass = &pass;
                scope.spawn(move || pass(index));
            }
            pass(0)
        })?;
        Ok((self.0.len() * 8) as f64 / seconds / 1e9)
    }
}

/// Additions have no order to keep, so that the compiler does them in vectors.
fn sum(words: &[u64]) -> u64 {
    black_box(words).iter().fold(0, |sum, &word| sum.wrapping_add(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_added_once() {
        for len in [0, 1, 31, 32, 101] {
            let words: Vec<u64> = (1..=len as u64).collect();
            assert_eq!(sum(&words), words.iter().sum::<u64>());
        }
        assert!(Memory::new(1 << 20).read(3, Clock::Wall).unwrap() > 0.0);
    }
}
