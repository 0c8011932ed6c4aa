//! The operations without a matrix: norms, rotations, activations, and the exponentials of attention.
//!
//! Each is one body on [`FloatLanes`], compiled for every instruction set. No operation has a result that depends on where in
//! a slice an element lies: what is left over behind the last whole vector goes through the same instructions.

use crate::cpu::Kernels;
use crate::cpu::kernels::lanes::{FloatLanes, LaneKernel};
use crate::{Activation, RmsNorm};

/// The operations on the instruction set of some kernels.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Elementwise {
    kernels: Kernels,
}

impl Elementwise {
    /// The set for proven kernels.
    pub(crate) fn new(kernels: &Kernels) -> Self {
        Self { kernels: *kernels }
    }

    /// `x += y`.
    pub(crate) fn add(self, x: &mut [f32], y: &[f32]) {
        self.kernels.run(Zip { x, y, op: Add });
    }

    /// `x *= factor`.
    pub(crate) fn multiply(self, x: &mut [f32], factor: f32) {
        self.kernels.run(Map { x, op: Multiply(factor) });
    }

    /// `x = x * a + y * b`.
    pub(crate) fn blend(self, x: &mut [f32], a: f32, y: &[f32], b: f32) {
        self.kernels.run(Zip { x, y, op: Blend(a, b) });
    }

    /// `gate = activation(gate) * up`.
    pub(crate) fn glu(self, gate: &mut [f32], up: &[f32], activation: Activation) {
        match activation {
            Activation::Silu => self.kernels.run(Zip { x: gate, y: up, op: Silu }),
            Activation::Gelu => self.kernels.run(Zip { x: gate, y: up, op: Gelu }),
            Activation::GeluTanh => self.kernels.run(Zip { x: gate, y: up, op: GeluTanh }),
            Activation::Relu => self.kernels.run(Zip { x: gate, y: up, op: Relu }),
        }
    }

    /// `x = cap * tanh(x / cap)`.
    pub(crate) fn soft_cap(self, x: &mut [f32], cap: f32) {
        self.kernels.run(Map { x, op: SoftCap(cap) });
    }

    /// Normalises one row in place.
    pub(crate) fn rms_norm(self, x: &mut [f32], weight: &[f32], norm: RmsNorm) {
        self.kernels.run(Norm { x, weight, norm });
    }

    /// Rotates the halves of one head against each other.
    pub(crate) fn rotate_halves(self, head: &mut [f32], cos: &[f32], sin: &[f32]) {
        self.kernels.run(Rotate::<true> { head, cos, sin });
    }

    /// Rotates neighbours of one head against each other.
    pub(crate) fn rotate_pairs(self, head: &mut [f32], cos: &[f32], sin: &[f32]) {
        self.kernels.run(Rotate::<false> { head, cos, sin });
    }

    /// `x = exp(x - max)`; the sum.
    #[cfg(test)]
    pub(crate) fn exponentials(self, x: &mut [f32], max: f32) -> f32 {
        self.kernels.run(Exponentials { x, max })
    }
}

/// What is done to one vector of elements, and the elements of another slice beside them.
trait Lanewise: Copy {
    /// `x` from `x` and `y`; `y` is `x` where there is no other slice. Must be `#[inline(always)]`.
    fn apply<L: FloatLanes>(self, lanes: L, x: L::Vector, y: L::Vector) -> L::Vector;
}

/// `x = op(x)`.
struct Map<'a, Op> {
    x: &'a mut [f32],
    op: Op,
}

impl<Op: Lanewise> LaneKernel for Map<'_, Op> {
    type Output = ();

    #[inline(always)]
    fn run<L: FloatLanes>(self, lanes: L) {
        let mut pieces = self.x.chunks_exact_mut(L::LANES);
        for x in &mut pieces {
            // SAFETY: a piece has `LANES` elements.
            unsafe {
                let value = lanes.load(x.as_ptr());
                lanes.store(x.as_mut_ptr(), self.op.apply(lanes, value, value));
            }
        }
        let rest = pieces.into_remainder();
        if !rest.is_empty() {
            // SAFETY: the remainder has as many elements as are named.
            unsafe {
                let value = lanes.load_partial(rest.as_ptr(), rest.len());
                lanes.store_partial(rest.as_mut_ptr(), self.op.apply(lanes, value, value), rest.len());
            }
        }
    }
}

/// `x = op(x, y)` up to the end of the shorter slice.
struct Zip<'a, Op> {
    x: &'a mut [f32],
    y: &'a [f32],
    op: Op,
}

impl<Op: Lanewise> LaneKernel for Zip<'_, Op> {
    type Output = ();

    #[inline(always)]
    fn run<L: FloatLanes>(self, lanes: L) {
        let len = self.x.len().min(self.y.len());
        let (mut xs, mut ys) = (self.x[..len].chunks_exact_mut(L::LANES), self.y[..len].chunks_exact(L::LANES));
        for (x, y) in (&mut xs).zip(&mut ys) {
            // SAFETY: both pieces have `LANES` elements.
            unsafe {
                let (value, other) = (lanes.load(x.as_ptr()), lanes.load(y.as_ptr()));
                lanes.store(x.as_mut_ptr(), self.op.apply(lanes, value, other));
            }
        }
        let (x, y) = (xs.into_remainder(), ys.remainder());
        if !x.is_empty() {
            // SAFETY: both remainders have as many elements, since both slices are equally long.
            unsafe {
                let (value, other) = (lanes.load_partial(x.as_ptr(), x.len()), lanes.load_partial(y.as_ptr(), x.len()));
                lanes.store_partial(x.as_mut_ptr(), self.op.apply(lanes, value, other), x.len());
            }
        }
    }
}

/// Declares operations as types, so that a kernel is compiled for each.
macro_rules! lanewise {
    ($($(#[$doc:meta])* $name:ident $(($($field:ident),*))? = |$lanes:ident, $x:ident, $y:ident| $body:expr;)*) => {
        $($(#[$doc])*
        #[derive(Clone, Copy)]
        struct $name $(($(lanewise!(@field $field)),*))?;

        impl Lanewise for $name {
            #[inline(always)]
            fn apply<L: FloatLanes>(self, $lanes: L, $x: L::Vector, $y: L::Vector) -> L::Vector {
                $(let $name($($field),*) = self;)?
                $body
            }
        })*
    };
    (@field $field:ident) => { f32 };
}

lanewise! {
    /// `x + y`.
    Add = |l, x, y| l.add(x, y);
    /// `factor * x`.
    Multiply(factor) = |l, x, _y| l.mul(x, l.splat(factor));
    /// `a * x + b * y`.
    Blend(a, b) = |l, x, y| l.fma(x, l.splat(a), l.mul(y, l.splat(b)));
    /// `x / (1 + exp(-x)) * y`.
    Silu = |l, x, y| l.mul(l.div(x, l.add(l.splat(1.0), l.exp(l.sub(l.zero(), x)))), y);
    /// `max(x, 0) * y`.
    Relu = |l, x, y| l.mul(l.max(x, l.zero()), y);
    /// The tanh form of GELU: `1 + tanh(u) = 2 / (1 + exp(-2u))`, without the cancellation of the left side.
    GeluTanh = |l, x, y| {
        // -2 sqrt(2 / π) (x + 0.044715 x³).
        let u = l.mul(l.mul(x, l.splat(-1.595_769)), l.fma(l.mul(x, x), l.splat(0.044_715), l.splat(1.0)));
        l.mul(l.div(x, l.add(l.splat(1.0), l.exp(u))), y)
    };
    /// `x Φ(x) y`.
    Gelu = |l, x, y| {
        let one = l.splat(1.0);
        let size = l.mul(l.abs(x), l.splat(std::f32::consts::FRAC_1_SQRT_2));
        let tail = l.mul(l.splat(0.5), erfc_of_positive(l, size));
        l.mul(l.mul(x, l.select(l.less(x, l.zero()), tail, l.sub(one, tail))), y)
    };
    /// `cap * tanh(x / cap)`.
    SoftCap(cap) = |l, x, _y| l.mul(l.splat(cap), l.tanh(l.div(x, l.splat(cap))));
}

/// `erfc(z)` for `z >= 0`, within 1e-6 relative. The form `t exp(-z² + p(2t - 1))`, `t = 2 / (2 + z)`, is that of Press et al.,
/// Numerical Recipes, 3rd edition, 6.2.2; `p` interpolates at Chebyshev nodes what makes it exact.
#[inline(always)]
fn erfc_of_positive<L: FloatLanes>(l: L, z: L::Vector) -> L::Vector {
    const P: [f32; 13] = [
        1.337_150_4e-5,
        -8.728_381e-5,
        -3.211_377e-5,
        5.737_663_6e-4,
        -1.827_821_5e-4,
        -2.288_765_2e-3,
        1.770_666_1e-3,
        8.808_825e-3,
        -9.874_535e-3,
        -4.689_364e-2,
        4.734_341_8e-2,
        6.726_432e-1,
        -6.717_941e-1,
    ];
    // Behind 20 the result is 0 in f32; infinity could not be split.
    let z = l.min(l.splat(20.0), z);
    let two = l.splat(2.0);
    let t = l.div(two, l.add(two, z));
    let y = l.sub(l.mul(two, t), l.splat(1.0));
    let mut p = l.splat(P[0]);
    for coefficient in &P[1..] {
        p = l.fma(p, y, l.splat(*coefficient));
    }
    // z² as a sum of two numbers, by the splitting of Veltkamp and Dekker: rounded to one, it would cost a relative error of z² eps.
    let scaled = l.mul(z, l.splat(4097.0));
    let high = l.sub(scaled, l.sub(scaled, z));
    let low = l.mul(l.sub(z, high), l.add(z, high));
    let square = l.exp(l.sub(l.zero(), l.mul(high, high)));
    l.mul(l.mul(t, square), l.exp(l.sub(p, low)))
}

struct Norm<'a> {
    x: &'a mut [f32],
    weight: &'a [f32],
    norm: RmsNorm,
}

impl LaneKernel for Norm<'_> {
    type Output = ();

    /// The mean square is summed in f64: no overflow, and an error far below that of one f32 operation. The loops are simple
    /// enough to be vectorised by the compiler for the features that this is inlined into.
    #[inline(always)]
    fn run<L: FloatLanes>(self, _: L) {
        const SUMS: usize = 16;
        let Self { x, weight, norm } = self;
        let mut sums = [0.0f64; SUMS];
        let (pieces, rest) = x.as_chunks::<SUMS>();
        for piece in pieces {
            for (sum, &x) in sums.iter_mut().zip(piece) {
                *sum += f64::from(x) * f64::from(x);
            }
        }
        let mut squares: f64 = sums.iter().sum();
        for &x in rest {
            squares += f64::from(x) * f64::from(x);
        }
        let scale = (1.0 / (squares / x.len() as f64 + f64::from(norm.eps)).sqrt()) as f32;
        for (x, &w) in x.iter_mut().zip(weight) {
            *x = *x * scale * (norm.offset + w);
        }
    }
}

/// The rotation of a head: of its halves when `HALVES`, of neighbours otherwise.
struct Rotate<'a, const HALVES: bool> {
    head: &'a mut [f32],
    cos: &'a [f32],
    sin: &'a [f32],
}

impl<const HALVES: bool> LaneKernel for Rotate<'_, HALVES> {
    type Output = ();

    #[inline(always)]
    fn run<L: FloatLanes>(self, _: L) {
        let angles = self.cos.iter().zip(self.sin);
        if HALVES {
            let (first, second) = self.head.split_at_mut(self.head.len() / 2);
            for ((a, b), (&c, &s)) in first.iter_mut().zip(second).zip(angles) {
                (*a, *b) = (*a * c - *b * s, *a * s + *b * c);
            }
        } else {
            for ([a, b], (&c, &s)) in self.head.as_chunks_mut::<2>().0.iter_mut().zip(angles) {
                (*a, *b) = (*a * c - *b * s, *a * s + *b * c);
            }
        }
    }
}

/// `x = exp(x - max)`; the sum.
pub(crate) struct Exponentials<'a> {
    pub(crate) x: &'a mut [f32],
    pub(crate) max: f32,
}

impl LaneKernel for Exponentials<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<L: FloatLanes>(self, l: L) -> f32 {
        let max = l.splat(self.max);
        let mut sum = l.zero();
        let mut pieces = self.x.chunks_exact_mut(L::LANES);
        for x in &mut pieces {
            // SAFETY: `LANES` elements.
            unsafe {
                let value = l.exp(l.sub(l.load(x.as_ptr()), max));
                l.store(x.as_mut_ptr(), value);
                sum = l.add(sum, value);
            }
        }
        let rest = pieces.into_remainder();
        if !rest.is_empty() {
            // SAFETY: as many elements as are named.
            unsafe {
                let value = l.exp(l.sub(l.load_partial(rest.as_ptr(), rest.len()), max));
                l.store_partial(rest.as_mut_ptr(), value, rest.len());
                sum = l.add(sum, l.select(l.first(rest.len()), value, l.zero()));
            }
        }
        l.sum(sum)
    }
}

#[cfg(test)]
mod tests;
