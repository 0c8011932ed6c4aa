"""Makes the small vocabularies of this folder, and the ids that Hugging Face's tokenizers give for some texts.

    pip install gguf tokenizers numpy
    python make.py

The vocabularies are trained here on text generated here. Each NAME.gguf has metadata only; NAME.json is a list of
{"pre", "add_special", "parse_special", "text", "ids"}, `pre` replacing `tokenizer.ggml.pre` where it is not null.
"""

import json
import pathlib
import random
import struct
import unicodedata

from gguf import GGUFWriter
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

HERE = pathlib.Path(__file__).parent
draw = random.Random(20)

# ---------------------------------------------------------------------------------------------------------- texts

SYLLABLES = [c + v for c in "bdfgklmnprstvz" for v in "aeiou"] + ["shi", "cha", "tho", "ing", "er", "ed"]
WORDS = ["".join(draw.choices(SYLLABLES, k=draw.randint(1, 3))) for _ in range(300)]
WORDS += ["café", "naïve", "Straße", "привет", "мир", "日本", "語", "かな", "한국", "नमस्ते", "it's", "we'll", "I'm"]
ODD = [" ", "  ", "   ", "     ", "\n", "\n\n", "\r\n", "\t", "\u00a0", "\u3000", "\u0085", "'s", "'T", "'re", "'LL", "'",
       "1", "22", "333", "4444", "1234567", "٣٤٥", "²", "½", ".", ",", "...", "!?", "$", "+", "`", "_", "(", ")", "/",
       "-", "—", "“", "”", "。", "é", "e\u0301", "Ñ", "ß", "İ", "ǅ", "😀", "👩\u200d💻", "\u200b", "\x01", "ﬁ", "①", "Å",
       "<0x0A>", "<s>", "▁", "ไทย", "𐐀"]


def word():
    w = draw.choice(WORDS)
    return draw.choice([w, w, w, w.capitalize(), w.upper(), w + draw.choice(",.!?"), str(draw.randint(0, 99999))])


def corpus(lines):
    return [" ".join(word() for _ in range(draw.randint(3, 14))) for _ in range(lines)]


def text():
    parts = [draw.choice(ODD) if draw.random() < 0.4 else word() + draw.choice([" ", " ", " ", ""]) for _ in
             range(draw.randint(1, 16))]
    return "".join(parts)


TEXTS = ["", " ", "  ", "\n", "a", " a"] + [text() for _ in range(60)]
CORPUS = corpus(4000)

# ------------------------------------------------------------------------------------------------------- writing

NORMAL, UNKNOWN, CONTROL, USER, BYTE = 1, 2, 3, 4, 6


def write(name, model, tokens, types, values=(), scores=None, merges=None, pre=None, charsmap=None):
    out = GGUFWriter(HERE / f"{name}.gguf", "llama")
    out.add_tokenizer_model(model)
    if pre:
        out.add_tokenizer_pre(pre)
    out.add_token_list(tokens)
    out.add_token_types(types)
    if scores is not None:
        out.add_token_scores(scores)
    if merges is not None:
        out.add_token_merges(merges)
    if charsmap is not None:
        out.add_precompiled_charsmap(charsmap)
    for key, value in values:
        getattr(out, key)(value)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.close()


def case(tokenizer, text, pre=None, add_special=False, parse_special=False):
    tokenizer.encode_special_tokens = not parse_special
    ids = tokenizer.encode(text, add_special_tokens=add_special).ids
    return {"pre": pre, "add_special": add_special, "parse_special": parse_special, "text": text, "ids": ids}


def save(name, cases):
    lines = ",\n".join(json.dumps(c, ensure_ascii=True) for c in cases)
    (HERE / f"{name}.json").write_text(f"[\n{lines}\n]\n")


# -------------------------------------------------------------------------------------------- byte-level BPE (gpt2)

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
          r"|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace("{1,3}", "")
CAMEL = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+SUFFIX"
         r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*SUFFIX"
         r"|DIGITS| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
GPT4O = CAMEL.replace("SUFFIX", "(?i:'s|'t|'re|'ve|'m|'ll|'d)?").replace("DIGITS", r"\p{N}{1,3}")
TEKKEN = CAMEL.replace("SUFFIX", "").replace("DIGITS", r"\p{N}")
DEEPSEEK3 = [r"\p{N}{1,3}", "[一-龥\u3040-ゟ゠-ヿ]+",
             r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
             r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"]
POWERS = r"\s{512}(?!\S)|\s{256}(?!\S)|\s{128}(?!\S)|\s{64}(?!\S)|\s{32}(?!\S)|\s{16}(?!\S)|\s{8}(?!\S)|\s{4}(?!\S)" \
         r"|\s{1,2}(?!\S)|\s{1}"
PATTERNS = {
    "qwen2": [QWEN2],
    "gpt-2": [GPT2],
    "llama-bpe": [LLAMA3],
    "gpt-4o": [GPT4O],
    "tekken": [TEKKEN],
    "deepseek-v3": DEEPSEEK3,
    "starcoder": [r"\p{N}", GPT2],
    "falcon": [r"[\p{P}\$\+<=>\^~\|`]+", GPT2, "[0-9][0-9][0-9]"],
    "default": [r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"],
    "jais-2": [LLAMA3.replace(r"\s+(?!\S)|\s+", POWERS)],
    "tiny_aya": [r"\d{1,3}(?=(?:\d{3})*\b)", GPT4O],
    "superbpe": [r"\p{N}+", r"(?=(\d{3})+(?!\d))"],
    "bloom": [r" ?[^(\s|.,!?…。，、।۔،)]+"],
    "bailingmoe": [QWEN2.replace(r"(?i:'s|'t|'re|'ve|'m|'ll|'d)", "'(?i:[sdmt]|ll|ve|re)").replace(r"[\r\n]+", r"[\r\n]")],
    "kimi-k2": [r"[\p{Han}]+|" + GPT4O.replace(r"\p{M}]", r"\p{M}&&[^\p{Han}]]").replace(r"[\r\n/]*", r"[\r\n]*")],
}
IGNORE_MERGES = {"llama-bpe", "tekken"}


def byte_level():
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(QWEN2), "isolated"),
                                                     pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    trainer = trainers.BpeTrainer(vocab_size=700, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    trained.train_from_iterator(CORPUS, trainer)
    model = json.loads(trained.to_str())["model"]
    vocab, merges = model["vocab"], [tuple(m) for m in model["merges"]]
    # A token that merges do not lead to: found only by a name that ignores merges.
    vocab["Ġ" + WORDS[0] + WORDS[1]] = len(vocab)
    control = ["<|bos|>", "<|im_start|>", "<|im_end|>"]
    user = ["<tool>", "\t\t", "<tool>x"]
    tokens = sorted(vocab, key=vocab.get) + control + user
    types = [NORMAL] * len(vocab) + [CONTROL] * len(control) + [USER] * len(user)
    write("bpe", "gpt2", tokens, types, merges=[" ".join(m) for m in merges], pre="qwen2",
          values=[("add_bos_token_id", len(vocab)), ("add_eos_token_id", len(vocab) + 2), ("add_add_bos_token", True)])

    cases = []
    runs = ["  " * 9 + "x", "  " * 300, "  " * 391 + "\n" + "  " * 291 + "x 12345678 12345678a"]
    for pre, patterns in PATTERNS.items():
        tokenizer = Tokenizer(models.BPE(vocab, merges, ignore_merges=pre in IGNORE_MERGES))
        splits = [pre_tokenizers.Split(Regex(p), "isolated") for p in patterns]
        splits.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False))
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(splits)
        tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in control])
        # Without the token of two tabs, which is cut out before the patterns see the text.
        own = [f" {WORDS[0]}{WORDS[1]}"] + (runs if pre in ("jais-2", "qwen2") else runs[:1])
        cases += [case(tokenizer, t, pre) for t in draw.sample(TEXTS, 20) + own if "\t\t" not in t]
    tokenizer = Tokenizer(models.BPE(vocab, merges))
    tokenizer.pre_tokenizer = trained.pre_tokenizer
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in control])
    tokenizer.add_tokens([AddedToken(t, special=False, normalized=False) for t in user])
    tokenizer.post_processor = processors.TemplateProcessing(single="<|bos|> $A", special_tokens=[("<|bos|>", len(vocab))])
    marked = ["<|im_start|>user\nhi<|im_end|>\n", "a<tool>b", "<tool>xy", "a\t\t\tb", "<tool><tool>", "<|im_end|><|im_end|"]
    for t in TEXTS + marked:
        cases.append(case(tokenizer, t, add_special=True, parse_special=True))
        cases.append(case(tokenizer, t))
    save("bpe", cases)


# --------------------------------------------------------------------------------------- SentencePiece BPE (llama)


def sentencepiece():
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    trained.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=600, limit_alphabet=90, show_progress=False))
    model = json.loads(trained.to_str())["model"]
    merged = ["".join(m) for m in model["merges"]]
    letters = [t for t in model["vocab"] if t not in set(merged)]
    tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)] + merged + letters + ["<|tag|>", "<|mark|>"]
    types = [UNKNOWN, CONTROL, CONTROL] + [BYTE] * 256 + [NORMAL] * (len(merged) + len(letters)) + [CONTROL, USER]
    scores = [0.0] * 259 + [-float(i) for i in range(len(merged))] + [-1e4 - i for i in range(len(letters))] + [0.0] * 2
    write("spm", "llama", tokens, types, scores=scores, pre="default",
          values=[("add_bos_token_id", 1), ("add_eos_token_id", 2), ("add_unk_token_id", 0), ("add_add_bos_token", True),
                  ("add_add_eos_token", True)])
    vocab = {t: i for i, t in enumerate(tokens)}
    pairs = []
    for t in merged:
        splits = [(t[:k], t[k:]) for k in range(1, len(t)) if t[:k] in vocab and t[k:] in vocab]
        pairs += sorted(splits, key=lambda s: (vocab[s[0]], vocab[s[1]]))
    tokenizer = Tokenizer(models.BPE(vocab, pairs, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in ["<unk>", "<s>", "</s>", "<|tag|>"]])
    tokenizer.add_tokens([AddedToken("<|mark|>", special=False, normalized=False)])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)])
    cases = []
    for t in TEXTS + ["a<|mark|>b", "a<|tag|> b", "<|mark|>", "<s>"]:
        cases.append(case(tokenizer, t, add_special=True, parse_special=True))
        cases.append(case(tokenizer, t))
    save("spm", cases)


# ------------------------------------------------------------------------------ BPE over characters (gemma4)


def characters():
    trained = Tokenizer(models.BPE())
    trained.normalizer = normalizers.Replace(" ", "▁")
    trained.pre_tokenizer = pre_tokenizers.Split(Regex(r"[^\n]+|[\n]+"), "isolated")
    lines = [" ".join(draw.sample(line.split(" "), 3)) for line in CORPUS[:1500]] + ["a\n\nb\n"] * 20
    trained.train_from_iterator(lines, trainers.BpeTrainer(vocab_size=500, limit_alphabet=80, show_progress=False))
    model = json.loads(trained.to_str())["model"]
    start = ["<pad>", "<bos>", "<eos>", "<unk>"] + [f"<0x{b:02X}>" for b in range(256)]
    tokens = start + sorted(model["vocab"], key=model["vocab"].get) + ["<mark>"]
    types = [CONTROL] * 3 + [UNKNOWN] + [BYTE] * 256 + [NORMAL] * len(model["vocab"]) + [USER]
    merges = [tuple(m) for m in model["merges"]]
    write("gemma", "gemma4", tokens, types, merges=[" ".join(m) for m in merges],
          values=[("add_bos_token_id", 1), ("add_eos_token_id", 2), ("add_unk_token_id", 3), ("add_pad_token_id", 0)])
    vocab = {t: i for i, t in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer, tokenizer.pre_tokenizer = trained.normalizer, trained.pre_tokenizer
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in start[:4]])
    tokenizer.add_tokens([AddedToken("<mark>", special=False, normalized=False)])
    tokenizer.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 1)])
    cases = []
    for t in TEXTS + ["a<mark>b", "<bos>a", "\n\n\n\na"]:
        cases.append(case(tokenizer, t, add_special=True, parse_special=True))
        cases.append(case(tokenizer, t))
    save("gemma", cases)


# ----------------------------------------------------------------------------------------------- WordPiece (bert)


def wordpiece():
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=600, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    vocab = tokenizer.get_vocab()

    def spelled(token):
        if token.startswith("[") and token.endswith("]"):
            return token
        return token[2:] if token.startswith("##") else "▁" + token

    tokens = [spelled(t) for t in sorted(vocab, key=vocab.get)]
    types = [CONTROL if t in special else NORMAL for t in tokens]
    write("bert", "bert", tokens, types, pre="default",
          values=[("add_bos_token_id", 2), ("add_sep_token_id", 3), ("add_unk_token_id", 1), ("add_pad_token_id", 0),
                  ("add_mask_token_id", 4)])
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]",
                                                             special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    cases = []
    for t in TEXTS + ["a [MASK] b", "x" * 101, "x" * 99]:
        cases.append(case(tokenizer, t, add_special=True, parse_special=True))
        cases.append(case(tokenizer, t))
    save("bert", cases)


# ------------------------------------------------------------------------------------------------- Unigram (t5)


def double_array(replacements):
    """SentencePiece's table of replacements: an XOR-compressed double array, then the texts, each ended by a zero."""
    texts, offsets = b"", {}
    for value in sorted(set(replacements.values())):
        offsets[value] = len(texts)
        texts += value.encode() + b"\0"
    trie = {}
    for key, value in replacements.items():
        node = trie
        for byte in key.encode():
            node = node.setdefault(byte, {})
        node[0] = offsets[value]
    units, used, bases = {}, {0}, {0}

    def place(node, position, label):
        base = 1
        while base in bases or any(base ^ child in used for child in node):
            base += 1
        bases.add(base)
        used.update(base ^ child for child in node)
        offset = position ^ base
        assert offset < 1 << 21
        units[position] = offset << 10 | (1 << 8 if 0 in node else 0) | label
        for child, below in node.items():
            if child == 0:
                units[base] = 1 << 31 | below
            else:
                place(below, base ^ child, child)

    place(trie, 0, 0)
    size = (max(used) // 256 + 1) * 256
    array = b"".join(struct.pack("<I", units.get(i, 0)) for i in range(size))
    return struct.pack("<I", len(array)) + array + texts


def unigram():
    odd = {chr(c) for c in range(0x80, 0x3100)} | {"ﬁ", "①", "Å", "Ａ", "ｶ"}
    replacements = {c: unicodedata.normalize("NFKC", c) for c in odd if not unicodedata.combining(c)}
    replacements = {c: n for c, n in replacements.items() if n != c and len(n) <= 3}
    replacements |= {"\n": " ", "\t": " ", "\r": " ", "\x01": "", "\u200b": " ", "\u0085": " ", "e\u0301": "é"}
    charsmap = double_array(replacements)
    normalizer = normalizers.Sequence([normalizers.Precompiled(charsmap), normalizers.Replace(Regex(" {2,}"), " ")])
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    special = ["<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(vocab_size=500, special_tokens=special, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    pieces = json.loads(tokenizer.to_str())["model"]["vocab"]
    tokens, scores = [p for p, _ in pieces], [float(s) for _, s in pieces]
    types = [CONTROL, CONTROL, UNKNOWN] + [NORMAL] * (len(tokens) - 3)
    write("t5", "t5", tokens, types, scores=scores, pre="default", charsmap=charsmap,
          values=[("add_eos_token_id", 1), ("add_unk_token_id", 2), ("add_pad_token_id", 0), ("add_add_space_prefix", True),
                  ("add_remove_extra_whitespaces", True), ("add_add_eos_token", True)])
    # As the file keeps them: f32.
    single = [(p, struct.unpack("<f", struct.pack("<f", s))[0]) for p, s in pieces]
    exact = Tokenizer(models.Unigram(single, unk_id=2))
    exact.normalizer, exact.pre_tokenizer = normalizer, tokenizer.pre_tokenizer
    exact.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    cases = []
    for t in TEXTS:
        # SentencePiece drops spaces at both ends, which the pre-tokenizer of `tokenizers` turns into tokens.
        clean = normalizer.normalize_str(t).strip(" ")
        if clean:
            full, bare = case(exact, clean, add_special=True), case(exact, clean)
            full["text"] = bare["text"] = t
            cases += [full, bare]
    save("t5", cases)


byte_level()
sentencepiece()
characters()
wordpiece()
unigram()
