//! Results that are told piece by piece: what a streaming function hands out is what the model reads.

use std::{borrow::Cow, fmt, sync::Mutex, sync::MutexGuard, sync::PoisonError};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Serialize, Serializer};

use crate::outcome::text::boundary;

/// The result of a streaming function ([`on_stream`](crate::builder::Resulting::on_stream)): its chunks joined without a separator. The model reads
/// the joined text.
///
/// The text is kept up to a [limit](crate::builder::Callable::stream_limit) and cut at a character. Chunks beyond the limit still reach observers,
/// and the model reads how much text is missing. Each retry of a call begins with an empty text; observers have already seen the chunks of
/// earlier attempts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Streamed {
    text: String,
    left_out: u64,
}

impl Streamed {
    /// The most bytes that are kept unless [`stream_limit`](crate::builder::Callable::stream_limit) says otherwise.
    pub const LIMIT: usize = 64 << 10;

    /// The chunks, joined, as far as they were kept.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The bytes beyond the limit.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    fn push(&mut self, chunk: &str, limit: usize) {
        let room = limit.saturating_sub(self.text.len());
        // What was cut once is not gone on with, even if a later chunk is short.
        let end = if self.left_out > 0 { 0 } else { boundary(chunk, room) };
        let (kept, beyond) = chunk.split_at(end);
        self.text.push_str(kept);
        self.left_out = self.left_out.saturating_add(beyond.len() as u64);
    }
}

/// A whole text, as from a hook that puts something else in place of a result.
impl From<String> for Streamed {
    fn from(text: String) -> Self {
        Self { text, left_out: 0 }
    }
}

impl From<&str> for Streamed {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

/// The text, and how much is missing if something is.
impl fmt::Display for Streamed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)?;
        match self.left_out {
            0 => Ok(()),
            bytes => write!(formatter, "\n[{bytes} more bytes are left out]"),
        }
    }
}

impl Serialize for Streamed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Streamed {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        String::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        String::json_schema(generator)
    }
}

/// Joins the chunks of one attempt. The lock is of that attempt alone: only a function that emits from several threads at once can
/// find it taken.
#[derive(Debug)]
pub(crate) struct Collector {
    limit: usize,
    streamed: Mutex<Streamed>,
}

impl Collector {
    /// Allocates nothing before there is a chunk.
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, streamed: Mutex::default() }
    }

    pub(crate) fn push(&self, chunk: &str) {
        self.lock().push(chunk, self.limit);
    }

    pub(crate) fn take(&self) -> Streamed {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Streamed> {
        self.streamed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
