"""Makes goldens.json: what Hugging Face transformers and tokenizers do with the files of small tokenizers made here.

    pip install transformers==5.24.0 gguf
    python make.py

`files`: the files of a checkpoint, with the ids that transformers gives, the special ids, the roles, and the decoded text.
`templates`: files with chat templates, and which template transformers takes without and with tools.
`pre`: ids of the vocabularies in ../vocab under some names of `tokenizer.ggml.pre`, by the patterns of the models' own tokenizer.json.
"""

import copy
import json
import os
import pathlib
import random
import tempfile

os.environ["TRANSFORMERS_VERBOSITY"] = "error"
os.environ["HF_HUB_OFFLINE"] = "1"

from gguf import GGUFReader
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import AutoTokenizer

HERE = pathlib.Path(__file__).parent
ALPHABET = sorted(pre_tokenizers.ByteLevel.alphabet())
draw = random.Random(24)

# ---------------------------------------------------------------------------------------------------- two tokenizers


def chain(words, start):
    """Tokens and merges that lead to each word from its characters, left to right."""
    tokens, merges = list(start), []
    for word in words:
        for end in range(2, len(word) + 1):
            if word[:end] not in tokens:
                tokens.append(word[:end])
                merges.append((word[: end - 1], word[end - 1]))
    return {t: i for i, t in enumerate(tokens)}, merges


def bytes_base():
    vocab, merges = chain(["hello", "Ġworld", "user", "Ġx"], ["<s>", "</s>"] + ALPHABET)
    tokenizer = Tokenizer(models.BPE(vocab, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return json.loads(tokenizer.to_str())


def pieces_base():
    letters = list("▁helowrdusxit.<>|m_pn")
    start = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)] + letters
    vocab, merges = chain(["▁hello", "▁world", "user", "▁▁x"], start)
    tokenizer = Tokenizer(models.BPE(vocab, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
                                           decoders.Strip(" ", 1, 0)])
    return json.loads(tokenizer.to_str())


BASES = {"bytes": bytes_base(), "pieces": pieces_base()}


def added(id, content, **flags):
    return {"id": id, "content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
            "special": True} | flags


def entry(content, **flags):
    token = added(0, content, **flags)
    del token["id"]
    return token


N = {name: len(base["model"]["vocab"]) for name, base in BASES.items()}
EDGES = {"bytes": [added(0, "<s>"), added(1, "</s>")], "pieces": [added(0, "<unk>"), added(1, "<s>"), added(2, "</s>")]}
TEXTS = ["<|im_start|>user hello<|im_end|>", "hello <tool> x", "<s>hello</s> <pad>", "a <image>b <mask> c", "  x <tool>  x"]
BOS = lambda id: {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
       "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
       "special_tokens": {"<s>": {"id": "<s>", "ids": [id], "tokens": ["<s>"]}}}

# ------------------------------------------------------------------------------------------------------------- files


def configs():
    plain = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>"}
    for base in BASES:
        n = N[base]
        listed = {str(n): entry("<|im_start|>"), str(n + 1): entry("<|im_end|>"), str(n + 2): entry("<tool>", special=False)}
        yield base, "nothing is added", plain, {}
        yield base, "added_tokens_decoder", plain | {"added_tokens_decoder": listed}, {}
        yield base, "ids elsewhere", plain | {"added_tokens_decoder": {str(n + 7): entry("<|im_end|>"), "900": entry("<tool>")}}, {}
        yield base, "additional_special_tokens", plain | {"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]}, {}
        yield base, "tokens as objects", plain | {"additional_special_tokens": [
            {"__type": "AddedToken", **entry("<tool>", rstrip=True, lstrip=True)}, "<|im_end|>"]}, {}
        yield base, "extra_special_tokens", plain | {"extra_special_tokens": ["<|im_start|>", "<tool>"]}, {}
        yield base, "named extra_special_tokens", plain | {"extra_special_tokens": {"image_token": "<image>"}}, {}
        yield base, "a role of its own", plain | {"image_token": "<image>", "pad_token": "<pad>"}, {}
        yield base, "a role that tokenizer.json lacks", plain | {"mask_token": "<mask>", "unk_token": None}, {}
        yield base, "flags said only there", plain | {"added_tokens_decoder": {
            str(n): entry("<tool>", lstrip=True, rstrip=True), str(n + 1): entry("<|im_end|>", normalized=True)}}, {
            "added": [added(n, "<tool>", special=False), added(n + 1, "<|im_end|>")]}
        yield base, "special said only there", plain | {"added_tokens_decoder": {str(n): entry("<tool>")}}, {
            "added": [added(n, "<tool>", special=False)]}
        yield base, "special_tokens_map.json", {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|im_end|>"}, {
            "map": {"bos_token": entry("<s>"), "eos_token": "</s>", "additional_special_tokens": ["<|im_start|>", "<tool>"]}}
        yield base, "special_tokens_map.json next to a list", {
            "tokenizer_class": "PreTrainedTokenizerFast", "added_tokens_decoder": {str(n): entry("<tool>")}}, {
            "map": {"bos_token": "<s>", "additional_special_tokens": ["<|im_start|>"]}}
        yield base, "added_tokens.json", plain | {"additional_special_tokens": ["<|im_end|>"]}, {
            "added_tokens": {"<tool>": n, "<|im_end|>": n + 1}}
        yield base, "added_tokens.json and tokenizer.json", plain, {
            "added": [added(n, "<tool>", rstrip=True)], "added_tokens": {"<tool>": n, "<image>": n + 1}}
        for processor in (None, BOS(BASES[base]["model"]["vocab"]["<s>"])):
            yield base, "add_bos_token", plain | {"add_bos_token": True, "add_eos_token": True}, {"processor": processor}
            yield base, "add_bos_token false", plain | {"add_bos_token": False}, {"processor": processor}
        yield base, "add_prefix_space", plain | {"add_prefix_space": True}, {}
        yield base, "single words", plain | {"added_tokens_decoder": {str(n): entry("x", single_word=True)}}, {}
        yield base, "normalized", plain | {"added_tokens_decoder": {str(n): entry("<tool>", normalized=True, special=False)}}, {}
    # The class builds its own pipeline, with other ids for some texts than those of tokenizer.json; here only the roles count.
    yield "pieces", "roles of a class", {"tokenizer_class": "LlamaTokenizerFast"}, {"roles only": True}
    yield "bytes", "roles of a class", {"tokenizer_class": "LlamaTokenizerFast"}, {}
    yield "bytes", "roles of no class", {"tokenizer_class": "PreTrainedTokenizerFast"}, {}


def files():
    cases = []
    for base, name, config, other in configs():
        tokenizer_json = copy.deepcopy(BASES[base])
        tokenizer_json["added_tokens"] = EDGES[base] + other.get("added", [])
        tokenizer_json["post_processor"] = other.get("processor")
        found = {"tokenizer_config.json": config, "special_tokens_map.json": other.get("map"),
                 "added_tokens.json": other.get("added_tokens")}
        with tempfile.TemporaryDirectory() as folder:
            for file, content in ({"tokenizer.json": tokenizer_json, "config.json": {"model_type": "llama"}} | found).items():
                if content is not None:
                    pathlib.Path(folder, file).write_text(json.dumps(content))
            tokenizer = AutoTokenizer.from_pretrained(folder)
        assert tokenizer._tokenizer.get_vocab_size() >= N[base]
        ids = [tokenizer(t).input_ids for t in TEXTS]
        bare = [tokenizer(t, add_special_tokens=False).input_ids for t in TEXTS]
        size = tokenizer._tokenizer.get_vocab_size()
        backend = tokenizer._tokenizer
        if "roles only" in other:
            ids, bare = [], []
        cases.append({
            "base": base, "name": name, "added": tokenizer_json["added_tokens"], "processor": tokenizer_json["post_processor"],
            "files": {k: v for k, v in found.items() if v is not None}, "ids": ids, "bare": bare, "vocab_size": size,
            "roles": {k: getattr(tokenizer, k) for k in ("bos_token", "eos_token", "pad_token", "unk_token")},
            "decoded": [backend.decode(i, skip_special_tokens=False) for i in bare],
            "skipped": [backend.decode(i, skip_special_tokens=True) for i in bare],
        })
    return cases


# --------------------------------------------------------------------------------------------------------- templates


def templates():
    one, both = "[config]", [{"name": "default", "template": "[list]"}, {"name": "tool_use", "template": "[list tools]"}]
    rag = both + [{"name": "rag", "template": "[list rag]"}]
    cases = []
    for config in (None, one, both, rag):
        for jinja in (None, "[jinja]"):
            for more in ({}, {"tool_use": "[file tools]"}, {"tool_use": "[file tools]", "rag": "[file rag]"}, {"default": "[file]"}):
                found = {"tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast"}}
                if config is not None:
                    found["tokenizer_config.json"]["chat_template"] = config
                with tempfile.TemporaryDirectory() as folder:
                    if more:
                        os.mkdir(os.path.join(folder, "additional_chat_templates"))
                    text = {"tokenizer.json": json.dumps(BASES["bytes"]), "config.json": '{"model_type": "llama"}'}
                    found = {k: json.dumps(v) for k, v in found.items()}
                    if jinja:
                        found["chat_template.jinja"] = jinja
                    found |= {f"additional_chat_templates/{k}.jinja": v for k, v in more.items()}
                    for file, content in (text | found).items():
                        pathlib.Path(folder, file).write_text(content)
                    tokenizer = AutoTokenizer.from_pretrained(folder)

                def taken(**which):
                    try:
                        return tokenizer.get_chat_template(**which)
                    except ValueError:
                        return None

                named = tokenizer.chat_template
                names = sorted(named) if isinstance(named, dict) else ["default"] if named else []
                cases.append({"files": found, "names": names, "plain": taken(), "tools": taken(tools=[{}])})
    return cases


# --------------------------------------------------------------------------------------------------------------- pre

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
          r"|\s+(?!\S)|\s+")
O200K = "|".join([
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"\p{N}{1,3}", r" ?[^\s\p{L}\p{N}]+[\r\n/]*", r"\s*[\r\n]+", r"\s+(?!\S)|\s+"])
AFMOE = [r"\p{N}{1,3}(?=(?:\p{N}{3})*(?!\p{N}))",
         "[\u4e00-\u9fff\u3400-\u4dbf\uf900-\ufaff\u3040-\u309f\u30a0-\u30ff\uff65-\uff9f\u2f00-\u2fdf\u0e40-\u0e7f"
         "\u0e80-\u0eff\u1780-\u17ff\u1000-\u109f\uaa60-\uaa7f\ua9e0-\ua9ff\uac00-\ud7af\u1100-\u11ff]+",
         r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
         r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"]
PARTS = ["dobi", "Ka", "MEra", " ", "  ", "\n", "\t", "1", "22", "1234567", "½", "٣٤٥", "日本", "かな", "ไทย", "한국", "မြန်", "é", "e\u0301",
         ".", ",", "'s", "'LL", "(", "-x", "😀", "\u3000", "ß", "İ", "नमस्ते"]


def vocabulary(name):
    fields = GGUFReader(HERE.parent / "vocab" / f"{name}.gguf").fields
    strings = lambda key: [bytes(fields[key].parts[i]).decode() for i in fields[key].data]
    tokens = strings("tokenizer.ggml.tokens")
    return {t: i for i, t in enumerate(tokens)}, [tuple(m.split(" ", 1)) for m in strings("tokenizer.ggml.merges")]


def pre():
    cases = []
    for name, vocab_name, patterns in (("afmoe", "bpe", AFMOE), ("glm5", "bpe", [LLAMA3]),
                                       ("granite-embed-multi-97m", "bpe", [O200K]), ("whitespace", "gemma", None)):
        vocab, merges = vocabulary(vocab_name)
        if patterns is None:
            tokenizer = Tokenizer(models.BPE(vocab, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
            tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        else:
            tokenizer = Tokenizer(models.BPE(vocab, merges, ignore_merges=name.startswith("granite")))
            splits = [pre_tokenizers.Split(Regex(p), "isolated") for p in patterns]
            tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
                splits + [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
        for _ in range(40):
            text = "".join(draw.choices(PARTS, k=draw.randint(1, 12)))
            # Two tabs are a token of their own there.
            text = text.replace("\t\t", "\t")
            cases.append({"pre": name, "vocab": vocab_name, "text": text, "ids": tokenizer.encode(text).ids})
    return cases


def save(**parts):
    lines = lambda cases: "[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]"
    body = {k: lines(v) if isinstance(v, list) else json.dumps(v) for k, v in parts.items()}
    (HERE / "goldens.json").write_text("{\n" + ",\n".join(f'"{k}": {v}' for k, v in body.items()) + "\n}\n")


save(bases=BASES, texts=TEXTS, files=files(), templates=templates(), pre=pre())
