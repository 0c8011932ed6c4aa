//! Ours beside llama.cpp and candle, on the same file and in the same minutes. See README.md.

#[cfg(feature = "candle")]
mod candle;
mod compare;
mod divergence;
mod engine;
#[cfg(feature = "llama")]
mod llama;
mod ours;
mod process;
mod report;

fn main() -> Result<(), engine::Failure> {
    let mut args = pico_args::Arguments::from_env();
    match args.subcommand()?.as_deref() {
        None => compare::run(args),
        Some("serve") => process::serve(args),
        Some(other) => Err(format!("unknown command {other}").into()),
    }
}
