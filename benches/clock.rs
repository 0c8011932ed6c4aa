//! What time is measured in.

use std::sync::OnceLock;
use std::time::Instant;

/// The source of a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Clock {
    /// Time that passes.
    #[default]
    Wall,
    /// Time that the calling thread was computing, by the scheduler's count (Linux). What other programs take is left out, so that
    /// one thread can be measured on a busy machine; of work on several threads it says nothing.
    Thread,
}

impl Clock {
    /// Seconds since some start.
    ///
    /// # Errors
    /// The system does not count the time of threads.
    pub fn seconds(self) -> std::io::Result<f64> {
        static START: OnceLock<Instant> = OnceLock::new();
        if self == Self::Wall {
            return Ok(START.get_or_init(Instant::now).elapsed().as_secs_f64());
        }
        let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
        let nanoseconds = text.split(' ').next().and_then(|number| number.parse::<f64>().ok());
        nanoseconds.map(|ns| ns / 1e9).ok_or_else(|| std::io::Error::other(format!("no time in {text:?}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_on() {
        for clock in [Clock::Wall, Clock::Thread] {
            let Ok(start) = clock.seconds() else { continue };
            let mut sum = 0u64;
            while clock.seconds().unwrap() == start {
                sum = std::hint::black_box(sum + 1);
            }
            assert!(clock.seconds().unwrap() > start);
        }
    }
}
