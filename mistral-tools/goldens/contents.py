"""Writes contents.json: messages of a chat as the Python package `openai` spells them, and the parts that they hold.

pip install openai==3.57.0; python contents.py > contents.json

Each message is checked with pydantic against the package's own types. The two resources are embedded resources of MCP, which OpenAI's API
does not know; they are written by hand after its specification.
"""

import base64
import json

from openai.types.chat import ChatCompletionMessageParam
from pydantic import TypeAdapter

adapter = TypeAdapter(ChatCompletionMessageParam)
pixels = [bytes(range(length)) for length in (0, 1, 2, 3, 64, 256)]


def url(media_type, data):
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


def text(text):
    return {"type": "text", "text": text}


def image(url, **more):
    return {"type": "image_url", "image_url": {"url": url, **more}}


goldens = []


def add(name, message, parts, openai=True, **more):
    if openai:
        checked = adapter.validate_python(message)["content"]
        # Lists are checked part by part while they are read.
        checked = checked if isinstance(checked, str | None) else list(checked)
        assert checked == message["content"], (checked, message)
    goldens.append({"name": name, "json": message, "parts": parts, **more})


def user(content):
    return {"role": "user", "content": content}


add("a string", user("Hi \"you\"\n"), [["text", "Hi \"you\"\n"]])
add("an empty string", user(""), [])
add("no content next to calls", {"role": "assistant", "content": None, "tool_calls": [
    {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}, [], written="")
add("one part of text", user([text("Hi")]), [["text", "Hi"]], written="Hi")
add("two parts of text", user([text("Hi"), text("you")]), [["text", "Hi"], ["text", "you"]])
add("an address", user([text("What is this?"), image("https://example.com/a.png")]),
    [["text", "What is this?"], ["image", "https://example.com/a.png"]])
add("a detail", user([image("https://example.com/a.png", detail="low")]), [["image", "https://example.com/a.png"]])
for data in pixels:
    add(f"{len(data)} bytes", user([image(url("image/png", data))]), [["image/png", data.hex()]])
add("parameters of a media type", user([image(url("image/svg+xml;charset=utf-8", b"<svg/>"))]),
    [["image/svg+xml;charset=utf-8", b"<svg/>".hex()]])
add("a URL of data that is not base64", user([image("data:image/svg+xml,%3Csvg/%3E")]), [["image", "data:image/svg+xml,%3Csvg/%3E"]])
add("parts of a system message", {"role": "system", "content": [text("a"), text("b")]}, [["text", "a"], ["text", "b"]])
add("parts of a result", {"role": "tool", "tool_call_id": "c1", "content": [text("a"), text("b")]}, [["text", "a"], ["text", "b"]])
add("a resource of text", user([{"type": "resource", "resource": {"uri": "file:///a.md", "mimeType": "text/markdown", "text": "# A"}}]),
    [["file:///a.md", "# A"]], openai=False)
add("a resource of bytes", user([text("See"), {"type": "resource", "resource": {"uri": "file:///b", "blob": "AAEC/w=="}}]),
    [["text", "See"], ["file:///b", "000102ff"]], openai=False)

print(json.dumps(goldens, indent=1))
