//! What the examples share: opening the model that the command line names.

use std::error::Error as StdError;
use std::fmt;
use std::io::Write;
use std::path::PathBuf;

use mistral_core::builder::HasCheckpoint;
use mistral_core::models::Quantizer;
use mistral_core::{Error, Model, ModelBuilder, ModelSource};

/// Any error, for `main` to end with: printed as its message and its causes, not as a structure.
pub struct Failure(Box<dyn StdError>);

impl<E: Into<Box<dyn StdError>>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, "\n  because: {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

/// The source behind `--model`: a path or the id of a model in the local cache, or, without one, the model inside the crate.
/// With feature `hub`, an id that is not in the cache yet is downloaded, with a progress bar.
///
/// # Errors
/// Those of the download.
pub fn source(model: Option<&str>) -> Result<ModelSource, Error> {
    Ok(match model {
        None => ModelSource::Embedded,
        #[cfg(feature = "hub")]
        Some(id) if !std::path::Path::new(id).exists() => ModelSource::Path(download(id)?),
        Some(path) => ModelSource::Path(PathBuf::from(path)),
    })
}

/// A builder for `--model`, `--threads` and `--quantize TYPE` (fewer bits than the checkpoint has) of the command line.
///
/// # Errors
/// Those of [`source`], and of arguments that cannot be read.
pub fn builder(args: &mut pico_args::Arguments) -> Result<ModelBuilder<HasCheckpoint>, Failure> {
    let model: Option<String> = args.opt_value_from_str(["-m", "--model"])?;
    let builder = Model::builder().checkpoint(source(model.as_deref())?);
    let builder = match args.opt_value_from_str::<_, Quantizer>("--quantize")? {
        Some(quantizer) => builder.quantize(quantizer),
        None => builder,
    };
    Ok(match args.opt_value_from_str(["-t", "--threads"])? {
        Some(threads) => builder.threads(threads),
        None => builder,
    })
}

/// Returns the arguments of the command line. `-h` or `--help` prints the documentation at the top of `source`, the text of the example,
/// and ends the program.
pub fn arguments(source: &str) -> pico_args::Arguments {
    let mut args = pico_args::Arguments::from_env();
    if args.contains(["-h", "--help"]) {
        let lines = source.lines().map_while(|line| line.strip_prefix("//!"));
        let text: Vec<&str> = lines.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
        // A reader that closes the pipe has seen enough.
        let _ = writeln!(std::io::stdout(), "{}", text.join("\n"));
        std::process::exit(0);
    }
    args
}

/// Refuses arguments that nobody asked for.
///
/// # Errors
/// Names them.
pub fn finish(args: pico_args::Arguments) -> Result<(), Failure> {
    let left = args.finish();
    if left.is_empty() { Ok(()) } else { Err(format!("unknown arguments: {left:?}").into()) }
}

#[cfg(feature = "hub")]
fn download(id: &str) -> Result<PathBuf, Error> {
    use indicatif::{ProgressBar, ProgressStyle};
    let bar = ProgressBar::no_length();
    if let Ok(style) = ProgressStyle::with_template("{msg} {bar:40} {bytes}/{total_bytes} {bytes_per_sec}") {
        bar.set_style(style);
    }
    let path = mistral_core::models::Download::new(id).run(|p| {
        bar.set_message(p.file.to_owned());
        bar.set_length(p.total);
        bar.set_position(p.done);
    })?;
    bar.finish_and_clear();
    Ok(path)
}
