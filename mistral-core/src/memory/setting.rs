//! The text of a budget that is too small, and the settings that would fit.

use std::fmt;

use mistral_quant::KvFormat;

/// A setting of [`ModelBuilder`](crate::ModelBuilder) with a value, as [`Error::OutOfMemoryBudget`](crate::Error::OutOfMemoryBudget) recommends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum MemorySetting {
    /// [`context_length`](crate::ModelBuilder::context_length), in tokens.
    ContextLength(usize),
    /// [`kv_tokens`](crate::ModelBuilder::kv_tokens), in tokens.
    KvTokens(usize),
    /// [`kv_format`](crate::ModelBuilder::kv_format).
    KvFormat(KvFormat),
    /// [`max_batch_tokens`](crate::ModelBuilder::max_batch_tokens), in tokens.
    MaxBatchTokens(usize),
    /// [`max_sequences`](crate::ModelBuilder::max_sequences).
    MaxSequences(usize),
}

/// Writes the setting as it is called: `context_length(2048)`.
impl fmt::Display for MemorySetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ContextLength(tokens) => write!(f, "context_length({tokens})"),
            Self::KvTokens(tokens) => write!(f, "kv_tokens({tokens})"),
            Self::KvFormat(format) => write!(f, "kv_format(KvFormat::{format:?})"),
            Self::MaxBatchTokens(tokens) => write!(f, "max_batch_tokens({tokens})"),
            Self::MaxSequences(sequences) => write!(f, "max_sequences({sequences})"),
        }
    }
}

/// Returns the text of [`Error::OutOfMemoryBudget`]: the parts in MiB or GiB, the largest first, and settings that would fit.
pub(crate) fn over_budget(parts: [&u64; 3], needed: u64, budget: u64, fitting: &[MemorySetting]) -> String {
    let [&weights, &kv, &workspace] = parts;
    let mut parts = [("weights", weights), ("KV cache", kv), ("workspace", workspace)];
    parts.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    let parts = parts.map(|(name, bytes)| format!("{name} {}", size_text(bytes))).join(", ");
    let (mut size, mut limit) = (size_text(needed), size_text(budget));
    if size == limit {
        (size, limit) = (format!("{needed} bytes"), format!("{budget} bytes"));
    }
    let advice = match fitting {
        [] => "no setting makes it fit: choose a smaller checkpoint, or `quantize` to fewer bits per weight".to_owned(),
        [one] => format!("`{one}` would fit"),
        all => {
            format!("{} together would fit", all.iter().map(|one| format!("`{one}`")).collect::<Vec<_>>().join(" and "))
        }
    };
    format!("{size} are needed ({parts}), the memory budget is {limit}; {advice}")
}

const GIBIBYTE: u64 = 1 << 30;

fn size_text(bytes: u64) -> String {
    match bytes {
        0..GIBIBYTE => format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20)),
        _ => format!("{:.2} GiB", bytes as f64 / GIBIBYTE as f64),
    }
}
