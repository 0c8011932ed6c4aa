"""Renders expressions with safe text (Markup) with genuine Jinja2, set up as the chat-template renderer of Hugging Face transformers,
and stores the results in markup.json. Each expression is printed inside a list, so that the result tells safe text from plain text.
Needs transformers (any 5.x), jinja2 3.1.6 and markupsafe 3: `python markup.py`."""

import json
import pathlib

from transformers.utils import chat_template_utils

VARIABLES = {"p": "a<b> & 'c' \"d\"", "n": 5, "l": ["<x>", 1, "y&z"], "d": {"k": "<v>", "n": 2}, "no": None, "sp": "  <i>  "}
PREFIX = (
    "{% set m = '<b>x & \"y\"</b>'|safe %}{% set e = ''|safe %}{% set w = ' a<b c&d '|safe %}{% set f = '<%s|%s>'|safe %}"
    "{% set g = '<{}>{}'|safe %}{% set q = 'lt'|safe %}{% set z = '-7'|safe %}"
)

# Every operation on safe text `m` alone.
UNARY = """
m; m|safe; m|string; m|escape; m|e; m|forceescape; m|upper; m|lower; m|capitalize; m|title; m|trim; w|trim; w|trim(' a'); m|center(24); m|indent; m|indent(2, true)
m|first; m|last; m|length; m|list; m|reverse; m|wordcount; m|truncate(5, true); m|truncate(8); m|truncate(5, true, '&'); m|urlencode; m|tojson; m|default('x'); m|striptags; m|join; m|join('<')
m|replace('x', '<'); m|replace('<', 'x'); m|replace('x', '<'|safe); m|map('upper')|list; m|batch(3)|list; m|slice(9)|list; m|sort; m|unique|list; m|min; m|max; m|int; z|int; z|float; m|float; m|abs
m[0]; m[-1]; m[1:4]; m[::-1]; m[::2]; m[99:]; m[99]; m['upper'](); m.upper(); m.lower(); m.title(); m.capitalize(); m.swapcase(); m.casefold(); m.strip('<>'); w.strip(); w.lstrip(); w.rstrip(); m.split(); m.split('x'); m.split('x', 1)
m.rsplit('>'); m.rsplit('>', 1); ('a\\nb'|safe).splitlines(); ('a\\nb'|safe).splitlines(true); m.partition('x'); m.rpartition('x'); m.partition('zz'); m.rpartition('zz'); m.removeprefix('<b>'); m.removesuffix('</b>'); m.removeprefix('zz')
m.replace('x', '<'); m.replace('x', m); m.replace('<', '>'); m.replace('x', '<', 1); m.ljust(20); m.rjust(20); m.center(20); m.ljust(20, '.'); m.ljust(20, '<'); m.zfill(20); z.zfill(4); ('a\\tb'|safe).expandtabs(4); m.expandtabs()
m.count('<'); m.find('x'); m.index('x'); m.startswith('<'); m.endswith('>'); m.startswith(('a', '<')); m.isalpha(); m.islower(); m.isspace(); z.isdigit(); m.isprintable(); m.isidentifier(); q.isidentifier(); m.isascii()
m.join(['<', 'a'|safe, 1, none]); m.join(l); m.join('ab<'); q.join([]); ', '.join([m, m]); '<'.join([m]); m.format(); m.striptags(); m.unescape(); m.escape('<'); m.escape(m); m.escape(3); m.translate({60: 'L', 62: none, 120: 121}); m.encode is defined
m is escaped; p is escaped; m is string; m is sequence; m is iterable; m is mapping; m is number; m is lower; m is upper; m is defined; m is none; m is sameas m; m is sameas p; e is escaped; (m|string) is escaped; (m|upper) is escaped; (m|title) is escaped; (p|e) is escaped; (m|tojson) is escaped; (m ~ '') is escaped; 'x' is escaped; 5 is escaped; none is escaped
m == m; m == m|string; m == '<b>x & "y"</b>'; m != m; m < p; p < m; m <= m; m > 'a'; 'x' in m; m in m; '<' in m; m in [m]; m in ['<b>x & "y"</b>']; m in d; q in {'lt': 1}; {'lt': 1}[q]; {q: 1}['lt']; {q: 1, 'lt': 2}; {m: m}; d[('k'|safe)]; d.get('k'|safe); m and 1; e and 1; e or 2; not e; not m
m * 2; 2 * m; m * 0; m * -1; m + m; m ~ m; m % (); -m; m - 1; m / 2; (m, m); [[m]]; {'a': m}; [m, p]|join; [m, p]|join('<'|safe); [m, p]|join('<'); [m, p]|string; [m, p]|tojson; [m]|first; [m]|sum(start=e); dict(a=m); dict(a=m)|tojson; namespace(a=m).a
5|safe; none|safe; missing|safe; l|safe; d|safe; 1.5|safe; true|safe; 5|e; none|e; missing|e; l|e; d|e; true|e; 5|forceescape; l|forceescape; [p]|map('e')|list; [p, m]|map('e')|list; [p, m]|map('forceescape')|list; [p, m]|select('escaped')|list; [p, m]|reject('escaped')|list; [m, m|string]|unique|list; [m]|groupby(0)
p|e|e; p|e|forceescape; p|e|string|e; p|safe|e; p|e|safe; p|e|upper; p|e|striptags; p|e|replace('&', '+'); (p|e)[1:5]; (p|e).unescape(); p|striptags; '<!-- c -->a  <i>b</i>\\n c&lt;.&amp;lt;.&#34;.&#x41;.&#128;.&nbsp;d'|striptags; 'a < b'|striptags; '<!-- a'|striptags; '&#0;&#xd800;&#1114112;&#1;&;&'|safe|striptags; '&lt &gt;.&amp'|striptags
d|xmlattr; d|xmlattr(false); {'a': m, 'b': none, 'c': 3, 'x"': p}|xmlattr; {'a b': 1}|xmlattr; {'a/': 1}|xmlattr; {}|xmlattr; {1: 2}|xmlattr; (d|xmlattr) is escaped; l|xmlattr; m|filesizeformat; m|round; m|attr('upper') is defined; m|attr('x') is defined; m.x is defined; m.striptags is defined; p.striptags is defined; m|count
loop is escaped; cycler(m, p).next(); joiner(m)(); range(3)|join(m); m|dictsort; m|items|list; m|selectattr('x')|list; m|sort(reverse=true)|join; m|max; w.split(' '); w.split(none, 1); w.rsplit(none, 1); m|trim('<b>')|upper; m.upper().lower()[1:].strip(); m|escape|length; p|escape|length; m|indent(first=true, blank=true); 'a\\n\\nb'|safe|indent('<'); 'a\\n\\nb'|safe|indent('<', true, true)
"""

# Every pair of one safe and one other value.
OTHERS = ["p", "m", "e", "n", "no", "l", "d", "missing", "1.5", "true", "'%'", "('<', m)"]
BINARY = ["m + {}", "{} + m", "m ~ {}", "{} ~ m", "f % ({}, m)", "'%s' % {}", "'<%s>'|safe % {}", "'%r' % ({},)", "'<%r>'|safe % ({},)", "g.format({}, m)",
          "'{{}}'.format({})", "('<{{0!r}}>'|safe).format({})", "m|replace('x', {})", "m.replace('x', {})", "p|replace('a', {}) is escaped",
          "[m, {}]|join('<')", "m.join([{}])", "'<%s>'|safe|format({})", "'<%s>'|format({})", "m == {}", "m in [{}]", "{} in m", "m.ljust(20, {})", "m|default({})", "m|truncate(8, true, {})"]

FORMATS = """
'%s' % m; '%s %s' % (m, p); f % (p, m); f % (m, p); f % m; '%5s|'|safe % '<'; '%-9s|'|safe % '<'; '%.2s'|safe % '<'; '%d'|safe % 5; '%d'|safe % '5'; '%d'|safe % 'x'; '%d'|safe % 5.9; '%x'|safe % 5; '%c'|safe % 'a'; '%f'|safe % 1.5; '%.1f'|safe % '2.25'; '%e'|safe % 5
'%(k)s'|safe % d; '%(k)s %(n)d'|safe % d; '%(k)s' % d; '%(zz)s'|safe % d; '%%'|safe % (); 'x'|safe % 1; 'x'|safe % l; 'x'|safe % d; 'x'|safe % (); '%s'|safe % l; '%s'|safe % d; '%s'|safe % none; '%s'|safe % missing; '%r'|safe % m; '%r'|safe % p; '%a'|safe % m; '%s %s'|safe % m; '%s'|safe % (m,)
g.format(p, m); '{}'.format(m); '{!s}'.format(m); '{!r}'.format(m); ('{!s}'|safe).format(m); ('{!r}'|safe).format(p); ('{:>9}'|safe).format('<'); ('{:>9}'|safe).format(m); ('{:d}'|safe).format(5); ('{:05.1f}'|safe).format(2.25); ('{a}<{b}'|safe).format(a=p, b=m); ('{0[k]}'|safe).format(d); ('{0.k}'|safe).format(d)
('{:{}}'|safe).format('<', 5); ('{}'|safe).format(none); ('{}'|safe).format(l); ('{}'|safe).format(true); ('{{}}'|safe).format(); ('{}'|safe).format(); '{k}'.format_map(d); ('{k}'|safe).format_map(d); '{zz}'.format_map(d); ('{0}{0}'|safe).format(m); ('%s'|safe)|format(m); '%s'|format(m); '%s'|safe|format(p); '%(a)s'|safe|format(a=p); '%(a)s'|format(a=m)
"""

AUTOESCAPED = """
p; m; n; no; l; d; missing; p ~ 'x'; p ~ m; m ~ p ~ n; '<' ~ '>'; [m, p]|join; [p, p]|join('<'); [m, p]|join('<'); [p, p]|join('<'|safe); [p, p]|join(m); p|replace('a', '<'); p|replace('a', m); m|replace('x', '<'); m|replace('x', m); p|replace(m, 'x'); m|replace('<', '>')
p|e; p|safe; p|upper; m|upper; p|tojson; d|tojson; d|xmlattr; p|string; m|string; m|title; p + m; '%s' % m; f % (p, p); p|striptags; m|striptags; p|forceescape; m|forceescape; p|default(m); p|trim; p|indent; m|indent; '<%s>'|format(p); p|center(20); p|first; m|first; p[0]; m[0]
"""

STATEMENTS = [
    "{% set x %}<a>{{ p }}{% endset %}{{ [x] }}{{ x }}",
    "{% set x | upper %}<a>{{ p }}{% endset %}{{ [x] }}",
    "{% set x | e %}<a>{{ p }}{% endset %}{{ [x] }}",
    "{% set x = m %}{{ [x] }}{{ x }}",
    "{% macro f2(a) %}<{{ a }}>{% endmacro %}{{ [f2(p)] }}{{ f2(m) }}",
    "{% macro f2(a) %}{{ caller() }}{{ a }}{% endmacro %}{% call f2(m) %}<{% endcall %}",
    "{% filter e %}<{{ m }}{% endfilter %}{% filter upper %}<{{ m }}{% endfilter %}",
    "{% for c in m %}{{ [c] }}{% endfor %}",
    "{% for c in m.split() %}{{ [c] }}{% endfor %}",
    "{% for x in [m] recursive %}{{ [x] }}{{ [loop([])] }}{% endfor %}",
    "{% generation %}{{ m }}<{% endgeneration %}",
    "{% set ns = namespace(x='') %}{% for c in ['a', m] %}{% set ns.x = ns.x ~ c %}{% endfor %}{{ [ns.x] }}",
    "{% set ns = namespace(x='') %}{% for c in ['<', m] %}{% set ns.x = ns.x + c %}{% endfor %}{{ [ns.x] }}",
    "{% autoescape true %}{% set x %}<a>{{ p }}{% endset %}{{ x }}{{ [x] }}{% endautoescape %}",
    "{% autoescape true %}{% set x | upper %}<a>{{ p }}{% endset %}{{ x }}{% endautoescape %}",
    "{% autoescape true %}{% macro f2(a) %}<{{ a }}>{% endmacro %}{{ f2(p) }}{{ f2(m) }}{{ [f2(m)] }}{% endautoescape %}",
    "{% macro f2(a) %}<{{ a }}>{% endmacro %}{% autoescape true %}{{ f2(p) }}{{ p }}{% endautoescape %}{{ p }}",
    "{% autoescape true %}{% filter upper %}<{{ p }}{% endfilter %}{% endautoescape %}",
    "{% autoescape true %}{% macro f2(a) %}{{ caller() }}{{ a }}{% endmacro %}{% call f2(p) %}<{{ p }}{% endcall %}{% endautoescape %}",
    "{% autoescape false %}{{ p }}{% endautoescape %}",
    "{% autoescape true %}{% autoescape false %}{{ p }}{% endautoescape %}{{ p }}{% endautoescape %}{{ p }}",
    "{% autoescape true %}{% for x in l %}{{ x }}{{ loop.index }}{% endfor %}{% if p %}<{{ p }}{% endif %}{% endautoescape %}",
    "{% autoescape true %}{% for x in [p] recursive %}{{ x }}{{ loop([]) }}{% endfor %}{% endautoescape %}",
    "{% autoescape true %}{% generation %}<{{ p }}{% endgeneration %}{% endautoescape %}",
    "{% autoescape true %}{% print p, m %}{% set y = '<' %}{{ y }}{% endautoescape %}{{ y }}",
    "{% autoescape true %}{% for x in [1, 2] %}{% if loop.last %}{% break %}{% endif %}{{ p }}{% endfor %}{% endautoescape %}{{ p }}",
]


def main():
    chat_template_utils.logger.setLevel("ERROR")
    flat = lambda text: [e.strip().replace("\\\\", "\\") for line in text.strip().splitlines() for e in line.split("; ")]
    expressions = flat(UNARY) + flat(FORMATS) + [form.format(other) for form in BINARY for other in OTHERS]
    templates = ["{{ [" + e + "] }}" for e in dict.fromkeys(expressions)] + STATEMENTS
    templates += ["{% autoescape true %}{{ " + e + " }}{{ [" + e + "] }}{% endautoescape %}" for e in flat(AUTOESCAPED)]
    cases = []
    for template in templates:
        case = {"template": PREFIX + template}
        try:
            rendered, _ = chat_template_utils.render_jinja_template([[]], chat_template=case["template"], **VARIABLES)
            case["rendered"] = rendered[0]
        except Exception as error:
            case["error"] = type(error).__name__
        if " at 0x" not in case.get("rendered", ""):
            case["template"] = template
            cases.append(case)
    out = {"prefix": PREFIX, "variables": VARIABLES, "cases": cases}
    path = pathlib.Path(__file__).with_name("markup.json")
    path.write_text(json.dumps(out, ensure_ascii=True, indent=1) + "\n")
    print(len(cases), "cases,", sum("error" in case for case in cases), "errors")


main()
