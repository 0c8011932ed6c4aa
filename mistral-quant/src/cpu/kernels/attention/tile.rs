//! Tiles of cached vectors as they lie in memory, and how a vector of lanes is read from each.

use half::{bf16, f16};

use crate::cpu::kernels::Kernels;
use crate::cpu::kernels::lanes::{FloatLanes, LaneKernel};
use crate::kv_format::KV_UNIT;

/// Cached vectors that lie together.
pub(crate) const STRIP: usize = 16;

/// Positions whose scores are held at a time: a tile of f16 keys of width 128 takes half of a small L1 cache.
pub(crate) const TILE: usize = 64;

/// Strips of a tile.
pub(crate) const STRIPS: usize = TILE / STRIP;

/// Stored strips of keys `[dim, 16]` or values `[16, dim]`; empty where nobody looks.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stored<'a> {
    F32([&'a [f32]; STRIPS]),
    F16([&'a [f16]; STRIPS]),
    Bf16([&'a [bf16]; STRIPS]),
    /// Scales of keys are `[ceil(dim / 32), 16]`, those of values `[16, ceil(dim / 32)]`.
    Q8_0 {
        codes: [&'a [i8]; STRIPS],
        scales: [&'a [f16]; STRIPS],
    },
}

/// Where the strips that will be wanted next begin, so that they can be asked for early: blocks lie scattered, and what the processor
/// guesses by itself ends with a page.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ahead {
    strips: [*const u8; STRIPS],
}

impl Stored<'_> {
    /// Asks for the scales, which are wanted before the codes; the addresses of the rest.
    pub(crate) fn ahead(self, kernels: &Kernels) -> Ahead {
        match self {
            Stored::F32(strips) => Ahead::new(strips),
            Stored::F16(strips) => Ahead::new(strips),
            Stored::Bf16(strips) => Ahead::new(strips),
            Stored::Q8_0 { codes, scales } => {
                kernels.run(Prefetch { scales });
                Ahead::new(codes)
            }
        }
    }
}

struct Prefetch<'a> {
    scales: [&'a [f16]; STRIPS],
}

impl LaneKernel for Prefetch<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: FloatLanes>(self, lanes: L) {
        for strip in self.scales {
            strip.chunks(32).for_each(|line| lanes.prefetch(line.as_ptr()));
        }
    }
}

impl Ahead {
    /// The starts of strips; of another one for a strip that is empty, where there is one.
    #[inline(always)]
    pub(super) fn new<T>(strips: [&[T]; STRIPS]) -> Self {
        let some = strips.into_iter().find(|strip| !strip.is_empty()).unwrap_or_default();
        Self { strips: strips.map(|strip| if strip.is_empty() { some.as_ptr() } else { strip.as_ptr() }.cast()) }
    }

    /// The address of a byte of a strip.
    #[inline(always)]
    pub(super) fn byte(self, strip: usize, byte: usize) -> *const u8 {
        self.strips[strip % STRIPS].wrapping_add(byte)
    }
}

/// The same with what the products need beside it: scales as f32.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Tile<'a> {
    F32([&'a [f32]; STRIPS]),
    F16([&'a [f16]; STRIPS]),
    Bf16([&'a [bf16]; STRIPS]),
    Q8_0 { codes: [&'a [i8]; STRIPS], scales: [&'a [f32]; STRIPS] },
}

/// Vectors of lanes, one a step, in memory of some format.
pub(super) trait Cached: Copy {
    /// `LANES` elements of a step.
    ///
    /// # Safety
    /// They must be readable.
    unsafe fn load<L: FloatLanes>(self, lanes: L, step: usize) -> L::Vector;

    /// `count <= LANES` elements of a step, then zeros.
    ///
    /// # Safety
    /// They must be readable.
    unsafe fn load_partial<L: FloatLanes>(self, lanes: L, step: usize, count: usize) -> L::Vector;
}

/// The strips of a tile in some format.
pub(super) trait Strips: Copy {
    /// Whether there are register tiles for many rows: tiles of other formats are widened before many rows use them.
    const TALL: bool;
    /// Bytes an element.
    const BYTES: usize;

    type Keys: Cached;
    type Values: Cached;

    /// Where the strips themselves are: asking for what is here already costs little.
    fn here(self) -> Ahead;
    /// Whether a strip has 16 vectors of `dim`.
    fn holds(self, strip: usize, dim: usize) -> bool;
    /// Keys from `key` on, a lane a key, a step a dimension. The lanes must not reach into another strip.
    fn keys(self, key: usize) -> Self::Keys;
    /// Dimensions of a strip from `d` on, a lane a dimension, a step a value.
    fn values(self, strip: usize, d: usize, dim: usize) -> Self::Values;
}

/// A number type that lanes can widen.
pub(super) trait Element: Copy {
    /// Whether it is f32 already.
    const WIDE: bool;

    /// # Safety
    /// As [`Cached::load`].
    unsafe fn widen<L: FloatLanes>(lanes: L, from: *const Self) -> L::Vector;
    /// # Safety
    /// As [`Cached::load_partial`].
    unsafe fn widen_partial<L: FloatLanes>(lanes: L, from: *const Self, count: usize) -> L::Vector;
}

macro_rules! element {
    ($($type:ty, $wide:expr, $load:ident, $load_partial:ident;)*) => {$(
        impl Element for $type {
            const WIDE: bool = $wide;

            #[inline(always)]
            unsafe fn widen<L: FloatLanes>(lanes: L, from: *const Self) -> L::Vector {
                // SAFETY: as the trait demands.
                unsafe { lanes.$load(from) }
            }

            #[inline(always)]
            unsafe fn widen_partial<L: FloatLanes>(lanes: L, from: *const Self, count: usize) -> L::Vector {
                // SAFETY: as the trait demands.
                unsafe { lanes.$load_partial(from, count) }
            }
        }
    )*};
}

element! {
    f32, true, load, load_partial;
    f16, false, load_f16, load_f16_partial;
    bf16, false, load_bf16, load_bf16_partial;
}

/// Steps `stride` elements apart.
#[derive(Clone, Copy)]
pub(super) struct Dense<T> {
    start: *const T,
    stride: usize,
}

impl<T: Element> Cached for Dense<T> {
    #[inline(always)]
    unsafe fn load<L: FloatLanes>(self, lanes: L, step: usize) -> L::Vector {
        // SAFETY: as the trait demands.
        unsafe { T::widen(lanes, self.start.wrapping_add(step * self.stride)) }
    }

    #[inline(always)]
    unsafe fn load_partial<L: FloatLanes>(self, lanes: L, step: usize, count: usize) -> L::Vector {
        // SAFETY: as the trait demands.
        unsafe { T::widen_partial(lanes, self.start.wrapping_add(step * self.stride), count) }
    }
}

impl<T: Element> Strips for [&[T]; STRIPS] {
    const TALL: bool = T::WIDE;
    const BYTES: usize = size_of::<T>();

    type Keys = Dense<T>;
    type Values = Dense<T>;

    #[inline(always)]
    fn here(self) -> Ahead {
        Ahead::new(self)
    }

    #[inline(always)]
    fn holds(self, strip: usize, dim: usize) -> bool {
        self.get(strip).is_some_and(|strip| strip.len() >= STRIP * dim)
    }

    #[inline(always)]
    fn keys(self, key: usize) -> Dense<T> {
        Dense { start: self[key / STRIP % STRIPS].as_ptr().wrapping_add(key % STRIP), stride: STRIP }
    }

    #[inline(always)]
    fn values(self, strip: usize, d: usize, dim: usize) -> Dense<T> {
        Dense { start: self[strip % STRIPS].as_ptr().wrapping_add(d), stride: dim }
    }
}

/// Strips of [`Tile::Q8_0`].
#[derive(Clone, Copy)]
pub(super) struct Codes<'a> {
    pub(super) codes: [&'a [i8]; STRIPS],
    pub(super) scales: [&'a [f32]; STRIPS],
}

/// Codes of keys: every 32 steps share a vector of scales.
#[derive(Clone, Copy)]
pub(super) struct KeyCodes {
    codes: *const i8,
    scales: *const f32,
}

impl Cached for KeyCodes {
    #[inline(always)]
    unsafe fn load<L: FloatLanes>(self, lanes: L, step: usize) -> L::Vector {
        // SAFETY: as the trait demands; the scales lie as the codes do.
        unsafe {
            let scales = lanes.load(self.scales.wrapping_add(step / KV_UNIT * STRIP));
            lanes.mul(lanes.load_i8(self.codes.wrapping_add(step * STRIP)), scales)
        }
    }

    #[inline(always)]
    unsafe fn load_partial<L: FloatLanes>(self, lanes: L, step: usize, count: usize) -> L::Vector {
        // SAFETY: the same.
        unsafe {
            let scales = lanes.load_partial(self.scales.wrapping_add(step / KV_UNIT * STRIP), count);
            lanes.mul(lanes.load_i8_partial(self.codes.wrapping_add(step * STRIP), count), scales)
        }
    }
}

/// Codes of values: one scale for the lanes of a step, which lie in one unit.
#[derive(Clone, Copy)]
pub(super) struct ValueCodes {
    codes: *const i8,
    stride: usize,
    scales: *const f32,
    units: usize,
}

impl ValueCodes {
    /// # Safety
    /// The step must exist.
    #[inline(always)]
    unsafe fn scale<L: FloatLanes>(self, lanes: L, step: usize) -> L::Vector {
        // SAFETY: one scale a step.
        lanes.splat(unsafe { self.scales.wrapping_add(step * self.units).read() })
    }
}

impl Cached for ValueCodes {
    #[inline(always)]
    unsafe fn load<L: FloatLanes>(self, lanes: L, step: usize) -> L::Vector {
        // SAFETY: as the trait demands.
        unsafe { lanes.mul(lanes.load_i8(self.codes.wrapping_add(step * self.stride)), self.scale(lanes, step)) }
    }

    #[inline(always)]
    unsafe fn load_partial<L: FloatLanes>(self, lanes: L, step: usize, count: usize) -> L::Vector {
        // SAFETY: as the trait demands.
        unsafe {
            let codes = lanes.load_i8_partial(self.codes.wrapping_add(step * self.stride), count);
            lanes.mul(codes, self.scale(lanes, step))
        }
    }
}

impl Strips for Codes<'_> {
    const TALL: bool = false;
    const BYTES: usize = 1;

    type Keys = KeyCodes;
    type Values = ValueCodes;

    #[inline(always)]
    fn here(self) -> Ahead {
        Ahead::new(self.codes)
    }

    #[inline(always)]
    fn holds(self, strip: usize, dim: usize) -> bool {
        let scales = self.scales.get(strip).is_some_and(|scales| scales.len() >= STRIP * dim.div_ceil(KV_UNIT));
        scales && self.codes.get(strip).is_some_and(|codes| codes.len() >= STRIP * dim)
    }

    #[inline(always)]
    fn keys(self, key: usize) -> KeyCodes {
        let (strip, lane) = (key / STRIP % STRIPS, key % STRIP);
        KeyCodes {
            codes: self.codes[strip].as_ptr().wrapping_add(lane),
            scales: self.scales[strip].as_ptr().wrapping_add(lane),
        }
    }

    #[inline(always)]
    fn values(self, strip: usize, d: usize, dim: usize) -> ValueCodes {
        ValueCodes {
            codes: self.codes[strip % STRIPS].as_ptr().wrapping_add(d),
            stride: dim,
            scales: self.scales[strip % STRIPS].as_ptr().wrapping_add(d / KV_UNIT),
            units: dim.div_ceil(KV_UNIT),
        }
    }
}

/// Widens the scales of a tile, strip after strip.
pub(super) struct WidenScales<'a> {
    pub(super) halves: [&'a [f16]; STRIPS],
    pub(super) out: &'a mut [f32],
}

impl<'a> LaneKernel for WidenScales<'a> {
    type Output = [&'a [f32]; STRIPS];

    #[inline(always)]
    fn run<L: FloatLanes>(self, lanes: L) -> Self::Output {
        let mut left = self.out;
        let mut strips: Self::Output = [&[]; STRIPS];
        for (strip, halves) in strips.iter_mut().zip(self.halves) {
            let Some((out, rest)) = left.split_at_mut_checked(halves.len()) else {
                debug_assert!(false, "no room for {} scales", halves.len());
                return strips;
            };
            widen(lanes, halves, out);
            (*strip, left) = (out, rest);
        }
        strips
    }
}

/// Widens a tile into a panel.
pub(super) struct Widen<'a, 'b, const KEYS: bool> {
    pub(super) tile: Tile<'b>,
    pub(super) dim: usize,
    pub(super) panel: &'a mut [f32],
}

impl<'a, const KEYS: bool> LaneKernel for Widen<'a, '_, KEYS> {
    type Output = Tile<'a>;

    #[inline(always)]
    fn run<L: FloatLanes>(self, lanes: L) -> Tile<'a> {
        let dim = self.dim;
        let mut strips: [&'a [f32]; STRIPS] = [&[]; STRIPS];
        for ((strip, out), index) in strips.iter_mut().zip(self.panel.chunks_exact_mut(STRIP * dim)).zip(0..STRIPS) {
            match self.tile {
                Tile::F32(from) => widen(lanes, from[index], out),
                Tile::F16(from) => widen(lanes, from[index], out),
                Tile::Bf16(from) => widen(lanes, from[index], out),
                Tile::Q8_0 { codes, scales } => {
                    let from = Codes { codes, scales };
                    if !from.holds(index, dim) {
                        continue;
                    }
                    if KEYS {
                        for lane in (0..STRIP).step_by(L::LANES) {
                            let keys = from.keys(index * STRIP + lane);
                            for step in 0..dim {
                                // SAFETY: the strip was seen to be whole, and `out` has as many elements; 16 is a multiple of `LANES`.
                                unsafe { lanes.store(out[step * STRIP + lane..].as_mut_ptr(), keys.load(lanes, step)) };
                            }
                        }
                    } else {
                        for (step, out) in out.chunks_exact_mut(dim).enumerate() {
                            for (d, out) in (0..dim).step_by(L::LANES).zip(out.chunks_mut(L::LANES)) {
                                let values = from.values(index, d, dim);
                                // SAFETY: `out.len()` dimensions follow `d` in this row of a whole strip.
                                unsafe {
                                    let vector = values.load_partial(lanes, step, out.len());
                                    lanes.store_partial(out.as_mut_ptr(), vector, out.len());
                                }
                            }
                        }
                    }
                }
            }
            *strip = out;
        }
        Tile::F32(strips)
    }
}

/// As many elements as both have.
#[inline(always)]
fn widen<L: FloatLanes, T: Element>(lanes: L, from: &[T], out: &mut [f32]) {
    let len = from.len().min(out.len());
    let whole = len / L::LANES * L::LANES;
    for at in (0..whole).step_by(L::LANES) {
        // SAFETY: `LANES` elements follow in both.
        unsafe { lanes.store(out.as_mut_ptr().wrapping_add(at), T::widen(lanes, from.as_ptr().wrapping_add(at))) };
    }
    // SAFETY: `len - whole` elements follow in both.
    unsafe {
        let rest = T::widen_partial(lanes, from.as_ptr().wrapping_add(whole), len - whole);
        lanes.store_partial(out.as_mut_ptr().wrapping_add(whole), rest, len - whole);
    }
}
