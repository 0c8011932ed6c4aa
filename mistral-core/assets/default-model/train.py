"""Builds the default model from nothing: tokenizer, training, quantized GGUF, evaluation.

    python train.py --minutes 55 --out build

The learning rate follows whichever is further along, the step count or the time limit, so that a run
on a slower machine still ends with a complete schedule.
"""

import argparse
import json
import math
import os
import time
from pathlib import Path

# On a machine that does other work too, spinning threads would waste most of the time at barriers.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer

from corpus import DEFAULT_MIX, Generator
from data import Dataset
from evaluate import evaluate_gguf
from export import write_gguf
from model import Config, Model
from tokenizer_build import train_tokenizer

HELD_OUT_SEED, TOKENIZER_SEED = 900_001, 77


def learning_rate(progress, step, peak, warmup, floor=0.02):
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress))))


def make_optimizer(model, decay):
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    vectors = [p for p in model.parameters() if p.dim() < 2]
    groups = [{"params": matrices, "weight_decay": decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.98), eps=1e-9, fused=True)


@torch.no_grad()
def held_out_loss(model, dataset, documents=600):
    """Weighted mean loss over all tokens that the model is meant to produce."""
    total = weight_sum = 0.0
    for bucket, members in dataset.members.items():
        members = members[: documents // 5]
        for first in range(0, len(members), 16):
            inputs, targets, weights, _ = dataset.batch(bucket, members[first:first + 16])
            weights = (weights > 0.5).float()
            losses = F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten(), reduction="none")
            total += (losses * weights.flatten()).sum().item()
            weight_sum += weights.sum().item()
    return total / weight_sum


def save(path, model, tokenizer, info):
    torch.save({"config": model.cfg.as_dict(), "state": model.state_dict(), "info": info}, path / "model.pt")
    tokenizer.save(str(path / "tokenizer.json"))


def train(args):
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    started = time.time()
    cfg = Config(vocab=args.vocab, dim=args.dim, layers=args.layers, heads=args.dim // 32, ffn=args.ffn)
    if args.resume:
        tokenizer = Tokenizer.from_file(str(args.resume / "tokenizer.json"))
    else:
        tokenizer = train_tokenizer(Generator(TOKENIZER_SEED).documents(30000), cfg.vocab)
    dataset = Dataset(tokenizer, args.data_seed, args.docs, args.mix)
    held_out = Dataset(tokenizer, HELD_OUT_SEED, args.held_out_docs)
    model = Model(cfg)
    if args.resume:
        model.load_state_dict(torch.load(args.resume / "model.pt")["state"])
    optimizer = make_optimizer(model, args.decay)
    print(f"{model.count()} weights, {len(dataset.ids)} documents, {dataset.tokens} tokens, "
          f"prepared in {time.time() - started:.0f} s", flush=True)

    def loss_of(inputs, targets, weights):
        logits = model(inputs).float()
        losses = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
        return (losses * weights.flatten()).sum() / weights.sum()

    if args.compile:
        loss_of = torch.compile(loss_of, dynamic=False)
    rng = np.random.default_rng(args.seed)
    start, step, seen, smooth, last_save = time.time(), 0, 0, None, time.time()
    progress = 0.0
    while progress < 1.0:
        for inputs, targets, weights, used in dataset.batches(rng, args.batch_tokens):
            elapsed = time.time() - start
            progress = max(step / args.steps, elapsed / (60 * args.minutes))
            if progress >= 1.0:
                break
            lr = learning_rate(progress, step, args.lr, args.warmup)
            for group in optimizer.param_groups:
                group["lr"] = lr
            with torch.autocast("cpu", torch.bfloat16, enabled=not args.f32):
                loss = loss_of(inputs, targets, weights)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            step, seen = step + 1, seen + used
            smooth = loss.item() if smooth is None else 0.98 * smooth + 0.02 * loss.item()
            if step % 25 == 0:
                print(f"step {step} loss {smooth:.4f} lr {lr:.2e} tokens {seen} {seen / elapsed:.0f}/s "
                      f"progress {progress:.3f}", flush=True)
            if time.time() - last_save > 60 * args.save_minutes:
                info = {"held_out_loss": held_out_loss(model, held_out), "step": step}
                print(info, flush=True)
                save(args.out, model, tokenizer, info)
                last_save = time.time()
    info = {"steps": step, "tokens_seen": seen, "train_minutes": round((time.time() - start) / 60, 1),
            "train_loss": round(smooth, 4), "held_out_loss": round(held_out_loss(model, held_out), 4),
            "weights": model.count(), "corpus_tokens": dataset.tokens, "config": cfg.as_dict(),
            "peak_lr": args.lr, "batch_tokens": args.batch_tokens, "decay": args.decay}
    save(args.out, model, tokenizer, info)
    (args.out / "training.json").write_text(json.dumps(info, indent=1) + "\n")
    print(json.dumps(info), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build"))
    parser.add_argument("--minutes", type=float, default=52)
    parser.add_argument("--steps", type=int, default=12000)
    parser.add_argument("--docs", type=int, default=200_000)
    parser.add_argument("--batch-tokens", type=int, default=4096)
    parser.add_argument("--lr", type=float, default=2.5e-3)
    parser.add_argument("--decay", type=float, default=0.05)
    parser.add_argument("--vocab", type=int, default=2048)
    parser.add_argument("--dim", type=int, default=192)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--ffn", type=int, default=512)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--held-out-docs", type=int, default=3000)
    parser.add_argument("--data-seed", type=int, default=1, help="seed of the training documents")
    parser.add_argument("--mix", type=float, nargs=3, default=DEFAULT_MIX, help="shares of stories, chats, tools")
    parser.add_argument("--warmup", type=int, default=150)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--save-minutes", type=float, default=5)
    parser.add_argument("--f32", action="store_true", help="train without bfloat16")
    parser.add_argument("--no-compile", dest="compile", action="store_false")
    parser.add_argument("--resume", type=Path, help="folder with model.pt and tokenizer.json to start from")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    train(args)
    write_gguf(args.out)
    evaluate_gguf(args.out)


if __name__ == "__main__":
    main()
