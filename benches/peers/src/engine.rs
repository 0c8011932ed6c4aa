//! What every engine can be asked, and the measurements that are made of it.

use std::io::Write as _;
use std::path::Path;

use mistral_benches::clock::Clock;

/// Any error.
pub type Failure = Box<dyn std::error::Error>;

/// Tokens of one step while a context is filled: the physical batch of llama.cpp's defaults, the step of ours.
const CHUNK: usize = 512;

/// Consecutive tokens of one sequence inside a step.
pub struct Run<'a> {
    pub sequence: usize,
    /// Of the first token; all before it have been computed.
    pub position: usize,
    pub tokens: &'a [u32],
}

/// A loaded model. Steps compute logits and sample nothing.
pub trait Engine {
    /// What it is and what it was compiled for.
    fn about(&self) -> String;

    fn vocab(&self) -> usize;

    /// Makes room for sequences of `length` tokens each and forgets all that was computed.
    fn open(&mut self, length: usize, sequences: usize) -> Result<(), Failure>;

    /// Forgets the tokens of a sequence from `position` on.
    fn truncate(&mut self, sequence: usize, position: usize) -> Result<(), Failure>;

    /// Computes the runs, with the logits of the last token of each, or of all tokens of the one run.
    fn step(&mut self, runs: &[Run<'_>], all_logits: bool) -> Result<(), Failure>;

    /// The logits of the last step. Shape `[rows, vocab]`.
    fn logits(&self) -> Result<Vec<f32>, Failure>;
}

/// Something that is timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Test {
    /// A prompt of this many tokens, in one step.
    Prompt(usize),
    /// 64 tokens one by one, after this many.
    Generate { depth: usize },
    /// 64 steps of one token of each of this many sequences.
    Batch(usize),
}

/// Steps of a generation.
pub const STEPS: usize = 64;

impl Test {
    /// Of `prompt512`, `gen`, `gen@8192`, `batch4`.
    pub fn parse(text: &str) -> Option<Self> {
        if text == "gen" {
            return Some(Self::Generate { depth: 0 });
        }
        let number = |prefix| text.strip_prefix(prefix).and_then(|n: &str| n.parse().ok()).filter(|&n: &usize| n > 0);
        let generate = || number("gen@").map(|depth| Self::Generate { depth });
        number("prompt").map(Self::Prompt).or_else(|| number("batch").map(Self::Batch)).or_else(generate)
    }

    /// As [`parse`](Self::parse) reads it.
    pub fn name(self) -> String {
        match self {
            Self::Prompt(tokens) => format!("prompt{tokens}"),
            Self::Generate { depth: 0 } => "gen".into(),
            Self::Generate { depth } => format!("gen@{depth}"),
            Self::Batch(sequences) => format!("batch{sequences}"),
        }
    }

    /// Tokens that the timed part computes.
    pub fn tokens(self) -> usize {
        match self {
            Self::Prompt(tokens) => tokens,
            Self::Generate { .. } => STEPS,
            Self::Batch(sequences) => sequences * STEPS,
        }
    }

    /// Opens the engine for this test and computes what comes before the timed part.
    pub fn prepare(self, engine: &mut dyn Engine) -> Result<(), Failure> {
        let (length, sequences) = match self {
            Self::Prompt(tokens) => (tokens, 1),
            Self::Generate { depth } => (depth + STEPS, 1),
            Self::Batch(sequences) => (STEPS, sequences),
        };
        engine.open(length, sequences)?;
        if let Self::Generate { depth } = self {
            let tokens = random_tokens(depth, engine.vocab());
            for (index, tokens) in tokens.chunks(CHUNK).enumerate() {
                engine.step(&[Run { sequence: 0, position: index * CHUNK, tokens }], false)?;
            }
        }
        Ok(())
    }

    /// Seconds of the timed part; may be repeated.
    pub fn time(self, engine: &mut dyn Engine, clock: Clock) -> Result<f64, Failure> {
        let tokens = random_tokens(self.tokens(), engine.vocab());
        let (sequences, depth) = match self {
            Self::Prompt(_) => (1, 0),
            Self::Generate { depth } => (1, depth),
            Self::Batch(sequences) => (sequences, 0),
        };
        for sequence in 0..sequences {
            engine.truncate(sequence, depth)?;
        }
        let start = clock.seconds()?;
        if let Self::Prompt(_) = self {
            engine.step(&[Run { sequence: 0, position: 0, tokens: &tokens }], false)?;
        } else {
            for (step, tokens) in tokens.chunks(sequences).enumerate() {
                let one =
                    |(sequence, token)| Run { sequence, position: depth + step, tokens: std::slice::from_ref(token) };
                let runs: Vec<Run<'_>> = tokens.iter().enumerate().map(one).collect();
                engine.step(&runs, false)?;
            }
        }
        Ok(clock.seconds()? - start)
    }
}

/// Token ids without a pattern, the same for every engine.
fn random_tokens(count: usize, vocab: usize) -> Vec<u32> {
    let mut state = 1u64;
    let mut draw = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) % vocab.max(1) as u64) as u32
    };
    (0..count).map(|_| draw()).collect()
}

/// Writes the f32 logits of every position of a sequence of random tokens, `chunk` tokens a step.
pub fn write_logits(engine: &mut dyn Engine, count: usize, chunk: usize, path: &Path) -> Result<(), Failure> {
    let mut file = std::io::BufWriter::new(std::fs::File::create(path)?);
    engine.open(count, 1)?;
    let tokens = random_tokens(count, engine.vocab());
    for (index, tokens) in tokens.chunks(chunk.max(1)).enumerate() {
        engine.step(&[Run { sequence: 0, position: index * chunk, tokens }], true)?;
        let logits = engine.logits()?;
        if logits.len() != tokens.len() * engine.vocab() {
            return Err(format!("{} logits for {} tokens", logits.len(), tokens.len()).into());
        }
        for value in logits {
            file.write_all(&value.to_le_bytes())?;
        }
    }
    Ok(file.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_tests_are_read_back() {
        for test in [Test::Prompt(128), Test::Generate { depth: 0 }, Test::Generate { depth: 8192 }, Test::Batch(4)] {
            assert_eq!(Test::parse(&test.name()), Some(test));
        }
        for wrong in ["", "prompt", "prompt0", "gen@", "gen@0", "batch-1", "batch4x"] {
            assert_eq!(Test::parse(wrong), None, "{wrong}");
        }
    }
}
