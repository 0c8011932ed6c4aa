//! What each name of `tokenizer.ggml.pre` means: the patterns that cut text into words before BPE.
//!
//! Names and their grouping are those of llama.cpp (`llama-vocab.cpp`); the patterns are those of the models' own
//! `tokenizer.json` files, which llama.cpp cites (and for engines without `\p{Lu}` approximates; not so here).

use super::split::{SPACES, SPACES_BY_POWERS, Stage};
use crate::error::Error;
use crate::unsupported::Unsupported;

/// What a name fixes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pre {
    pub(super) stages: &'static [Stage],
    /// A word that is a token is taken whole.
    pub(super) ignore_merges: bool,
    /// BOS is added where the file does not say.
    pub(super) add_bos: bool,
    /// Whether words of newlines are looked up whole, if symbols are characters; `None` if symbols are bytes.
    pub(super) chars: Option<bool>,
    pub(super) spaces: Spaces,
}

/// How spaces are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spaces {
    Keep,
    /// Spaces are spelled `▁`.
    Escape,
    /// All white space only separates words.
    Drop,
}

const BYTES: Pre = Pre { stages: &[], ignore_merges: false, add_bos: false, chars: None, spaces: Spaces::Keep };

const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+";
const GPT2_STAGE: Stage = Stage::Any(&[GPT2, SPACES]);
const DIGIT: Stage = Stage::Any(&[r"\p{N}"]);
const UP_TO_THREE_DIGITS: Stage = Stage::Any(&[r"\p{N}{1,3}"]);

/// `'s`, `'t`, ... in any case, before the words of Llama 3 and its many descendants.
const SUFFIXES: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const WORDS: &str = r"[^\r\n\p{L}\p{N}]?\p{L}+";
const SYMBOLS: &str = r" ?[^\s\p{L}\p{N}]+[\r\n]*";
const SYMBOLS_OR_SLASH: &str = r" ?[^\s\p{L}\p{N}]+[\r\n/]*";
const NEWLINES: &str = r"\s*[\r\n]+";

const LLAMA3: Stage = Stage::Any(&[SUFFIXES, WORDS, r"\p{N}{1,3}", SYMBOLS, NEWLINES, SPACES]);
const QWEN2: Stage = Stage::Any(&[SUFFIXES, WORDS, r"\p{N}", SYMBOLS, NEWLINES, SPACES]);

const O200K_LOWER: &str = concat!(
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
);
const O200K_UPPER: &str = concat!(
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
);
const O200K: Stage = Stage::Any(&[O200K_LOWER, O200K_UPPER, r"\p{N}{1,3}", SYMBOLS_OR_SLASH, NEWLINES, SPACES]);
const O200K_DIGIT: Stage = Stage::Any(&[O200K_LOWER, O200K_UPPER, r"\p{N}", SYMBOLS_OR_SLASH, NEWLINES, SPACES]);

const KANA_AND_HAN: Stage = Stage::Any(&["[一-龥\u{3040}-ゟ゠-ヿ]+"]);
const DEEPSEEK3_WORDS: &str =
    r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"##;
const DEEPSEEK3: Stage = Stage::Any(&[DEEPSEEK3_WORDS, r" ?[\p{P}\p{S}]+[\r\n]*", NEWLINES, SPACES]);
/// Han, kana, Lao, Thai from U+0E40 on, Khmer, Myanmar, Hangul, in the blocks that AFMoE lists.
const ASIAN: Stage = Stage::Any(&[concat!(
    r"[\u{4E00}-\u{9FFF}\u{3400}-\u{4DBF}\u{F900}-\u{FAFF}\u{3040}-\u{30FF}\u{FF65}-\u{FF9F}\u{2F00}-\u{2FDF}",
    r"\u{0E40}-\u{0EFF}\u{1780}-\u{17FF}\u{1000}-\u{109F}\u{AA60}-\u{AA7F}\u{A9E0}-\u{A9FF}\u{AC00}-\u{D7AF}",
    r"\u{1100}-\u{11FF}]+"
)]);
const NEWLINE: Stage = Stage::Any(&[r"[\r\n]"]);
const HAN_AND_HANGUL: Stage = Stage::Any(&["[一-龥\u{800}-一가-\u{D7FF}]+"]);
const BLOOM: Stage = Stage::Any(&[r" ?[^(\s|.,!?…。，、।۔،)]+"]);
const LINES: Stage = Stage::Any(&[r"[^\n]+|[\n]+"]);

/// Cased letters outside Han-like scripts, as DeepSeek LLM lists them.
const CASED: &str = concat!(
    r"\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿ",
    "\u{386}\u{388}-\u{38A}\u{38C}\u{38E}-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝ",
    "\u{1F5F}-\u{1F7D}\u{1F80}-\u{1FB4}\u{1FB6}-\u{1FBC}\u{1FBE}\u{1FC2}-\u{1FC4}\u{1FC6}-\u{1FCC}",
    "\u{1FD0}-\u{1FD3}\u{1FD6}-\u{1FDB}\u{1FE0}-\u{1FEC}\u{1FF2}-\u{1FF4}\u{1FF6}-\u{1FFC}",
    "ℂℇℊ-ℓℕℙ-ℝℤ\u{2126}ℨ\u{212A}-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ",
    "𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+"
);

/// Every name, without aliases of the empty one.
pub(super) const NAMES: &[&str] = &[
    "",
    "a.x-4.0",
    "afmoe",
    "bailingmoe",
    "bailingmoe2",
    "bloom",
    "chameleon",
    "chatglm-bpe",
    "codeshell",
    "cohere2moe",
    "command-r",
    "dbrx",
    "deepseek-coder",
    "deepseek-llm",
    "deepseek-r1-qwen",
    "deepseek-v3",
    "default",
    "exaone",
    "exaone-moe",
    "exaone4",
    "f2llmv2",
    "falcon",
    "falcon-h1",
    "falcon3",
    "gemma4",
    "gigachat",
    "glm4",
    "glm5",
    "gpt-2",
    "gpt-4o",
    "gpt3-finnish",
    "granite-docling",
    "granite-embed-multi-311m",
    "granite-embed-multi-97m",
    "grok-2",
    "hunyuan",
    "hunyuan-dense",
    "hy_v4",
    "jais",
    "jais-2",
    "jina-de",
    "jina-es",
    "jina-v1-en",
    "jina-v2-code",
    "jina-v2-de",
    "jina-v2-es",
    "jina-v5-nano",
    "joyai-llm",
    "kanana2",
    "kimi-k2",
    "kormo",
    "laguna",
    "lfm2",
    "llada-moe",
    "llama-bpe",
    "llama-v3",
    "llama3",
    "llama4",
    "megrez",
    "mellum",
    "mellum2",
    "midm-2.0",
    "minerva-7b",
    "minicpm5",
    "minimax-m2",
    "modern-bert",
    "mpt",
    "olmo",
    "phi-2",
    "pixtral",
    "poro-chat",
    "qwen2",
    "qwen35",
    "refact",
    "roberta-bpe",
    "sarvam-moe",
    "seed-coder",
    "smaug-bpe",
    "smollm",
    "solar-open",
    "spark2_5",
    "stablelm2",
    "starcoder",
    "superbpe",
    "talkie",
    "tekken",
    "tiny_aya",
    "trillion",
    "ufakzeka",
    "viking",
    "whitespace",
    "youtu",
];

/// The meaning of a name; absent names are `default`.
///
/// # Errors
/// [`Error::Unsupported`] for a name that is not known with certainty: guessing would give wrong ids silently.
pub(super) fn pre(name: &str) -> Result<Pre, Error> {
    let bytes = |stages| Pre { stages, ..BYTES };
    Ok(match name {
        "" | "default" => bytes(&[
            Stage::Any(&[r"[\p{P}\$\+<=>\^~\|]+"]),
            GPT2_STAGE,
            Stage::Any(&[r"\p{N}+"]),
            Stage::Any(&["[0-9][0-9][0-9]"]),
        ]),
        "llama3" | "llama-v3" | "llama-bpe" | "falcon3" | "falcon-h1" | "pixtral" | "midm-2.0" | "lfm2"
        | "jina-v5-nano" => Pre { ignore_merges: true, add_bos: true, ..bytes(&[LLAMA3]) },
        // llama.cpp has no `glm5`; the tokenizer of GLM-5 is that of GLM-4, and converters call it so.
        "dbrx" | "smaug-bpe" | "glm4" | "glm5" | "chatglm-bpe" => bytes(&[LLAMA3]),
        "minicpm5" => Pre {
            ignore_merges: true,
            ..bytes(&[UP_TO_THREE_DIGITS, Stage::Any(&[SUFFIXES, WORDS, r"\p{N}+", SYMBOLS, NEWLINES, SPACES])])
        },
        "jais-2" => bytes(&[Stage::Any(&[SUFFIXES, WORDS, r"\p{N}{1,3}", SYMBOLS, NEWLINES, SPACES_BY_POWERS])]),
        "qwen2" | "deepseek-r1-qwen" | "kormo" | "f2llmv2" | "megrez" | "stablelm2" | "hunyuan" | "solar-open"
        | "grok-2" => bytes(&[QWEN2]),
        "qwen35" => bytes(&[Stage::Any(&[
            SUFFIXES,
            r"[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+",
            r"\p{N}",
            r" ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*",
            NEWLINES,
            SPACES,
        ])]),
        "ufakzeka" => bytes(&[Stage::Any(&[WORDS, r"\p{N}", SYMBOLS, NEWLINES, SPACES])]),
        "laguna" => bytes(&[LINES, QWEN2]),
        "bailingmoe" | "bailingmoe2" | "llada-moe" => {
            bytes(&[Stage::Any(&[r"'(?i:[sdmt]|ll|ve|re)", WORDS, r"\p{N}", SYMBOLS, r"\s*[\r\n]", SPACES])])
        }
        "seed-coder" => bytes(&[Stage::Any(&[SUFFIXES, WORDS, r"\p{N}", r" ?[^\s\p{L}\p{N}\r\n]+", NEWLINES, SPACES])]),
        "exaone-moe" => bytes(&[Stage::Any(&[
            SUFFIXES,
            r"[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+",
            r"\p{N}",
            r" ?[^\s\p{L}\p{N}]+[\r\n/]?",
            r"\s*[\r\n]",
            SPACES,
        ])]),
        "deepseek-llm" => bytes(&[
            NEWLINE,
            Stage::Any(&[CASED]),
            Stage::Any(&["\\s?[!-/:-~！-／：-～‘-‟\u{3000}-。]+"]),
            Stage::Any(&[r"\s+$"]),
            HAN_AND_HANGUL,
            Stage::Any(&[r"\p{N}+"]),
        ]),
        "deepseek-coder" => {
            bytes(&[NEWLINE, Stage::Any(&[r"\s?\p{L}+"]), Stage::Any(&[r"\s?\p{P}+"]), HAN_AND_HANGUL, DIGIT])
        }
        "deepseek-v3" | "hunyuan-dense" | "joyai-llm" | "hy_v4" => {
            bytes(&[UP_TO_THREE_DIGITS, KANA_AND_HAN, DEEPSEEK3])
        }
        "spark2_5" => bytes(&[
            UP_TO_THREE_DIGITS,
            KANA_AND_HAN,
            Stage::Any(&[DEEPSEEK3_WORDS, r" ?[\p{P}\p{S}]+", r"[\r\n]", SPACES]),
            DIGIT,
        ]),
        "youtu" => Pre {
            ignore_merges: true,
            ..bytes(&[
                Stage::Any(&["[가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，、-〿︰-﹏]+|[ㄅ-ㄯ]+|[一-龥\u{3040}-ゟ゠-ヿ]+"]),
                O200K_DIGIT,
            ])
        },
        "falcon" => bytes(&[Stage::Any(&[r"[\p{P}\$\+<=>\^~\|`]+"]), GPT2_STAGE, Stage::Any(&["[0-9][0-9][0-9]"])]),
        "starcoder" | "refact" | "command-r" | "smollm" | "codeshell" | "exaone" | "minerva-7b" | "mellum2" => {
            bytes(&[DIGIT, GPT2_STAGE])
        }
        "gpt-2" | "phi-2" | "jina-es" | "jina-de" | "jina-v2-es" | "jina-v2-de" | "jina-v1-en" | "jina-v2-code"
        | "roberta-bpe" | "gigachat" | "a.x-4.0" | "mellum" | "modern-bert" | "mpt" | "olmo" | "jais" | "trillion"
        | "granite-docling" | "exaone4" => bytes(&[GPT2_STAGE]),
        "poro-chat" | "bloom" | "gpt3-finnish" => bytes(&[BLOOM]),
        "viking" => bytes(&[BLOOM, DIGIT]),
        "tekken" => Pre { ignore_merges: true, add_bos: true, ..bytes(&[TEKKEN]) },
        "chameleon" => Pre {
            add_bos: true,
            ..bytes(&[
                Stage::Any(&["<sentinel:[0-9]+>"]),
                Stage::Any(&["(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z"]),
                Stage::Any(&[r"([\t\n]|    |  )"]),
                DIGIT,
                Stage::Any(&[r"[\p{P}!-/:-@\[-`{-~]"]),
                GPT2_STAGE,
            ])
        },
        "gpt-4o" | "llama4" | "kanana2" | "talkie" | "minimax-m2" => bytes(&[O200K]),
        "tiny_aya" | "cohere2moe" => bytes(&[Stage::Thousands { word_end: true }, O200K]),
        "superbpe" => bytes(&[Stage::Any(&[r"\p{N}+"]), Stage::Thousands { word_end: false }]),
        "kimi-k2" => bytes(&[KIMI]),
        "granite-embed-multi-97m" => Pre { ignore_merges: true, ..bytes(&[O200K]) },
        "afmoe" => bytes(&[Stage::NumberThousands, ASIAN, DEEPSEEK3]),
        "gemma4" | "granite-embed-multi-311m" => Pre { chars: Some(true), spaces: Spaces::Escape, ..bytes(&[LINES]) },
        "sarvam-moe" => Pre { chars: Some(false), spaces: Spaces::Escape, ..bytes(&[LINES]) },
        "whitespace" => Pre { chars: Some(false), spaces: Spaces::Drop, ..bytes(&[Stage::Any(&[r"\S+"])]) },
        _ => return Err(Unsupported::PreTokenizer { name: format!("`{name}` (tokenizer.ggml.pre)") }.into()),
    })
}

const TEKKEN: Stage = Stage::Any(&[
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*",
    r"\p{N}",
    SYMBOLS_OR_SLASH,
    NEWLINES,
    SPACES,
]);

const KIMI: Stage = Stage::Any(&[
    r"[\p{Han}]+",
    concat!(
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+",
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    ),
    concat!(
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*",
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    ),
    r"\p{N}{1,3}",
    SYMBOLS,
    NEWLINES,
    SPACES,
]);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tokenizer::split::Splitter;

    fn splitters() -> &'static [(&'static str, Splitter)] {
        static ALL: std::sync::OnceLock<Vec<(&str, Splitter)>> = std::sync::OnceLock::new();
        ALL.get_or_init(|| NAMES.iter().map(|n| (*n, Splitter::new(pre(n).unwrap().stages).unwrap())).collect())
    }

    fn pieces<'t>(name: &str, text: &'t str) -> Vec<&'t str> {
        let (_, splitter) = splitters().iter().find(|(n, _)| *n == name).unwrap();
        splitter.split(text).into_iter().map(|range| &text[range]).collect()
    }

    #[test]
    fn words_are_cut_as_published() {
        let text = "I'M  12345 caféTéA.\n\n  x";
        assert_eq!(pieces("llama-bpe", text), ["I", "'M", " ", " ", "123", "45", " caféTéA", ".\n\n", " ", " x"]);
        assert_eq!(pieces("gpt-2", "it's   1 a\n\nb"), ["it", "'s", "  ", " 1", " a", "\n", "\n", "b"]);
        assert_eq!(pieces("gpt-4o", "iPhoneXL's"), ["i", "Phone", "XL's"]);
        assert_eq!(pieces("superbpe", "ab 1234567 c"), ["ab ", "1", "234", "567", " c"]);
        assert_eq!(pieces("tiny_aya", "1234567 1234a"), ["1", "234", "567", " ", "123", "4", "a"]);
        assert_eq!(pieces("afmoe", "a1234567½ 日本語x"), ["a", "12", "345", "67½", " ", "日本語", "x"]);
        assert_eq!(pieces("granite-embed-multi-97m", "iPhoneXL's"), ["i", "Phone", "XL's"]);
        assert_eq!(pieces("whitespace", " a\u{3000}b,c\n"), [" ", "a", "\u{3000}", "b,c", "\n"]);
        assert_eq!(pieces("jais-2", &" ".repeat(8)), [" ".repeat(8)]);
        assert_eq!(pieces("jais-2", "         x"), ["        ", " x"]);
    }

    #[test]
    fn unknown_names_are_refused() {
        for name in ["glm6", "QWEN2", "llama-4", "bert-bge"] {
            assert!(matches!(pre(name), Err(Error::Unsupported { .. })), "{name}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn pieces_make_up_the_text(text in "(\\PC|[ \t\r\n]|[ a-zA-Z'0-9.]){0,40}") {
            for (name, splitter) in splitters() {
                let mut end = 0;
                for range in splitter.split(&text) {
                    prop_assert!(range.start == end && range.end > end, "{name}: {range:?} after {end}");
                    end = range.end;
                }
                prop_assert_eq!(end, text.len());
            }
        }
    }
}
