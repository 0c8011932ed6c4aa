//! How fast a model runs here: `bench [--model PATH_OR_ID] [-p 512] [-n 128] [-t THREADS] [-r REPETITIONS] [-b TOKENS]
//! [--repack never|strips|background] [--json]`; `-b` is the most tokens of a step.
//!
//! As llama-bench does it: prompt and generation are timed apart, on random token ids, end tokens ignored, after one warm-up.
//! Time to first token is that of a prompt of `-p` tokens, sampling included. Each figure is the median of the repetitions.

use std::time::Instant;

use mistral_core::quant::{CpuOptions, Repack};
use mistral_core::{Engine, Request};
use mistral_examples::Failure;
use serde_json::{Value, json};

/// Seconds of the prompt (to the first token) and of the `generated` tokens after it.
fn run(engine: &mut Engine, prompt: &[u32], generated: usize) -> Result<(f64, f64), Failure> {
    let before = engine.metrics().generated_tokens;
    let start = Instant::now();
    engine.submit(Request::new(prompt.to_vec()).max_tokens(generated + 1).ignore_eos(true), start)?;
    let mut first = None;
    while !engine.is_idle() {
        engine.step(Instant::now());
        if first.is_none() && engine.metrics().generated_tokens > before {
            first = Some(start.elapsed().as_secs_f64());
        }
    }
    let all = start.elapsed().as_secs_f64();
    let made = (engine.metrics().generated_tokens - before) as usize;
    while engine.poll_event().is_some() {}
    match first {
        Some(first) if made == generated + 1 => Ok((first, all - first)),
        _ => Err(format!("{made} tokens were generated instead of {}", generated + 1).into()),
    }
}

/// Median, lowest and highest of some figures.
fn spread(mut values: Vec<f64>) -> [f64; 3] {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let median = if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 };
    [median, values[0], values[values.len() - 1]]
}

/// The most memory that was ever resident, where the system tells.
fn peak_resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

fn main() -> Result<(), Failure> {
    let mut args = mistral_examples::arguments(include_str!("bench.rs"));
    let json = args.contains("--json");
    let name: String = args.clone().opt_value_from_str(["-m", "--model"])?.unwrap_or_else(|| "embedded".into());
    let builder = mistral_examples::builder(&mut args)?;
    let prompt: usize = args.opt_value_from_str("-p")?.unwrap_or(512);
    let generated: usize = args.opt_value_from_str("-n")?.unwrap_or(128);
    let builder = match args.opt_value_from_str("-b")? {
        Some(tokens) => builder.max_batch_tokens(tokens),
        None => builder,
    };
    let repetitions: usize = args.opt_value_from_str("-r")?.unwrap_or(5);
    let builder = match args.opt_value_from_str::<_, String>("--repack")?.as_deref() {
        None | Some("background") => builder.device(CpuOptions::default().repack(Repack::Background)),
        Some("strips") => builder.device(CpuOptions::default().repack(Repack::Strips)),
        Some("never") => builder.device(CpuOptions::default().repack(Repack::Never)),
        Some(other) => return Err(format!("--repack {other}").into()),
    };
    mistral_examples::finish(args)?;
    if prompt * generated * repetitions == 0 {
        return Err("-p, -n and -r must be at least 1".into());
    }
    let start = Instant::now();
    let mut engine = builder.context_length(prompt + generated + 1).max_sequences(1).seed(0).engine()?;
    let load = start.elapsed().as_secs_f64();
    let vocab = engine.vocab_size() as u32;
    let ids: Vec<u32> = (0..prompt as u32).map(|i| i.wrapping_mul(2_654_435_761) % vocab).collect();
    run(&mut engine, &ids, 1)?;
    let times = (0..repetitions).map(|_| run(&mut engine, &ids, generated)).collect::<Result<Vec<_>, _>>()?;
    let first = spread(times.iter().map(|t| t.0).collect());
    let prompt_rate = spread(times.iter().map(|t| prompt as f64 / t.0).collect());
    let rate = spread(times.iter().map(|t| generated as f64 / t.1).collect());
    let figure = |[median, min, max]: [f64; 3]| -> Value { json!({ "median": median, "min": min, "max": max }) };
    let report = json!({
        "model": name, "prompt_tokens": prompt, "generated_tokens": generated, "repetitions": repetitions,
        "load_seconds": load, "time_to_first_token_seconds": figure(first), "prompt_tokens_per_second": figure(prompt_rate),
        "generation_tokens_per_second": figure(rate), "peak_resident_bytes": peak_resident_bytes(),
    });
    println!("{}", if json { report.to_string() } else { format!("{report:#}") });
    Ok(())
}
