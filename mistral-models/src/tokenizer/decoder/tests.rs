use proptest::prelude::*;
use serde_json::{Value, json};

use crate::tokenizer::hf::{Hf, Sidecars};
use crate::tokenizer::{Model, Tokenizer};

const WORDS: [&str; 16] = [
    "▁Hello", "▁", "world", "Ġmore", "Ã©", "##ing", "▁▁a", "<0x41>", ".", "<s>", "<tool>", "n't", "low</w>", "e</w>r",
    "|", " x  ",
];

/// Every kind of decoder as `tokenizer.json` spells it, and chains of them.
fn decoders() -> Vec<Value> {
    let replace = |from: Value, to: &str| json!({"type": "Replace", "pattern": from, "content": to});
    let strip = |content: &str, start: u32, stop: u32| json!({"type": "Strip", "content": content, "start": start, "stop": stop});
    let metaspace =
        |scheme: &str| json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": true});
    let chain = |parts: &[Value]| json!({"type": "Sequence", "decoders": parts});
    let (bytes, fuse) = (json!({"type": "ByteFallback"}), json!({"type": "Fuse"}));
    let spaces = || replace(json!({"String": "▁"}), " ");
    let byte_level = json!({"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true});
    let suffix = json!({"type": "BPEDecoder", "suffix": "</w>"});
    let ctc =
        |cleanup: bool| json!({"type": "CTC", "pad_token": "<s>", "word_delimiter_token": "|", "cleanup": cleanup});
    let pieces = |cleanup: bool| json!({"type": "WordPiece", "prefix": "##", "cleanup": cleanup});
    vec![
        Value::Null,
        byte_level.clone(),
        metaspace("always"),
        metaspace("never"),
        metaspace("first"),
        pieces(true),
        pieces(false),
        suffix.clone(),
        ctc(true),
        ctc(false),
        strip(" ", 1, 0),
        strip("l", 0, 0),
        replace(json!({"Regex": "[▁Ġ]+"}), " "),
        replace(json!({"Regex": "(?<=l)l|o$"}), "0"),
        chain(&[spaces(), bytes.clone(), fuse.clone(), strip(" ", 1, 0)]),
        chain(&[spaces(), bytes.clone(), fuse.clone(), strip(" ", 2, 0)]),
        chain(&[fuse.clone(), strip("▁", 1, 0)]),
        chain(&[fuse.clone(), replace(json!({"Regex": "l+|d▁"}), "-")]),
        chain(&[fuse.clone(), spaces(), replace(json!({"String": "  "}), " ")]),
        chain(&[fuse.clone(), byte_level.clone()]),
        chain(&[byte_level, replace(json!({"String": "dworld"}), "D")]),
        chain(&[suffix.clone(), fuse.clone(), strip("l", 1, 0)]),
        chain(&[ctc(true), metaspace("always")]),
        chain(&[replace(json!({"String": "world"}), "▁"), ctc(false), suffix]),
        chain(&[fuse.clone(), pieces(true)]),
        chain(&[fuse, metaspace("always")]),
    ]
}

fn reference(decoder: &Value) -> tokenizers::Tokenizer {
    let vocab: serde_json::Map<String, Value> =
        WORDS.iter().enumerate().map(|(id, word)| ((*word).to_owned(), json!(id))).collect();
    let file = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": null, "post_processor": null, "decoder": decoder,
        "model": {"type": "WordLevel", "vocab": vocab, "unk_token": "."}
    });
    let mut tokenizer = tokenizers::Tokenizer::from_bytes(file.to_string()).unwrap();
    tokenizer.add_special_tokens([tokenizers::AddedToken::from("<s>", true)]).unwrap();
    tokenizer.add_tokens([tokenizers::AddedToken::from("<tool>", false)]).unwrap();
    tokenizer
}

fn ours(reference: &tokenizers::Tokenizer) -> Tokenizer {
    let file = reference.to_string(false).unwrap();
    let (model, pieces, roles) = Hf::new(file.as_bytes(), &Sidecars::default()).unwrap();
    Tokenizer::new(Model::Hf(Box::new(model)), pieces, roles)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// The decoder of the crate is the reference for this decoder, on sequences that are valid UTF-8. The text of a stream never changes.
    #[test]
    fn decodes_as_the_crate_does(
        which in 0..26usize, ids in prop::collection::vec(0..16u32, 1..9), skip in any::<bool>(),
    ) {
        let decoder = &decoders()[which];
        let reference = reference(decoder);
        // The crate fails on an empty list of tokens, which is what special tokens and padding (CTC) leave.
        prop_assume!(ids.iter().any(|id| *id != 9));
        let ours = ours(&reference);
        let wanted = reference.decode(&ids, skip).unwrap();
        prop_assert_eq!(ours.decode(&ids, skip).unwrap(), wanted.clone(), "{}", decoder);
        let mut stream = ours.stream(skip);
        let mut text = String::new();
        for id in &ids {
            text.push_str(stream.push(*id).unwrap());
            prop_assert!(wanted.starts_with(&text), "{text:?} of {wanted:?}, {}", decoder);
        }
        text.push_str(stream.finish());
        prop_assert_eq!(text, wanted);
    }
}

#[test]
fn both_ends_are_cut() {
    for (start, stop, wanted) in [(1, 1, " x "), (2, 0, "x  "), (0, 9, "  x"), (9, 9, "x"), (0, 0, "  x  ")] {
        let strip = json!({"type": "Strip", "content": " ", "start": start, "stop": stop});
        let fused = json!({"type": "Sequence", "decoders": [{"type": "Fuse"}, strip]});
        let mut file: Value = serde_json::from_str(&reference(&fused).to_string(false).unwrap()).unwrap();
        file["model"]["vocab"] = json!({".": 0, "  x": 1, " ": 2, "y": 3});
        file["added_tokens"] = json!([]);
        let tokenizer = Tokenizer::from_json(file.to_string().as_bytes(), None, None).unwrap();
        assert_eq!(tokenizer.decode(&[1, 2, 2], true).unwrap(), wanted, "{start} {stop}");
        assert_eq!(tokenizer.decode(&[2, 2, 2], true).unwrap().len(), 3usize.saturating_sub(start + stop));
        let mut stream = tokenizer.stream(true);
        let pushed: Vec<String> = [3, 2, 3, 2].iter().map(|id| stream.push(*id).unwrap().to_owned()).collect();
        assert_eq!(pushed.concat() + stream.finish(), if stop == 0 { "y y " } else { "y y" });
    }
}
