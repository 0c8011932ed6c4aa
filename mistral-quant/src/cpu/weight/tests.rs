use std::ops::Range;
use std::sync::{Mutex, OnceLock};

use super::*;
use crate::bytes::SharedBytes;
use crate::cpu::matmul::{Scratch, matmul};
use crate::cpu::operand::Job;
use crate::cpu::tests::Random;

/// A weight of three bands, and what a pass finds whenever one of them is released.
#[test]
fn a_weight_can_be_used_while_it_is_packed_band_by_band() {
    const ROWS: usize = 10_007;
    const COLS: usize = 1024;
    let mut random = Random::new(17);
    let few = random.values(37 * COLS);
    let bytes: Vec<u8> =
        (0..ROWS).flat_map(|row| few[row % 37 * COLS..][..COLS].iter().flat_map(|x| x.to_le_bytes())).collect();
    let x = random.values(COLS);
    let kernels = Kernels::detect();

    let pass = move |form: &Form| {
        let pool = ThreadPool::new(1).unwrap();
        let (mut out, mut rows) = (vec![f32::NAN; ROWS], vec![f32::NAN; 5 * COLS]);
        let job = Job { weight: form.operand(), bias: None, gated: None, out: &mut out };
        matmul(&pool, &kernels, &mut Scratch::default(), &x, 1, &mut [job]).unwrap();
        for (row, out) in [0, 1000, 5000, 9000, ROWS - 1].into_iter().zip(rows.chunks_mut(COLS)) {
            form.decode_row(&kernels, row, out).unwrap();
        }
        out.into_iter().chain(rows).map(f32::to_bits).collect::<Vec<u32>>()
    };
    let shared = Arc::new(OnceLock::<Arc<Shared>>::new());
    let log = Arc::new(Mutex::new(Vec::<(Range<usize>, Vec<bool>, Vec<u32>)>::new()));
    let release = {
        let (shared, log, pass) = (Arc::clone(&shared), Arc::clone(&log), pass.clone());
        move |_: &Vec<u8>, range| {
            let form = shared.get().unwrap().form();
            let packed = match &*form {
                Form::Blocks(_) => vec![false; ROWS],
                Form::Partly(_, packed) | Form::Packed(packed) => (0..ROWS).map(|row| packed.has_row(row)).collect(),
            };
            log.lock().unwrap().push((range, packed, pass(&form)));
        }
    };
    let len = bytes.len();
    let weight = Weight::new(Format::F32, ROWS, COLS, SharedBytes::backed(bytes, release)).unwrap();
    let expected = pass(&Form::Blocks(weight.clone()));
    let weight = CpuWeight::new(weight).unwrap();
    shared.set(Arc::clone(weight.shared())).unwrap();
    weight.shared().pack(&kernels, &ThreadPool::new(2).unwrap()).unwrap();
    assert!(weight.is_packed());

    let log = log.lock().unwrap();
    assert_eq!(log.len(), 3);
    let (last, bands) = log.split_last().unwrap();
    let mut start = 0;
    for (range, packed, found) in bands {
        // Bands follow each other, are no longer than they should be, and are released when they are packed, not before.
        assert!(range.start == start && range.len() <= 17 << 20, "{range:?}");
        start = range.end;
        let rows = range.end / (4 * COLS);
        assert!(packed[..rows].iter().all(|&packed| packed) && packed[rows..].iter().all(|&packed| !packed));
        assert_eq!(*found, expected);
    }
    assert_eq!(last.0, 0..len);
    assert!(last.1.iter().all(|&packed| packed));
    assert_eq!(last.2, expected);
    assert_eq!(pass(&weight.shared().form()), expected);
}
