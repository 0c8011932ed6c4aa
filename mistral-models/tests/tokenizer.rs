//! Decoding as a stream, the files of Hugging Face, roles of tokens, damaged vocabularies, long texts.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests, which the lint does not see as tests

use std::path::Path;
use std::time::{Duration, Instant};

use mistral_models::{
    Array, Checkpoint, EncodeOptions, Error, Limits, Metadata, Strings, TextStream, Tokenizer, TokenizerWarning, Value,
    loader::gguf::read_metadata,
};
use proptest::prelude::*;

const KINDS: [&str; 4] = ["bpe", "spm", "bert", "t5"];
const BARE: EncodeOptions = EncodeOptions::new(false, false);

fn own(name: &str) -> Metadata {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/vocab/{name}.gguf"));
    read_metadata(&std::fs::read(path).unwrap(), name, &Limits::default()).unwrap()
}

fn tokenizers() -> &'static [Tokenizer] {
    static ALL: std::sync::OnceLock<Vec<Tokenizer>> = std::sync::OnceLock::new();
    ALL.get_or_init(|| {
        let mut all: Vec<Tokenizer> = KINDS.iter().map(|name| Tokenizer::from_gguf(&own(name)).unwrap()).collect();
        all.extend(DECODERS.iter().map(|decoder| from_json(decoder)));
        all
    })
}

const DECODERS: [&str; 5] = [
    r#"{"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true}"#,
    r#"{"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
        {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}"#,
    r#"{"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true}"#,
    r###"{"type": "WordPiece", "prefix": "##", "cleanup": true}"###,
    "null",
];

/// The decoders above on one vocabulary: words, bytes, a special token, an added one.
fn json(decoder: &str) -> String {
    let words = ["▁Hello", "▁", "world", "Ġmore", "Ã", "©", "##ing", "<0xF0>", "<0x9F>", "<0x98>", "<0x80>", ".", "?"];
    let vocab: Vec<String> = words.iter().enumerate().map(|(id, w)| format!("{w:?}: {id}")).collect();
    let token = |id: usize, text: &str, special: bool| {
        format!(
            r#"{{"id": {id}, "content": "{text}", "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": {special}}}"#
        )
    };
    let added = [token(13, "<s>", true), token(14, "<|im_end|>", true), token(15, "<tool>", false)];
    format!(
        r#"{{"version": "1.0", "truncation": null, "padding": null, "added_tokens": [{}], "normalizer": null,
        "pre_tokenizer": {{"type": "WhitespaceSplit"}}, "post_processor": null, "decoder": {decoder},
        "model": {{"type": "WordLevel", "vocab": {{{}}}, "unk_token": "?"}}}}"#,
        added.join(","),
        vocab.join(",")
    )
}

fn from_json(decoder: &str) -> Tokenizer {
    Tokenizer::from_json(json(decoder).as_bytes(), None, None).unwrap()
}

fn drain(stream: &mut TextStream, ids: &[u32]) -> String {
    let mut text = String::new();
    for &id in ids {
        text.push_str(stream.push(id).unwrap());
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_stream_gives_what_decode_gives(
        which in 0..9usize, picks in prop::collection::vec(any::<u32>(), 0..40), skip in any::<bool>(), cut in any::<prop::sample::Index>(),
    ) {
        let tokenizer = &tokenizers()[which];
        // Half of the ids from the first 300: bytes and control tokens are there.
        let size = tokenizer.vocab_size() as u32;
        let ids: Vec<u32> = picks.iter().map(|p| if p % 2 == 0 { (p / 2) % size.min(300) } else { (p / 2) % size }).collect();
        let whole = tokenizer.decode(&ids, skip).unwrap();
        let mut stream = tokenizer.stream(skip);
        let mut text = drain(&mut stream, &ids);
        prop_assert!(whole.starts_with(&text), "certain text changed: {text:?} {whole:?}");
        text.push_str(stream.finish());
        prop_assert_eq!(&text, &whole);
        // What has been given at any time is the beginning of what any continuation gives.
        let cut = cut.index(ids.len() + 1);
        let before = drain(&mut tokenizer.stream(skip), &ids[..cut]);
        prop_assert!(whole.starts_with(&before));
        // The definition: all bytes together, lossily, without the spaces at the start.
        let bytes: Vec<u8> = ids.iter().filter(|id| !(skip && tokenizer.is_special(**id)))
            .flat_map(|id| tokenizer.token_bytes(*id).unwrap().to_vec()).collect();
        let lossy = String::from_utf8_lossy(&bytes).into_owned();
        // The first token of a text keeps the mark of a continued word (WordPiece).
        let whole = if which == 7 { whole.strip_prefix("##").unwrap_or(&whole) } else { &whole };
        prop_assert!(lossy.trim_start_matches(' ') == whole.trim_start_matches(' '), "{lossy:?} {whole:?}");
    }

    #[test]
    fn text_survives(text in "\\PC{0,30}|[ a-z\\n]{0,40}|(\\PC|[ \\t\\r\\n]){0,20}") {
        for tokenizer in &tokenizers()[..2] {
            let ids = tokenizer.encode(&text, BARE).unwrap();
            prop_assert_eq!(tokenizer.decode(&ids, false).unwrap(), text.clone());
            let mut stream = tokenizer.stream(false);
            let mut streamed = drain(&mut stream, &ids);
            streamed.push_str(stream.finish());
            prop_assert_eq!(&streamed, &text);
        }
    }

    #[test]
    fn no_text_is_refused(text in any::<String>(), special in any::<bool>(), parse in any::<bool>()) {
        for tokenizer in tokenizers() {
            let ids = tokenizer.encode(&text, EncodeOptions::new(special, parse)).unwrap();
            prop_assert!(ids.iter().all(|id| (*id as usize) < tokenizer.vocab_size()));
        }
    }

    #[test]
    fn damaged_vocabularies_are_errors(
        which in 0..4usize, damages in prop::collection::vec((any::<prop::sample::Index>(), 0..10u8, any::<u64>()), 1..4),
        text in "[a-z <>|\\n0-9é日]{0,30}",
    ) {
        let mut metadata = own(KINDS[which]);
        for (key, how, number) in damages {
            damage(&mut metadata, key, how, number);
        }
        if let Ok(tokenizer) = Tokenizer::from_gguf(&metadata) {
            for options in [BARE, EncodeOptions::new(true, true)] {
                if let Ok(ids) = tokenizer.encode(&text, options) {
                    tokenizer.decode(&ids, true).unwrap();
                }
            }
        }
    }

    #[test]
    fn damaged_json_is_an_error(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>(), which in 0..5usize) {
        let mut json = json(DECODERS[which]).into_bytes();
        let at = at.index(json.len());
        if cut { json.truncate(at) } else { json[at] = byte }
        if let Ok(tokenizer) = Tokenizer::from_json(&json, None, None) {
            let ids = tokenizer.encode("world . <s> ?", EncodeOptions::TEXT).unwrap_or_default();
            tokenizer.decode(&ids, false).unwrap();
        }
    }
}

fn damage(metadata: &mut Metadata, key: prop::sample::Index, how: u8, number: u64) {
    let keys: Vec<String> = metadata.iter().map(|(key, _)| key.to_owned()).collect();
    let key = &keys[key.index(keys.len())];
    let old = metadata.get(key).unwrap().clone();
    let place = |len: usize| number as usize % len.max(1);
    let new = match (how, old) {
        (0, _) => Value::U64(number),
        (1, _) => Value::I32(number as i32),
        (2, _) => Value::U32(u32::MAX),
        (3, _) => Value::Bool(number.is_multiple_of(2)),
        (4, _) => Value::Str(["gpt2", "llama", "bert", "t5", "rwkv", "qwen2", ""][place(7)].into()),
        (5, _) => Value::Array(Array::Str(Strings::default())),
        (6, Value::Array(Array::Str(s))) => Value::Array(Array::Str(s.iter().take(place(s.len())).collect())),
        (7, Value::Array(Array::Str(s))) => {
            let at = place(s.len());
            let twin = s.get(0).unwrap_or_default().to_owned();
            let texts = s.iter().enumerate().map(|(i, t)| if i == at { twin.as_str() } else { t });
            Value::Array(Array::Str(texts.collect()))
        }
        (8, Value::Array(Array::Str(s))) => {
            let texts = s.iter().map(|t| t.split(' ').next().unwrap_or_default());
            Value::Array(Array::Str(texts.collect()))
        }
        (6, Value::Array(Array::F32(mut s))) => {
            s.truncate(place(s.len()));
            Value::Array(Array::F32(s))
        }
        (7.., Value::Array(Array::F32(mut s))) => {
            let at = place(s.len());
            s[at] = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX][place(4)];
            Value::Array(Array::F32(s))
        }
        (6, Value::Array(Array::U8(mut b))) => {
            b.truncate(place(b.len()));
            Value::Array(Array::U8(b))
        }
        (7.., Value::Array(Array::U8(mut b))) => {
            let at = place(b.len());
            b[at] ^= (number >> 32) as u8 | 1;
            Value::Array(Array::U8(b))
        }
        (_, Value::Array(Array::I32(mut t))) => {
            let at = place(t.len());
            t[at] = number as i32 % 8;
            Value::Array(Array::I32(t))
        }
        (_, old) => old,
    };
    metadata.insert(key.clone(), new);
}

fn changed(name: &str, key: &str, value: Value) -> Result<Tokenizer, Error> {
    let mut metadata = own(name);
    metadata.insert(format!("tokenizer.ggml.{key}"), value);
    Tokenizer::from_gguf(&metadata)
}

#[test]
fn contradictions_are_named() {
    let strings = |texts: &[&str]| Value::Array(Array::Str(texts.iter().copied().collect()));
    let config = |result: Result<Tokenizer, Error>, wanted: &str| match result {
        Err(Error::Config { key, .. }) => assert_eq!(key, format!("tokenizer.ggml.{wanted}")),
        other => panic!("{wanted}: {other:?}"),
    };
    config(changed("spm", "scores", Value::Array(Array::F32(vec![0.0; 3]))), "scores");
    config(changed("spm", "token_type", Value::Array(Array::I32(vec![1; 3]))), "token_type");
    config(changed("spm", "token_type", Value::U32(1)), "token_type");
    let all = own("bpe");
    let texts = all.strings("tokenizer.ggml.tokens").unwrap().unwrap();
    let twice = texts.iter().enumerate().map(|(id, text)| if id == 5 { texts.get(3).unwrap() } else { text }).collect();
    config(changed("bpe", "tokens", Value::Array(Array::Str(twice))), "tokens");
    config(changed("bpe", "tokens", strings(&["a", "b", "c"])), "token_type");
    config(changed("bpe", "tokens", strings(&[])), "tokens");
    config(changed("bpe", "merges", strings(&["a b", "ab"])), "merges");
    config(changed("bpe", "merges", strings(&["a "])), "merges");
    config(changed("bpe", "merges", Value::U8(1)), "merges");
    config(changed("bpe", "bos_token_id", Value::F32(1.0)), "bos_token_id");
    config(changed("bpe", "eos_token_id", Value::Str("1".into())), "eos_token_id");
    config(changed("t5", "precompiled_charsmap", Value::Array(Array::U8(vec![1, 0]))), "precompiled_charsmap");
    config(changed("t5", "precompiled_charsmap", Value::Array(Array::U8(vec![255; 64]))), "precompiled_charsmap");
    config(changed("bert", "unknown_token_id", Value::U32(u32::MAX)), "unknown_token_id");
    for (key, value) in [("pre", "glm6"), ("pre", "not a name"), ("model", "rwkv"), ("model", "plamo2"), ("model", "x")]
    {
        let result = changed("bpe", key, Value::Str(value.into()));
        let Err(Error::Unsupported(unsupported)) = result else { panic!("{value}: {result:?}") };
        assert!(unsupported.to_string().contains(value), "{unsupported}");
    }
    for key in ["tokens", "merges", "model"] {
        let all = own("bpe");
        let mut metadata = Metadata::default();
        for (k, v) in all.iter().filter(|(k, _)| *k != format!("tokenizer.ggml.{key}")) {
            metadata.insert(k, v.clone());
        }
        let result = Tokenizer::from_gguf(&metadata);
        assert!(matches!(&result, Err(Error::Missing { name, .. }) if name.ends_with(key)), "{result:?}");
    }
}

#[test]
fn roles_of_tokens_beyond_the_vocabulary_are_warnings() {
    let of = |tokenizer: &Tokenizer| -> Vec<String> { tokenizer.warnings().iter().map(ToString::to_string).collect() };
    assert!(tokenizers().iter().all(|tokenizer| tokenizer.warnings().is_empty()));
    let size = tokenizers()[0].vocab_size();
    let beyond = changed("bpe", "bos_token_id", Value::U32(1_000_000)).unwrap();
    assert_eq!((beyond.bos(), beyond.encode("a", EncodeOptions::TEXT).unwrap().len()), (None, 1));
    let [first, second] = of(&beyond).try_into().unwrap();
    let key = "tokenizer.ggml.bos_token_id";
    assert_eq!(first, format!("`{key}` is token 1000000, beyond the vocabulary of {size}; no token is used"));
    assert_eq!(second, "`tokenizer.ggml.add_bos_token` is true, but there is no such token; none is added");

    let negative = changed("spm", "eos_token_id", Value::I32(-1)).unwrap();
    assert_eq!(negative.eos(), [2]);
    assert!(matches!(
        negative.warnings(),
        [TokenizerWarning::SpecialToken { id: -1, used: Some(2), vocab_size, .. }] if *vocab_size == negative.vocab_size()
    ));
    let without = changed("spm", "eos_token_id", Value::U32(u32::MAX)).unwrap();
    assert_eq!(of(&without), ["`tokenizer.ggml.add_eos_token` is true, but there is no such token; none is added"]);
    for key in ["eot_token_id", "eom_token_id", "padding_token_id", "fim_pad_token_id", "unknown_token_id"] {
        let beyond = changed("bpe", key, Value::U64(size as u64)).unwrap();
        assert_eq!(beyond.warnings().len(), 1, "{key}");
    }
    let generation = r#"{"eos_token_id": [14, 999, -1], "pad_token_id": -1}"#;
    let hf = Tokenizer::from_json(json(DECODERS[0]).as_bytes(), None, Some(generation.as_bytes())).unwrap();
    assert_eq!((hf.eos(), hf.pad(), hf.warnings().len()), (&[14][..], None, 3));
}

#[test]
fn tokens_without_text_are_named_by_their_id() {
    let all = own("spm");
    let texts = all.strings("tokenizer.ggml.tokens").unwrap().unwrap();
    let empty = |id: usize| [300, 302].contains(&id);
    let texts = texts.iter().enumerate().map(|(id, text)| if empty(id) { "" } else { text }).collect();
    let tokenizer = changed("spm", "tokens", Value::Array(Array::Str(texts))).unwrap();
    assert_eq!(tokenizer.id_to_token(302).as_deref(), Some("[EMPTY_302]"));
    assert_eq!((tokenizer.token_to_id("[EMPTY_302]"), tokenizer.token_to_id("[EMPTY_301]")), (Some(302), None));
    assert_eq!((tokenizer.token_bytes(300), tokenizer.token_to_id("")), (Some(&b""[..]), None));
}

#[test]
fn roles_are_those_of_the_file() {
    let bpe = &tokenizers()[0];
    let id = |text: &str| bpe.token_to_id(text).unwrap();
    assert_eq!(bpe.bos(), Some(id("<|bos|>")));
    assert_eq!(bpe.eos(), [id("<|im_end|>")]);
    assert_eq!((bpe.pad(), bpe.unk()), (None, None));
    assert_eq!(bpe.special_tokens_map().bos_token.as_deref(), Some("<|bos|>"));
    assert_eq!(bpe.special_tokens_map().eos_token.as_deref(), Some("<|im_end|>"));
    assert!(bpe.is_special(id("<|im_start|>")) && !bpe.is_special(id("<tool>")) && !bpe.is_special(id("a")));
    assert_eq!(bpe.id_to_token(id("a")).as_deref(), Some("a"));
    assert_eq!(bpe.token_bytes(id("Ġ")), Some(&b" "[..]));
    assert_eq!((bpe.token_bytes(u32::MAX), bpe.id_to_token(1 << 20)), (None, None));
    assert!(matches!(bpe.decode(&[u32::MAX], true), Err(Error::Tokenizer { .. })));
    assert!(bpe.stream(true).push(u32::MAX).is_err());

    // Control tokens of a user's text are text; those of a template are control tokens.
    let text = "<|im_start|>x<|im_end|>";
    assert!(bpe.encode(text, EncodeOptions::TEXT).unwrap()[1..].iter().all(|id| !bpe.is_special(*id)));
    let ids = bpe.encode(text, EncodeOptions::TEMPLATE).unwrap();
    assert_eq!(ids, [id("<|im_start|>"), id("x"), id("<|im_end|>")]);
    assert_eq!(bpe.decode(&ids, true).unwrap(), "x");
    assert_eq!(bpe.decode(&ids, false).unwrap(), text);

    // A known name is the end of a turn and no text even where the file calls it an ordinary token.
    let all = own("bpe");
    let types = all.i32s("tokenizer.ggml.token_type").unwrap().unwrap();
    let types = types.iter().map(|&t| if t == 3 { 1 } else { t }).collect();
    let typeless = changed("bpe", "token_type", Value::Array(Array::I32(types))).unwrap();
    assert!(typeless.is_special(id("<|im_end|>")) && !typeless.is_special(id("<|bos|>")));
    assert_eq!(typeless.encode("<|im_end|>", EncodeOptions::TEMPLATE).unwrap(), [id("<|im_end|>")]);

    let spm = &tokenizers()[1];
    let mark = spm.token_to_id("<|mark|>").unwrap() as usize;
    let all = own("spm");
    let texts = all.strings("tokenizer.ggml.tokens").unwrap().unwrap();
    let texts = texts.iter().enumerate().map(|(id, t)| if id == mark { "▁▁▁▁▁" } else { t }).collect();
    let spaces = changed("spm", "tokens", Value::Array(Array::Str(texts))).unwrap();
    assert_eq!(spaces.token_bytes(mark as u32), Some(&b"     "[..]));
    assert_eq!((spm.bos(), spm.eos(), spm.unk()), (Some(1), &[2][..], Some(0)));
    assert_eq!(spm.token_bytes(3 + 0x0A), Some(&b"\n"[..]));
}

#[test]
fn the_space_before_the_first_word_is_spelling() {
    let spm = &tokenizers()[1];
    let ids = spm.encode("a b", EncodeOptions::TEXT).unwrap();
    assert_eq!(spm.decode(&ids, true).unwrap(), "a b");
    assert_eq!(spm.decode(&ids, false).unwrap(), "<s> a b</s>");
    let words = &ids[1..ids.len() - 1];
    let mut after_bos = spm.stream_after(&[1], true);
    assert_eq!(drain(&mut after_bos, words), "a b");
    let mut after_text = spm.stream_after(words, true);
    assert_eq!(drain(&mut after_text, words), " a b");
}

#[test]
fn white_space_goes_with_tokens_that_strip_it() {
    let mut metadata = own("spm");
    metadata.insert("general.name", Value::Str("My Phi-3 tune".into()));
    let phi = Tokenizer::from_gguf(&metadata).unwrap();
    let plain = &tokenizers()[1];
    let text = "<|mark|> \n\u{a0}a<|tag|>  b";
    let expect = |parts: [&str; 2]| {
        let part = |text: &str| plain.encode(text, BARE).unwrap();
        let token = |text: &str| plain.token_to_id(text).unwrap();
        [vec![token("<|mark|>")], part(parts[0]), vec![token("<|tag|>")], part(parts[1])].concat()
    };
    assert_eq!(phi.encode(text, EncodeOptions::TEMPLATE).unwrap(), expect(["\u{a0}a", "b"]));
    assert_eq!(plain.encode(text, EncodeOptions::TEMPLATE).unwrap(), expect([" \n\u{a0}a", "  b"]));

    let mut metadata = own("t5");
    let tokens = metadata.strings("tokenizer.ggml.tokens").unwrap().unwrap();
    let renamed = tokens.iter().map(|t| if t == "<pad>" { "<mask>" } else { t }).collect();
    metadata.insert("tokenizer.ggml.tokens", Value::Array(Array::Str(renamed)));
    metadata.insert("general.architecture", Value::Str("nomic-bert-moe".into()));
    let t5 = Tokenizer::from_gguf(&metadata).unwrap();
    let ids = t5.encode("a \n <mask> b", EncodeOptions::TEMPLATE).unwrap();
    let part = |text: &str| t5.encode(text, BARE).unwrap();
    assert_eq!(ids, [part("a"), vec![0], part(" b")].concat());
}

#[test]
fn configurations_of_hugging_face_are_read() {
    let read = |config: &str, generation: Option<&str>| {
        let json = json(DECODERS[0]);
        Tokenizer::from_json(json.as_bytes(), Some(config.as_bytes()), generation.map(str::as_bytes))
    };
    let config =
        r#"{"bos_token": {"content": "<s>"}, "eos_token": "<|im_end|>", "unk_token": "?", "add_bos_token": true}"#;
    let tokenizer = read(config, Some(r#"{"eos_token_id": [14, 2, 999], "pad_token_id": 5}"#)).unwrap();
    assert_eq!((tokenizer.bos(), tokenizer.eos()), (Some(13), &[14, 2][..]));
    assert_eq!((tokenizer.pad(), tokenizer.unk()), (Some(5), Some(12)));
    // `add_bos_token` changes nothing next to a tokenizer.json, as in transformers 5.
    assert_eq!(tokenizer.encode("world", EncodeOptions::TEXT).unwrap(), [2]);
    assert_eq!(tokenizer.encode("world", BARE).unwrap(), [2]);
    assert_eq!(tokenizer.special_tokens_map().pad_token.as_deref(), Some("©"));
    assert_eq!(tokenizer.encode("<s>", EncodeOptions::TEMPLATE).unwrap(), [13]);
    assert_eq!(tokenizer.encode("<s>", BARE).unwrap(), [12]);
    assert_eq!(tokenizer.encode("<tool>", BARE).unwrap(), [15]);
    // Without a list, the name decides.
    assert_eq!(read("{}", None).unwrap().eos(), [14]);
    assert_eq!(read("{}", Some(r#"{"eos_token_id": 2}"#)).unwrap().eos(), [2]);
    assert!(matches!(read("{}", Some(r#"{"eos_token_id": "x"}"#)), Err(Error::Config { .. })));
    assert!(matches!(read("{", None), Err(Error::Malformed { .. })));
    let sparse = json(DECODERS[0]).replace("\"world\": 2", "\"world\": 4000000000");
    assert!(matches!(Tokenizer::from_json(sparse.as_bytes(), None, None), Err(Error::Limit { .. })));
    let suffix = json(r#"{"type": "BPEDecoder", "suffix": "</w>"}"#);
    assert_eq!(
        Tokenizer::from_json(suffix.as_bytes(), None, None).unwrap().decode(&[2, 2], true).unwrap(),
        "worldworld"
    );
    let cut = Tokenizer::from_json(&suffix.as_bytes()[..suffix.find("</w>").unwrap()], None, None);
    assert!(cut.unwrap_err().to_string().contains("EOF"), "a panic of the crate was caught instead");
}

#[test]
fn tokenizers_are_shared_between_threads() {
    fn check<T: Send + Sync + Clone + 'static>() {}
    check::<Tokenizer>();
    check::<TextStream>();
}

/// Four times the text may take at most about four times as long: a bound far below the square, far above noise.
#[test]
fn long_texts_take_linear_time() {
    // `.ci/run` sets the variable.
    let length = if std::env::var_os("MISTRAL_SWEEP").is_some() { 1 << 20 } else { 1 << 17 };
    for tokenizer in &tokenizers()[..4] {
        for unit in ["a", " ", "\n", "1", "'", "é", "ba ", "ba", "\t ", "日本", "<", "\u{301}"] {
            let text = unit.repeat(length / unit.len());
            let start = Instant::now();
            tokenizer.encode(&text, BARE).unwrap();
            // Quadratic merging would take minutes.
            assert!(start.elapsed() < Duration::from_secs(20), "{unit:?}: {:?}", start.elapsed());
        }
    }
}

#[test]
fn checkpoints_carry_their_tokenizer() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vocab/spm.gguf");
    let checkpoint = Checkpoint::open(path).unwrap();
    assert_eq!(Tokenizer::from_checkpoint(&checkpoint).unwrap().eos(), [2]);

    let folder = std::env::temp_dir().join(format!("tokenizer-of-a-checkpoint-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let put = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
    let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![1], &[0; 4]).unwrap();
    safetensors::serialize_to_file([("x", view)], None, &folder.join("model.safetensors")).unwrap();
    put("config.json", r#"{"model_type": "llama", "eos_token_id": 2}"#);
    let checkpoint = Checkpoint::open(&folder).unwrap();
    let missing = Tokenizer::from_checkpoint(&checkpoint);
    assert!(matches!(&missing, Err(Error::Missing { name, .. }) if name == "tokenizer.json"), "{missing:?}");
    put("tokenizer.json", &json(DECODERS[0]));
    put("tokenizer_config.json", r#"{"bos_token": null}"#);
    put("special_tokens_map.json", r#"{"bos_token": {"content": "<s>"}}"#);
    let tokenizer = Tokenizer::from_checkpoint(&checkpoint).unwrap();
    assert_eq!((tokenizer.bos(), tokenizer.eos()), (Some(13), &[2][..]));
    std::fs::remove_dir_all(&folder).unwrap();
}
