//! Every interleaving of threads that pack a weight with one that reads it, by loom:
//! `RUSTFLAGS="--cfg loom" cargo test -p mistral-quant --lib weight::model`.

use super::*;
use crate::cpu::kernels::Isa;
use crate::cpu::kernels::strip::STRIP;
use crate::cpu::tests::Random;
use crate::error::Error;
use crate::formats::UNIT;
use crate::testing::{Bytes, weight};

/// A row of each band.
const ROWS: [usize; 2] = [3, STRIP + 5];

/// A weight of two strips, each a band of its own, and what its rows decode to.
fn two_bands() -> (Weight, [Vec<u32>; 2]) {
    let weight = weight(&mut Random::new(91), Format::Q8_0, 2 * STRIP, UNIT, Bytes::Random);
    let form = Form::Blocks(weight.clone());
    (weight, ROWS.map(|row| decoded(&form, row)))
}

fn decoded(form: &Form, row: usize) -> Vec<u32> {
    let mut out = [f32::NAN; UNIT];
    form.decode_row(&kernels(), row, &mut out).unwrap();
    out.map(f32::to_bits).to_vec()
}

fn kernels() -> Kernels {
    Kernels::with_limit(Isa::Scalar)
}

fn pack(shared: &Shared) -> Result<(), Error> {
    shared.pack_in_bands(&kernels(), &ThreadPool::new(1)?, 1)
}

/// How far packing has come: 0 is blocks, 4 is packed.
fn progress(form: &Form) -> usize {
    match form {
        Form::Blocks(_) => 0,
        Form::Partly(_, packed) => 1 + ROWS.into_iter().filter(|&row| packed.has_row(row)).count(),
        Form::Packed(_) => 4,
    }
}

/// Reads all rows of every form that it finds, which never go back, until the last.
fn read(shared: &Shared, expected: &[Vec<u32>; 2], passes: usize) {
    let mut before = 0;
    for _ in 0..passes {
        let form = shared.form();
        let now = progress(&form);
        assert!(now >= before, "{now} after {before}");
        for (row, expected) in ROWS.into_iter().zip(expected) {
            assert_eq!(decoded(&form, row), *expected, "row {row}, {now}");
        }
        before = progress(&form);
        assert!(before >= now);
    }
}

#[test]
fn a_pass_finds_every_row_while_a_weight_is_packed() {
    let (weight, expected) = two_bands();
    loom::model(move || {
        let weight = CpuWeight::new(weight.clone()).unwrap();
        let (shared, expected) = (Arc::clone(weight.shared()), expected.clone());
        let reader = loom::thread::spawn(move || read(&shared, &expected, 2));
        pack(weight.shared()).unwrap();
        assert_eq!(progress(&weight.shared().form()), 4);
        reader.join().unwrap();
    });
}

#[test]
fn of_two_threads_that_pack_a_weight_one_does() {
    let (weight, expected) = two_bands();
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(move || {
        let weight = CpuWeight::new(weight.clone()).unwrap();
        let (shared, others) = (Arc::clone(weight.shared()), expected.clone());
        let other = loom::thread::spawn(move || {
            pack(&shared).unwrap();
            read(&shared, &others, 1);
        });
        pack(weight.shared()).unwrap();
        read(weight.shared(), &expected, 1);
        other.join().unwrap();
        assert!(weight.is_packed());
    });
}
