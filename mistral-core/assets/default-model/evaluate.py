"""Evaluates `model.gguf` with the reference and writes golden.json, tokens.json and evaluation.json.

    python evaluate.py build

A greedy answer equals the expected one exactly when the expected token has the highest logit at every
position of the answer, so exact-match rates come from one forward pass per batch.
"""

import json
import random
import sys
from pathlib import Path

import torch
import torch.nn.functional as F

import words
from arithmetic import draw_problem, evaluate, expression
from chat import fact_turn
from corpus import Generator, Template
from data import Dataset
from export import load_checkpoint
from golden import write_golden, write_tokens
from grammar import article
from reference import HF_NAMES, generate, load_reference
from tools import arithmetic_messages, draw_tools

EVAL_SEED, HELD_OUT_SEED = 555_001, 900_001


@torch.no_grad()
def exact_match(model, tokenizer, pairs, batch=32):
    """Which of the (prompt, answer) texts are continued exactly, greedily."""
    encoded = [(tokenizer.encode(p).ids, tokenizer.encode(a).ids) for p, a in pairs]
    order = sorted(range(len(encoded)), key=lambda i: sum(map(len, encoded[i])))
    hits = [False] * len(pairs)
    for first in range(0, len(order), batch):
        rows = order[first:first + batch]
        width = max(sum(map(len, encoded[i])) for i in rows)
        ids = torch.zeros(len(rows), width, dtype=torch.long)
        for row, i in enumerate(rows):
            both = encoded[i][0] + encoded[i][1]
            ids[row, :len(both)] = torch.tensor(both)
        best = model(input_ids=ids).logits.argmax(-1)
        for row, i in enumerate(rows):
            start, n = len(encoded[i][0]), len(encoded[i][1])
            hits[i] = best[row, start - 1:start - 1 + n].tolist() == encoded[i][1]
    return hits


def rate(hits):
    return round(sum(hits) / max(1, len(hits)), 4)


def split_turn(template, messages, tools, upto):
    """(prompt, answer) texts of the assistant message at index `upto`."""
    prompt = template.render(messages[:upto], tools, generate=True)
    return prompt, template.render(messages[:upto + 1], tools)[len(prompt):].removesuffix("\n")


def tool_accuracy(model, tokenizer, template, count=500):
    rng = random.Random(EVAL_SEED)
    calls, answers, digits = [], [], []
    for _ in range(count):
        problem = draw_problem(rng, want_held_out=True, simple=True)
        messages = arithmetic_messages(rng, problem)
        messages[2]["content"] = evaluate(expression(problem))
        tools = draw_tools(rng)
        calls.append(split_turn(template, messages, tools, 1))
        answers.append(split_turn(template, messages, tools, 3))
        digits.append(max(len(n) for n in problem[0]))
    hits = exact_match(model, tokenizer, calls)
    result = {"held_out_calls": count, "call_exact_match": rate(hits),
              "answer_exact_match": rate(exact_match(model, tokenizer, answers))}
    for n in range(1, 6):
        result[f"call_exact_match_{n}_digits"] = rate([h for h, d in zip(hits, digits) if d == n])
    misses = [(p, a) for (p, a), h in zip(calls, hits) if not h][:5]
    return result, [f"{p.split('user')[-1].split('<|im_end|>')[0].strip()} -> {a}" for p, a in misses]


CUSTOM_TOOL = {"type": "function", "function": {
    "name": "calculator", "description": "A helper of this program which takes a formula as text and gives back a number",
    "parameters": {"type": "object", "properties": {"expression": {
        "type": "string", "description": "the formula, written with digits and signs"}}, "required": ["expression"]}}}


def custom_tool_accuracy(model, tokenizer, template, count=200):
    """The same with one tool description that training never shows."""
    rng = random.Random(EVAL_SEED + 1)
    calls = []
    for _ in range(count):
        messages = arithmetic_messages(rng, draw_problem(rng, want_held_out=True, simple=True))
        calls.append(split_turn(template, messages, [CUSTOM_TOOL], 1))
    return rate(exact_match(model, tokenizer, calls))


def fact_accuracy(model, tokenizer, template, count=300):
    rng = random.Random(EVAL_SEED + 2)
    pairs = []
    for _ in range(count):
        ask, answer = fact_turn(rng)
        pairs.append(split_turn(template, [{"role": "user", "content": ask}, {"role": "assistant", "content": answer}],
                                None, 1))
    return rate(exact_match(model, tokenizer, pairs))


def story_requests(model, tokenizer, template, count=48):
    """How often a story about an animal and an object has both in it, and ends by itself."""
    rng = random.Random(EVAL_SEED + 3)
    prompts, wanted = [], []
    for _ in range(count):
        animal, thing = rng.choice(words.ANIMALS), f"{rng.choice(words.COLORS)} {rng.choice(words.TOYS)}"
        ask = f"Tell me a story about {article(animal)} and {article(thing)}."
        prompts.append(tokenizer.encode(template.render([{"role": "user", "content": ask}], generate=True)).ids)
        wanted.append((animal, thing))
    outs = generate(model, prompts)
    texts = [tokenizer.decode(ids) for ids, _ in outs]
    return {"story_requests": count, "animal_in_story": rate([a in t for t, (a, _) in zip(texts, wanted)]),
            "colored_object_in_story": rate([o in t for t, (_, o) in zip(texts, wanted)]),
            "object_in_story": rate([o.split()[1] in t for t, (_, o) in zip(texts, wanted)]),
            "story_ends": rate([done for _, done in outs])}


@torch.no_grad()
def check_against_checkpoint(reference, checkpoint):
    """Largest logit differences of the reference to our model, with the file's and with the float weights."""
    ids = torch.randint(0, checkpoint.cfg.vocab, (4, 96), generator=torch.Generator().manual_seed(3))
    theirs, ours = reference(input_ids=ids).logits, checkpoint(ids)
    float_gap = (theirs - ours).abs().max().item()
    names = {"embed": "model.embed_tokens", "norm": "model.norm"}
    state = {k: v.clone() for k, v in checkpoint.state_dict().items()}
    source = reference.state_dict()
    for name in state:
        parts = name.split(".")
        key = (f"model.layers.{parts[1]}.{HF_NAMES[parts[2]]}.weight" if parts[0] == "blocks"
               else names[parts[0]] + ".weight")
        state[name] = source[key]
    checkpoint.load_state_dict(state)
    same_gap = (theirs - checkpoint(ids)).abs().max().item()
    assert same_gap < 2e-3, same_gap
    return {"logit_gap_same_weights": same_gap, "logit_gap_float_weights": round(float_gap, 4)}


@torch.no_grad()
def quantized_loss(model, tokenizer):
    dataset = Dataset(tokenizer, HELD_OUT_SEED, 800)
    total = weight_sum = 0.0
    for bucket, members in dataset.members.items():
        for first in range(0, min(len(members), 64), 16):
            inputs, targets, weights, _ = dataset.batch(bucket, members[first:first + 16])
            mask = (weights > 0.5).float().flatten()
            losses = F.cross_entropy(model(input_ids=inputs).logits.flatten(0, 1), targets.flatten(), reduction="none")
            total, weight_sum = total + (losses * mask).sum().item(), weight_sum + mask.sum().item()
    return round(total / weight_sum, 4)


SAMPLE_PROMPTS = [
    ("plain", "Once upon a time, there was a little fox named"), ("plain", "One day, a girl"),
    ("plain", "Once upon a time,"), ("plain", "The sun was shining."),
    ("chat", "Tell me a story about a cat and a red ball."), ("chat", "Hello, who are you?"),
    ("chat", "Tell me a story about a dragon named Otto and a blue umbrella."), ("chat", "What does a cow say?"),
    ("chat", "What is the capital of France?"), ("chat", "What is 37 * 43?"), ("chat", "hi"),
    ("chat", "Write a short story about a lonely lighthouse."), ("tool", "What is 37 * 43?"),
    ("tool", "What is 1234 plus 98765?"), ("tool", "Hello, who are you?"),
]


def samples(model, tokenizer, template):
    lines = []
    for temperature in (0.0, 0.7):
        prompts = []
        for kind, text in SAMPLE_PROMPTS:
            if kind != "plain":
                text = template.render([{"role": "user", "content": text}], [CUSTOM_TOOL] if kind == "tool" else None,
                                       generate=True)
            prompts.append(tokenizer.encode(text).ids)
        for (kind, text), (ids, done) in zip(SAMPLE_PROMPTS, generate(model, prompts, 190, temperature)):
            shown = tokenizer.decode(ids, skip_special_tokens=False)
            lines.append(f"[{kind} t={temperature}] {text} => {shown}{'' if done else ' (no end)'}")
    return "\n".join(lines)


def evaluate_gguf(folder):
    checkpoint, tokenizer = load_checkpoint(folder)
    template = Template()
    model = load_reference(folder / "model.gguf")
    result = check_against_checkpoint(model, checkpoint)
    write_golden(folder, model, tokenizer, template)
    write_tokens(folder, tokenizer, Generator(4), template)
    result["held_out_loss_q8_0"] = quantized_loss(model, tokenizer)
    tool_rates, misses = tool_accuracy(model, tokenizer, template)
    result |= tool_rates
    result["custom_tool_call_exact_match"] = custom_tool_accuracy(model, tokenizer, template)
    result["fact_exact_match"] = fact_accuracy(model, tokenizer, template)
    result |= story_requests(model, tokenizer, template)
    print(json.dumps(result, indent=1))
    print("missed calls:", *misses, sep="\n  ")
    print(samples(model, tokenizer, template), flush=True)
    (folder / "evaluation.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    torch.set_num_threads(2)
    evaluate_gguf(Path(sys.argv[1] if len(sys.argv) > 1 else "build"))
