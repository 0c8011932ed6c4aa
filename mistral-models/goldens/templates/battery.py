"""Renders small templates of our own with genuine Jinja2, set up as the chat-template renderer of Hugging Face transformers, and
stores the results in battery.json. Needs transformers (any 5.x) and jinja2 >= 3.1.6: `python battery.py`."""

import json
import pathlib

from transformers.utils import chat_template_utils

VARIABLES = {
    "s": "Hello, World", "e": "", "u": "Zürich – 東京 😀", "q": "it's \"q\"\n\tx\\", "i": 7, "z": 0, "n": -3, "f": 2.5, "big": 1e20,
    "tiny": 1.5e-07, "t": True, "no": None, "l": [3, 1, 2], "el": [], "w": ["b", "A", "c", "a"],
    "d": {"b": 1, "a": "x", "C": [1, {"k": None}], "items": 5}, "ed": {},
    "p": [{"n": "x", "v": 2}, {"n": "y", "v": 1}, {"n": "X", "v": 3}, {"v": 0}], "html": "<a href='x'>&\"</a>",
    "bos_token": "<s>",
}
MESSAGES = [
    {"role": "system", "content": " Be terse. "},
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "", "reasoning": "hm", "tool_calls": [{"function": {"name": "f", "arguments": {"x": 1.0}}}]},
]

EXPRESSIONS = """
s|u|e|i|f|t|no|l|d|w|missing|big|tiny|q|n
1.0|1e16|1e15|123456789.125|1e-4|0.00001|-0.0|1e100|1_000|0x1F|0b11|0o17|1.5e3
[s, u, q]|[1.0, True, None]|{'a': 1, 2: 'b', none: true}|(1,)|(1, 2)|()|[(1, 'a')]|[e]
1 + 2|1 + 2.0|7 / 2|8 / 2|7 // 2|-7 // 2|7 % 3|-7 % 3|7 % -3|7.5 // 2|-7.5 % 2|2 ** 10|2 ** -1|2 ** 3 ** 2|-2 ** 2|1 / 0|1 % 0
s + 'x'|s ~ 1 ~ none ~ true|s + 1|1 + s|s * 2|2 * s|s * 0|s * -1|l * 2|l + [4]|l + (1,)|(1,) + (2,)|d + d|'a' 'b' "c"|missing + 1|missing ~ 'x'
i ** 0.5|true + 1|true * 3|-true|+i|--i|not i|not not i|-s|-missing|1 - 1|1 -1|3 - -2
1 < 2|1 < 2 < 3|1 < 2 > 3|1 == 1.0|1 == true|'1' == 1|none == missing|missing == missing|'a' < 'b'|1 < 'a'|none < 1|[1, 2] < [1, 3]|[1] == (1,)|missing < 1
'a' in 'abc'|'z' not in 'abc'|1 in l|'a' in d|'1' in 1|1 in '123'|none in l|'x' in missing|'a' in ['a']|not 'a' in 'abc'|l in [l]
1 and 2|0 and 2|0 or 'x'|none or e or 'z'|1 if t else 2|1 if no|1 if no else 2 if t else 3|not t and no|(1 if no) is defined|e or none
s[0]|s[-1]|s[99]|s[1:3]|s[::-1]|s[:-1]|s[-3:]|s[5:1]|s[::2]|s[10:0:-3]|u[0:3]|s['x']|l[0]|l[-1]|l[9]|l[1:]|l[::-1]|l[:1]|l[-9:9]|l['a']|(1,2,3)[1:]|range(5)[1:3]|d[0:1]|no[0]|no.x|missing.x|missing[0]|d.a|d['a']|d.zz|d.zz.y|d['C'][1].k|l.0|d.C.0|i.x|s[none:2]|s[true]|l[1.0]|l[::0]
d.items|list|d.items() | list|d['items']|d.get('a')|d.get('zz')|d.get('zz', 1)|d.keys() | list|d.values() | list|d.items()|d.keys()|d|list|d.copy() == d
s.upper()|s.lower()|s.title()|s.capitalize()|s.swapcase()|s.strip('Hd')|s.lstrip('He')|s.rstrip('ld')|s.split()|s.split(',')|s.split('l', 1)|s.rsplit('l', 1)|s.replace('l', 'L')|s.replace('l', 'L', 1)|s.startswith('He')|s.endswith(('x', 'd'))|s.startswith('l', 2)|s.find('o')|s.find('o', 5)|s.find('zz')|s.rfind('o')|s.count('l')|s.index('W')|s.index('zz')
' a b  c '.split()|' a b  c '.split(' ')|' a b  c '.split(none, 1)|' a b  c '.rsplit(none, 1)|''.split()|''.split(',')|'a\\nb\\r\\nc\\n'.splitlines()|'a\\nb'.splitlines(true)|'a-b-c'.partition('-')|'a-b-c'.rpartition('-')|'abc'.partition('-')|'pre-x'.removeprefix('pre-')|'x.py'.removesuffix('.py')|'5'.zfill(3)|'-5'.zfill(4)|'ab'.center(5)|'abc'.center(6)|'ab'.ljust(4) ~ '|'|'ab'.rjust(4)|'12'.isdigit()|'a1'.isalnum()|'ab'.isalpha()|' '.isspace()|'ab'.islower()|'AB'.isupper()|', '.join(w)|','.join(l)|'x'.join('abc')|'a'.split('')|"they're bill's".title()|'ß'.upper()
l.append(1)|l.pop()|d.update({})|d.pop('a')|l.sort()|w.index('A')|w.count('a')|l.copy()|l.append is defined|d.setdefault('x', 1)|s.foo()|missing()|i()
'%s and %r' % ('a', 'b')|'%d' % 3.9|'%05.2f|%x' % (3.14159, 255)|'%s' % l|'%-5s|' % 'a'|'%5s' % 'a'|'%%' % ()|'%(a)s' % d|'%d' % 'x'|'%s' % (1, 2)|'%s %s' % 'x'|'%e' % 12345.678|'%g' % 0.00001|'%+d' % 5|'x' % 1|'%c' % 65
'{} {}'.format(1, 'a')|'{0} {1} {0}'.format('a', 'b')|'{x}'.format(x=3)|'{:>5}|{:<5}|{:^5}'.format('a', 'b', 'c')|'{:05d}'.format(42)|'{:.2f}'.format(3.14159)|'{:,}'.format(1234567)|'{!r}'.format('a')|'{{}}'.format()|'{0[a]}'.format(d)|'{0.a}'.format(d)|'{}'.format()|'{:x}'.format(255)|'{:#x}'.format(255)|'{:%}'.format(0.25)|'{:e}'.format(1234.5)|'{:g}'.format(1e10)|'{}'.format(l)|'{:*^7}'.format('mid')|'{:+}'.format(3)|'{:d}'.format('a')|'{}'.format(none)|'{}'.format(1.0)|'{:s}'.format(1)
s is defined|missing is defined|missing is not defined|missing is undefined|no is none|no is defined|s is string|i is string|l is sequence|s is sequence|d is sequence|i is sequence|d is mapping|l is mapping|l is iterable|i is iterable|no is iterable|missing is iterable|missing is sequence|t is boolean|i is boolean|t is integer|t is number|i is integer|f is float|f is number|i is odd|i is even|i is divisibleby 7|i is divisibleby(2)|t is true|no is false|i is eq 7|i is equalto 7|i is gt 3|'a' is in 'abc'|1 is in l|no is sameas none|l is sameas l|s is lower|'a' is lower|'A' is upper|range is callable|s is callable|not s is none|s is not none|i is number and t|i is foo|range(3) is sequence|d.items() is sequence|w | map('upper') is sequence|w | map('upper') is iterable|1.0 is integer|namespace() is mapping
s | length|u | length|l | length|d | length|i | length|no | length|missing | length|e | length|s | upper|s | lower|'hello world-foo (bar)' | title|'hELLO' | capitalize|'  x ' | trim|'xxaxx' | trim('x')|5 | trim|no | trim|missing | trim|s | replace('l', 'L')|s | replace('l', 'L', 1)|5 | replace('5', '6')|s | first|s | last|l | first|l | last|el | first|el | last|d | first|d | last|missing | first|i | first
l | join|l | join(', ')|w | join('-')|p | join(',', attribute='v')|no | join|d | join(',')|[1, none, true, 1.5] | join('|')|missing | join|s | join('.')|l | sort|w | sort|w | sort(case_sensitive=true)|l | sort(reverse=true)|p[:3] | sort(attribute='v') | map(attribute='v') | list|p[:3] | sort(attribute='n,v')|[1, 'a'] | sort|[none, 1] | sort|l | reverse | list|s | reverse|l | min|l | max|w | min|el | max|l | sum|p | sum(attribute='v')|w | sum|el | sum|w | unique | list|w | unique(true) | list|[1, 1.0, true, '1'] | unique | list
d | dictsort|d | dictsort(reverse=true)|d | dictsort(case_sensitive=true)|{'a': 2, 'b': 1} | dictsort(by='value')|d | items | list|missing | items | list|i | items | list|d | list|s[:3] | list|i | list|no | list|missing | list|el | list
p | map(attribute='n') | list|p | map(attribute='n', default='?') | list|p | map(attribute='n') | join(',')|w | map('upper') | list|w | map('replace', 'a', 'z') | join|no | map('upper') | list|missing | map('upper') | list|p | selectattr('n') | list|p | selectattr('n', 'defined') | list|p | selectattr('n', 'equalto', 'x') | list|p | selectattr('v', '>', 1) | map(attribute='v') | list|p | selectattr('v', 'in', [1, 2]) | map(attribute='v') | list|p | rejectattr('n', 'defined') | list|l | select('odd') | list|l | reject('odd') | list|[0, 1, '', 'a', none] | select | list|[0, 1] | reject | list|p | selectattr('n', 'eq', 'x') | first|w | map('upper') | length|w | map('upper') | tojson|w | map('upper') | first|w | map('upper') | last|w | map('nope') | list|p | map(attribute='zz') | list|no | selectattr('x') | list|i | select | list|p | groupby('v') | list|p[:3] | groupby('n') | map('first') | list|l | batch(2) | list|l | batch(2, 0) | list|l | slice(2) | list|l | slice(2, 'f') | list
missing | default('x')|no | default('x')|e | default('x', true)|no | default('x', boolean=true)|missing | d('y')|missing.a | default('x')|d.zz | default('x')|i | default(missing)|'12' | int|'1.9' | int|'x' | int|'x' | int(5)|'0x1f' | int(base=16)|2.9 | int|-2.9 | int|no | int|missing | int|t | int|'1.5' | float|'x' | float|'inf' | float|3 | float|f | round|2.567 | round(2)|2.5 | round|3.5 | round|7 | round|2.4 | round(method='ceil')|2.6 | round(0, 'floor')|1234 | round(-2)|-3 | abs|-2.5 | abs|s | abs
d | tojson|l | tojson|s | tojson|u | tojson|q | tojson|html | tojson|no | tojson|t | tojson|f | tojson|1.0 | tojson|big | tojson|tiny | tojson|missing | tojson|d | tojson(indent=2)|d | tojson(indent=none)|ed | tojson(indent=2)|[[], {}] | tojson(indent=4)|u | tojson(ensure_ascii=true)|d | tojson(separators=(',', ':'))|{'b': 1, 'a': 2} | tojson(sort_keys=true)|{1: 2, none: 3, true: 4, 1.5: 5} | tojson|(1, 2) | tojson|d.items() | tojson|range(3) | tojson|d | tojson(indent='--')|d.get | tojson|[1, {'a': [1, 2]}] | tojson(indent=1)|'\\x7f\\x00' | tojson|d | tojson(true)|d | tojson(nope=1)
s | string|i | string|no | string|d | string|l | string | length|html | escape|html | e|html | safe|html|s | center(20) ~ '|'|'%s-%s' | format(1, 'a')|'%(x)s' | format(x=1)|'a b c' | wordcount|'hello big world' | truncate(8)|'hello big world' | truncate(8, true)|'hello big world' | truncate(8, true, '', 0)|'short' | truncate(3)|'a\\nb\\n\\nc' | indent|'a\\nb\\n\\nc' | indent(2, true)|'a\\nb\\n\\nc' | indent(2, blank=true)|'a\\nb' | indent('> ', first=true)|'a b/ü?' | urlencode|d | attr('keys') is defined|d | attr('a')|s | nope|i | upper|no | upper|d | upper
range(3)|range(1, 4) | list|range(5, 0, -2) | list|range(0)|range(3) | length|range(1, 10, 3)|dict(a=1, b=2)|dict([('x', 1)])|dict(d, z=1)['z']|namespace(a=1).a|namespace(a=1).b|namespace({'a': 1}).a|namespace(_a=1)|raise_exception('no')|strftime_now('x')|range(1.5)|dict({'a': 1}) | tojson|bos_token|true|True|none|None|false
cycler('a', 'b').next()|cycler('a', 'b').current|cycler()|cycler(1).reset()|joiner()()|joiner('; ')|joiner(sep='; ')()|joiner(1, 2)|0 | filesizeformat|1 | filesizeformat|999 | filesizeformat|1000 | filesizeformat|1500 | filesizeformat(true)|1e6 | filesizeformat|123456789 | filesizeformat(binary=true)|1e27 | filesizeformat|1e30 | filesizeformat|'2500' | filesizeformat|'x' | filesizeformat|-5 | filesizeformat|-5000 | filesizeformat|1023.9 | filesizeformat(true)|2.9 | filesizeformat|none | filesizeformat|true | filesizeformat
'upper' is filter|'nope' is filter|'tojson' is filter|'urlize' is filter|'odd' is test|'>=' is test|'nope' is test|5 is filter|dict.fromkeys([1, 2], 'x')|dict.fromkeys('ab')|{}.fromkeys(l)|l.index(2, 1)|l.index(3, 1)|(1, 2).index(2)|range(5).index(3)|range(1, 9, 2).start|range(1, 9, 2).step|range(5).count(2)|d.keys().isdisjoint(['a'])|d.keys().isdisjoint(['zz'])|i.real|i.imag|i.numerator|i.denominator|f.real|f.imag|i.bit_length()|i.bit_count()|i.conjugate()|f.conjugate()|f.is_integer()|t.real|n.bit_length()
p[:3] | groupby('n') | map(attribute='grouper') | list|(p[:3] | groupby('n'))[0].list|(1, 2).grouper is defined|d | urlencode|[('a b', 'c/d')] | urlencode|l | urlencode|'a\tb' | urlencode|'a\tbc\td'.expandtabs(4)|'a\nb\tc'.expandtabs()|'abc'.isidentifier()|'1a'.isidentifier()|'a\n'.isprintable()|'{a}'.format_map({'a': 1})|'abc'.translate({97: 'X', 98: none, 99: 100})|'abc'.partition('')|'ab'.ljust(5, 'xy')|'x' | truncate(1)|'ab' | list | batch(3, 'x') | list|l | slice(3, 'x') | list|l | slice(1, 'x') | list|[1, 2, 3, 4] | slice(2, 'x') | list
'a' | indent|'a\n' | indent|'' | indent(2, true)|'' | indent(2, true, true)|'a\n\n' | indent(2, false, true)|[[1], [1]] | unique | list|[l] | min|'ΑΣ ΑΣΑ'.lower()|'ΑΣ' | lower|'straße' | upper|'ŉ' | upper|'a,b' | string|['1', 1] | unique | list|[1.0, true, 1] | unique | list|{1: 'a', 1.0: 'b', true: 'c'}|{(1, 'a'): 2}[(1, 'a')]|{(1, [2]): 2}|[1] in {1: 2}|{1: 2}[[1]] is defined|d.get([1])
messages[0].content | trim|messages[-1].role|messages | length|messages[2].tool_calls[0].function.arguments|messages[2].tool_calls[0].function | tojson|messages[2].reasoning_content|messages[2].thinking|messages[2].keys() | list|messages[1].tool_calls is defined|messages[1].get('tool_calls')|tools|documents|tools is none|add_generation_prompt|messages | selectattr('role', 'equalto', 'user') | list | length|messages[::-1][0].role|messages | map(attribute='role') | join(' ')
"""

# What Python's values have, by the name of an attribute: for each of them, whether a template sees it.
VALUES = {"s": "", "l": [], "(1,)": (), "d": {}, "i": 0, "f": 0.0, "t": True, "range(3)": range(0), "d.keys()": {}.keys(), "d.values()": {}.values()}

STATEMENTS = [
    "{% set c = cycler('a', m, 3) %}{% for x in range(5) %}{{ c.current }}{{ c.next() }}{% endfor %}{{ c.reset() }}{{ c.next() }}{{ c is iterable }}",
    "{% set j = joiner(' | ') %}{% for x in l %}{{ j() }}{{ x }}{% endfor %}{{ j is callable }}{{ j() }}",
    "{% set j = joiner() %}{% for x in l %}{{ j() }}{{ x }}{% endfor %}",
    "{% macro m(a, b=1) %}{{ kwargs }}{% endmacro %}{{ m.name }}{{ m.arguments }}{{ m.catch_kwargs }}{{ m.catch_varargs }}{{ m.caller }}{{ m.nope is defined }}",
    "{% set g = l | map('string') %}{{ g | first }};{{ g | join(',') }};{{ g | first is defined }}",
    "{% set g = l | map('string') %}{{ '1' in g }};{{ g | list }}", "{% set g = l | select %}{{ g is sequence }}{{ g | list }}{{ g | list }}",
    "{% for x in l %}{{ loop.changed(x > 1) }}{{ loop.changed(x > 1, 2) }}{% endfor %}",
    "{% autoescape true %}{{ html }}{{ 1 }}{% endautoescape %}{{ html }}", "{% autoescape false %}{{ html }}{% endautoescape %}",
    "{% for x in l %}{{ loop.index }}/{{ loop.length }}:{{ x }}{{ ',' if not loop.last }}{% endfor %}",
    "{% for x in l %}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }};{% endfor %}",
    "{% for x in l %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }} {% endfor %}",
    "{% for x in l if x > 1 %}{{ loop.index }}{{ x }}{% else %}none{% endfor %}",
    "{% for x in l if x > 9 %}{{ x }}{% else %}none{% endfor %}", "{% for x in el %}x{% else %}none{% endfor %}",
    "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}", "{% for k in d %}{{ k }}{% endfor %}",
    "{% for k, v in d | dictsort %}{{ k }}{% endfor %}", "{% for a, b in l %}{% endfor %}", "{% for c in s %}{{ c }}.{% endfor %}",
    "{% for x in no %}x{% endfor %}", "{% for x in missing %}x{% else %}e{% endfor %}", "{% for x in i %}x{% endfor %}",
    "{% for x in range(9) %}{% if x == 2 %}{% continue %}{% endif %}{% if x == 5 %}{% break %}{% endif %}{{ x }}{% endfor %}",
    "{% for x in l %}{% for y in l %}{% if y == 1 %}{% break %}{% endif %}{{ x }}{{ y }} {% endfor %}{% endfor %}",
    "{% for x in l %}{{ loop.cycle('a', 'b') }}{{ loop.changed(x) }}{% endfor %}{{ loop }}",
    "{% for x in [1, [2, [3, 4]], 5] recursive %}{{ loop(x) if x is sequence else x }}{{ loop.depth }} {% endfor %}",
    "{% for x in l %}{% set y = x %}{% endfor %}{{ y }}", "{% set y = 1 %}{% for x in l %}{% set y = y + x %}{{ y }} {% endfor %}{{ y }}",
    "{% set ns = namespace(y=1) %}{% for x in l %}{% set ns.y = ns.y + x %}{% endfor %}{{ ns.y }}",
    "{% if t %}{% set y = 5 %}{% endif %}{{ y }}", "{% set a, b = 1, 2 %}{{ a }}{{ b }}", "{% set a = 1, 2 %}{{ a }}", "{% set a, b = l %}{{ a }}",
    "{% set x %}a{{ i }}b{% endset %}{{ x }}|{{ x | length }}", "{% set x | upper | trim %} a{% set z = 1 %} {% endset %}{{ x }}{{ z }}",
    "{% set d.x = 1 %}", "{% set ns = namespace() %}{% set ns._x = 1 %}", "{% set x = 1 %}{% set x = x + 1 %}{{ x }}",
    "{% set ns = namespace(l=[]) %}{% set ns.l = ns.l + [1] %}{{ ns.l }}", "{% set messages = messages[1:] %}{{ messages | length }}",
    "{% macro m(a, b=2, c='x') %}[{{ a }},{{ b }},{{ c }}]{% endmacro %}{{ m(1) }}{{ m(1, c=3) }}{{ m(b=1, a=0) }}{{ m() }}",
    "{% macro m(a, b=a ~ '!') %}{{ b }}{% endmacro %}{{ m(1) }}", "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}",
    "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(x=2) }}", "{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, k=3) }}",
    "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(*[1]) }}{{ m(**{'a': 2}) }}", "{% macro m(n) %}{{ n }}{% if n > 0 %}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(4) }}",
    "{% macro m() %}<{{ caller() }}>{% endmacro %}{% call m() %}in{{ i }}{% endcall %}", "{% macro m() %}{{ caller(1, 2) }}{% endmacro %}{% call(a, b) m() %}{{ a }}{{ b }}{% endcall %}",
    "{% macro m() %}{{ caller() }}{% endmacro %}{{ m() }}", "{% macro m() %}x{% endmacro %}{% call m() %}in{% endcall %}",
    "{% macro m() %}{{ y }}{% endmacro %}{% set y = 3 %}{{ m() }}", "{% macro m() %}{% set q = 3 %}{{ q }}{% endmacro %}{{ m() }}{{ q }}",
    "{% for x in l %}{% macro m() %}{{ x }}{% endmacro %}{{ m() }}{% endfor %}", "{% macro m(x) %} {{ x }} {% endmacro %}{{ m(1) | trim ~ '|' }}",
    "{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}B{% endmacro %}{{ a() }}", "{{ m(1) }}{% macro m(x) %}{{ x }}{% endmacro %}",
    "{% macro m(x) %}{% for y in x %}{{ loop.index }}{{ y }}{% endfor %}{% endmacro %}{{ m([1, 2]) }}{{ m }}",
    "{% with a = 1, b = 2 %}{{ a }}{{ b }}{% endwith %}{{ a }}", "{% with %}{% set z = 1 %}{{ z }}{% endwith %}{{ z }}", "{% set a = 5 %}{% with a = 1, b = a %}{{ b }}{% endwith %}",
    "{% filter upper %}a{{ s }}{% endfilter %}", "{% filter replace('a', 'b') | upper %}aaa{% endfilter %}", "{% raw %}{{ x }} {% if %}{% endraw %}", "{%- raw -%}  {{ x }}  {%- endraw -%} y",
    "a {# comment {{ x }} #} b", "a\n  {# c #}\nb", "a {#- c -#} b", "{% generation %}a{% set y = 1 %}{{ i }}{% endgeneration %}{{ y }}",
    "{% for x in l %}{% generation %}{{ x }}{{ loop.index }}{% endgeneration %}{% endfor %}", "{%- generation -%}  a  {%- endgeneration -%}  b",
    "{% print i, s %}", "{% autoescape true %}x{% endautoescape %}", "{% block b %}x{{ i }}{% endblock %}", "{% block b %}x{% endblock b %}",
    "{% include 'x' %}", "{% do l %}", "{% foo %}", "{% if %}{% endif %}", "{% if t %}", "{{ 1", "{{ }}", "{{ (1 }}", "{% endif %}", "{{ 1 2 }}", "{{ 'a }}", "{% break %}", "{{ x is }}", "{{ 5 is number is string }}",
    "{% if i > 3 and not no %}a{% elif t %}b{% else %}c{% endif %}", "{% if no %}a{% elif t %}b{% else %}c{% endif %}", "{% if e %}a{% elif el %}b{% else %}c{% endif %}",
    "{% set g = l | map('string') %}{{ g | join(',') }};{{ g | join(',') }}", "{% set x = d.items %}{{ x is callable }}", "{{ {'a': {'b': 1}}.a.b }}", "{{ {'a': 1}}}", "{{ {'a': {}} }}",
    # white space
    "a\n{% if t %}\nb\n{% endif %}\nc\n", "a\n  {% if t %}\n  b\n  {% endif %}  \nc\n\n", "  {%+ if t %}x{% endif +%}\n y", "  {%- if t -%}  x  {%- endif -%}  \n y",
    "{% if t %}  {{ i }}  {% endif %}\n\n", "a\r\n{% if t %}\r\nb{% endif %}\r\n", "a\r{{ i }}\r", "{{ i }}\n", "{{ i -}}\n\n x", "x \n {{- i }}", "x {% if t %} y {% endif %} z", "\n  {% set x = 1 %}\n  {{ x }}\n",
    "\t{% set x = 1 %}\tb", "x\t{% set x = 1 %}\n\tb", "{% set x = 1 %}  {% set y = 2 %}\n{{ x }}", "  {# c #}  {% set y = 2 %}\n{{ i }}", "{{ i }}  {% set y = 2 %}\n{{ i }}", "{%- set x = 1 %}\n\n{%- set y = 1 %}\n\nx",
    "{% if t -%}\n\n a {%- endif %}\n\n\nb", "a\u00a0{%- if t %}b{% endif %}", "  {{ i }}\n  {% if t %}\n    {{ i }}\n  {% endif %}\n", "{% for x in l %}\n  {{ x }}\n{% endfor %}", "{% for x in l %}\n  {{- x }}\n{%- endfor %}\n",
    "{{ '\\n' }}{{ 'a\\tb' }}{{ '\\u00e9\\x41\\q\\'' }}{{ \"\\\"\" }}", "{{ 'a\nb' }}", "{{ s\n | upper }}", "{%\nif t\n%}\nx{% endif %}", "{{ i }}{{ i }}", "{{'}}'}}", "{{ '{%' }}", "{ {{ i }} }", "{{ '%}' }}%}", "{{ -i }}{{- -i }}",
]


def main():
    chat_template_utils.logger.setLevel("ERROR")
    templates = ["{{ " + e.strip().replace("\\\\", "\\") + " }}" for line in EXPRESSIONS.strip().splitlines() for e in split(line)]
    for expression, value in VALUES.items():
        templates += ["{{ " + f"{expression}.{name} is defined" + " }}" for name in dir(value) if not name.startswith("_")]
    cases = []
    for template in templates + STATEMENTS:
        case = {"template": template}
        try:
            rendered, _ = chat_template_utils.render_jinja_template([MESSAGES], chat_template=template, **VARIABLES)
            case["rendered"] = rendered[0]
        except Exception as error:
            case["error"] = type(error).__name__
        if " at 0x" not in case.get("rendered", ""):
            cases.append(case)
    out = {"messages": MESSAGES, "variables": VARIABLES, "cases": cases}
    path = pathlib.Path(__file__).with_name("battery.json")
    path.write_text(json.dumps(out, ensure_ascii=True, indent=1) + "\n")
    print(len(cases), "cases")


def split(line):
    """Expressions are separated by a bar without blanks around it, outside of quotes."""
    parts, quote, start = [], None, 0
    for at, c in enumerate(line):
        if quote:
            quote = None if c == quote and line[at - 1] != "\\" else quote
        elif c in "'\"":
            quote = c
        elif c == "|" and line[at - 1] != " ":
            parts.append(line[start:at])
            start = at + 1
    return parts + [line[start:]]


main()
