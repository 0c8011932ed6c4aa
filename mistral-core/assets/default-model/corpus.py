"""Corpus generator: documents of stories, chats and tool calls, deterministic from a seed.

    python corpus.py --seed 1 --docs 1000 --out corpus.txt

A document is plain text that ends with <|endoftext|>. Chats are rendered with `chat_template.jinja`.
"""

import argparse
import json
import random
from pathlib import Path

import jinja2

from chat import conversation
from stories import draw_long_enough
from tools import tool_conversation

HERE = Path(__file__).parent
END = "<|endoftext|>"
DEFAULT_MIX = (0.36, 0.39, 0.25)  # by tokens about 29 %, 29 % and 42 %


class Template:
    """The chat template, rendered the way common runtimes do."""

    def __init__(self, path=HERE / "chat_template.jinja"):
        self.source = path.read_text()
        self.compact = False
        environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
        environment.filters["tojson"] = self._tojson
        self.template = environment.from_string(self.source)

    def _tojson(self, value):
        separators = (",", ":") if self.compact else None
        return json.dumps(value, ensure_ascii=False, separators=separators)

    def render(self, messages, tools=None, generate=False, compact_tools=False):
        if compact_tools and tools:
            self.compact = True
            head = self.template.render(messages=messages[:1], tools=tools, add_generation_prompt=False)
            self.compact = False
            full = self.template.render(messages=messages, tools=tools, add_generation_prompt=generate)
            spaced = self.template.render(messages=messages[:1], tools=tools, add_generation_prompt=False)
            return head + full[len(spaced):]
        return self.template.render(messages=messages, tools=tools, add_generation_prompt=generate)


class Generator:
    """Yields documents. `mix` holds the shares of stories, chats and tool conversations by document."""

    def __init__(self, seed, template=None, mix=DEFAULT_MIX):
        self.rng = random.Random(seed)
        self.stories, self.chats = mix[0], mix[0] + mix[1]
        self.template = template or Template()

    def document(self):
        roll = self.rng.random()
        if roll < self.stories:
            return draw_long_enough(self.rng).text + END
        if roll < self.chats:
            return self.template.render(conversation(self.rng)) + END
        messages, tools = tool_conversation(self.rng)
        compact = self.rng.random() < 0.25
        return self.template.render(messages, tools, compact_tools=compact) + END

    def documents(self, count):
        for _ in range(count):
            yield self.document()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--docs", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=Path("corpus.txt"))
    args = parser.parse_args()
    with args.out.open("w") as out:
        for document in Generator(args.seed).documents(args.docs):
            out.write(document + "\n")


if __name__ == "__main__":
    main()
