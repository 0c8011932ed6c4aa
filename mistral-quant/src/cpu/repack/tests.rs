use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::Repack;
use crate::backend::{Backend, MatMul};
use crate::bytes::SharedBytes;
use crate::cpu::tests::Random;
use crate::cpu::weight::CpuWeight;
use crate::cpu::{Cpu, CpuOptions};
use crate::format::Format;
use crate::step::StepInput;
use crate::testing::{Bytes, block_formats, step, weight};
use crate::weight::Weight;

const FLOATS: [Format; 3] = [Format::F32, Format::F16, Format::BF16];
const POLICIES: [Repack; 3] = [Repack::Never, Repack::Strips, Repack::Background];

fn cpu(repack: Repack, threads: usize) -> Cpu {
    Cpu::new(CpuOptions { threads: Some(threads), repack, ..CpuOptions::default() }).unwrap()
}

fn matrix(random: &mut Random, format: Format, rows: usize, cols: usize) -> Weight {
    weight(random, format, rows, cols, Bytes::Encoded)
}

/// The same weight over bytes that tell which ranges were released.
fn backed(weight: &Weight) -> (Weight, Arc<Mutex<Vec<Range<usize>>>>) {
    let released = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&released);
    let bytes = SharedBytes::backed(weight.bytes().to_vec(), move |_, range| log.lock().unwrap().push(range));
    (Weight::new(weight.format(), weight.rows(), weight.cols(), bytes).unwrap(), released)
}

fn settle(cpu: &Cpu) {
    while cpu.repacking() > 0 {
        std::thread::sleep(Duration::from_micros(100));
    }
}

fn product(cpu: &mut Cpu, weight: &CpuWeight, x: &[f32]) -> Vec<u32> {
    let tokens = x.len() / weight.cols();
    let (mut input, mut out) = (cpu.buffer(x.len()).unwrap(), cpu.buffer(tokens * weight.rows()).unwrap());
    cpu.write(&mut input, x).unwrap();
    cpu.matmul(&input, tokens, &mut [MatMul { weight, bias: None, out: &mut out }]).unwrap();
    bits(cpu, &out, tokens * weight.rows())
}

fn row(cpu: &mut Cpu, weight: &CpuWeight, id: u32) -> Vec<u32> {
    let mut out = cpu.buffer(weight.cols()).unwrap();
    let step = step(cpu, StepInput { tokens: 1, ids: &[&[id]], ..StepInput::default() });
    cpu.embed(&step, 0, weight, 1.0, &mut out).unwrap();
    bits(cpu, &out, weight.cols())
}

fn bits(cpu: &mut Cpu, buffer: &<Cpu as Backend>::Buffer, len: usize) -> Vec<u32> {
    let mut values = vec![0.0; len];
    cpu.read(buffer, 0, &mut values).unwrap();
    values.iter().map(|value| value.to_bits()).collect()
}

#[test]
fn every_policy_gives_the_same_bits() {
    let mut random = Random::new(71);
    let blocks = block_formats().flat_map(|format| [(format, 64, 512), (format, 37, 256), (format, 5, 256)]);
    let floats = FLOATS.into_iter().flat_map(|format| [(format, 64, 515), (format, 61, 33), (format, 9, 256)]);
    for (format, rows, cols) in blocks.chain(floats) {
        let held = matrix(&mut random, format, rows, cols);
        let x = random.values(3 * cols);
        let mut expected = None;
        for policy in POLICIES {
            for weight in [held.clone(), backed(&held).0] {
                let mut cpu = cpu(policy, 2);
                let weight = cpu.weight(weight).unwrap();
                let early = product(&mut cpu, &weight, &x);
                settle(&cpu);
                let late = product(&mut cpu, &weight, &x);
                let rows = (0..rows as u32).map(|id| row(&mut cpu, &weight, id)).collect::<Vec<_>>();
                let (products, table) = expected.get_or_insert_with(|| (early.clone(), rows.clone()));
                assert_eq!((&early, &late, &rows), (&*products, &*products, &*table), "{format} {policy:?}");
                if policy == Repack::Never {
                    assert!(!weight.is_packed());
                }
            }
        }
    }
}

#[test]
fn formats_of_the_usual_mixes_are_packed_and_their_pages_given_back() {
    let mut random = Random::new(72);
    let usual = [
        Format::Q4_0,
        Format::Q8_0,
        Format::Q2_K,
        Format::Q3_K,
        Format::Q4_K,
        Format::Q5_K,
        Format::Q6_K,
        Format::Q5_0,
        Format::IQ2_XS,
        Format::IQ3_S,
        Format::F32,
        Format::F16,
        Format::BF16,
    ];
    for format in usual {
        for policy in [Repack::Strips, Repack::Background] {
            let (weight, released) = backed(&matrix(&mut random, format, 32, 256));
            let len = weight.bytes().len();
            let mut cpu = cpu(policy, 1);
            let weight = cpu.weight(weight).unwrap();
            settle(&cpu);
            assert!(weight.is_packed(), "{format} {policy:?}");
            assert_eq!(released.lock().unwrap().as_slice(), std::slice::from_ref(&(0..len)));
        }
    }
}

#[test]
fn vectors_and_what_fills_no_strip_stay_as_they_are() {
    let mut random = Random::new(73);
    for (format, rows) in [(Format::F32, 2), (Format::BF16, 1), (Format::Q8_0, 1), (Format::F8_E4M3, 32)] {
        let mut cpu = cpu(Repack::Strips, 1);
        let (weight, released) = backed(&matrix(&mut random, format, rows, 64));
        let weight = cpu.weight(weight).unwrap();
        assert!(!weight.is_packed() && released.lock().unwrap().is_empty(), "{format} x {rows}");
    }
}

/// Blocks that nothing else holds are dropped once they are packed.
#[test]
fn memory_is_not_held_twice() {
    struct Owner(Vec<u8>, Arc<AtomicUsize>);
    impl AsRef<[u8]> for Owner {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    impl Drop for Owner {
        fn drop(&mut self) {
            self.1.fetch_add(1, Ordering::Relaxed);
        }
    }
    let plain = matrix(&mut Random::new(74), Format::Q4_K, 48, 256);
    for (policy, expected) in [(Repack::Never, 0), (Repack::Strips, 1), (Repack::Background, 1)] {
        let drops = Arc::new(AtomicUsize::new(0));
        let bytes = SharedBytes::new(Owner(plain.bytes().to_vec(), Arc::clone(&drops)));
        let mut cpu = cpu(policy, 1);
        let weight = cpu.weight(Weight::new(Format::Q4_K, 48, 256, bytes).unwrap()).unwrap();
        settle(&cpu);
        assert_eq!(drops.load(Ordering::Relaxed), expected, "{policy:?}");
        drop(weight);
        assert_eq!(drops.load(Ordering::Relaxed), 1);
    }
}

#[test]
fn products_while_weights_are_repacked_are_the_same() {
    let mut random = Random::new(75);
    let weights: Vec<Weight> = (0..24).map(|_| matrix(&mut random, Format::Q4_K, 256, 512)).collect();
    let x = random.values(2 * 512);
    let mut never = cpu(Repack::Never, 1);
    let expected: Vec<Vec<u32>> = weights
        .iter()
        .map(|weight| {
            let weight = never.weight(weight.clone()).unwrap();
            product(&mut never, &weight, &x)
        })
        .collect();
    let mut cpu = cpu(Repack::Background, 2);
    let weights: Vec<CpuWeight> = weights.into_iter().map(|weight| cpu.weight(weight).unwrap()).collect();
    for _ in 0..20 {
        for (weight, expected) in weights.iter().zip(&expected) {
            assert_eq!(product(&mut cpu, weight, &x), *expected);
        }
    }
    settle(&cpu);
    assert!(weights.iter().all(CpuWeight::is_packed));
}

#[test]
fn backend_and_weights_may_go_in_any_order() {
    let mut random = Random::new(76);
    let weight = matrix(&mut random, Format::Q6_K, 512, 512);
    for round in 0..20 {
        let mut cpu = cpu(Repack::Background, 1);
        let weights: Vec<CpuWeight> = (0..10).map(|_| cpu.weight(weight.clone()).unwrap()).collect();
        if round % 2 == 0 {
            drop(weights);
            settle(&cpu);
        } else {
            drop(cpu);
            drop(weights);
        }
    }
}
