//! Writes a GGUF file of a real model's shape with seeded random weights, to time loading and computing without a download:
//! `random_model --shape qwen2.5-0.5b|llama-3.2-1b|llama-3.2-3b|mistral-7b --type Q4_K_M --out FILE`.
//!
//! `--type` is a mix as `llama-quantize` names them (`Q4_K_M`, `Q8_0`, `BF16`, ...). There is no vocabulary: prompts are token ids.

use std::path::PathBuf;

use mistral_benches::model::{Failure, Shape, write};

fn main() -> Result<(), Failure> {
    let mut args = pico_args::Arguments::from_env();
    let shape = Shape::named(&args.value_from_str::<_, String>("--shape")?)?;
    let mix: String = args.value_from_str("--type")?;
    let out: PathBuf = args.value_from_str("--out")?;
    write(shape, &mix, &out)?;
    println!("{}: {} bytes", out.display(), std::fs::metadata(&out)?.len());
    Ok(())
}
