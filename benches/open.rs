//! From a path to the first step: `open FILE...`. Opens and loads each file five times and prints the median times of the checkpoint, of
//! everything up to an engine that can step, and of the first step of one token, which pages the weights in.

use std::time::Instant;

use mistral_core::models::{Checkpoint, Description};
use mistral_core::{Model, Request};

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for path in std::env::args().skip(1) {
        let (mut open, mut load, mut step) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..5 {
            let start = Instant::now();
            let checkpoint = Checkpoint::open(&path)?;
            let layers = Description::new(&checkpoint)?.spec().layers.len();
            open.push(start.elapsed().as_secs_f64() * 1e3);
            let start = Instant::now();
            let mut engine = Model::builder().checkpoint(path.as_str()).context_length(512).engine()?;
            load.push(start.elapsed().as_secs_f64() * 1e3);
            let start = Instant::now();
            engine.submit(Request::new(vec![1]).max_tokens(1).ignore_eos(true), start)?;
            while !engine.is_idle() {
                engine.step(Instant::now());
            }
            step.push(start.elapsed().as_secs_f64() * 1e3);
            assert!(engine.metrics().generated_tokens == 1 && layers > 0, "the step gave no token");
        }
        println!(
            "{path}: checkpoint {:.1} ms, engine {:.1} ms, first step {:.1} ms",
            median(open),
            median(load),
            median(step)
        );
    }
    Ok(())
}
