//! Keys and values of one layer in host memory.
//!
//! Both lie as `[blocks, kv_heads, block_tokens, dim]`, so that attention streams the slots of one head in one block. Where
//! `block_tokens` is a multiple of 16, each run of 16 keys is transposed to `[dim, 16]` (see the kernels for why); values never are.
//! q8_0 keeps codes and scales apart, the scales as `[.., ceil(dim / 32)]`, transposed as their codes are.

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use crate::backend::KvShape;
use crate::check;
use crate::cpu::disjoint::Disjoint;
use crate::cpu::kernels::attention::tile::{STRIP, STRIPS, Stored};
use crate::cpu::pool::ThreadPool;
use crate::cpu::storage::zeroed;
use crate::error::Error;
use crate::kv_format::KvFormat;
use crate::kv_format::{KV_UNIT, encode_unit};
use crate::step::Span;

/// Elements below which storing is not worth waking threads for.
const SERIAL: usize = 16 * 1024;

/// The cache of one layer. Memory is taken from the system as blocks are first written.
#[derive(Debug)]
pub struct CpuKv {
    shape: KvShape,
    keys: Store,
    values: Store,
}

/// Slots of all blocks and heads.
#[derive(Debug)]
pub(crate) struct Store {
    /// Elements a slot.
    dim: usize,
    /// Whether runs of 16 slots are transposed.
    transposed: bool,
    elements: Elements,
}

#[derive(Debug)]
enum Elements {
    F32(Vec<f32>),
    F16(Vec<f16>),
    Bf16(Vec<bf16>),
    Q8_0 { codes: Vec<i8>, scales: Vec<f16> },
}

impl CpuKv {
    /// Empty storage of a checked shape.
    pub(crate) fn new(shape: KvShape) -> Result<Self, Error> {
        let (keys, values) = check::kv(shape)?;
        Ok(Self {
            shape,
            keys: Store::new("cached keys", shape.key_format, keys, shape.key_dim, is_stripped(shape))?,
            values: Store::new("cached values", shape.value_format, values, shape.value_dim, false)?,
        })
    }

    pub(crate) fn shape(&self) -> KvShape {
        self.shape
    }

    /// Whether keys and values can be read in strips, [`Store::strips`]; otherwise slot by slot.
    pub(crate) fn is_stripped(&self) -> bool {
        is_stripped(self.shape)
    }

    pub(crate) fn keys(&self) -> &Store {
        &self.keys
    }

    pub(crate) fn values(&self) -> &Store {
        &self.values
    }

    /// Where a slot of a block lies in both stores.
    pub(crate) fn slot(&self, block: u32, kv_head: usize, slot: usize) -> usize {
        (block as usize * self.shape.kv_heads + kv_head) * self.shape.block_tokens + slot
    }

    /// Stores the rows of checked spans; one task a head, so that blocks that two spans share are written in span order.
    pub(crate) fn append<'a>(
        &mut self,
        pool: &ThreadPool,
        keys: &[f32],
        values: &[f32],
        spans: impl Iterator<Item = Span<'a>> + Clone + Sync,
    ) -> Result<(), Error> {
        let KvShape { block_tokens, kv_heads, key_dim, value_dim, .. } = self.shape;
        let tokens: usize = spans.clone().map(|span| span.tokens).fold(0, usize::saturating_add);
        let serial = tokens.saturating_mul(kv_heads * (key_dim + value_dim)) < SERIAL;
        let (stored_keys, stored_values) = (self.keys.writer(), self.values.writer());
        let store = |kv_head: usize| {
            for span in spans.clone() {
                for i in 0..span.tokens {
                    let position = span.position + i;
                    let block = span.blocks[position / block_tokens] as usize;
                    let slot = (block * kv_heads + kv_head) * block_tokens + position % block_tokens;
                    let row = (span.start + i) * kv_heads + kv_head;
                    // SAFETY: the slots of different heads do not overlap, nor do runs of 16 slots that are transposed, since
                    // a block holds whole ones; one task has all of a head.
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

fn is_stripped(shape: KvShape) -> bool {
    shape.block_tokens.is_multiple_of(STRIP)
}

impl Store {
    fn new(what: &str, format: KvFormat, len: usize, dim: usize, transposed: bool) -> Result<Self, Error> {
        let elements = match format {
            KvFormat::F32 => Elements::F32(zeroed(what, len)?),
            KvFormat::F16 => Elements::F16(zeroed(what, len)?),
            KvFormat::Bf16 => Elements::Bf16(zeroed(what, len)?),
            KvFormat::Q8_0 => {
                Elements::Q8_0 { codes: zeroed(what, len)?, scales: zeroed(what, len / dim * dim.div_ceil(KV_UNIT))? }
            }
        };
        Ok(Self { dim, transposed, elements })
    }

    /// Strips of 16 slots from the slots named, `None` where none is wanted. The store must be readable in strips.
    pub(crate) fn strips(&self, slots: [Option<usize>; STRIPS]) -> Stored<'_> {
        fn pick<T>(all: &[T], slots: [Option<usize>; STRIPS], width: usize) -> [&[T]; STRIPS] {
            slots.map(|slot| slot.and_then(|slot| all.get(slot * width..(slot + STRIP) * width)).unwrap_or_default())
        }
        let dim = self.dim;
        match &self.elements {
            Elements::F32(all) => Stored::F32(pick(all, slots, dim)),
            Elements::F16(all) => Stored::F16(pick(all, slots, dim)),
            Elements::Bf16(all) => Stored::Bf16(pick(all, slots, dim)),
            Elements::Q8_0 { codes, scales } => {
                Stored::Q8_0 { codes: pick(codes, slots, dim), scales: pick(scales, slots, dim.div_ceil(KV_UNIT)) }
            }
        }
    }

    /// One slot as f32, into `dim` elements. The store must not be transposed.
    pub(crate) fn read(&self, slot: usize, out: &mut [f32]) {
        fn row<T>(all: &[T], slot: usize, width: usize) -> &[T] {
            all.get(slot * width..(slot + 1) * width).unwrap_or_default()
        }
        debug_assert!(!self.transposed && out.len() == self.dim);
        match &self.elements {
            Elements::F32(all) => out.copy_from_slice(row(all, slot, self.dim)),
            Elements::F16(all) => row(all, slot, self.dim).convert_to_f32_slice(out),
            Elements::Bf16(all) => row(all, slot, self.dim).convert_to_f32_slice(out),
            Elements::Q8_0 { codes, scales } => {
                let codes = row(codes, slot, self.dim).chunks(KV_UNIT);
                let scales = row(scales, slot, self.dim.div_ceil(KV_UNIT));
                for ((codes, scale), out) in codes.zip(scales).zip(out.chunks_mut(KV_UNIT)) {
                    let scale = scale.to_f32();
                    codes.iter().zip(out).for_each(|(&code, out)| *out = scale * f32::from(code));
                }
            }
        }
    }

    fn writer(&mut self) -> Writer<'_> {
        let elements = match &mut self.elements {
            Elements::F32(all) => ElementsMut::F32(Disjoint::new(all)),
            Elements::F16(all) => ElementsMut::F16(Disjoint::new(all)),
            Elements::Bf16(all) => ElementsMut::Bf16(Disjoint::new(all)),
            Elements::Q8_0 { codes, scales } => {
                ElementsMut::Q8_0 { codes: Disjoint::new(codes), scales: Disjoint::new(scales) }
            }
        };
        Writer { transposed: self.transposed, elements }
    }
}

/// Writes slots from several threads.
struct Writer<'a> {
    transposed: bool,
    elements: ElementsMut<'a>,
}

enum ElementsMut<'a> {
    F32(Disjoint<'a, f32>),
    F16(Disjoint<'a, f16>),
    Bf16(Disjoint<'a, bf16>),
    Q8_0 { codes: Disjoint<'a, i8>, scales: Disjoint<'a, f16> },
}

impl Writer<'_> {
    /// Rounds and stores one slot.
    ///
    /// # Safety
    /// While this runs nobody else may use the slot or, where slots are transposed, its run of 16.
    unsafe fn write(&self, slot: usize, values: &[f32]) {
        let dim = values.len();
        for (unit, values) in values.chunks(KV_UNIT).enumerate() {
            let (d, len) = (unit * KV_UNIT, values.len());
            match &self.elements {
                // SAFETY: by this function's contract.
                ElementsMut::F32(stored) => unsafe { self.put(stored, dim, slot, d, values) },
                ElementsMut::F16(stored) => {
                    let mut rounded = [f16::ZERO; KV_UNIT];
                    rounded[..len].convert_from_f32_slice(values);
                    // SAFETY: as above.
                    unsafe { self.put(stored, dim, slot, d, &rounded[..len]) }
                }
                ElementsMut::Bf16(stored) => {
                    let mut rounded = [bf16::ZERO; KV_UNIT];
                    rounded[..len].convert_from_f32_slice(values);
                    // SAFETY: as above.
                    unsafe { self.put(stored, dim, slot, d, &rounded[..len]) }
                }
                ElementsMut::Q8_0 { codes, scales } => {
                    let mut rounded = [0; KV_UNIT];
                    let scale = encode_unit(values, &mut rounded[..len]);
                    // SAFETY: as above; scales lie as the elements of a slot of `ceil(dim / 32)`.
                    unsafe {
                        self.put(codes, dim, slot, d, &rounded[..len]);
                        self.put(scales, dim.div_ceil(KV_UNIT), slot, unit, &[scale]);
                    }
                }
            }
        }
    }

    /// Stores elements of a slot of `dim` from `d` on.
    ///
    /// # Safety
    /// As [`write`](Self::write).
    unsafe fn put<T: Copy>(&self, stored: &Disjoint<'_, T>, dim: usize, slot: usize, d: usize, elements: &[T]) {
        let (start, stride) = if self.transposed {
            (slot / STRIP * STRIP * dim + d * STRIP + slot % STRIP, STRIP)
        } else {
            (slot * dim + d, 1)
        };
        let len = (elements.len() - 1) * stride + 1;
        // SAFETY: these elements belong to the slot, or to others of its run.
        let places = unsafe { stored.slice(start, len) };
        places.iter_mut().step_by(stride).zip(elements).for_each(|(place, &element)| *place = element);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::tests::Random;

    #[test]
    fn a_slot_takes_exactly_what_the_formats_say() {
        for format in KvFormat::ALL {
            for (block_tokens, dim) in [(16, 64), (32, 80), (5, 33), (48, 1)] {
                let shape = KvShape {
                    blocks: 3,
                    block_tokens,
                    kv_heads: 2,
                    key_dim: dim,
                    value_dim: dim + 1,
                    key_format: format,
                    value_format: KvFormat::Q8_0,
                };
                let kv = CpuKv::new(shape).unwrap();
                let bytes = |store: &Store| match &store.elements {
                    Elements::F32(all) => size_of_val(all.as_slice()),
                    Elements::F16(all) => size_of_val(all.as_slice()),
                    Elements::Bf16(all) => size_of_val(all.as_slice()),
                    Elements::Q8_0 { codes, scales } => codes.len() + size_of_val(scales.as_slice()),
                };
                let slots = 3 * block_tokens * 2;
                assert_eq!(bytes(&kv.keys), slots * format.head_bytes(dim).unwrap());
                assert_eq!(bytes(&kv.values), slots * KvFormat::Q8_0.head_bytes(dim + 1).unwrap());
            }
        }
    }

    #[test]
    fn slots_hold_what_was_rounded_and_nothing_else_changes() {
        let mut random = Random::new(21);
        for transposed in [false, true] {
            for format in KvFormat::ALL {
                for dim in [1, 31, 32, 33, 80] {
                    let mut store = Store::new("a test", format, 64 * dim, dim, transposed).unwrap();
                    let mut expected = vec![vec![0.0; dim]; 64];
                    let writer = store.writer();
                    for _ in 0..40 {
                        let slot = random.below(0..64);
                        expected[slot] = random.values(dim);
                        // SAFETY: one thread.
                        unsafe { writer.write(slot, &expected[slot]) };
                        format.round(&mut expected[slot]);
                    }
                    // A transposed run is a run of `dim` slots of 16 elements to who does not know.
                    let plain = Store { transposed: false, ..store };
                    let mut all = vec![0.0; 64 * dim];
                    if format != KvFormat::Q8_0 {
                        all.chunks_mut(dim).enumerate().for_each(|(slot, out)| plain.read(slot, out));
                    } else if let Elements::Q8_0 { codes, scales } = &plain.elements {
                        let units = dim.div_ceil(KV_UNIT);
                        for (at, out) in all.iter_mut().enumerate() {
                            let (run, at_run) = (at / (STRIP * dim), at % (STRIP * dim));
                            let scale = if transposed {
                                (run * units + at_run / STRIP / KV_UNIT) * STRIP + at_run % STRIP
                            } else {
                                at / dim * units + at % dim / KV_UNIT
                            };
                            *out = scales[scale].to_f32() * f32::from(codes[at]);
                        }
                    }
                    for (slot, expected) in expected.iter().enumerate() {
                        for (d, &expected) in expected.iter().enumerate() {
                            let run = slot / STRIP * STRIP * dim;
                            let at = if transposed { run + d * STRIP + slot % STRIP } else { slot * dim + d };
                            assert_eq!(all[at], expected, "{format:?}, slot {slot}, element {d}");
                        }
                    }
                }
            }
        }
    }
}
