use crate::backend::{Attention, Backend, KvShape};
use crate::cpu::kernels::Isa;
use crate::cpu::tests::{Random, buffer, contents, cpu};
use crate::kv_format::KvFormat;
use crate::reference::Reference;
use crate::step::Run;
use crate::step::Visible;
use crate::testing::run_step;
use crate::weight::Weight;

/// A random batch of sequences with shuffled block tables.
#[derive(Clone)]
struct Scene {
    shape: KvShape,
    heads: usize,
    visible: Visible,
    soft_cap: Option<f32>,
    /// A logit a query head.
    sinks: Option<Vec<f32>>,
    /// How many keys of each sequence its queries see, with [`Visible::Keys`].
    keys: Vec<usize>,
    /// Length and block table of each sequence.
    sequences: Vec<(usize, Vec<u32>)>,
    /// Queries, keys and values of each sequence, one row a position.
    rows: Vec<(Vec<f32>, Vec<f32>, Vec<f32>)>,
}

impl Scene {
    fn new(random: &mut Random, shape: KvShape, group: usize, lengths: &[usize]) -> Self {
        let mut free: Vec<u32> = (0..shape.blocks as u32).collect();
        for i in (1..free.len()).rev() {
            free.swap(i, random.below(0..i + 1));
        }
        let heads = shape.kv_heads * group;
        let sequences: Vec<(usize, Vec<u32>)> =
            lengths.iter().map(|&len| (len, free.split_off(free.len() - len.div_ceil(shape.block_tokens)))).collect();
        let rows = lengths
            .iter()
            .map(|&len| {
                let queries = random.values(len * heads * shape.key_dim);
                let keys = random.values(len * shape.kv_heads * shape.key_dim);
                (queries, keys, random.values(len * shape.kv_heads * shape.value_dim))
            })
            .collect();
        Self {
            shape,
            heads,
            visible: Visible::Causal,
            soft_cap: None,
            sinks: None,
            keys: lengths.to_vec(),
            sequences,
            rows,
        }
    }

    /// Feeds all sequences in pieces of up to `chunk` tokens, all that have tokens left in one batch; outputs by sequence.
    fn run<B: Backend>(&self, backend: &mut B, chunk: usize) -> Vec<Vec<f32>> {
        let mut kv = backend.kv(self.shape).unwrap();
        let mut outputs = vec![Vec::new(); self.sequences.len()];
        let sinks = self.sinks.as_ref().map(|sinks| {
            let sinks = Weight::from_f32(1, sinks.len(), sinks).unwrap();
            backend.weight(sinks).unwrap()
        });
        let tables: Vec<[&[u32]; 2]> = self.sequences.iter().map(|(_, blocks)| [&[][..], &blocks[..]]).collect();
        let stored = self.visible == Visible::Keys;
        if stored {
            let (mut keys, mut values, mut runs, mut start) = (Vec::new(), Vec::new(), Vec::new(), 0);
            for (((tokens, _), rows), tables) in self.sequences.iter().zip(&self.rows).zip(&tables) {
                keys.extend(&rows.1);
                values.extend(&rows.2);
                runs.push(Run { start, tokens: *tokens, position: 0, keys: 0, tables, slot: 0 });
                start += tokens;
            }
            let (keys, values) = (buffer(backend, &keys), buffer(backend, &values));
            let step = run_step(backend, start, &runs);
            backend.append(&step, 1, &mut kv, &keys, &values).unwrap();
        }
        let mut position = 0;
        let width = self.heads * self.shape.value_dim;
        loop {
            let (mut runs, mut queries, mut keys, mut values) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
            let mut owners = Vec::new();
            let mut start = 0;
            for (i, ((len, _), rows)) in self.sequences.iter().zip(&self.rows).enumerate() {
                let tokens = chunk.min(len.saturating_sub(position));
                if tokens > 0 {
                    let take = |from: &[f32]| {
                        let width = from.len() / len;
                        from[position * width..(position + tokens) * width].to_vec()
                    };
                    queries.extend(take(&rows.0));
                    keys.extend(take(&rows.1));
                    values.extend(take(&rows.2));
                    runs.push(Run { start, tokens, position, keys: self.keys[i], tables: &tables[i], slot: 0 });
                    owners.push(i);
                    start += tokens;
                }
            }
            if runs.is_empty() {
                return outputs;
            }
            let (queries, keys, values) = (buffer(backend, &queries), buffer(backend, &keys), buffer(backend, &values));
            let mut out = backend.buffer(start * width).unwrap();
            let step = run_step(backend, start, &runs);
            if !stored {
                backend.append(&step, 1, &mut kv, &keys, &values).unwrap();
            }
            let scale = 1.0 / (self.shape.key_dim as f32).sqrt();
            let Self { heads, visible, soft_cap, .. } = *self;
            let attention = Attention { heads, scale, visible, soft_cap, sinks: sinks.as_ref(), group: 1 };
            backend.attention(&step, &queries, &kv, attention, &mut out).unwrap();
            let out = contents(backend, &out, start * width);
            for (run, owner) in runs.iter().zip(owners) {
                outputs[owner].extend(&out[run.start * width..(run.start + run.tokens) * width]);
            }
            position += chunk;
        }
    }
}

fn bits(outputs: &[Vec<f32>]) -> Vec<Vec<u32>> {
    outputs.iter().map(|output| output.iter().map(|value| value.to_bits()).collect()).collect()
}

fn check(scene: &Scene, chunks: &[usize]) {
    let expected = scene.run(&mut Reference, usize::MAX / 2);
    for isa in Isa::available() {
        let whole = scene.run(&mut cpu(1, Some(isa)), usize::MAX / 2);
        for (found, expected) in whole.iter().flatten().zip(expected.iter().flatten()) {
            // Weights sum to 1 and values are below 4.
            assert!((found - expected).abs() < 1e-5, "{found}, expected {expected}, {isa:?}");
        }
        for (i, &chunk) in chunks.iter().enumerate() {
            // Two counts of threads each, all of them over the chunks.
            for threads in [1 + i % 2, 3 + 2 * (i % 2)] {
                let chunked = scene.run(&mut cpu(threads, Some(isa)), chunk);
                assert_eq!(bits(&chunked), bits(&whole), "chunks of {chunk}, {threads} threads, {isa:?}");
            }
        }
        for (i, sequence) in scene.sequences.iter().enumerate() {
            let mut alone = scene.clone();
            alone.sequences = vec![sequence.clone()];
            alone.keys = vec![scene.keys[i]];
            alone.rows = vec![scene.rows[i].clone()];
            let alone = scene_bits(&alone, isa);
            assert_eq!(alone[0], bits(&whole)[i], "alone and beside others, {isa:?}");
        }
    }
}

fn scene_bits(scene: &Scene, isa: Isa) -> Vec<Vec<u32>> {
    bits(&scene.run(&mut cpu(1, Some(isa)), usize::MAX / 2))
}

#[test]
fn small_scenes() {
    let mut random = Random::new(3);
    for round in 0..90 {
        let block_tokens = if round % 3 == 0 { random.below(1..20) } else { 16 * random.below(1..4) };
        let lengths: Vec<usize> = (0..random.below(1..4)).map(|_| random.below(1..90)).collect();
        let shape = KvShape {
            blocks: lengths.iter().map(|len| len.div_ceil(block_tokens)).sum::<usize>() + 2,
            block_tokens,
            kv_heads: random.below(1..4),
            key_dim: if round % 7 == 0 { 131 } else { random.below(1..70) },
            value_dim: if round % 9 == 0 { 128 } else { random.below(1..70) },
            key_format: KvFormat::ALL[round % 4],
            value_format: KvFormat::ALL[(round + round / 4) % 4],
        };
        let group = random.below(1..6);
        let mut scene = Scene::new(&mut random, shape, group, &lengths);
        scene.visible = match round % 6 {
            1 => Visible::Window(random.below(1..40)),
            2 => Visible::Chunk(random.below(1..40)),
            4 => Visible::Keys,
            5 => Visible::All,
            _ => Visible::Causal,
        };
        scene.keys = lengths.iter().map(|&len| random.below(1..len + 1)).collect();
        scene.soft_cap = (round % 4 == 3).then_some(2.0);
        scene.sinks = (round % 5 == 2).then(|| random.values(scene.heads));
        // What sees all of a run has it in one.
        check(&scene, if scene.visible == Visible::All { &[1000] } else { &[1, 5, 1000] });
    }
}

#[test]
fn long_contexts_that_are_spread() {
    let mut random = Random::new(4);
    let cases = [
        (Visible::Causal, KvFormat::F16, KvFormat::Q8_0),
        (Visible::Window(700), KvFormat::Q8_0, KvFormat::Bf16),
        (Visible::Chunk(512), KvFormat::F16, KvFormat::F16),
        (Visible::Chunk(300), KvFormat::F32, KvFormat::F16),
        (Visible::Keys, KvFormat::F16, KvFormat::F16),
        (Visible::All, KvFormat::F32, KvFormat::F32),
    ];
    for (visible, key_format, value_format) in cases {
        let shape = KvShape {
            blocks: 120,
            block_tokens: 16,
            kv_heads: 1,
            key_dim: 24,
            value_dim: 16,
            key_format,
            value_format,
        };
        let mut scene = Scene::new(&mut random, shape, 3, &[1300, 520]);
        scene.visible = visible;
        scene.keys = vec![1250, 3];
        check(&scene, if visible == Visible::All { &[2000] } else { &[257, 1] });
    }
}

#[test]
fn what_is_not_a_number_stays_where_it_is_seen() {
    let mut random = Random::new(9);
    for format in KvFormat::ALL {
        let (key_format, value_format) = (format, format);
        let shape =
            KvShape { blocks: 12, block_tokens: 8, kv_heads: 2, key_dim: 9, value_dim: 12, key_format, value_format };
        let clean = Scene::new(&mut random, shape, 3, &[70, 5]);
        let expected = clean.run(&mut cpu(1, None), usize::MAX / 2);
        let (queries, outputs) = (6 * 9, 6 * 12);
        for poison in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for place in 0..3 {
                let mut scene = clean.clone();
                let rows = &mut scene.rows[0];
                match place {
                    0 => rows.0[40 * queries..41 * queries].fill(poison),
                    1 => rows.1[40 * 2 * 9..41 * 2 * 9].fill(poison),
                    _ => rows.2[40 * 2 * 12..41 * 2 * 12].fill(poison),
                }
                for isa in [None, Some(Isa::Scalar)] {
                    let found = scene.run(&mut cpu(2, isa), 64);
                    let finite = |range: std::ops::Range<usize>| found[0][range].iter().all(|value| value.is_finite());
                    assert!(finite(0..40 * outputs));
                    assert!(!finite(40 * outputs..41 * outputs) || poison == f32::NEG_INFINITY && place == 1);
                    if place == 0 {
                        assert!(finite(41 * outputs..70 * outputs));
                    }
                    if isa.is_none() {
                        assert_eq!(bits(&found)[0][..40 * outputs], bits(&expected)[0][..40 * outputs]);
                        assert_eq!(bits(&found)[1], bits(&expected)[1]);
                    }
                }
            }
        }
        let mut nothing = clean.clone();
        nothing.rows[0].1.fill(f32::NEG_INFINITY);
        nothing.rows[0].0.fill(1.0);
        nothing.run(&mut cpu(2, None), 64);
        nothing.run(&mut Reference, 64);
    }
}

/// Chunks of the size of the window's own: a query at the end of a chunk sees what a window of that size sees.
#[test]
fn a_chunk_ends_where_the_next_begins() {
    let mut random = Random::new(10);
    let (key_format, value_format) = (KvFormat::F16, KvFormat::F16);
    let shape =
        KvShape { blocks: 8, block_tokens: 16, kv_heads: 2, key_dim: 24, value_dim: 8, key_format, value_format };
    let mut scene = Scene::new(&mut random, shape, 2, &[100]);
    let width = scene.heads * 8;
    for n in [1, 16, 30, 64] {
        let mut run = |visible| {
            scene.visible = visible;
            scene_bits(&scene, Isa::Scalar).remove(0)
        };
        let (chunks, windows, causal) = (run(Visible::Chunk(n)), run(Visible::Window(n)), run(Visible::Causal));
        for position in (0..100).filter(|position| (position + 1) % n == 0) {
            let row = position * width..(position + 1) * width;
            assert_eq!(chunks[row.clone()], windows[row], "the last of a chunk of {n}");
        }
        assert_eq!(chunks[..n * width], causal[..n * width], "the first chunk");
    }
}
