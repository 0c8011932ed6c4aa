//! One process an engine, so that memory, threads and compiler flags are its own: the side that asks and the side that answers.
//!
//! Requests and answers are lines. A process that waits for a request sleeps in a read of its standard input; threads that an engine
//! keeps spinning after a step have gone to sleep by the time the next engine has been asked and has warmed up.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use mistral_benches::clock::Clock;
use mistral_core::quant::{CpuOptions, Isa, Repack};

use crate::engine::{Engine, Failure, Test, write_logits};

/// What to start.
#[derive(Debug, Clone)]
pub struct Start<'a> {
    /// `ours`, `llama.cpp` or `candle`.
    pub engine: &'a str,
    /// The program to run it with: this one, or another build of it.
    pub program: &'a Path,
    pub model: &'a Path,
    pub threads: usize,
    pub isa: Option<&'a str>,
    pub repack: Option<&'a str>,
    /// Rounds activations where weights are BF16.
    pub bf16_products: bool,
}

/// An engine in a process of its own, which ends with this value.
pub struct Remote {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
    /// What the engine says of itself.
    pub about: String,
}

impl Remote {
    /// Starts it and waits until the model is loaded.
    pub fn start(start: &Start<'_>) -> Result<Self, Failure> {
        let threads = start.threads.to_string();
        let mut command = Command::new(start.program);
        command.args(["serve", "--engine", start.engine, "--threads", &threads, "--model"]).arg(start.model);
        if let Some(isa) = start.isa {
            command.args(["--isa", isa]);
        }
        if let Some(repack) = start.repack {
            command.args(["--repack", repack]);
        }
        if start.bf16_products {
            command.arg("--bf16-products");
        }
        // candle's pool reads the first.
        command.env("RAYON_NUM_THREADS", &threads).env("CANDLE_NUM_THREADS", &threads);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (Some(requests), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("a process without pipes".into());
        };
        let mut remote = Self { child, requests, answers: BufReader::new(answers), about: String::new() };
        remote.about = remote.answer()?;
        Ok(remote)
    }

    pub fn prepare(&mut self, test: Test) -> Result<(), Failure> {
        self.ask(&format!("prepare {}", test.name())).map(drop)
    }

    /// Seconds of the timed part of a test that was prepared.
    pub fn time(&mut self, test: Test, clock: Clock) -> Result<f64, Failure> {
        let verb = if clock == Clock::Wall { "time" } else { "compute" };
        Ok(self.ask(&format!("{verb} {}", test.name()))?.parse()?)
    }

    /// Logits of random tokens. Shape `[count, vocab]`.
    pub fn logits(&mut self, count: usize, chunk: usize, scratch: &Path) -> Result<Vec<f32>, Failure> {
        self.ask(&format!("logits {count} {chunk} {}", scratch.display()))?;
        let bytes = std::fs::read(scratch)?;
        std::fs::remove_file(scratch)?;
        Ok(bytes.as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect())
    }

    /// Bytes of memory of its own and of files that are resident.
    pub fn resident(&mut self) -> Result<(u64, u64), Failure> {
        let answer = self.ask("resident")?;
        let (own, files) = answer.split_once(' ').ok_or("two numbers were asked for")?;
        Ok((own.parse()?, files.parse()?))
    }

    fn ask(&mut self, request: &str) -> Result<String, Failure> {
        writeln!(self.requests, "{request}")?;
        self.requests.flush()?;
        self.answer()
    }

    fn answer(&mut self) -> Result<String, Failure> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        match line.trim_end_matches('\n').split_once(' ') {
            Some(("ok", answer)) => Ok(answer.to_owned()),
            Some(("error", reason)) => Err(reason.to_owned().into()),
            _ => Err(format!("the process ended: {}", self.child.wait()?).into()),
        }
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The other side: loads the engine and answers until the input ends.
pub fn serve(mut args: pico_args::Arguments) -> Result<(), Failure> {
    let engine: String = args.value_from_str("--engine")?;
    let model: PathBuf = args.value_from_str("--model")?;
    let threads: usize = args.value_from_str("--threads")?;
    let isa = args.opt_value_from_str::<_, String>("--isa")?;
    let repack = args.opt_value_from_str::<_, String>("--repack")?;
    let bf16_products = args.contains("--bf16-products");
    let options = || -> Result<CpuOptions, Failure> {
        let mut options = CpuOptions::default();
        options.threads = Some(threads);
        options.isa_limit = isa.as_deref().map(isa_named).transpose()?;
        options.repack = repack.as_deref().map_or(Ok(Repack::Strips), repack_named)?;
        options.bf16_products = bf16_products;
        Ok(options)
    };
    let mut out = std::io::stdout();
    let mut engine = match options().and_then(|options| load(&engine, &model, options)) {
        Ok(engine) => engine,
        Err(reason) => return Ok(writeln!(out, "error {}", one_line(&reason))?),
    };
    writeln!(out, "ok {}", one_line(&engine.about()))?;
    for line in std::io::stdin().lines() {
        match answer(&line?, engine.as_mut()) {
            Ok(answer) => writeln!(out, "ok {answer}")?,
            Err(reason) => writeln!(out, "error {}", one_line(&reason))?,
        }
    }
    Ok(())
}

fn one_line(text: &impl std::fmt::Display) -> String {
    text.to_string().replace('\n', "; ")
}

fn answer(line: &str, engine: &mut dyn Engine) -> Result<String, Failure> {
    let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
    let test = || Test::parse(rest).ok_or_else(|| format!("unknown test {rest}"));
    match verb {
        "prepare" => test()?.prepare(engine).map(|()| String::new()),
        "time" => test()?.time(engine, Clock::Wall).map(|seconds| seconds.to_string()),
        "compute" => test()?.time(engine, Clock::Thread).map(|seconds| seconds.to_string()),
        "logits" => {
            let mut words = rest.splitn(3, ' ');
            let mut number = || -> Result<usize, Failure> { Ok(words.next().unwrap_or_default().parse()?) };
            let (count, chunk) = (number()?, number()?);
            write_logits(engine, count, chunk, Path::new(words.next().unwrap_or_default())).map(|()| String::new())
        }
        "resident" => {
            let status = std::fs::read_to_string("/proc/self/status")?;
            let bytes = |name: &str| {
                let line = status.lines().find_map(|line| line.strip_prefix(name));
                line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok()).unwrap_or_default() * 1024
            };
            Ok(format!("{} {}", bytes("RssAnon:"), bytes("RssFile:")))
        }
        _ => Err(format!("unknown request {verb}").into()),
    }
}

/// The policy of a name such as `never`.
fn repack_named(name: &str) -> Result<Repack, Failure> {
    let is_named = |repack: &Repack| format!("{repack:?}").eq_ignore_ascii_case(name);
    let policies = [Repack::Never, Repack::Strips, Repack::Background];
    policies.into_iter().find(is_named).ok_or_else(|| format!("no policy {name} of packing").into())
}

/// The instruction set of a name such as `avx2`.
fn isa_named(name: &str) -> Result<Isa, Failure> {
    let is_named = |isa: &Isa| format!("{isa:?}").eq_ignore_ascii_case(name);
    Isa::available().find(is_named).ok_or_else(|| format!("no instruction set {name} here").into())
}

fn load(engine: &str, model: &Path, options: CpuOptions) -> Result<Box<dyn Engine>, Failure> {
    match engine {
        "ours" => Ok(Box::new(crate::ours::Ours::load(model, options)?)),
        #[cfg(feature = "llama")]
        "llama.cpp" => Ok(Box::new(crate::llama::Llama::load(model, options.threads.unwrap_or(1))?)),
        #[cfg(feature = "candle")]
        "candle" => Ok(Box::new(crate::candle::Candle::load(model)?)),
        _ => Err(format!("this build has no engine {engine}").into()),
    }
}
