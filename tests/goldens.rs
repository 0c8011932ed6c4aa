//! Every family proved by a clone alone: small decoders whose weights are drawn from a hash, against logits of the genuine
//! implementation that `goldens/decoders.py` wrote.

use mistral_models::{Batch, CacheOptions, Decoder, Description, LogitRows, Logits, RandomTensor, RandomWeights, Run};
use mistral_quant::{Backend, Cpu, CpuOptions, Format, Isa, KvFormat, Reference};
use serde_json::Value;

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

fn weights(case: &Value, format: Format) -> RandomWeights {
    let tensors = case["tensors"].as_array().unwrap().iter().map(|t| RandomTensor {
        name: t["name"].as_str().unwrap().to_owned(),
        shape: numbers(&t["shape"]).into_iter().map(|n| n as usize).collect(),
        format,
        mean: t["offset"].as_f64().unwrap() as f32,
        scale: t["scale"].as_f64().unwrap() as f32,
    });
    RandomWeights::new(0, tensors).unwrap()
}

/// Logits of all tokens, the row cut after `cut` tokens.
fn logits<B: Backend>(backend: B, case: &Value, weights: &RandomWeights, cut: usize) -> Vec<f32> {
    let description = Description::from_json(case["config"].as_object().unwrap(), weights).unwrap();
    let mut decoder = Decoder::load(backend, weights, description).unwrap();
    let mut cache = decoder.cache(CacheOptions::new(9, 3).formats(KvFormat::F32, KvFormat::F32)).unwrap();
    let ids: Vec<u32> = numbers(&case["ids"]).into_iter().map(|n| n as u32).collect();
    let (mut batch, mut logits, mut all) = (Batch::default(), Logits::default(), Vec::new());
    for (at, part) in [(0, &ids[..cut]), (cut, &ids[cut..])] {
        batch.clear();
        let run = Run::new(part, at).length(ids.len()).rows(LogitRows::All);
        batch.push(run.tables(cache.groups(), &[7, 2, 5, 0, 3]));
        decoder.forward(&batch, &mut cache, &mut logits).unwrap();
        all.extend_from_slice(logits.values());
    }
    all
}

fn worst(actual: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(actual.len(), expected.len());
    let largest = expected.iter().fold(0f64, |m, v| m.max(v.abs()));
    actual.iter().zip(expected).fold(0f64, |m, (a, e)| m.max((f64::from(*a) - e).abs())) / largest
}

fn cases() -> Vec<Value> {
    let cases: Vec<Value> = serde_json::from_str(include_str!("goldens/decoders.json")).unwrap();
    assert_eq!(cases.len(), 29);
    cases
}

#[test]
fn every_family_gives_the_logits_of_the_genuine_implementation() {
    for case in cases() {
        let (expected, weights) = (numbers(&case["logits"]), weights(&case, Format::F32));
        for isa in Isa::available() {
            let mut options = CpuOptions::default();
            (options.threads, options.isa_limit) = (Some(2), Some(isa));
            for cut in [0, 1, 7] {
                let error = worst(&logits(Cpu::new(options.clone()).unwrap(), &case, &weights, cut), &expected);
                assert!(error < 5e-5, "{} {isa:?}, cut after {cut}: {error}", case["case"]);
            }
        }
        let error = worst(&logits(Reference, &case, &weights, 5), &expected);
        assert!(error < 5e-5, "{} by the reference: {error}", case["case"]);
    }
}

#[test]
fn a_wrong_constant_would_show() {
    for case in cases() {
        let expected = numbers(&case["logits"]);
        let mut other = case.clone();
        let keys = ["rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon"];
        let key = keys.into_iter().find(|key| other["config"].get(key).is_some()).unwrap();
        other["config"][key] = 2e-3.into();
        let error = worst(&logits(Reference, &other, &weights(&other, Format::F32), 5), &expected);
        assert!(error > 1e-4, "{}: twice the eps changes the logits by {error} only", case["case"]);
    }
}
