//! Keys and values of one layer in host memory.

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use crate::cpu::disjoint::Disjoint;
use crate::cpu::storage::zeroed;
use crate::kv_format::{KV_UNIT, encode_unit};
use crate::{Error, KvFormat, KvShape, Span, ThreadPool, check};

/// Elements below which storing is not worth waking threads for.
const SERIAL: usize = 16 * 1024;

/// The cache of one layer. Memory is taken from the system as blocks are first written.
#[derive(Debug)]
pub struct CpuKv {
    shape: KvShape,
    keys: Store,
    values: Store,
}

/// `[blocks, kv_heads, block_tokens, dim]`: the slots of one head in one block lie together, so that attention streams them.
#[derive(Debug)]
enum Store {
    F32(Vec<f32>),
    F16(Vec<f16>),
    Bf16(Vec<bf16>),
    /// Codes `[.., dim]` and scales `[.., ceil(dim / 32)]`.
    Q8_0 {
        codes: Vec<i8>,
        scales: Vec<f16>,
    },
}

/// Consecutive slots of one head, `[slots, dim]`.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Panel<'a> {
    F32(&'a [f32]),
    F16(&'a [f16]),
    Bf16(&'a [bf16]),
    Q8_0 { codes: &'a [i8], scales: &'a [f16], dim: usize },
}

impl Panel<'_> {
    /// Elements of all slots.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::F32(stored) => stored.len(),
            Self::F16(stored) => stored.len(),
            Self::Bf16(stored) => stored.len(),
            Self::Q8_0 { codes, .. } => codes.len(),
        }
    }

    /// Asks for the panel to be brought near, where the processor can be asked: blocks lie scattered, so that its own
    /// guess ends at each block.
    pub(crate) fn prefetch(&self) {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            let (start, bytes) = match self {
                Self::F32(stored) => (stored.as_ptr().cast::<i8>(), size_of_val(*stored)),
                Self::F16(stored) => (stored.as_ptr().cast::<i8>(), size_of_val(*stored)),
                Self::Bf16(stored) => (stored.as_ptr().cast::<i8>(), size_of_val(*stored)),
                Self::Q8_0 { codes, .. } => (codes.as_ptr(), codes.len()),
            };
            for line in (0..bytes).step_by(64) {
                // SAFETY: a hint that touches no memory; SSE belongs to every x86-64.
                unsafe { _mm_prefetch::<_MM_HINT_T0>(start.wrapping_add(line)) };
            }
        }
    }

    /// Copies all elements to the start of `out`.
    pub(crate) fn widen(&self, out: &mut [f32]) {
        let Some(out) = out.get_mut(..self.len()) else { return };
        match self {
            Self::F32(stored) => out.copy_from_slice(stored),
            Self::F16(stored) => stored.convert_to_f32_slice(out),
            Self::Bf16(stored) => stored.convert_to_f32_slice(out),
            Self::Q8_0 { codes, scales, dim } => {
                let heads = codes.chunks_exact(*dim).zip(scales.chunks_exact(dim.div_ceil(KV_UNIT)));
                for ((codes, scales), out) in heads.zip(out.chunks_exact_mut(*dim)) {
                    for ((codes, scale), out) in codes.chunks(KV_UNIT).zip(scales).zip(out.chunks_mut(KV_UNIT)) {
                        let scale = scale.to_f32();
                        codes.iter().zip(out).for_each(|(&code, out)| *out = scale * f32::from(code));
                    }
                }
            }
        }
    }
}

impl CpuKv {
    /// Empty storage of a checked shape.
    pub(crate) fn new(shape: KvShape) -> Result<Self, Error> {
        let (keys, values) = check::kv(shape)?;
        let store = |what, format, len: usize, dim: usize| {
            Ok(match format {
                KvFormat::F32 => Store::F32(zeroed(what, len)?),
                KvFormat::F16 => Store::F16(zeroed(what, len)?),
                KvFormat::Bf16 => Store::Bf16(zeroed(what, len)?),
                KvFormat::Q8_0 => {
                    Store::Q8_0 { codes: zeroed(what, len)?, scales: zeroed(what, len / dim * dim.div_ceil(KV_UNIT))? }
                }
            })
        };
        Ok(Self {
            shape,
            keys: store("cached keys", shape.key_format, keys, shape.key_dim)?,
            values: store("cached values", shape.value_format, values, shape.value_dim)?,
        })
    }

    pub(crate) fn shape(&self) -> KvShape {
        self.shape
    }

    /// Keys `[count, key_dim]` of `kv_head` in slots `slot..slot + count` of a block.
    pub(crate) fn keys(&self, block: u32, kv_head: usize, slot: usize, count: usize) -> Panel<'_> {
        self.keys.panel(self.first(block, kv_head, slot), count, self.shape.key_dim)
    }

    /// Values `[count, value_dim]` of the same slots.
    pub(crate) fn values(&self, block: u32, kv_head: usize, slot: usize, count: usize) -> Panel<'_> {
        self.values.panel(self.first(block, kv_head, slot), count, self.shape.value_dim)
    }

    fn first(&self, block: u32, kv_head: usize, slot: usize) -> usize {
        (block as usize * self.shape.kv_heads + kv_head) * self.shape.block_tokens + slot
    }

    /// Stores the rows of checked spans; one task a head, so that blocks that two spans share are written in span order.
    pub(crate) fn append(
        &mut self,
        pool: &ThreadPool,
        keys: &[f32],
        values: &[f32],
        spans: &[Span<'_>],
    ) -> Result<(), Error> {
        let KvShape { block_tokens, kv_heads, key_dim, value_dim, .. } = self.shape;
        let tokens: usize = spans.iter().map(|span| span.tokens).fold(0, usize::saturating_add);
        let serial = tokens.saturating_mul(kv_heads * (key_dim + value_dim)) < SERIAL;
        let (stored_keys, stored_values) = (self.keys.writer(), self.values.writer());
        let store = |kv_head: usize| {
            for span in spans {
                for i in 0..span.tokens {
                    let position = span.position + i;
                    let block = span.blocks[position / block_tokens] as usize;
                    let slot = (block * kv_heads + kv_head) * block_tokens + position % block_tokens;
                    let row = (span.start + i) * kv_heads + kv_head;
                    // SAFETY: the slots of different heads do not overlap, and one task has all of a head.
                    unsafe {
                        stored_keys.write(slot, &keys[row * key_dim..(row + 1) * key_dim]);
                        stored_values.write(slot, &values[row * value_dim..(row + 1) * value_dim]);
                    }
                }
            }
        };
        if serial {
            (0..kv_heads).for_each(store)
        } else {
            pool.for_each(kv_heads, &store)?
        }
        Ok(())
    }
}

impl Store {
    fn panel(&self, slot: usize, count: usize, dim: usize) -> Panel<'_> {
        let (start, len) = (slot * dim, count * dim);
        match self {
            Self::F32(stored) => Panel::F32(stored.get(start..start + len).unwrap_or_default()),
            Self::F16(stored) => Panel::F16(stored.get(start..start + len).unwrap_or_default()),
            Self::Bf16(stored) => Panel::Bf16(stored.get(start..start + len).unwrap_or_default()),
            Self::Q8_0 { codes, scales } => {
                let units = dim.div_ceil(KV_UNIT);
                Panel::Q8_0 {
                    codes: codes.get(start..start + len).unwrap_or_default(),
                    scales: scales.get(slot * units..(slot + count) * units).unwrap_or_default(),
                    dim,
                }
            }
        }
    }

    fn writer(&mut self) -> Writer<'_> {
        match self {
            Self::F32(stored) => Writer::F32(Disjoint::new(stored)),
            Self::F16(stored) => Writer::F16(Disjoint::new(stored)),
            Self::Bf16(stored) => Writer::Bf16(Disjoint::new(stored)),
            Self::Q8_0 { codes, scales } => Writer::Q8_0 { codes: Disjoint::new(codes), scales: Disjoint::new(scales) },
        }
    }
}

/// Writes slots from several threads.
enum Writer<'a> {
    F32(Disjoint<'a, f32>),
    F16(Disjoint<'a, f16>),
    Bf16(Disjoint<'a, bf16>),
    Q8_0 { codes: Disjoint<'a, i8>, scales: Disjoint<'a, f16> },
}

impl Writer<'_> {
    /// # Safety
    /// As [`Disjoint::slice`].
    unsafe fn write(&self, slot: usize, values: &[f32]) {
        let start = slot * values.len();
        match self {
            // SAFETY: by this function's contract.
            Self::F32(stored) => unsafe { stored.slice(start, values.len()) }.copy_from_slice(values),
            // SAFETY: the same.
            Self::F16(stored) => unsafe { stored.slice(start, values.len()) }.convert_from_f32_slice(values),
            // SAFETY: the same.
            Self::Bf16(stored) => unsafe { stored.slice(start, values.len()) }.convert_from_f32_slice(values),
            Self::Q8_0 { codes, scales } => {
                let units = values.len().div_ceil(KV_UNIT);
                // SAFETY: the same; the scales of different slots do not overlap either.
                let (codes, scales) = unsafe { (codes.slice(start, values.len()), scales.slice(slot * units, units)) };
                for ((unit, codes), scale) in values.chunks(KV_UNIT).zip(codes.chunks_mut(KV_UNIT)).zip(scales) {
                    *scale = encode_unit(unit, codes);
                }
            }
        }
    }
}
