//! Masks of constrained calls over large vocabularies, by criterion: `cargo bench -p mistral-benches --bench constraint -- [WORD ...]
//! [--test]`.
//!
//! Every mask is checked first against the grammar: each token that is allowed can be committed and goes on, and a sample of those that
//! are not was refused for a reason. `first` is a place that has not been seen, `again` one whose mask is kept.

mod measure;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use measure::Bench;
use mistral_core::constraint::{CallConstraint, CallMask, TokenMask, TokenTable};
use mistral_tools::ToolSpec;
use mistral_tools::dialect::Dialect;

/// Words, numbers and punctuation as byte-pair vocabularies have them: all bytes, then pieces of text that grow longer.
fn vocabulary(size: usize) -> Vec<Vec<u8>> {
    let syllables = [
        "a", "be", "con", "der", "e", "for", "ing", "ion", "ka", "lo", "men", "ner", "o", "pre", "qu", "re", "st", "ti",
    ];
    let starts = ["", " ", "", " ", "_", "-", "\"", "é", "中", "\n", "=\"", "('"];
    let ends = ["", "", "", "s", "ed", "\"", "\",", "\":", "\"}", ".", "\")", "ß"];
    let mut tokens: Vec<Vec<u8>> = (0..=255u8).map(|byte| vec![byte]).collect();
    tokens.extend((0..1000).map(|number: u32| number.to_string().into_bytes()).filter(|text| text.len() > 1));
    let mut seen: std::collections::HashSet<Vec<u8>> = tokens.iter().cloned().collect();
    let mut state = 1u64;
    let mut draw = |from: &[&'static str]| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        from[(state >> 33) as usize % from.len()]
    };
    for length in (1..6).cycle() {
        if tokens.len() >= size {
            break;
        }
        let middle: String = (0..length).map(|_| draw(&syllables)).collect();
        let token = [draw(&starts), &middle, draw(&ends)].concat().into_bytes();
        if seen.insert(token.clone()) {
            tokens.push(token);
        }
    }
    tokens
}

fn schema() -> serde_json::Value {
    serde_json::json!({"type": "object", "required": ["kind"], "properties": {
        "kind": {"enum": ["alpha", "beta", "gamma", "delta", "conder", "prelo"]},
        "text": {"type": "string"}, "short": {"type": "string", "minLength": 3, "maxLength": 40},
        "code": {"type": "string", "pattern": "^[a-z]+(-[a-z]+)*$"}, "count": {"type": "integer", "minimum": 1, "maximum": 5000},
        "any": {}}})
}

const PLACES: [(&str, &str); 8] = [
    ("free text", "I think that I should call"),
    ("name of a tool", "<tool_call>\n{\"name\": \""),
    ("enum", "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"kind\":\""),
    ("key", "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"kind\":\"beta\","),
    ("string", "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"kind\":\"beta\",\"text\":\"be"),
    ("string of a length", "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"kind\":\"beta\",\"short\":\"be"),
    ("pattern", "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"kind\":\"beta\",\"code\":\"be"),
    ("any value", "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"kind\":\"beta\",\"any\":"),
];

fn main() {
    let mut bench = Bench::new(std::env::args().skip(1).collect());
    println!(
        "| vocabulary | place | allowed | the model's first, us | a new place, us | again, us |\n|---|---|--:|--:|--:|--:|"
    );
    for size in [128_000usize, 256_000] {
        let tokens = vocabulary(size);
        let table = || {
            let tokens = tokens.iter().enumerate();
            Arc::new(TokenTable::from_tokens(tokens.map(|(id, bytes)| (id as u32, bytes.clone(), false))))
        };
        let spec = ToolSpec::new("f", "", schema()).expect("a tool");
        let rule = CallConstraint::new(Dialect::Hermes, &[spec]).expect("a constraint");
        let shared = table();
        for (place, text) in PLACES {
            if !bench.wants(place) {
                continue;
            }
            let at = |table: &Arc<TokenTable>| {
                let mut mask = rule.start(Arc::clone(table), Vec::new());
                text.bytes().for_each(|byte| mask.commit(byte.into()));
                mask
            };
            let logits = vec![1.0f32; size];
            let mut masked = logits.clone();
            let mut mask = at(&shared);
            mask.mask(&mut masked);
            let allowed = check(&rule, &shared, text, &tokens, &masked);
            if bench.only_checks() {
                continue;
            }
            let timed = |make: &dyn Fn() -> CallMask| {
                let mut times: Vec<f64> = (0..7)
                    .map(|_| {
                        let (mut mask, mut masked) = (make(), logits.clone());
                        let start = Instant::now();
                        mask.mask(&mut masked);
                        start.elapsed().as_secs_f64()
                    })
                    .collect();
                times.sort_by(f64::total_cmp);
                times[times.len() / 2] * 1e6
            };
            let cold = timed(&|| at(&table()));
            let new = timed(&|| at(&shared));
            let again = bench.seconds(&format!("{size} {place}"), || mask.mask(black_box(&mut masked)));
            println!("| {size} | {place} | {allowed} | {cold:.1} | {new:.1} | {:.2} |", again.unwrap_or(0.0) * 1e6);
        }
    }
}

/// How many tokens are allowed, after each 997th has been compared with what writing it byte by byte gives.
fn check(rule: &CallConstraint, table: &Arc<TokenTable>, text: &str, tokens: &[Vec<u8>], masked: &[f32]) -> usize {
    for (id, token) in tokens.iter().enumerate().step_by(997) {
        let mut mask = rule.start(Arc::clone(table), Vec::new());
        text.bytes().for_each(|byte| mask.commit(byte.into()));
        let follows = token.iter().all(|&byte| {
            let mut logits = vec![1.0f32; 256];
            mask.mask(&mut logits);
            let allowed = logits[usize::from(byte)] == 1.0;
            mask.commit(byte.into());
            allowed
        });
        assert_eq!(masked[id] == 1.0, follows, "{:?} after {text}", String::from_utf8_lossy(token));
    }
    masked.iter().filter(|logit| **logit == 1.0).count()
}
