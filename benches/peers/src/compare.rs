//! The side that asks: models, agreement, then rounds in which the engines take turns.

use std::path::{Path, PathBuf};

use mistral_benches::bandwidth::Memory;
use mistral_benches::clock::Clock;
use mistral_benches::model::{Shape, write};
use mistral_core::models::Checkpoint;

use crate::divergence::Divergence;
use crate::engine::{Failure, Test};
use crate::process::{Remote, Start};
use crate::report::{Case, Figures, Record, median};

/// Mean divergence from llama.cpp above which a format is not timed.
const AGREEMENT: f64 = 5e-4;

/// Random tokens whose logits are compared, and how many of them one by one.
const POSITIONS: usize = 256;
const ONE_BY_ONE: usize = 64;

const TYPES: &str = "Q4_0,IQ4_NL,Q4_K_M,Q5_K_M,Q6_K,Q8_0,Q3_K_M,Q2_K,IQ4_XS,IQ3_S,IQ2_XS,BF16,F16";
const SHAPES: &str = "qwen2.5-0.5b,llama-3.2-1b,mistral-7b";
const TESTS: &str = "prompt128,prompt512,gen,batch2,batch4,batch8,gen@8192";

struct Options {
    engines: Vec<String>,
    threads: Vec<usize>,
    tests: Vec<Test>,
    rounds: usize,
    clock: Clock,
    isa: Option<String>,
    repack: Option<String>,
    bf16_products: bool,
    models: PathBuf,
    /// This program and, if it is another build, the one that runs ours.
    program: PathBuf,
    ours: PathBuf,
    /// Time formats that do not agree, too.
    regardless: bool,
}

pub fn run(mut args: pico_args::Arguments) -> Result<(), Failure> {
    let quick = args.contains("--quick");
    let mut list = |name: &'static str, usual: &str| -> Result<Vec<String>, Failure> {
        let text: String = args.opt_value_from_str(name)?.unwrap_or_else(|| usual.to_owned());
        Ok(text.split(',').map(str::to_owned).collect())
    };
    let shapes = list("--shapes", if quick { "qwen2.5-0.5b" } else { SHAPES })?;
    let types = list("--types", TYPES)?;
    let tests = list("--tests", if quick { "prompt512,gen,batch4" } else { TESTS })?;
    let threads = list("--threads", "1,2")?;
    let program = std::env::current_exe()?;
    let options = Options {
        engines: list("--engines", "ours,llama.cpp,candle")?,
        threads: threads.iter().map(|n| n.parse()).collect::<Result<_, _>>()?,
        tests: tests
            .iter()
            .map(|test| Test::parse(test).ok_or_else(|| format!("unknown test {test}")))
            .collect::<Result<_, _>>()?,
        rounds: args.opt_value_from_str("--rounds")?.unwrap_or(if quick { 3 } else { 5 }).max(1),
        clock: if args.contains("--busy") { Clock::Thread } else { Clock::Wall },
        isa: args.opt_value_from_str("--isa")?,
        repack: args.opt_value_from_str("--repack")?,
        bf16_products: args.contains("--bf16-products"),
        models: args.opt_value_from_str("--models")?.unwrap_or_else(|| std::env::temp_dir().join("mistral-peers")),
        ours: args.opt_value_from_str("--ours")?.unwrap_or_else(|| program.clone()),
        program,
        regardless: args.contains("--regardless"),
    };
    let record: Option<PathBuf> = args.opt_value_from_str("--record")?;
    let rest = args.finish();
    if !rest.is_empty() {
        return Err(format!("unknown arguments {rest:?}").into());
    }
    if options.clock == Clock::Thread && (options.threads != [1] || options.engines.iter().any(|name| name == "candle"))
    {
        return Err("--busy counts the time of one thread: it takes --threads 1 and --engines without candle".into());
    }
    std::fs::create_dir_all(&options.models)?;
    let mut record = record.map(Record::open).transpose()?;
    let memory = Memory::new(1 << 30);
    let mut failed = Vec::new();
    for shape in &shapes {
        let shape = Shape::named(shape)?;
        for kind in &types {
            let model = options.models.join(format!("{}-{kind}.gguf", shape.name));
            if !model.exists() {
                let part = model.with_extension("part");
                if let Err(reason) = write(shape, kind, &part) {
                    println!("\n{} {kind}: left out: {reason}", shape.name);
                    continue;
                }
                std::fs::rename(part, &model)?;
            }
            println!("\n{} {kind}", shape.name);
            if !agrees(&options, &model)? {
                failed.push(format!("{} {kind}", shape.name));
                if !options.regardless {
                    continue;
                }
            }
            let active_bytes = active_bytes(&model)?;
            for &threads in &options.threads {
                let case = Case { shape: shape.name, kind, threads, active_bytes };
                time(&options, &model, &memory, case, record.as_mut())?;
            }
        }
    }
    if failed.is_empty() {
        Ok(())
    } else {
        Err(format!("logits too far from llama.cpp's: {}", failed.join(", ")).into())
    }
}

impl Options {
    fn start(&self, engine: &str, model: &Path, threads: usize) -> Result<Remote, Failure> {
        let ours = engine == "ours";
        Remote::start(&Start {
            engine,
            program: if ours { &self.ours } else { &self.program },
            model,
            threads,
            isa: self.isa.as_deref().filter(|_| ours),
            repack: self.repack.as_deref().filter(|_| ours),
            bf16_products: self.bf16_products && ours,
        })
    }
}

/// Whether our logits are near those of llama.cpp, in one step and one by one. Says so, and how near llama.cpp is to itself.
fn agrees(options: &Options, model: &Path) -> Result<bool, Failure> {
    if ["ours", "llama.cpp"].iter().any(|name| !options.engines.iter().any(|engine| engine == name)) {
        println!("agreement: not looked at, it takes ours and llama.cpp");
        return Ok(true);
    }
    let threads = options.threads.iter().copied().max().unwrap_or(1);
    let scratch = model.with_extension("logits");
    let logits = |engine: &str| -> Result<_, Failure> {
        let mut remote = options.start(engine, model, threads).map_err(|reason| format!("{engine}: {reason}"))?;
        println!("{}", remote.about);
        let together = remote.logits(POSITIONS, POSITIONS, &scratch)?;
        Ok((together, remote.logits(ONE_BY_ONE, 1, &scratch)?))
    };
    let (theirs, theirs_single) = logits("llama.cpp")?;
    let (ours, ours_single) = match logits("ours") {
        Ok(logits) => logits,
        Err(reason) => {
            println!("not timed: {reason}");
            return Ok(false);
        }
    };
    let vocab = theirs.len() / POSITIONS;
    let mut good = true;
    for (name, reference, candidate, counts) in [
        ("prompt", &theirs, &ours, true),
        ("one by one", &theirs, &ours_single, true),
        ("llama.cpp one by one and itself", &theirs, &theirs_single, false),
    ] {
        let Some(found) = Divergence::of(reference, candidate, vocab) else {
            println!("{name}: no logits, or some that are no numbers");
            good = false;
            continue;
        };
        found.print(name);
        good &= !counts || found.mean < AGREEMENT;
    }
    if options.engines.iter().any(|engine| engine == "candle") {
        // Only told: what it cannot compute is left out of the times as well.
        let candle = || -> Result<_, Failure> {
            let mut remote = options.start("candle", model, threads)?;
            println!("{}", remote.about);
            let single = remote.logits(ONE_BY_ONE, 1, &scratch)?;
            Divergence::of(&theirs_single, &single, vocab).ok_or_else(|| "logits that are no numbers".into())
        };
        match candle() {
            Ok(found) => found.print("candle and llama.cpp one by one"),
            Err(reason) => println!("candle: {reason}"),
        }
    }
    if !good {
        println!("not near enough: {AGREEMENT:.0e} is the most");
    }
    Ok(good)
}

/// Bytes of weights that each generated token reads: everything but an embedding that is not the head.
fn active_bytes(model: &Path) -> Result<u64, Failure> {
    let checkpoint = Checkpoint::open(model)?;
    let weights = checkpoint.weights();
    let untied = weights.contains("output.weight");
    let mut bytes = 0;
    for name in weights.names().filter(|&name| !untied || name != "token_embd.weight") {
        bytes += weights.get(name)?.bytes.as_slice().len() as u64;
    }
    Ok(bytes)
}

fn time(
    options: &Options,
    model: &Path,
    memory: &Memory,
    case: Case<'_>,
    mut record: Option<&mut Record>,
) -> Result<(), Failure> {
    let mut engines = Vec::new();
    for engine in &options.engines {
        match options.start(engine, model, case.threads) {
            Ok(remote) => engines.push((engine.as_str(), remote)),
            Err(reason) => println!("{engine}: left out: {reason}"),
        }
    }
    let mut all = Vec::new();
    for &test in &options.tests {
        let mut figures = Figures { test, rounds: Vec::new(), engines: Vec::new(), bandwidth: 0.0 };
        let mut running = Vec::new();
        for (name, remote) in &mut engines {
            // The first run is not counted.
            match remote.prepare(test).and_then(|()| remote.time(test, options.clock)) {
                Ok(_) => {
                    figures.engines.push(*name);
                    running.push(remote);
                }
                Err(reason) => println!("{name}, {}: left out: {reason}", test.name()),
            }
        }
        let mut bandwidth = Vec::new();
        for _ in 0..options.rounds {
            bandwidth.push(memory.read(case.threads, options.clock)?);
            figures.rounds.push(
                running.iter_mut().map(|remote| remote.time(test, options.clock)).collect::<Result<Vec<_>, _>>()?,
            );
        }
        figures.bandwidth = median(bandwidth);
        if all.is_empty() {
            case.print_head(&figures);
        }
        case.print(&figures);
        if let Some(record) = record.as_deref_mut() {
            record.append(case, &figures)?;
        }
        all.push(figures);
    }
    case.print_losses(&all);
    for (name, remote) in &mut engines {
        let (own, files) = remote.resident()?;
        println!("  {name}: resident {} MB of its own, {} MB of files", own >> 20, files >> 20);
    }
    Ok(())
}
