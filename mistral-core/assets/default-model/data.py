"""Turns generated documents into weighted, length-bucketed training batches."""

import numpy as np
import torch

from corpus import DEFAULT_MIX, Generator

BUCKETS = (64, 144, 192, 320, 512)
PROMPT_WEIGHT = 0.1


def token_weights(ids, start, end, assistant):
    """Loss weight of each token: 1 for plain text and assistant turns, `PROMPT_WEIGHT` for prompts."""
    if start not in ids:
        return np.ones(len(ids), dtype=np.float32)
    weights = np.full(len(ids), PROMPT_WEIGHT, dtype=np.float32)
    inside = False
    for i, token in enumerate(ids):
        if token == start and i + 1 < len(ids):
            inside = ids[i + 1] == assistant
        elif inside and i >= 2 and ids[i - 2] != start and ids[i - 1] != start:
            weights[i] = 1.0
        if token == end:
            inside = False
    return weights


class Dataset:
    """Encoded documents of one seed."""

    def __init__(self, tokenizer, seed, count, mix=DEFAULT_MIX, chunk=10000):
        start, end = tokenizer.token_to_id("<|im_start|>"), tokenizer.token_to_id("<|im_end|>")
        assistant = tokenizer.encode("assistant").ids
        assert len(assistant) == 1, "the role name has to be one token"
        generator = Generator(seed, mix=mix)
        self.ids, self.weights = [], []
        for first in range(0, count, chunk):
            documents = list(generator.documents(min(chunk, count - first)))
            for encoding in tokenizer.encode_batch(documents):
                if len(encoding.ids) <= BUCKETS[-1] + 1:
                    self.ids.append(np.array(encoding.ids, dtype=np.uint16))
                    self.weights.append(token_weights(encoding.ids, start, end, assistant[0]).astype(np.float16))
        self.tokens = sum(len(d) for d in self.ids)
        self.members = {bucket: [] for bucket in BUCKETS}
        for index, document in enumerate(self.ids):
            self.members[next(b for b in BUCKETS if len(document) <= b + 1)].append(index)

    def batches(self, rng, batch_tokens):
        """One epoch of (inputs, targets, weights, documents' tokens), every row one document."""
        plan = []
        for bucket, members in self.members.items():
            rows = batch_tokens // bucket
            order = rng.permutation(len(members))
            for first in range(0, len(order) - rows + 1, rows):
                plan.append((bucket, [members[i] for i in order[first:first + rows]]))
        for i in rng.permutation(len(plan)):
            yield self.batch(*plan[i])

    def batch(self, bucket, indices):
        inputs = np.zeros((len(indices), bucket), dtype=np.int64)
        targets = np.zeros((len(indices), bucket), dtype=np.int64)
        weights = np.zeros((len(indices), bucket), dtype=np.float32)
        used = 0
        for row, index in enumerate(indices):
            ids = self.ids[index]
            n = len(ids) - 1
            inputs[row, :n], targets[row, :n], weights[row, :n] = ids[:-1], ids[1:], self.weights[index][1:]
            used += n
        return torch.from_numpy(inputs), torch.from_numpy(targets), torch.from_numpy(weights), used
