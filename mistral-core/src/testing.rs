//! Models and a tokenizer for tests: what they do is written in the test, and every use of the cache is checked.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mistral_models::{Batch, BatchError, BatchRun, Error, LogitRows, Logits, Tokenizer};
use serde_json::{Map, json};

use crate::forward::{CacheShape, Forward};
use crate::text::TextModel;

/// The end token of [`byte_tokenizer`]; ids below are bytes.
pub(crate) const END: u32 = 256;
/// Bytes and the end token.
pub(crate) const VOCAB: usize = 257;

/// Logits of the next token from all tokens before it.
pub(crate) type Script = Box<dyn FnMut(&[u32]) -> Vec<f32> + Send>;

/// A model that reads its tokens back out of a paged cache and asks the script for logits.
pub(crate) struct Scripted {
    script: Script,
    context: usize,
    block_tokens: usize,
    /// Token and length of the sequence when it was written.
    slots: Vec<Option<(u32, usize)>>,
    /// A second group of layers, which sees so far back, and its slots.
    windowed: Option<(usize, Vec<Option<u32>>)>,
    /// For each slot of recurrent state the tokens that went into it.
    states: Vec<Vec<u32>>,
    /// Whether the script sees the lengths too, as a model with a rope scaling by length does.
    pub(crate) sees_lengths: bool,
    /// The next forward pass fails while this is set.
    pub(crate) broken: Arc<AtomicBool>,
}

impl Scripted {
    pub(crate) fn new(context: usize, blocks: usize, block_tokens: usize, script: Script) -> Self {
        let slots = vec![None; blocks * block_tokens];
        let (windowed, states) = (None, vec![Vec::new(); 64]);
        Self { script, context, block_tokens, slots, windowed, states, sees_lengths: false, broken: Arc::default() }
    }

    /// Adds a group of layers with a window and `blocks` blocks.
    pub(crate) fn window(mut self, window: usize, blocks: usize) -> Self {
        self.windowed = Some((window, vec![None; blocks * self.block_tokens]));
        self
    }

    /// Writes what the run leaves in the second group, and checks what it sees there and in its state.
    fn check_window_and_state(&mut self, run: &BatchRun, tokens: &[u32]) {
        let state = &mut self.states[run.slot];
        state.truncate(if run.position == 0 { 0 } else { usize::MAX });
        assert_eq!(state.len(), run.position, "the state is not of the positions before");
        state.extend(tokens);
        let Some((window, slots)) = &mut self.windowed else { return };
        for at in run.position..run.position + run.tokens {
            let slot =
                |at: usize| run.tables[1][at / self.block_tokens] as usize * self.block_tokens + at % self.block_tokens;
            slots[slot(at)] = Some(state[at]);
            let first = (at + 1).saturating_sub(*window);
            assert!((first..=at).all(|at| slots[slot(at)] == Some(state[at])), "a visible key was overwritten");
        }
    }
}

impl Forward for Scripted {
    fn vocab_size(&self) -> usize {
        VOCAB
    }

    fn context_length(&self) -> usize {
        self.context
    }

    fn cache(&self) -> CacheShape {
        let blocks = |slots: usize| slots / self.block_tokens;
        let second = self.windowed.iter().map(|(window, slots)| (blocks(slots.len()), Some(*window)));
        CacheShape {
            block_tokens: self.block_tokens,
            groups: [(blocks(self.slots.len()), None)].into_iter().chain(second).collect(),
            slots: self.states.len(),
            keys_depend_on_length: self.sees_lengths,
        }
    }

    fn forward(&mut self, batch: &Batch, logits: &mut Logits) -> Result<(), Error> {
        if self.broken.load(Ordering::Relaxed) {
            return Err(BatchError::Other { detail: "broken by the test".into() }.into());
        }
        let block_tokens = self.block_tokens;
        let slot = |table: &[u32], at: usize| table[at / block_tokens] as usize * block_tokens + at % block_tokens;
        let by_length = if self.sees_lengths { 1 << 10 } else { 0 };
        let seen = |(token, length): (u32, usize)| token + by_length * length as u32;
        let mut rows = Vec::new();
        for run in batch.runs() {
            let tokens = &batch.tokens()[run.start..run.start + run.tokens];
            for (at, &token) in (run.position..).zip(tokens) {
                self.slots[slot(&run.tables[0], at)] = Some((token, run.length));
            }
            self.check_window_and_state(run, tokens);
        }
        // Read only after every write, so that two sequences in one block would be seen.
        for run in batch.runs() {
            let end = run.position + run.tokens;
            assert!(end <= self.context);
            if run.rows == LogitRows::Last {
                let history: Vec<u32> =
                    (0..end).map(|at| self.slots[slot(&run.tables[0], at)].map(seen).unwrap()).collect();
                rows.extend((self.script)(&history));
            }
        }
        logits.reset(rows.len() / VOCAB, VOCAB);
        logits.values_mut().copy_from_slice(&rows);
        Ok(())
    }
}

/// Logits that leave no doubt about `token`.
pub(crate) fn certain(token: u32) -> Vec<f32> {
    (0..VOCAB as u32).map(|t| if t == token { 10.0 } else { -10.0 }).collect()
}

/// Says `text` byte by byte after a prompt of `prompt` tokens, then the end token.
pub(crate) fn says(prompt: usize, text: &str) -> Script {
    let text = text.to_owned();
    Box::new(move |seen| certain(text.as_bytes().get(seen.len() - prompt).map_or(END, |&b| b.into())))
}

/// Logits drawn from a hash of all tokens seen, over printable characters; the end token is likely about one time in 64.
pub(crate) fn babbles() -> Script {
    Box::new(|seen| {
        let mut state =
            seen.iter().fold(0u64, |h, &t| (h ^ u64::from(t)).wrapping_mul(0x0100_0000_01b3).rotate_left(17));
        let mut unit = || (crate::sample::rng::split_mix(&mut state) >> 40) as f32 / (1 << 24) as f32;
        let end = unit() < 1.0 / 64.0;
        (0..VOCAB as u32)
            .map(|token| match token {
                END if end => 20.0,
                97..123 => unit() * 4.0,
                _ => -20.0,
            })
            .collect()
    })
}

/// A tokenizer whose ids are bytes, with one special token, `<end>`.
pub(crate) fn byte_tokenizer() -> Tokenizer {
    let mut vocab = Map::new();
    let mut other = 256;
    for byte in 0..=255u8 {
        // GPT-2's spelling of bytes: printable ones as they are, the rest from U+0100 on.
        let printable = matches!(byte, 33..=126 | 161..=172 | 174..=255);
        let spelling = if printable { u32::from(byte) } else { other };
        other += u32::from(!printable);
        vocab.insert(char::from_u32(spelling).unwrap().to_string(), byte.into());
    }
    let level = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false});
    let file = json!({
        "version": "1.0", "normalizer": null, "pre_tokenizer": level, "post_processor": null, "decoder": level,
        "added_tokens": [{"id": END, "content": "<end>", "special": true, "single_word": false, "lstrip": false,
            "rstrip": false, "normalized": false}],
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "vocab": vocab, "merges": []},
    });
    Tokenizer::from_json(file.to_string().as_bytes(), Some(br#"{"eos_token": "<end>"}"#), None).unwrap()
}

/// A text side of bytes without a chat template.
pub(crate) fn byte_text() -> TextModel {
    TextModel::new(Some(byte_tokenizer()), None)
}
