//! Criterion behind one call that gives the seconds back, so that a bench can print what follows from them.

use std::time::{Duration, Instant};

use criterion::Criterion;

/// What is measured, and how: `[WORD ...] [--test]` of the command line.
pub struct Bench {
    criterion: Option<Criterion>,
    words: Vec<String>,
}

impl Bench {
    /// `--test` checks results and measures nothing; words choose what bears one of them in its name.
    pub fn new(mut arguments: Vec<String>) -> Self {
        let check = arguments.iter().any(|argument| argument == "--test");
        arguments.retain(|argument| !argument.starts_with("--"));
        let criterion = (!check).then(|| {
            Criterion::default()
                .sample_size(15)
                .warm_up_time(Duration::from_millis(100))
                .measurement_time(Duration::from_millis(600))
        });
        Self { criterion, words: arguments }
    }

    /// Whether nothing is measured.
    #[allow(dead_code)] // Each bench has a copy of this module, and not all of them ask.
    pub fn only_checks(&self) -> bool {
        self.criterion.is_none()
    }

    /// Whether the words choose this.
    pub fn wants(&self, name: &str) -> bool {
        let name = name.to_lowercase();
        self.words.is_empty() || self.words.iter().any(|word| name.contains(&word.to_lowercase()))
    }

    /// The median seconds of a call, by criterion's samples; `None` when results are only checked.
    pub fn seconds(&mut self, name: &str, mut call: impl FnMut()) -> Option<f64> {
        let mut samples = Vec::new();
        self.criterion.as_mut()?.bench_function(name, |bencher| {
            bencher.iter_custom(|calls| {
                let start = Instant::now();
                for _ in 0..calls {
                    call();
                }
                let elapsed = start.elapsed();
                samples.push(elapsed.as_secs_f64() / calls.max(1) as f64);
                elapsed
            });
        });
        samples.sort_by(f64::total_cmp);
        samples.get(samples.len() / 2).copied()
    }
}
