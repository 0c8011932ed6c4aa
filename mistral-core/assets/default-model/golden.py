"""Golden files for other implementations: greedy continuations and token ids."""

import json
import random

from reference import greedy
from stories import draw_long_enough

CALCULATOR = {"type": "function", "function": {
    "name": "calculator", "description": "Evaluates an arithmetic expression",
    "parameters": {"type": "object", "properties": {
        "expression": {"type": "string", "description": "The expression to evaluate"}}, "required": ["expression"]}}}

MIN_MARGIN = 0.05
LENGTH = 48


def user(text):
    return {"role": "user", "content": text}


def called(expression):
    return {"role": "assistant", "content": "", "tool_calls": [
        {"type": "function", "function": {"name": "calculator", "arguments": {"expression": expression}}}]}


def candidates(template):
    """(kind, how many to keep, prompt texts)."""
    system = {"role": "system", "content": "You are a helpful assistant."}

    rng = random.Random(8)
    stories = [draw_long_enough(rng).text for _ in range(16)]

    def chat(*messages, tools=None):
        return template.render(list(messages), tools, generate=True)

    return [
        ("story end", 2, [story[:len(story) * 4 // 5].rsplit(" ", 1)[0] for story in stories]),
        ("story", 2, ["Once upon a time, there was a little fox named", "Once upon a time,", "One day, a girl",
                      "Once upon a time, there was a little robot named", "Long ago, a brave mouse",
                      "Once upon a time, there was a kind bear named Bruno.", "The sun was shining.",
                      "In a small house by the river lived a", "Once upon a time, a shy rabbit lived in the forest.",
                      "There once was a clever cat named", "Mia had a red ball.", "Once upon a time, there was a dog."]),
        ("chat", 2, [chat(user("Hello, who are you?")), chat(system, user("What does a cow say?")),
                     chat(user("Tell me a story about a cat and a red ball.")), chat(user("What is 37 * 43?"))]),
        ("story request", 1, [chat(user(f"Tell me a story about {x}.")) for x in (
            "a cat and a red ball", "a fox named Pip", "a bear and a golden key", "a dog and a blue kite",
            "a robot and a red hat", "a mouse", "a girl named Mia and a green boat", "an owl and a book")]),
        ("tool question", 2, [chat(user("What is 37 * 43?"), tools=[CALCULATOR]),
                              chat(system, user("How much is 1208 plus 77?"), tools=[CALCULATOR]),
                              chat(user("Subtract 19 from 402."), tools=[CALCULATOR])]),
        ("tool response", 1, [chat(user("What is 37 * 43?"), called("37 * 43"), {"role": "tool", "content": "1591"},
                                   tools=[CALCULATOR]),
                              chat(user("What is 96 / 8?"), called("96 / 8"), {"role": "tool", "content": "12"},
                                   tools=[CALCULATOR])]),
    ]


def entry(kind, prompt, model, tokenizer):
    """One golden entry, cut before the first step whose two best logits are too close to be portable."""
    ids = tokenizer.encode(prompt).ids
    out, margins = greedy(model, ids, LENGTH)
    keep = next((i for i, margin in enumerate(margins) if margin <= MIN_MARGIN), len(out))
    return {"kind": kind, "prompt": prompt, "prompt_ids": ids, "greedy_ids": out[:keep],
            "text": tokenizer.decode(out[:keep], skip_special_tokens=False),
            "min_margin": round(min(margins[:keep], default=0.0), 4), "cut": keep < len(out)}


def write_golden(folder, model, tokenizer, template):
    entries = []
    for kind, keep, prompts in candidates(template):
        found = [entry(kind, prompt, model, tokenizer) for prompt in prompts]
        found.sort(key=lambda e: (e["cut"], -len(e["greedy_ids"])))
        entries += found[:keep]
        print(kind, [(len(e["greedy_ids"]), e["min_margin"]) for e in found])
    (folder / "golden.json").write_text(json.dumps(entries, indent=1, ensure_ascii=False) + "\n")


TEXTS = [
    "", "Hello", "Hello, world!", " leading space", "trailing space ", "  two  spaces   and more", "Once upon a time,",
    "a\nb", "a\n\nb\n", "\n", "\n\n\n", "\r\nwindows\r\nlines\r\n", "tab\tand\t\ttabs", "12345", "1 22 333 4444",
    "37 * 43 = 1591", "3.14159", "x=1;y=2", "It's Tom's, isn't it? I'LL see; we've 'd",
    "don\u2019t", "caf\u00e9 na\u00efve \u00fcber", "Stra\u00dfe gro\u00df \u00c4rger",
    "\u65e5\u672c\u8a9e\u306e\u30c6\u30b9\u30c8",
    "\u4f60\u597d\uff0c\u4e16\u754c\uff01", "\u041f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440!", "\u0645\u0631\u062d\u0628\u0627",
    "\U0001f600 smile \U0001f469\u200d\U0001f680", "e\u0301 combining", "\u00bd \u00b2 \u0663\u0664 \u2167",
    "\u00a0nbsp\u00a0here\u2003wide",
    "{\"name\": \"calculator\", \"arguments\": {\"expression\": \"37 * 43\"}}", "((a+b)*c)/d - [x] {y} <z>",
    "!!! ??? ...", "CamelCaseWord snake_case_word kebab-case", "http://example.com/a?b=c&d=%20",
    "<|im_start|>user\nHi<|im_end|>\n",
    "<|endoftext|>", "<|im_start|><|im_end|>", "a<|im_end|>b",
    "<tool_call>\n{\"name\": \"clock\", \"arguments\": {}}\n</tool_call>",
    "<tool_response>\n12\n</tool_response>", "<tools>\n</tools>", " <tools> x </tools> ", "<tool_call", "<|im_start",
    "The little fox found a shiny key under the old tree.", "\u0000\u0001 control", "end.\n\n  Next line",
]


def write_tokens(folder, tokenizer, generator, template):
    texts = TEXTS + [generator.document() for _ in range(4)]
    texts.append(template.render([user("What is 37 * 43?")], [CALCULATOR], generate=True))
    rows = [{"text": text, "ids": tokenizer.encode(text).ids} for text in texts]
    for row in rows:
        assert tokenizer.decode(row["ids"], skip_special_tokens=False) == row["text"], row
    (folder / "tokens.json").write_text(json.dumps(rows, indent=None, ensure_ascii=False).replace("}, {", "},\n{") + "\n")
