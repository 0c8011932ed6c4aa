"""Makes calls.json: calls as models write them when they are careless, and the arguments that are meant.

    python3 mistral-tools/goldens/calls.py > mistral-tools/goldens/calls.json

Each case is the text of one turn with one call of the tool `f`, which takes `parameters`; nothing else of the text may come out.
`arguments` is null where the call must be incomplete. The marks are those of the models' own chat templates.
"""

import json
import sys

TEXT = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}, "n": {"type": "integer"}}}

# Before the call, around a parameter's key, before and after a value, after the call; what closes the value, what closes the call
# without the rest.
TAGGED = {
    "QwenCoder": ("<tool_call>\n<function={f}>\n", "<parameter={k}>\n", "\n</parameter>\n", "</function>\n</tool_call>"),
    "Seed": ("<seed:tool_call>\n<function={f}>\n", "<parameter={k}>", "</parameter>\n", "</function>\n</seed:tool_call>"),
    "Glm": ("<tool_call>{f}\n", "<arg_key>{k}</arg_key>\n<arg_value>", "</arg_value>\n", "</tool_call>"),
    "Hunyuan": (
        "<tool_calls:opensource>\n<tool_call:opensource>{f}<tool_sep:opensource>\n",
        "<arg_key:opensource>{k}</arg_key:opensource>\n<arg_value:opensource>",
        "</arg_value:opensource>\n",
        "</tool_call:opensource>\n</tool_calls:opensource>",
    ),
    "MiniMaxM2": ("<minimax:tool_call>\n<invoke name={f}>\n", "<parameter name={k}>", "</parameter>\n", "</invoke>\n</minimax:tool_call>"),
    "Muse": (
        "<atem:function_calls>\n<atem:invoke name={f}>\n",
        "<atem:parameter name={k}>",
        "</atem:parameter>\n",
        "</atem:invoke>\n</atem:function_calls>",
    ),
    "DeepSeekV32": (
        '<｜DSML｜function_calls>\n<｜DSML｜invoke name="{f}">\n',
        '<｜DSML｜parameter name="{k}" string="true">',
        "</｜DSML｜parameter>\n",
        "</｜DSML｜invoke>\n</｜DSML｜function_calls>",
    ),
    "KimiK3": (
        '<|open|>tools<|sep|><|open|>call tool="{f}" index="1"<|sep|>',
        '<|open|>argument key="{k}" type="string"<|sep|>',
        "<|close|>argument<|sep|>",
        "<|close|>call<|sep|><|close|>tools<|sep|>",
    ),
}
MARK = "]<]minimax[>["
NATIVE_QUOTES = ("MiniMaxM2", "Muse")
FIXED_QUOTES = ("DeepSeekV32", "KimiK3")

cases = []


def case(dialect, text, arguments, parameters=TEXT):
    cases.append({"dialect": dialect, "parameters": parameters, "text": text, "arguments": arguments})


def tagged():
    for dialect, (begin, key, value_end, end) in TAGGED.items():
        quote = '"{}"' if dialect in NATIVE_QUOTES else "{}"

        def call(*parameters, quote=quote, end=end):
            text = begin.format(f=quote.format("f"))
            for name, value, closed in parameters:
                text += key.format(k=quote.format(name)) + value + (closed if isinstance(closed, str) else value_end)
            return text + end

        mark = value_end.strip()
        case(dialect, call(("a", "x", 1), ("b", "z", 1)), {"a": "x", "b": "z"})
        # The closing mark inside of a value, more than once.
        for inside in [f"x {mark} y", f"{mark}x", f"x{mark}{mark}y", f"x {mark[:-1]} y", f"if (a {mark}\n\nb) x"]:
            case(dialect, call(("a", inside, 1), ("b", "z", 1)), {"a": inside, "b": "z"})
            case(dialect, call(("b", "z", 1), ("a", inside, 1)), {"b": "z", "a": inside})
        # A closing mark that is left out: the next parameter ends the value.
        newline = "\n" if "\n" in value_end[:1] else ""
        case(dialect, call(("a", "x", newline), ("b", "z", 1)), {"a": "x", "b": "z"})
        case(dialect, call(("a", "x y", newline), ("b", "z", newline), ("n", "q", 1)) if dialect in FIXED_QUOTES
             else call(("a", "x y", newline), ("b", "z", newline), ("n", "3", 1)),
             {"a": "x y", "b": "z", "n": "q" if dialect in FIXED_QUOTES else 3})
        # The last one: the end of the call and that of the section end it, where there are two.
        if dialect != "Glm":
            case(dialect, call(("a", "x", newline)), {"a": "x"})
        else:
            case(dialect, call(("a", "x", "")), None)
        # The turn ends in a value.
        case(dialect, call(("a", "x", ""), end=""), None)
        case(dialect, call(("a", "x", 1), end=""), None)
        if dialect not in FIXED_QUOTES:
            for quote in ['"{}"', "'{}'", "{}"]:
                case(dialect, call(("a", "x", 1), ("b", '"z"', 1), quote=quote), {"a": "x", "b": '"z"'})


def elements():
    begin, end = f"{MARK}<tool_call>\n{MARK}<invoke name={{}}>", f"{MARK}</invoke>\n{MARK}</tool_call>"

    def call(inside, name='"f"'):
        return begin.format(name) + inside.replace("$", MARK) + end

    for name in ['"f"', "'f'", "f"]:
        case("MiniMaxM3", call("$<a>x$</a>$<b>z$</b>", name), {"a": "x", "b": "z"})
    case("MiniMaxM3", call("$<a>x $</a> y$</a>$<b>z$</b>"), {"a": f"x {MARK}</a> y", "b": "z"})
    case("MiniMaxM3", call("$<a>x <b> $$ $<q> y$</a>"), {"a": f"x <b> {MARK}{MARK} {MARK}<q> y"})
    case("MiniMaxM3", call("$<a>x$<b>z$</b>"), {"a": "x", "b": "z"})
    case("MiniMaxM3", call("$<a>x"), {"a": "x"})


def objects():
    arguments = {"a": "x", "b": "}, {"}
    marks = {
        "Hermes": ("<tool_call>\n", "\n</tool_call>", "name", "arguments"),
        "Llama3": ("<|python_tag|>", "<|eom_id|>", "name", "parameters"),
        "MistralList": ("[TOOL_CALLS][", "]", "name", "arguments"),
        "Granite": ("<|tool_call|>[", "]", "name", "arguments"),
        "CommandR": ("<|START_ACTION|>[\n", "\n]<|END_ACTION|>", "tool_name", "parameters"),
        "CommandRPlus": ("Action:\n```json\n[\n", "\n]```", "tool_name", "parameters"),
        "Phi4": ("<|tool_call|>[", "]<|/tool_call|>", "name", "arguments"),
        "Apriel": ("<tool_calls>[", "]</tool_calls>", "name", "arguments"),
        "MiniMaxM1": ("<tool_calls>\n", "\n</tool_calls>", "name", "arguments"),
        "GigaChat": ("<|function_call|>", "", "name", "arguments"),
        "Json": ("<tool_call>", "</tool_call>", "name", "arguments"),
    }
    extras = [("thought", "so {it} is"), ("more", [1, {"name": "g"}]), ("type", "function"), ("x", None)]
    for dialect, (begin, end, name, parameters) in marks.items():
        pairs = [(name, "f"), (parameters, arguments)]
        for order in (pairs, pairs[::-1]):
            for extra in extras:
                for place in range(3):
                    members = order[:place] + [extra] + order[place:]
                    case(dialect, begin + json.dumps(dict(members)) + end, arguments)
        # The last of equal keys counts, as in every reader of JSON; after the arguments nothing can be taken back.
        twice = "{" + f'"{name}": "g", "{name}": "f", "{parameters}": {json.dumps(arguments)}' + "}"
        case(dialect, begin + twice + end, arguments)
        twice = "{" + f'"{name}": "f", "{parameters}": {{}}, "{parameters}": {{"a": "x"}}' + "}"
        case(dialect, begin + twice + end, None)
        case(dialect, begin + json.dumps({name: "f", parameters: json.dumps(arguments)}) + end, arguments)
        case(dialect, begin + "{" + f'"{name}": "f", "{parameters}": {{"a": [1}}' + "}" + end, None)
        case(dialect, begin + "{" + f'"{name}": "f", "{parameters}": {{"a": 01}}' + "}" + end, None)
    for fence in ["```", "```json"]:
        for dialect in ["Json", "Llama3"]:
            case(dialect, f"{fence}\n" + json.dumps({"name": "f", "parameters": arguments}) + "\n```", arguments)


def literals():
    text = {"type": "object", "properties": {}}
    python = {
        "Lfm2": ("<|tool_call_start|>[", "]<|tool_call_end|>"),
        "Olmo3": ("<function_calls>\n", "\n</function_calls>"),
        "Llama4": ("<|python_start|>[", "]<|python_end|>"),
    }
    for dialect, (begin, end) in python.items():
        # Quotes that nobody has escaped, as LFM2.5's own template writes them.
        for inside, meant in [
            ("s='it's', t='so'", {"s": "it's", "t": "so"}),
            ("s='say 'hi', he said'", {"s": "say 'hi', he said"}),
            ('s="say "hi" now"', {"s": 'say "hi" now'}),
            ("s='a' 'b', n=- 3, l=(1,)", {"s": "ab", "n": -3, "l": [1]}),
            ("s=b'x'", None),
            ("s=f'x'", None),
            ("s='x', s='y'", None),
            ("n=1 + 1", None),
            ("s=New York", None),
        ]:
            case(dialect, f"{begin}f({inside}){end}", meant, text)
    gemma = {"Gemma4": ("<|tool_call>call:", "<tool_call|>", '<|"|>'), "FunctionGemma": ("<start_function_call>call:", "<end_function_call>", "<escape>")}
    for dialect, (begin, end, mark) in gemma.items():
        for inside, meant in [
            ("a:$say $hi$ now$", {"a": f"say {mark}hi{mark} now"}),
            ("a:$say $hi$, and go$,b:$z$", {"a": f"say {mark}hi{mark}, and go", "b": "z"}),
            ('l:["ds_1","d\\"s"]', {"l": ["ds_1", 'd"s']}),
            ('a:"x, y",b:$z$', {"a": "x, y", "b": "z"}),
            ('o:{$k$:$v$,k2:["x",{}]}', {"o": {"k": "v", "k2": ["x", {}]}}),
            ('"a":$x$', {"a": "x"}),
            ("a:$x", None),
            ("a:[1,,2]", None),
            ("a:x y", {"a": "x y"}),
            ("a:'x',b:'it's'", {"a": "x", "b": "it's"}),
        ]:
            case(dialect, f"{begin}f{{{inside.replace('$', mark)}}}{end}", meant, text)


def types():
    definitions = {"S": {"type": "string"}, "E": {"enum": ["1", "2", None]}, "N": {"$ref": "#/$defs/S"}, "T": {"type": ["string", "null"]}}
    for schema, text, value in [
        ({"allOf": [{"$ref": "#/$defs/S"}]}, "42", "42"),
        ({"allOf": [{"$ref": "#/$defs/N"}], "description": "x"}, "42", "42"),
        ({"$ref": "#/$defs/N", "type": ["string", "integer"]}, "42", "42"),
        ({"anyOf": [{"$ref": "#/$defs/S"}, {"type": "null"}]}, "42", "42"),
        ({"anyOf": [{"$ref": "#/$defs/S"}, {"type": "null"}]}, "null", None),
        ({"allOf": [{"type": ["integer", "string"]}, {"type": ["string", "boolean"]}]}, "42", "42"),
        ({"allOf": [{"$ref": "#/$defs/E"}]}, "1", "1"),
        ({"enum": ["1", "2"], "type": "string"}, "1", "1"),
        ({"enum": [1, 2]}, "1", 1),
        ({"const": "1"}, "1", "1"),
        ({"oneOf": [{"const": 1}, {"const": True}]}, "true", True),
        ({"type": "string", "nullable": True}, "null", None),
        ({"$ref": "#/$defs/T"}, "true", "true"),
        ({"type": "integer"}, "42", 42),
        ({}, "42", 42),
    ]:
        parameters = {"type": "object", "properties": {"v": schema}, "$defs": definitions}
        begin, key, value_end, end = TAGGED["QwenCoder"]
        text = begin.format(f="f") + key.format(k="v") + text + value_end + end
        case("QwenCoder", text, {"v": value}, parameters)
    # The properties themselves behind a reference.
    inside = {"P": {"type": "object", "properties": {"v": {"type": "string"}}}}
    for parameters in [{"allOf": [{"$ref": "#/$defs/P"}], "$defs": inside}, {"$ref": "#/$defs/P", "$defs": inside}]:
        begin, key, value_end, end = TAGGED["Glm"]
        case("Glm", begin.format(f="f") + key.format(k="v") + "42" + value_end + end, {"v": "42"}, {"type": "object", **parameters})


for make in (tagged, elements, objects, literals, types):
    make()
json.dump(cases, sys.stdout, indent=0, ensure_ascii=False)
print()
