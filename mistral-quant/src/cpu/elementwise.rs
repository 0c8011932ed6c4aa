//! The operations without a matrix: norms, rotations, activations, and the exponentials of attention.
//!
//! Each is one body on [`FloatLanes`], compiled for every instruction set. No operation has a result that depends on where in
//! a slice an element lies: what is left over behind the last whole vector goes through the same instructions.

use crate::backend::{Activation, NormKind};
use crate::cpu::kernels::Kernels;
use crate::cpu::kernels::lanes::{FloatLanes, LaneKernel};

/// Runs an expression with the operation of an activation.
macro_rules! with_activation {
    ($activation:expr, $op:ident => $run:expr) => {
        match $activation {
            Activation::Silu => with_activation!(@ $op, Silu, $run),
            Activation::Gelu => with_activation!(@ $op, Gelu, $run),
            Activation::GeluTanh => with_activation!(@ $op, GeluTanh, $run),
            Activation::QuickGelu => with_activation!(@ $op, QuickGelu, $run),
            Activation::Relu => with_activation!(@ $op, Relu, $run),
            Activation::ReluSquared => with_activation!(@ $op, ReluSquared, $run),
            Activation::Sigmoid => with_activation!(@ $op, Sigmoid, $run),
            Activation::Tanh => with_activation!(@ $op, Tanh, $run),
            Activation::ClampedSwiglu { alpha, limit } => with_activation!(@ $op, ClampedSwiglu(alpha, limit), $run),
        }
    };
    (@ $op:ident, $value:expr, $run:expr) => {{
        let $op = $value;
        $run
    }};
}

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

    /// `x += scale * y`.
    pub(crate) fn add(self, x: &mut [f32], y: &[f32], scale: f32) {
        if scale == 1.0 {
            self.kernels.run(Zip { x, y, op: Add });
        } else {
            self.kernels.run(Zip { x, y, op: AddScaled(scale) });
        }
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
        with_activation!(activation, op => self.kernels.run(Zip { x: gate, y: up, op }));
    }

    /// `x = activation(x)`.
    pub(crate) fn activate(self, x: &mut [f32], activation: Activation) {
        with_activation!(activation, op => self.kernels.run(Map { x, op: Alone(op) }));
    }

    /// `x = cap * tanh(x / cap)`.
    pub(crate) fn soft_cap(self, x: &mut [f32], cap: f32) {
        self.kernels.run(Map { x, op: SoftCap(cap) });
    }

    /// Normalises one row in place.
    pub(crate) fn norm(self, x: &mut [f32], norm: RowNorm<'_>) {
        match norm.kind {
            NormKind::Rms => self.kernels.run(Rms { x, norm }),
            NormKind::Layer => self.kernels.run(Layer { x, norm }),
        }
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

/// The parameters of the norm of one row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowNorm<'a> {
    pub(crate) kind: NormKind,
    pub(crate) eps: f32,
    pub(crate) offset: f32,
    /// `[width]`; before [`of_row`](Self::of_row), `[groups * width]`.
    pub(crate) weight: Option<&'a [f32]>,
    /// As `weight`.
    pub(crate) bias: Option<&'a [f32]>,
}

impl<'a> RowNorm<'a> {
    /// Returns the norm of row `row`, with the part of the vectors that belongs to the row.
    pub(crate) fn of_row(self, row: usize, width: usize) -> Self {
        let part = |all: &'a [f32]| if all.len() == width { all } else { &all[row * width % all.len()..][..width] };
        Self { weight: self.weight.map(part), bias: self.bias.map(part), ..self }
    }
}

/// An operation on one vector of elements and on the elements of another slice at the same places.
trait Lanewise: Copy {
    /// `x` from `x` and `y`; `y` is `x` where there is no other slice. Must be `#[inline(always)]`.
    fn apply<L: FloatLanes>(self, lanes: L, x: L::Vector, y: L::Vector) -> L::Vector;
}

/// An operation on one operand: the other is 1.
#[derive(Clone, Copy)]
struct Alone<Op>(Op);

impl<Op: Lanewise> Lanewise for Alone<Op> {
    #[inline(always)]
    fn apply<L: FloatLanes>(self, lanes: L, x: L::Vector, _: L::Vector) -> L::Vector {
        self.0.apply(lanes, x, lanes.splat(1.0))
    }
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
    /// `x + scale * y`.
    AddScaled(scale) = |l, x, y| l.fma(y, l.splat(scale), x);
    /// `factor * x`.
    Multiply(factor) = |l, x, _y| l.mul(x, l.splat(factor));
    /// `a * x + b * y`.
    Blend(a, b) = |l, x, y| l.fma(x, l.splat(a), l.mul(y, l.splat(b)));
    /// `x / (1 + exp(-x)) * y`.
    Silu = |l, x, y| l.mul(l.div(x, l.add(l.splat(1.0), l.exp(l.sub(l.zero(), x)))), y);
    /// `x / (1 + exp(-1.702 x)) * y`.
    QuickGelu = |l, x, y| l.mul(l.div(x, l.add(l.splat(1.0), l.exp(l.mul(x, l.splat(-1.702))))), y);
    /// `max(x, 0) * y`; NaN stays.
    Relu = |l, x, y| l.mul(l.max(l.zero(), x), y);
    /// `max(x, 0)² * y`; NaN stays.
    ReluSquared = |l, x, y| {
        let positive = l.max(l.zero(), x);
        l.mul(l.mul(positive, positive), y)
    };
    /// `y / (1 + exp(-x))`.
    Sigmoid = |l, x, y| l.div(y, l.add(l.splat(1.0), l.exp(l.sub(l.zero(), x))));
    /// `tanh(x) * y`.
    Tanh = |l, x, y| l.mul(l.tanh(x), y);
    /// `min(x, limit) / (1 + exp(-alpha min(x, limit))) * (clamp(y, -limit, limit) + 1)`; NaN stays.
    ClampedSwiglu(alpha, limit) = |l, x, y| {
        let x = l.min(l.splat(limit), x);
        let y = l.max(l.splat(-limit), l.min(l.splat(limit), y));
        let swish = l.div(x, l.add(l.splat(1.0), l.exp(l.mul(x, l.splat(-alpha)))));
        l.mul(swish, l.add(y, l.splat(1.0)))
    };
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

/// Sums `term` of all elements in f64: no overflow, and an error far below that of one f32 operation. The loop is simple enough to
/// be vectorised by the compiler for the features that this is inlined into.
#[inline(always)]
fn sum(x: &[f32], term: impl Fn(f64) -> f64) -> f64 {
    const SUMS: usize = 16;
    let mut sums = [0.0f64; SUMS];
    let (pieces, rest) = x.as_chunks::<SUMS>();
    for piece in pieces {
        for (sum, &x) in sums.iter_mut().zip(piece) {
            *sum += term(f64::from(x));
        }
    }
    let mut total: f64 = sums.iter().sum();
    for &x in rest {
        total += term(f64::from(x));
    }
    total
}

struct Rms<'a> {
    x: &'a mut [f32],
    norm: RowNorm<'a>,
}

impl LaneKernel for Rms<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: FloatLanes>(self, _: L) {
        let Self { x, norm: RowNorm { eps, offset, weight, bias, .. } } = self;
        let scale = (1.0 / (sum(x, |x| x * x) / x.len() as f64 + f64::from(eps)).sqrt()) as f32;
        match weight {
            Some(weight) => x.iter_mut().zip(weight).for_each(|(x, &w)| *x = *x * scale * (offset + w)),
            None => x.iter_mut().for_each(|x| *x *= scale),
        }
        if let Some(bias) = bias {
            x.iter_mut().zip(bias).for_each(|(x, &b)| *x += b);
        }
    }
}

struct Layer<'a> {
    x: &'a mut [f32],
    norm: RowNorm<'a>,
}

impl LaneKernel for Layer<'_> {
    type Output = ();

    /// The mean is subtracted in f64, so that a row far from zero loses no digits.
    #[inline(always)]
    fn run<L: FloatLanes>(self, _: L) {
        let Self { x, norm: RowNorm { eps, offset, weight, bias, .. } } = self;
        let width = x.len() as f64;
        let mean = sum(x, |x| x) / width;
        let scale = 1.0 / (sum(x, |x| (x - mean) * (x - mean)) / width + f64::from(eps)).sqrt();
        x.iter_mut().for_each(|x| *x = ((f64::from(*x) - mean) * scale) as f32);
        if let Some(weight) = weight {
            x.iter_mut().zip(weight).for_each(|(x, &w)| *x *= offset + w);
        }
        if let Some(bias) = bias {
            x.iter_mut().zip(bias).for_each(|(x, &b)| *x += b);
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
