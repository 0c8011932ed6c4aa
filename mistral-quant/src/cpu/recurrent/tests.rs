use crate::backend::{Activation, Backend, Convolution, SelectiveScan};
use crate::cpu::kernels::Isa;
use crate::cpu::tests::{ACTIVATIONS, Random, against_reference, bits, buffer, contents, cpu, isas, vector};
use crate::reference::Reference;
use crate::state::StateShape;
use crate::step::Run;
use crate::testing::run_step;
use crate::weight::Weight;

const EPS: f32 = f32::EPSILON;

/// Sequences that run through one recurrent operation, all at the same time.
trait Recurrence {
    /// Tokens of each sequence.
    fn lengths(&self) -> &[usize];
    /// Values per slot.
    fn state_len(&self) -> usize;
    /// Values per row of output.
    fn width(&self) -> usize;
    /// Runs the operation on some rows of the inputs of the sequences, `(sequence, token)` each.
    fn run<B: Backend>(
        &self,
        backend: &mut B,
        step: &B::Step,
        rows: &[Option<(usize, usize)>],
        state: &mut B::State,
        out: &mut B::Buffer,
    );

    /// Feeds all sequences in chunks of these sizes, in turns, from position 0; the outputs of each sequence. Slots are taken from
    /// the end, and between the runs lies a row that belongs to none.
    fn feed<B: Backend>(&self, backend: &mut B, chunks: &[usize], state: &mut B::State) -> Vec<Vec<f32>> {
        let lengths = self.lengths();
        let mut outputs = vec![Vec::new(); lengths.len()];
        let mut fed = vec![0; lengths.len()];
        for turn in 0.. {
            let (mut runs, mut rows, mut owners) = (Vec::new(), Vec::new(), Vec::new());
            for (i, &len) in lengths.iter().enumerate() {
                let tokens = chunks[(turn + i) % chunks.len()].min(len - fed[i]);
                if tokens > 0 {
                    let slot = lengths.len() - 1 - i;
                    runs.push(Run { start: rows.len(), tokens, position: fed[i], keys: 0, tables: &[], slot });
                    rows.extend((fed[i]..fed[i] + tokens).map(|token| Some((i, token))));
                    rows.push(None);
                    owners.push(i);
                    fed[i] += tokens;
                }
            }
            if runs.is_empty() {
                break;
            }
            let step = run_step(backend, rows.len(), &runs);
            let mut out = buffer(backend, &vec![7.0; rows.len() * self.width()]);
            self.run(backend, &step, &rows, state, &mut out);
            let out = contents(backend, &out, rows.len() * self.width());
            for (run, owner) in runs.iter().zip(owners) {
                let (end, width) = (run.start + run.tokens, self.width());
                outputs[owner].extend(&out[run.start * width..end * width]);
                assert!(out[end * width..(end + 1) * width].iter().all(|&x| x == 7.0), "a row of no run");
            }
        }
        outputs
    }

    /// [`feed`](Self::feed) with fresh state.
    fn fresh<B: Backend>(&self, backend: &mut B, chunks: &[usize]) -> Vec<Vec<f32>> {
        let shape = StateShape { slots: self.lengths().len(), len: self.state_len() };
        let mut state = backend.state(shape).unwrap();
        self.feed(backend, chunks, &mut state)
    }
}

/// Chunks, batches and threads change no bit, nor does what a slot held.
fn check(sequences: &impl Recurrence, alone: &[impl Recurrence]) {
    for isa in isas() {
        let all_bits = |outputs: &[Vec<f32>]| outputs.iter().map(|output| bits(output)).collect::<Vec<_>>();
        let whole = all_bits(&sequences.fresh(&mut cpu(1, Some(isa)), &[usize::MAX]));
        for (chunks, threads) in [(&[1][..], 1), (&[usize::MAX], 3), (&[3, 1, 17], 2), (&[2, 64], 5)] {
            let found = all_bits(&sequences.fresh(&mut cpu(threads, Some(isa)), chunks));
            assert_eq!(found, whole, "chunks of {chunks:?}, {threads} threads, {isa:?}");
        }
        for (i, alone) in alone.iter().enumerate() {
            let found = all_bits(&alone.fresh(&mut cpu(2, Some(isa)), &[5]));
            assert_eq!(found[0], whole[i], "alone, {isa:?}");
        }
        let cpu = &mut cpu(2, Some(isa));
        let shape = StateShape { slots: sequences.lengths().len(), len: sequences.state_len() + 3 };
        let mut state = cpu.state(shape).unwrap();
        state.values().fill(f32::NAN);
        assert_eq!(all_bits(&sequences.feed(cpu, &[4], &mut state)), whole, "a slot that was used, {isa:?}");
        assert_eq!(all_bits(&sequences.feed(cpu, &[usize::MAX], &mut state)), whole, "again, {isa:?}");
    }
}

struct Convolved {
    channels: usize,
    kernel: usize,
    lengths: Vec<usize>,
    /// `[channels, kernel]`.
    taps: Vec<f32>,
    bias: Option<Vec<f32>>,
    activation: Option<Activation>,
    /// Of each sequence `[tokens, channels]`.
    inputs: Vec<Vec<f32>>,
}

impl Convolved {
    fn new(random: &mut Random, channels: usize, kernel: usize, lengths: &[usize]) -> Self {
        let plain = &ACTIVATIONS[..8];
        let pick = random.below(0..plain.len() + 1);
        Self {
            channels,
            kernel,
            lengths: lengths.to_vec(),
            taps: random.values(channels * kernel),
            bias: (random.below(0..2) == 0).then(|| random.values(channels)),
            activation: plain.get(pick).copied(),
            inputs: lengths.iter().map(|len| random.values(len * channels)).collect(),
        }
    }

    fn alone(&self, sequence: usize) -> Self {
        let (lengths, inputs) = (vec![self.lengths[sequence]], vec![self.inputs[sequence].clone()]);
        Self { lengths, inputs, taps: self.taps.clone(), bias: self.bias.clone(), ..*self }
    }
}

impl Recurrence for Convolved {
    fn lengths(&self) -> &[usize] {
        &self.lengths
    }

    fn state_len(&self) -> usize {
        (self.kernel - 1) * self.channels
    }

    fn width(&self) -> usize {
        self.channels
    }

    fn run<B: Backend>(
        &self,
        backend: &mut B,
        step: &B::Step,
        rows: &[Option<(usize, usize)>],
        state: &mut B::State,
        out: &mut B::Buffer,
    ) {
        let &Self { channels, kernel, activation, .. } = self;
        let weight = backend.weight(Weight::from_f32(channels, kernel, &self.taps).unwrap()).unwrap();
        let bias = self.bias.as_ref().map(|bias| vector(backend, bias));
        let x = buffer(backend, &gathered(rows, &self.inputs, channels));
        let convolution = Convolution { channels, kernel, weight: &weight, bias: bias.as_ref(), activation };
        backend.convolve(step, &x, convolution, state, out).unwrap();
    }
}

/// Rows of the sequences, NaN where a row belongs to none.
fn gathered(rows: &[Option<(usize, usize)>], inputs: &[Vec<f32>], width: usize) -> Vec<f32> {
    let mut all = Vec::new();
    for row in rows {
        match *row {
            Some((sequence, token)) => all.extend(&inputs[sequence][token * width..(token + 1) * width]),
            None => all.resize(all.len() + width, f32::NAN),
        }
    }
    all
}

#[test]
fn convolutions() {
    let mut random = Random::new(61);
    for (channels, kernel) in [(1, 1), (1, 4), (3, 2), (33, 4), (64, 3), (257, 4), (700, 5)] {
        for lengths in [&[1][..], &[2, 9], &[30, 1, 7]] {
            let sequences = Convolved::new(&mut random, channels, kernel, lengths);
            // Five products of numbers below 4 and what an activation adds, which a square doubles.
            against_reference!(40.0 * EPS, 1000.0 * EPS, |backend| { sequences.fresh(backend, &[8]).concat() });
            let alone: Vec<Convolved> = (0..lengths.len()).map(|i| sequences.alone(i)).collect();
            if lengths.len() != 2 {
                check(&sequences, &alone);
            }
        }
    }
}

/// Enough work to be shared out.
#[test]
fn long_convolutions_are_shared_out() {
    let mut random = Random::new(62);
    let sequences = Convolved::new(&mut random, 1000, 4, &[60, 20]);
    check(&sequences, &[sequences.alone(0), sequences.alone(1)]);
}

#[test]
fn taps_may_have_any_format() {
    let taps: Vec<u8> = [1.0f32, 0.5, -2.0, 4.0].iter().flat_map(|&x| half::bf16::from_f32(x).to_le_bytes()).collect();
    let taps = Weight::new(crate::format::Format::BF16, 2, 2, crate::bytes::SharedBytes::new(taps)).unwrap();
    fn check<B: Backend>(backend: &mut B, taps: &Weight) {
        let weight = backend.weight(taps.clone()).unwrap();
        let mut state = backend.state(StateShape { slots: 1, len: 2 }).unwrap();
        let step = run_step(backend, 2, &[Run { start: 0, tokens: 2, position: 0, keys: 0, tables: &[], slot: 0 }]);
        let (x, mut out) = (buffer(backend, &[1.0, 1.0, 10.0, 10.0]), buffer(backend, &[0.0; 4]));
        let convolution = Convolution { channels: 2, kernel: 2, weight: &weight, bias: None, activation: None };
        backend.convolve(&step, &x, convolution, &mut state, &mut out).unwrap();
        assert_eq!(contents(backend, &out, 4), [0.5, 4.0, 6.0, 38.0]);
    }
    check(&mut Reference, &taps);
    isas().into_iter().for_each(|isa| check(&mut cpu(1, Some(isa)), &taps));
}

struct Scanned {
    heads: usize,
    head_dim: usize,
    groups: usize,
    state_dim: usize,
    dt_limit: (f32, f32),
    lengths: Vec<usize>,
    /// `[heads]` each.
    a: Vec<f32>,
    skip: Vec<f32>,
    dt_bias: Vec<f32>,
    /// Of each sequence `[tokens, heads * head_dim + 2 * groups * state_dim]`.
    mixed: Vec<Vec<f32>>,
    /// Of each sequence `[tokens, heads]`.
    dt: Vec<Vec<f32>>,
}

impl Scanned {
    fn new(random: &mut Random, [heads, head_dim, groups, state_dim]: [usize; 4], lengths: &[usize]) -> Self {
        let width = heads * head_dim + 2 * groups * state_dim;
        Self {
            heads,
            head_dim,
            groups,
            state_dim,
            dt_limit: if random.below(0..2) == 0 { (0.0, f32::INFINITY) } else { (0.01, 0.8) },
            lengths: lengths.to_vec(),
            a: random.values(heads).iter().map(|a| -a.exp()).collect(),
            skip: random.values(heads),
            dt_bias: random.values(heads),
            mixed: lengths.iter().map(|len| random.values(len * width)).collect(),
            dt: lengths.iter().map(|len| random.values(len * heads)).collect(),
        }
    }

    fn alone(&self, sequence: usize) -> Self {
        Self {
            lengths: vec![self.lengths[sequence]],
            mixed: vec![self.mixed[sequence].clone()],
            dt: vec![self.dt[sequence].clone()],
            a: self.a.clone(),
            skip: self.skip.clone(),
            dt_bias: self.dt_bias.clone(),
            ..*self
        }
    }
}

impl Recurrence for Scanned {
    fn lengths(&self) -> &[usize] {
        &self.lengths
    }

    fn state_len(&self) -> usize {
        self.heads * self.head_dim * self.state_dim
    }

    fn width(&self) -> usize {
        self.heads * self.head_dim
    }

    fn run<B: Backend>(
        &self,
        backend: &mut B,
        step: &B::Step,
        rows: &[Option<(usize, usize)>],
        state: &mut B::State,
        out: &mut B::Buffer,
    ) {
        let &Self { heads, head_dim, groups, state_dim, dt_limit, .. } = self;
        let [a, skip, dt_bias] = [&self.a, &self.skip, &self.dt_bias].map(|values| vector(backend, values));
        let mixed = buffer(backend, &gathered(rows, &self.mixed, heads * head_dim + 2 * groups * state_dim));
        let dt = buffer(backend, &gathered(rows, &self.dt, heads));
        let (a, skip, dt_bias) = (&a, &skip, &dt_bias);
        let scan = SelectiveScan { heads, head_dim, groups, state_dim, a, skip, dt_bias, dt_limit };
        backend.scan(step, &mixed, &dt, scan, state, out).unwrap();
    }
}

#[test]
fn scans() {
    let mut random = Random::new(63);
    for shape in [[1, 1, 1, 1], [2, 3, 1, 5], [4, 4, 2, 16], [3, 7, 3, 33], [6, 9, 2, 64], [2, 5, 1, 0]] {
        for lengths in [&[1][..], &[2, 9], &[30, 1, 7]] {
            let sequences = Scanned::new(&mut random, shape, lengths);
            // Sums of products of three numbers below 4 with decayed sums over 30 tokens: far below 1000.
            against_reference!(40.0 * EPS, 1000.0 * EPS, |backend| { sequences.fresh(backend, &[8]).concat() });
            let alone: Vec<Scanned> = (0..lengths.len()).map(|i| sequences.alone(i)).collect();
            if lengths.len() != 2 {
                check(&sequences, &alone);
            }
        }
    }
}

/// Enough work to be shared out.
#[test]
fn long_scans_are_shared_out() {
    let mut random = Random::new(64);
    let sequences = Scanned::new(&mut random, [8, 16, 2, 32], &[60, 20]);
    check(&sequences, &[sequences.alone(0), sequences.alone(1)]);
}

/// A NaN stays in its channel or head, and in the tokens after it.
#[test]
fn what_is_not_a_number_stays_behind_its_token() {
    let mut random = Random::new(65);
    for isa in [None, Some(Isa::Scalar)] {
        let mut convolved = Convolved::new(&mut random, 5, 3, &[12]);
        convolved.inputs[0][4 * 5 + 2] = f32::NAN;
        let found = convolved.fresh(&mut cpu(2, isa), &[3]).concat();
        for (i, x) in found.iter().enumerate() {
            assert_eq!(x.is_nan(), i % 5 == 2 && (4..7).contains(&(i / 5)), "element {i}");
        }
        let mut scanned = Scanned::new(&mut random, [2, 3, 1, 4], &[12]);
        scanned.dt[0][4 * 2 + 1] = f32::NAN;
        let found = scanned.fresh(&mut cpu(2, isa), &[3]).concat();
        for (i, x) in found.iter().enumerate() {
            assert_eq!(x.is_nan(), i / 6 >= 4 && i % 6 >= 3, "element {i}");
        }
    }
}

/// Time steps far from zero: no overflow, and the limits of the softplus.
#[test]
fn time_steps_are_near_their_formula() {
    for raw in [-200.0f32, -90.0, -20.0, -1.0, 0.0, 1.0, 19.9, 20.1, 29.0, 31.0, 88.0, 1e30] {
        let exact = if raw > 40.0 { f64::from(raw) } else { f64::from(raw).exp().ln_1p() };
        let found = super::time_step(raw, (0.0, f32::INFINITY));
        assert!((f64::from(found) - exact).abs() <= f64::from(EPS) * exact + 1e-38, "{raw}: {found}, {exact}");
    }
    assert_eq!(super::time_step(5.0, (0.0, 0.5)), 0.5);
    assert_eq!(super::time_step(-5.0, (0.25, 0.5)), 0.25);
    assert!(super::time_step(f32::NAN, (0.25, 0.5)).is_nan());
}
