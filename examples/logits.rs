//! Logits of whole sequences, to compare with another implementation:
//! `logits --model PATH --ids FILE.json --out OUT.safetensors [--config FILE] [--chunks 8,1,5] [--greedy N --prefix K]`.
//!
//! FILE.json is `[[ids of row 0], [row 1], ...]`, rows of one length. Writes `logits` f32 [rows, tokens, vocab] and, with
//! `--greedy`, `greedy_ids` i64 [N]: N greedy tokens after the first K tokens of row 0, end tokens ignored. Keys and values are f32.

use std::path::PathBuf;

use mistral_core::models::loader::OutputFile;
use mistral_core::models::{Batch, Cache, CacheOptions, Checkpoint, Decoder, Description, LogitRows, Logits, Run};
use mistral_core::quant::{Cpu, CpuOptions, KvFormat};
use safetensors::{Dtype, tensor::TensorView};

const BLOCK: usize = 32;

/// Feeds `tokens` from position `at` of a sequence of `length` and returns the logits of the rows asked for.
fn feed(
    decoder: &mut Decoder<Cpu>,
    cache: &mut Cache<Cpu>,
    tokens: &[u32],
    (at, length): (usize, usize),
    rows: LogitRows,
) -> Result<Logits, mistral_core::models::Error> {
    let (mut batch, mut logits) = (Batch::default(), Logits::default());
    let table: Vec<u32> = (0..(at + tokens.len()).div_ceil(BLOCK) as u32).collect();
    batch.push(Run::new(tokens, at).length(length).tables(cache.groups(), &table).rows(rows));
    decoder.forward(&batch, cache, &mut logits)?;
    Ok(logits)
}

fn main() -> Result<(), mistral_examples::Failure> {
    let mut args = mistral_examples::arguments(include_str!("logits.rs"));
    let model: PathBuf = args.value_from_str("--model")?;
    let rows: Vec<Vec<u32>> = serde_json::from_slice(&std::fs::read(args.value_from_str::<_, PathBuf>("--ids")?)?)?;
    let out: PathBuf = args.value_from_str("--out")?;
    let mut options = Checkpoint::options();
    if let Some(config) = args.opt_value_from_str::<_, PathBuf>("--config")? {
        options = options.config(config);
    }
    let chunks = args.opt_value_from_str::<_, String>("--chunks")?.unwrap_or_default();
    let chunks: Vec<usize> = chunks.split(',').filter(|s| !s.is_empty()).map(str::parse).collect::<Result<_, _>>()?;
    let greedy: usize = args.opt_value_from_str("--greedy")?.unwrap_or(0);
    let prefix: usize = args.opt_value_from_str("--prefix")?.unwrap_or(8);

    let width = rows.first().map_or(0, Vec::len);
    if width == 0 || rows.iter().any(|r| r.len() != width) || chunks.contains(&0) || (greedy > 0 && prefix > width) {
        return Err("the rows must have one length, at least --prefix, and like the chunks more than 0".into());
    }
    let checkpoint = options.open(&model)?;
    let description = Description::new(&checkpoint)?;
    let mut decoder = Decoder::load(Cpu::new(CpuOptions::default())?, checkpoint.weights(), description)?;
    let blocks = width.max(prefix + greedy).div_ceil(BLOCK);
    let mut cache = decoder.cache(CacheOptions::new(blocks, BLOCK).formats(KvFormat::F32, KvFormat::F32))?;

    let (mut values, mut ids) = (Vec::<u8>::new(), Vec::<u8>::new());
    for row in &rows {
        let (mut at, mut sizes) = (0, chunks.iter().chain(chunks.last().into_iter().cycle()));
        while at < width {
            let size = (*sizes.next().unwrap_or(&width)).min(width - at);
            let logits = feed(&mut decoder, &mut cache, &row[at..at + size], (at, width), LogitRows::All)?;
            values.extend(logits.values().iter().flat_map(|v| v.to_le_bytes()));
            at += size;
        }
    }
    let (mut at, mut next) = (0, rows[0][..prefix.clamp(1, width)].to_vec());
    for _ in 0..greedy {
        let logits = feed(&mut decoder, &mut cache, &next, (at, at + next.len()), LogitRows::Last)?;
        let row = logits.values();
        let best = (1..row.len()).fold(0, |best, i| if row[i] > row[best] { i } else { best });
        ids.extend((best as i64).to_le_bytes());
        (at, next) = (at + next.len(), vec![best as u32]);
    }

    let mut tensors = vec![(
        "logits",
        TensorView::new(Dtype::F32, vec![rows.len(), width, values.len() / 4 / (rows.len() * width)], &values)?,
    )];
    if greedy > 0 {
        tensors.push(("greedy_ids", TensorView::new(Dtype::I64, vec![greedy], &ids)?));
    }
    OutputFile::write(out, &safetensors::serialize(tensors, None)?)?;
    Ok(())
}
