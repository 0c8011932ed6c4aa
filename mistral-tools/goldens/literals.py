"""Makes literals.json: arguments of Python calls and the JSON of what `ast.literal_eval` reads in them.

    python3 mistral-tools/goldens/literals.py > mistral-tools/goldens/literals.json

Needs nothing but Python 3. `json` is null where Python refuses the literal or JSON has no value for it: such a call is incomplete.
Sets become lists in the order in which they are written.
"""

import ast
import json
import random
import sys
import warnings

warnings.simplefilter("ignore")

BY_HAND = r"""
'' | "" | '''''' | "a" | 'it\'s' | "say \"hi\"" | 'say "hi"' | "it's"
'''a'b''' | '''a''b''' | '''x''' | \"\"\"a"b\"\"\" | '''a\'''b''' | 'a' 'b' | 'a'"b" | 'a''b' | 'a' "b" '''c''' | ('a' 'b') | 'a' r'\n' | u'a' | U"a" | u'a' 'b'
r'\d' | R"\d+" | r'\'' | r'a\\b' | r'' | r'''\'''' | r"\"x" 'y' | 'C:\\new' | '\d' | '\q\/' | 'a\/b'
'\033[31m' | '\0' | '\1' | '\18' | '\1234' | '\x41\x1b' | '\u00e9' | '\U0001f600' | '\a\b\f\n\r\t\v' | '\\\'\"' | '\777' | '\08'
'a\
b' | 'é｜😀' | '\ud83d\ude00' | '{}' | '[1, 2' | ')' | 'a, b=1' | "a)" | ', ' | 'f(x)' | '<|tool_call_end|>'
b'x' | B"x" | rb'x' | Rb'x' | bR'x' | f'x' | f"{1}" | rf'x' | fr'x' | 'a' b'b' | 'a' f'b'
'\x4' | '\u12' | '\U00110000' | '\xzz'
0 | 1 | -1 | +1 | - 3 | + 3 | -  0 | 00 | 0_0 | 007 | 1_000 | 1__0 | 1_ | _1_0e | 0x1F | 0X_ff | 0o17 | 0O1 | 0b101 | 0B1 | 0x | 0b2 | 0o8
123456789012345678901234567890 | -123456789012345678901234567890 | 0xffffffffffffffffffffffffffffffff | 9007199254740993
.5 | -.5 | 1. | -1. | 1.5 | 1.10 | 1e5 | 1E5 | 1e+5 | 1e-5 | .5e1 | 1.e2 | 1_0.0_1 | 1e1_0 | 0.0 | -0.0 | 01.5 | 0e0 | 00.5e-1 | 1e400 | -1e999 | [1e309] | 1e308 | 1_0e3_0_0
1j | 1+2j | 1 + 2 | 1-2 | 2 ** 3 | --1 | +-1 | ~1 | not True | 1 if True else 2 | ... | 1.2.3 | 1e | 1e+ | 0x1p3 | 12abc | 2024-01-01 | 1,
True | False | None | -True | - None
[] | [1] | [1,] | [1, 2] | [ 1 , 2 , ] | [[], [[]]] | [,] | [1,,2] | [1 2] | [1, 'a' 'b', None, True]
() | (1) | (1,) | (1, 2) | ((1)) | ((1,)) | ('x') | ('x',) | (((('x')))) | (,) | ([1], (2,), {3}) | ( 1 )
{} | {1} | {1, 2} | {1, 1} | {'a', 'a'} | {(1, 2), 3} | {[1]} | {{}} | set() | set( ) | set([1]) | frozenset() | {1: 2, 3} | {1, 2: 3}
{'a': 1} | {'a': 1,} | {"a": {'b': [1, (2, None,), {'k': True}]}} | {1: 'a'} | {1.5: 'a'} | {True: 1, None: 2} | {'a': 1, 'a': 2} | {(1, 2): 3} | {[1]: 2} | {-1: 'a'} | {1.0: 2} | {'a' 'b': 1}
{'a': 1 'b': 2} | {'a' 1} | {'a':} | {:1} | {**{'a': 1}} | {'a': 1,, 'b': 2}
dict(a=1) | list() | int('1') | f() | lambda: 1 | [x for x in y] | *a | `x` | a.b() | [1][0] | [1] + [2] | (1) - 2
[1, # one
 2] | [1 # )
] | ['a' # ] b
, ] | '''a
b''' | r'a\
b' | ['a',   'b'
, 'c'] | (  'a'
  'b' ) | [1, \
2] | { 'a' : # key
 1 }
"""

STRINGS = ["a", "Oslo ", "é", "｜", "😀", "\\n", "\\'", '\\"', "\\\\", "\\x41", "\\u00e9", "\\101", "\\d", "{", "}", "[", ")", ",", "=", ":", "#", "<", "  "]
NUMBERS = ["0", "1", "-1", "+1", "- 3", "1_000", "0x1F", "0o17", "0b11", ".5", "1.", "1.10", "-2.5e-3", "1e5", "12345678901234567890123", "00"]


def random_literal(rng, depth=0):
    kind = rng.randrange(9 if depth < 3 else 5)
    space = lambda: rng.choice(["", "", "", " ", "\n ", "  "])
    if kind < 3:
        pieces = []
        for _ in range(rng.choice([1, 1, 1, 2, 3])):
            prefix, quote = rng.choice(["", "", "", "r", "R", "u"]), rng.choice(["'", '"', "'''", '"""'])
            text = "".join(rng.choice(STRINGS) for _ in range(rng.randrange(5)))
            if rng.randrange(4) == 0:
                text += rng.choice(["'", '"']) + "x"
            if text.endswith("\\") and prefix.lower() == "r":
                text += "."
            pieces.append(prefix + quote + text + quote)
        return rng.choice(["", " ", "  "]).join(pieces)
    if kind == 3:
        return rng.choice(NUMBERS)
    if kind == 4:
        return rng.choice(["True", "False", "None"])
    items = [random_literal(rng, depth + 1) for _ in range(rng.randrange(4))]
    comma = space() + "," + space()
    end = rng.choice(["", ",", " , "]) if items else ""
    if kind == 5:
        return "[" + space() + comma.join(items) + end + space() + "]"
    if kind == 6:
        return "(" + space() + comma.join(items) + end + space() + ")"
    if kind == 7:
        return "{" + space() + comma.join(items) + end + space() + "}"
    keys = [random_literal(rng, 3) for _ in items]
    pairs = [key + space() + ":" + space() + item for key, item in zip(keys, items)]
    return "{" + space() + comma.join(pairs) + end + space() + "}"


class Unsayable(Exception):
    """JSON has no such value."""


def to_json(node):
    """The value that `ast.literal_eval` gives, sets in order."""
    if isinstance(node, ast.Set):
        ast.literal_eval(node)
        return list({repr(ast.literal_eval(item)): to_json(item) for item in node.elts}.values())
    if isinstance(node, (ast.List, ast.Tuple)):
        return [to_json(item) for item in node.elts]
    if isinstance(node, ast.Dict):
        ast.literal_eval(node)
        values = {}
        for key, value in zip(node.keys, node.values):
            key = ast.literal_eval(key)
            if not (key is None or isinstance(key, (str, int, float, bool))):
                raise Unsayable(key)
            values[key] = to_json(value)
        return json.loads(json.dumps(values))
    value = ast.literal_eval(node)
    if isinstance(value, set) and not value:
        return []
    if not (value is None or isinstance(value, (str, int, float, bool))):
        raise Unsayable(value)
    return value


def golden(literal):
    try:
        call = ast.parse(f"f(x={literal})", mode="eval").body
        assert isinstance(call, ast.Call) and not call.args and len(call.keywords) == 1
        value = json.dumps(to_json(call.keywords[0].value), allow_nan=False)
    except (SyntaxError, ValueError, TypeError, AssertionError, Unsayable):
        value = None
    return {"literal": literal, "json": value}


def same_keys(literal):
    """Whether keys or items are equal for Python only, as 1 and True."""
    return any(a in literal and b in literal for a, b in [("True", "1"), ("False", "0"), ("1", "1.")])


def main():
    by_hand = [text.strip("\n ") for text in BY_HAND.replace('\\"\\"\\"', '"""').split(" | ")]
    literals = [piece for text in by_hand for piece in split_lines(text)]
    rng = random.Random(7)
    while len(literals) < 800:
        literal = random_literal(rng)
        if "{" in literal and same_keys(literal):
            continue
        # What Python refuses for quotes alone is read more kindly.
        if golden(literal)["json"] is None and refused_for_quotes(literal):
            continue
        literals.append(literal)
    goldens = [golden(literal) for literal in dict.fromkeys(literals)]
    json.dump(goldens, sys.stdout, indent=0, ensure_ascii=False)
    print()


def split_lines(text):
    """Lines of the table are separators too, unless a literal spans them."""
    lines, whole = text.split("\n"), []
    while lines:
        for count in range(len(lines), 0, -1):
            literal = "\n".join(lines[:count])
            if count == 1 or golden(literal)["json"] is not None:
                whole.append(literal)
                lines = lines[count:]
                break
    return whole


def refused_for_quotes(literal):
    try:
        ast.parse(f"f(x={literal})", mode="eval")
    except SyntaxError:
        return True
    return False


main()
