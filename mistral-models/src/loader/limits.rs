//! Bounds on what a file may claim, so that a hostile one costs time and memory in proportion to its own size.

/// Bounds on checkpoint files. Everything above one of them is [`Error::Limit`](crate::Error::Limit), found before
/// anything is allocated.
///
/// With the defaults, opening a checkpoint takes at most as much memory as its headers and configuration have bytes,
/// plus 32 MiB, plus the files themselves where they are read and not mapped. Independently of these, every length in a
/// file is held against the bytes that remain in it. The defaults leave room above the largest published checkpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of a GGUF header: metadata and tensor table together. 512 MiB.
    pub header_bytes: u64,
    /// GGUF metadata keys and arrays inside arrays, counted together. 16,384.
    pub metadata_entries: u64,
    /// Bytes of a tensor name or metadata key. 65,535, which is GGUF's own bound for keys.
    pub name_bytes: u64,
    /// Bytes of one string value: a vocabulary entry, a chat template. 16 MiB.
    pub string_bytes: u64,
    /// Elements of one metadata array. 16,777,216.
    pub array_length: u64,
    /// Depth of arrays inside arrays; a plain array is depth 1. 4.
    pub array_depth: u32,
    /// Tensors of one checkpoint, all shards together. 262,144.
    pub tensors: u64,
    /// Dimensions of one tensor. 8, which is also the most; GGUF itself allows 4.
    pub dimensions: u32,
    /// Bytes of the JSON header of one safetensors file. 100,000,000, the bound of the format.
    pub safetensors_header_bytes: u64,
    /// Files that one checkpoint is split into. 4,096.
    pub shards: u64,
    /// Bytes of a `config.json`. 16 MiB.
    pub config_bytes: u64,
    /// Values in a `config.json`: each takes some hundred bytes in memory, however short it is in the file. 100,000.
    pub config_values: u64,
    /// Bytes of another file beside the weights: tokenizer, template, shard index. 256 MiB.
    pub sidecar_bytes: u64,
    /// Bytes of an importance matrix. 4 GiB.
    pub importance_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_bytes: 512 << 20,
            metadata_entries: 1 << 14,
            name_bytes: 65_535,
            string_bytes: 16 << 20,
            array_length: 1 << 24,
            array_depth: 4,
            tensors: 1 << 18,
            dimensions: 8,
            safetensors_header_bytes: 100_000_000,
            shards: 4096,
            config_bytes: 16 << 20,
            config_values: 100_000,
            sidecar_bytes: 256 << 20,
            importance_bytes: 4 << 30,
        }
    }
}
