//! Converts a checkpoint to a GGUF file of fewer bits: `quantize [--model PATH_OR_ID] --type TYPE [--out FILE] [--imatrix FILE]
//! [--tensor-type PATTERN=TYPE]... [--uniform] [--keep-split] [--threads N] [--dry-run]`.
//!
//! `TYPE` is a mix (`Q4_K_M`, `IQ4_XS`, ...) or a format. Patterns are regular expressions over tensor names as GGUF files have them.
//! `--dry-run` prints the format that every tensor would get, and writes nothing. Tensors that fall back to another format are listed.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::Instant;

use mistral_core::models::quantize::{Importance, TensorPlan};
use mistral_core::models::{Checkpoint, Quantizer};
use mistral_core::quant::Format;
use mistral_core::{ModelSource, embedded};
use mistral_examples::Failure;

/// Lists the tensors that get another format than the requested one, because their rows are not whole blocks of that format.
fn say_fallbacks(tensors: &[TensorPlan]) {
    let mut kinds: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for (tensor, wanted) in tensors.iter().filter_map(|tensor| Some((tensor, tensor.instead_of?))) {
        kinds.entry((wanted.name(), tensor.to.name())).or_default().push(&tensor.name);
    }
    for ((wanted, made), names) in kinds {
        let (count, first) = (names.len(), names[0]);
        eprintln!("{made} instead of {wanted}, whose blocks the rows do not fill: {count} tensors, such as {first}");
    }
}

fn main() -> Result<(), Failure> {
    let mut args = mistral_examples::arguments(include_str!("quantize.rs"));
    let model: Option<String> = args.opt_value_from_str(["-m", "--model"])?;
    let name: String = args.value_from_str("--type")?;
    let format = |name: &str| Format::from_name(name).ok_or_else(|| Failure::from(format!("unknown format {name}")));
    let mut quantizer = match args.contains("--uniform") {
        true => Quantizer::uniform(format(&name)?),
        false => name.parse()?,
    };
    for wanted in args.values_from_str::<_, String>("--tensor-type")? {
        let (pattern, name) = wanted.rsplit_once('=').ok_or("--tensor-type takes PATTERN=TYPE")?;
        quantizer = quantizer.tensor(pattern, format(name)?);
    }
    if let Some(path) = args.opt_value_from_str::<_, PathBuf>("--imatrix")? {
        quantizer = quantizer.importance(Importance::open(path)?);
    }
    if let Some(threads) = args.opt_value_from_str(["-t", "--threads"])? {
        quantizer = quantizer.threads(threads);
    }
    quantizer = quantizer.keep_split(args.contains("--keep-split"));
    let dry = args.contains("--dry-run");
    let out: PathBuf = args.opt_value_from_str(["-o", "--out"])?.unwrap_or_else(|| format!("model-{name}.gguf").into());
    mistral_examples::finish(args)?;

    let checkpoint = match mistral_examples::source(model.as_deref())? {
        ModelSource::Path(path) => Checkpoint::open(path)?,
        _ => embedded()?,
    };
    let plan = quantizer.to_gguf(&checkpoint)?;
    let weights: u64 = plan.tensors().iter().map(|tensor| tensor.weights()).sum();
    for tensor in plan.tensors().iter().filter(|_| dry) {
        let why = tensor.instead_of.map(|format| format!(" (rows do not fit {format})")).unwrap_or_default();
        let change = format!("{} -> {}", tensor.from, tensor.to);
        println!("{:40} {:16} {change:16} {:>12} bytes{why}", tensor.name, format!("{:?}", tensor.shape), tensor.bytes);
    }
    say_fallbacks(plan.tensors());
    let (before, after) = (checkpoint.tensor_bytes(), plan.bytes());
    println!("{before} bytes -> {after} bytes, {:.2} bits a weight", after as f64 * 8.0 / weights.max(1) as f64);
    if dry {
        return Ok(());
    }
    let (start, terminal) = (Instant::now(), std::io::stderr().is_terminal());
    let paths = plan.write(&out, |progress| {
        if terminal {
            let percent = progress.done * 100 / progress.total.max(1);
            eprint!("\r{percent:3} % {:50}", progress.tensor.name);
            let _ = std::io::stderr().flush(); // Progress is not worth failing for.
        }
    })?;
    let seconds = start.elapsed().as_secs_f64();
    for path in &paths {
        println!("{}{}", if terminal { "\n" } else { "" }, path.display());
    }
    println!("{seconds:.1} s, {:.1} million weights a second", weights as f64 / seconds / 1e6);
    Ok(())
}
