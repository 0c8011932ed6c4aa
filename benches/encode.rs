//! Encoding and decoding of every format, by criterion: `cargo bench -p mistral-benches --bench encode -- [WORD ...] [--test]`.
//!
//! One thread. A name is `encode/FORMAT` or `decode/FORMAT`. What was encoded is decoded and must be near, and the table gives millions of
//! weights a second.

mod measure;

use std::hint::black_box;

use measure::Bench;
use mistral_quant::{Error, Format, decode_row, encode_row_with};

const WEIGHTS: usize = 16 * 4096;

fn main() -> Result<(), Error> {
    let mut bench = Bench::new(std::env::args().skip(1).collect());
    let values: Vec<f32> = (0..WEIGHTS).map(|i| 0.1 + 2.0 * (i as f32).cos()).collect();
    let power: f64 = values.iter().map(|&x| f64::from(x).powi(2)).sum();
    let mut table = Vec::new();
    let mut checked = 0;
    for format in Format::all().filter(|format| format.is_computable()) {
        let names = ["encode", "decode"].map(|verb| format!("{verb}/{format}"));
        if !names.iter().any(|name| bench.wants(name)) {
            continue;
        }
        let alike = vec![1.0; WEIGHTS];
        let importance = format.needs_importance().then_some(alike.as_slice());
        let bytes = encode_row_with(format, &values, importance)?;
        let mut decoded = vec![0.0; WEIGHTS];
        decode_row(format, &bytes, &mut decoded)?;
        let error: f64 = values.iter().zip(&decoded).map(|(&x, &y)| f64::from(x - y).powi(2)).sum();
        // Of one bit a weight, a third of the power is the error at most.
        let noise = (error / power).sqrt();
        assert!(noise < 0.6, "{format}: the error is {noise} of the values");
        checked += 1;
        let mut line = format!("{:8} error {:6.3} %", format.name(), 100.0 * noise);
        for name in &names {
            if !bench.wants(name) {
                continue;
            }
            let seconds = bench.seconds(name, || match name.starts_with("encode") {
                true => drop(black_box(encode_row_with(format, black_box(&values), importance))),
                false => drop(black_box(decode_row(format, black_box(&bytes), &mut decoded))),
            });
            if let Some(seconds) = seconds {
                let verb = name.split('/').next().unwrap_or_default();
                line += &format!("  {verb} {:8.1} M/s", WEIGHTS as f64 / seconds / 1e6);
            }
        }
        table.push(line);
    }
    println!("\n{checked} formats are right\n{}", table.join("\n"));
    Ok(())
}
