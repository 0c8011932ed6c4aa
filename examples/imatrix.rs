//! Measures an importance matrix: `imatrix [--model PATH_OR_ID] --file TEXT [--out imatrix.gguf] [--context N] [--chunks N]
//! [--process-output] [--in-file IMATRIX]... [--threads N]`. The file is what `quantize --imatrix` and llama.cpp's tools read.
//!
//! The text is cut into chunks of N tokens (512), each of which the model reads by itself; a rest is left out. `--process-output`
//! measures the head too. Each `--in-file` is added to the result, and without `--file` the result is their sum.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::Instant;

use mistral_core::models::quantize::{Calibration, Importance};
use mistral_core::models::{Checkpoint, Description, EncodeOptions, Tokenizer};
use mistral_core::quant::{Cpu, CpuOptions};
use mistral_core::{ModelSource, embedded};
use mistral_examples::Failure;

fn main() -> Result<(), Failure> {
    let mut args = mistral_examples::arguments(include_str!("imatrix.rs"));
    let model: Option<String> = args.opt_value_from_str(["-m", "--model"])?;
    let text: Option<String> = args.opt_value_from_str(["-f", "--file"])?;
    let out: PathBuf = args.opt_value_from_str(["-o", "--out"])?.unwrap_or_else(|| "imatrix.gguf".into());
    let wanted: usize = args.opt_value_from_str(["-c", "--context"])?.unwrap_or(512);
    let chunks: usize = args.opt_value_from_str("--chunks")?.unwrap_or(usize::MAX);
    let head = args.contains("--process-output");
    let more: Vec<PathBuf> = args.values_from_str("--in-file")?;
    let mut options = CpuOptions::default();
    options.threads = args.opt_value_from_str(["-t", "--threads"])?;
    mistral_examples::finish(args)?;
    if text.is_none() && more.is_empty() {
        return Err("give a text with --file, or files to add up with --in-file".into());
    }

    let mut importance = match text {
        Some(text) => measure(model.as_deref(), &text, wanted, chunks, head, options)?,
        None => Importance::default(),
    };
    for path in more {
        importance.merge(&Importance::open(path)?)?;
    }
    importance.write(&out)?;
    println!("{}: {} matrices, {} chunks", out.display(), importance.len(), importance.chunks());
    Ok(())
}

fn measure(
    model: Option<&str>,
    text: &str,
    wanted: usize,
    chunks: usize,
    head: bool,
    options: CpuOptions,
) -> Result<Importance, Failure> {
    let checkpoint = match mistral_examples::source(model)? {
        ModelSource::Path(path) => Checkpoint::open(path)?,
        _ => embedded()?,
    };
    let tokenizer = Tokenizer::from_checkpoint(&checkpoint)?;
    let description = Description::new(&checkpoint)?;
    let tokens = tokenizer.encode(&std::fs::read_to_string(text)?, EncodeOptions::TEXT)?;
    let context = wanted.min(description.spec().context_length);
    if tokens.len() < context {
        return Err(format!("{} tokens do not fill one chunk of {context}", tokens.len()).into());
    }
    // A model that expects BOS gets one at the start of every chunk, in place of the token there.
    let bos = tokenizer.bos().filter(|bos| tokens.first() == Some(bos));
    let mut calibration = Calibration::new(Cpu::new(options)?, checkpoint.weights(), description, context)?.head(head);
    let all = (tokens.len() / context).min(chunks);
    let (start, terminal) = (Instant::now(), std::io::stderr().is_terminal());
    for (number, chunk) in tokens.chunks_exact(context).take(all).enumerate() {
        let mut chunk = chunk.to_vec();
        if let (Some(bos), Some(first)) = (bos, chunk.first_mut()) {
            *first = bos;
        }
        calibration.chunk(&chunk)?;
        if terminal {
            let left = start.elapsed() / (number as u32 + 1) * (all - number - 1) as u32;
            eprint!("\rchunk {} of {all}, {} s left   ", number + 1, left.as_secs());
            let _ = std::io::stderr().flush(); // Progress is not worth failing for.
        }
    }
    let (seconds, tokens) = (start.elapsed().as_secs_f64(), all * context);
    eprintln!("{}{tokens} tokens in {seconds:.1} s", if terminal { "\n" } else { "" });
    Ok(calibration.importance(text)?)
}
