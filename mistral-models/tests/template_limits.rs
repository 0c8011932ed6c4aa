//! The resources that hostile templates may use: memory, measured by a counting allocator, and time.

#![allow(clippy::unwrap_used, clippy::panic, unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::{Duration, Instant};

use mistral_models::{ChatTemplate, Error, TemplateInput, TemplateLimits};

/// Counts the bytes that each thread holds. Growing in place counts as a second allocation, because other allocators make one.
struct Counting;

thread_local! {
    static HELD: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: both methods hand the same layouts on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.get().wrapping_add(layout.size());
        HELD.set(held);
        // A count below zero, after another thread's memory was freed here, is not a peak.
        if held < usize::MAX / 2 {
            PEAK.set(PEAK.get().max(held));
        }
        // SAFETY: the caller's layout, as the trait demands it.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.set(HELD.get().wrapping_sub(layout.size()));
        // SAFETY: the caller's pointer is one of `alloc`, with its layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Renders a template and returns its outcome, the peak of the bytes held, and the time.
fn measured(
    source: &str,
    limits: &TemplateLimits,
    input: &TemplateInput<'_>,
) -> (Result<String, Error>, usize, Duration) {
    let template = ChatTemplate::with_limits(source, limits.clone()).unwrap();
    let before = HELD.get();
    PEAK.set(before);
    let start = Instant::now();
    let rendered = template.render(input);
    (rendered, PEAK.get() - before, start.elapsed())
}

/// The memory of a rendering in addition to its values: tables of builtins, messages of errors.
const SLACK: usize = 64 << 10;

/// The longest a rendering may take in a test build on a busy machine. A release build takes less than a second.
const LONGEST: Duration = Duration::from_secs(8);

const MADE: &str = "{% set s = 'aB< ' * 200000 %}{% set l = [s] * 300 %}{% set n = [1] * 200000 %}\
    {% set k = [[[[1] * 1000] * 1000] * 1000] * 1000 %}{% set t = (((((1,) * 100,) * 100,) * 100,) * 100,) %}\
    {% set b = 'a\\n' * 100000 %}{% set d = dict.fromkeys(range(50000), 1) %}{% set u = 'ΑΣŉ' * 100000 %}\
    {% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{% macro c() %}{{ caller() }}{% endmacro %}";

/// Expressions that make a value, each as large as possible.
const MAKERS: &[&str] = &[
    "k",
    "k | string",
    "k ~ ''",
    "'' ~ k ~ k",
    "'%s' % k",
    "'%s' % (k,)",
    "'%r' % (k,)",
    "'%s' | safe % k",
    "'%s' | format(k)",
    "'{}'.format(k)",
    "'{!r}'.format(k)",
    "('{}' | safe).format(k)",
    "'{k}'.format_map({'k': k})",
    "k | upper",
    "k | lower",
    "k | title",
    "k | capitalize",
    "k | trim",
    "k | e",
    "k | safe",
    "k | forceescape",
    "k | tojson",
    "k | tojson(indent=4)",
    "k | tojson(indent=s)",
    "k | tojson(separators=(s, s))",
    "d | tojson(sort_keys=true)",
    "{'a': k} | xmlattr",
    "k | join",
    "k | join(s)",
    "l | join(s)",
    "n | join(s)",
    "l | join",
    "k | urlencode",
    "k | striptags",
    "k | replace('1', s)",
    "k | wordcount",
    "k | center",
    "k | truncate(5)",
    "k | default",
    "k | list",
    "t",
    "t ~ t",
    "{t: 1}",
    "d[t]",
    "t in d",
    "d.get(t)",
    "[t, t] | unique | list",
    "[k, k] | sort",
    "s * 1000",
    "n * 1000",
    "(1,) * 10**9",
    "[s] * 10**12",
    "'' * 10**30",
    "s.replace('a', s)",
    "s | replace('a', s)",
    "s.replace('', s)",
    "s | indent(10**9, true)",
    "b | indent(10**4)",
    "b | indent(s, true, true)",
    "'a' | indent('b' * 10**9)",
    "s.center(10**10)",
    "s.ljust(10**10)",
    "s.rjust(10**8, 'é')",
    "s.zfill(10**10)",
    "s | center(10**10)",
    "'%9999999999d' % 1",
    "'%16000000d' % 1 * 100",
    "'%16000000s%16000000s%16000000s' % (1, 2, 3)",
    "('%16000000s' * 10) % ((1,) * 10)",
    "'%.16000000f' % 1",
    "'{:16000000}'.format(1) * 9",
    "('{:16000000}' * 10).format(*range(10))",
    "('{0:{0}}' * 1000).format(999999)",
    "s | list",
    "u | list",
    "s.split('a')",
    "s.split()",
    "s.rsplit('a')",
    "s.rsplit()",
    "b.splitlines()",
    "b.splitlines(true)",
    "s.upper()",
    "u.upper()",
    "u.lower()",
    "u.title()",
    "u.swapcase()",
    "u.capitalize()",
    "u.casefold()",
    "s.strip(u)",
    "u.strip(u)",
    "s.partition('<')",
    "s.rpartition('<')",
    "('\\t' * 100000).expandtabs(10**9)",
    "s.translate({97: s})",
    "s.join(l)",
    "(s | safe).join(n)",
    "range(100000) | list",
    "n | batch(1) | list",
    "n | batch(10**12, 0) | list",
    "n | slice(10**12) | list",
    "n | slice(10**6, s) | list",
    "n | map('string') | list",
    "n | map('tojson') | list",
    "n | select | list",
    "n | reject('odd') | list",
    "l | map('upper') | list",
    "l | map('replace', 'a', s) | list",
    "n | sort",
    "l | sort",
    "n | sort(reverse=true)",
    "l | sort(attribute='0,1,2')",
    "range(100000) | unique | list",
    "range(100000) | map('string') | unique | list",
    "l | unique | list",
    "d.items() | groupby(0)",
    "d.items() | list",
    "d.items()",
    "d.keys()",
    "d.values() | list",
    "d.copy()",
    "d | dictsort",
    "d | items | list",
    "d | list",
    "dict(d)",
    "dict(d.items())",
    "dict.fromkeys(s)",
    "dict.fromkeys(range(100000) | map('string'), s)",
    "dict(a=k)",
    "namespace(**dict.fromkeys(range(100000) | map('string')))",
    "n + n",
    "(n + n + n + n) * 10",
    "n[::-1]",
    "n[::2]",
    "n[1:]",
    "s[::-1]",
    "u[::-1]",
    "s[::3]",
    "s[1:]",
    "s[:-1]",
    "s | reverse",
    "n | reverse | list",
    "s | urlencode",
    "s | e",
    "s | striptags",
    "s | truncate(700000)",
    "{'a': s} | xmlattr",
    "s | title",
    "s | capitalize",
    "cycler(*n)",
    "joiner(s)()",
    "m(*n)",
    "m(**dict.fromkeys(range(100000) | map('string'), 1))",
    "m(*n, **dict.fromkeys(s))",
    "strftime_now(s)",
    "strftime_now('%c' * 1000000)",
    "[s, s, s] | tojson(ensure_ascii=true)",
    "u | tojson(true)",
    "('\\x00' * 10**6) | tojson",
    "['\\x00' * 10**6] | string",
    "[u, u] | string",
    "raise_exception(k)",
    "raise_exception(s * 100)",
    "missing[s]",
    "d[s]",
    "[s][s]",
    "(s ~ '.' ~ s) | attr(s)",
    "[d] | map(attribute=s) | list",
    "s.a.b",
    "l | sum(start=s)",
    "[n] * 100 | sum(start=[])",
    "n | min",
    "l | max",
    "s | int",
    "('9' * 10**6) | int",
    "('9' * 10**6) | float",
    "s | filesizeformat",
    "s.format(*n)",
    "s % n",
    "s | format(**d)",
    "[n, n, n] | map('list') | list",
    "[n] * 300 | map('sort') | list",
    "l | batch(3) | map('join') | list",
    "(s | safe) + s",
    "(s | safe) ~ s",
    "[s | safe] * 50 | join",
    "l | map('e') | list",
    "(u | safe).split('Σ')",
    "b | wordcount",
    "s in l",
    "k == [k]",
    "[k] * 1000",
];

/// Statements around an expression `{}` or without one, which keep the values that they make.
const KEEPERS: &[&str] = &[
    "{% set ns = namespace(x=[]) %}{% for i in range(100000) %}{% set ns.x = ns.x + [s ~ i] %}{% endfor %}",
    "{% set ns = namespace(x=[]) %}{% for i in range(100000) %}{% set ns.x = [ns.x, n + n] %}{% endfor %}",
    "{% set ns = namespace(x='') %}{% for i in range(100000) %}{% set ns.x = ns.x ~ s %}{% endfor %}",
    "{% set ns = namespace(x='') %}{% for i in range(100000) %}{% set ns.x = ns.x + s %}{% endfor %}",
    "{% set ns = namespace(x='aaaaaaaa') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
    "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
    "{% set ns = namespace(x=0) %}{% for i in range(100000) %}{% for j in range(100) %}{% set ns.x = namespace(p=ns.x, i=i) %}{% endfor %}{% endfor %}",
    "{% set ns = namespace(x=0) %}{% for i in range(100000) %}{% for x in [ns.x] %}{% set ns.x = loop %}{% endfor %}{% endfor %}",
    "{% set ns = namespace(x=0) %}{% for i in range(100000) %}{% for x in n[:2] %}{{ loop.changed(ns.x) }}{% set ns.x = loop %}{% endfor %}{% endfor %}",
    "{% set ns = namespace(x=0) %}{% for i in range(100000) %}{% set ns.x = cycler(ns.x) %}{% endfor %}",
    "{% set ns = namespace(x=0) %}{% for i in range(100000) %}{% set ns.x = joiner(ns.x) %}{% endfor %}",
    "{% for i in range(100000) %}{% for j in range(10) %}{% macro q(a) %}{{ a }}{% endmacro %}{% set x = q %}{% endfor %}{% endfor %}",
    "{% for i in range(100000) %}{% set x = n | map('string') %}{% set y = [x, n * 2] %}{% endfor %}",
    "{% set x %}{{ k }}{% endset %}{{ x }}",
    "{% set x | upper %}{{ k }}{% endset %}{{ x }}",
    "{% filter upper %}{{ k }}{% endfilter %}",
    "{% macro q() %}{{ k }}{% endmacro %}{{ q() }}",
    "{% call c() %}{{ k }}{% endcall %}",
    "{% generation %}{{ k }}{% endgeneration %}",
    "{% autoescape true %}{{ k }}{% endautoescape %}",
    "{% autoescape true %}{% set x %}{{ k }}{% endset %}{{ [k, x] | join('<') }}{% endautoescape %}",
    "{% for x in [k] recursive %}{{ loop(x) if x is sequence else x }}{% endfor %}",
    "{% for x in s %}{{ x }}{% endfor %}",
    "{% for x in u %}{{ s }}{% endfor %}",
    "{% for x in n %}{% for y in n %}{% for z in n %}{{ z }}{% endfor %}{% endfor %}{% endfor %}",
    "{% for i in range(100000) %}{{ s }}{% endfor %}",
    "{% for i in range(100000) %}{{ 'a' * 100 }}{% set x %}{{ s }}{% endset %}{% endfor %}",
    "{% print k %}",
    "{% with x = k ~ k %}{{ x }}{% endwith %}",
    "{% set x, y = s ~ s, n + n %}{% for a in n if a > 1 %}{% endfor %}",
    "{% for a in s if a == 'a' %}{{ s }}{% endfor %}",
    "{{ raise_exception('a' * 10**8) }}",
];

/// Expressions that would run for hours in a loop if reading were free.
const LOOKERS: &[&str] = &[
    "k == k",
    "k == k2",
    "k != k2",
    "k < k2",
    "s == s2",
    "s2 == s",
    "s < s2",
    "s in s2",
    "s2 in l2",
    "s in l2",
    "d2[s]",
    "d2[s2]",
    "d2.get(s)",
    "s in d2",
    "n == n2",
    "n < n2",
    "1.5 in n",
    "n.count(1.5)",
    "k in [k2]",
    "[k2].count(k)",
    "d == d3",
    "d.keys() == d3.keys()",
    "t == t2",
    "d[t]",
    "t in d",
    "{t: 1}",
    "s is eq s2",
    "k is eq k2",
    "s is sameas s2",
    "k is sameas k2",
    "n is in [n2]",
    "s.find('zz')",
    "s.rfind('zz')",
    "s.count('zz')",
    "s.startswith(s2)",
    "s.endswith(s2)",
    "s.startswith(('zz',) * 100000)",
    "'zz' in s",
    "s.replace('zz', '')",
    "s | replace('zz', '')",
    "s.split('zz')",
    "s.strip('zz')",
    "s | length",
    "s[-1]",
    "s[5]",
    "s[1:2]",
    "n[1:1]",
    "n | length",
    "s | wordcount",
    "s | first",
    "s | last",
    "n | last",
    "s | int",
    "s | float",
    "s.isalpha()",
    "s.isdigit()",
    "s.islower()",
    "s.isascii()",
    "s.istitle()",
    "s is lower",
    "s is upper",
    "s.isprintable()",
    "s.isidentifier()",
    "n | min",
    "l2 | min",
    "l2 | max",
    "l2 | sort",
    "l2 | unique | list",
    "l2 | groupby(0)",
    "l2 | map('length') | list",
    "n | sum",
    "n | select('>', 1) | list",
    "n | map(attribute='x') | list",
    "n | join",
    "n | tojson",
    "n | string",
    "s | tojson",
    "s | e",
    "s | title",
    "s | upper",
    "s | truncate(5)",
    "s | trim",
    "s | striptags",
    "s % ()",
    "s.format()",
    "'%s' % s",
    "'%.1s' % s",
    "'{:.1}'.format(s)",
    "s | indent",
    "s | list | length",
    "n | list | length",
    "n | reverse | first",
    "d.items() | list | length",
    "d | dictsort | length",
    "d.copy() | length",
    "dict(d) | length",
    "range(100000) | length",
    "range(100000)[5]",
    "range(100000) == range(99999)",
    "range(0, 100000) == range(100000)",
    "(n | batch(3)) | first",
    "m(n)",
    "m(**d4)",
    "d4 | xmlattr",
    "cycler(*n).next()",
    "namespace(**d4)['1']",
    "loop.changed(n)",
    "loop.changed(k if loop.index is odd else k2)",
    "d[s] is defined",
    "s.x is defined",
    "strftime_now(s)",
    "joiner(s)()",
    "s ~ ''",
    "s + s",
    "n + n",
    "s * 2",
    "n * 2",
    "[1] * 100000",
    "'a' * 10000000",
];

const LOOKED_AT: &str = "{% set s = 'a' * 4000000 %}{% set s2 = 'a' * 3999999 ~ 'b' %}{% set l2 = [s, s2] * 100 %}{% set d2 = {s2: 1} %}\
    {% set n = [1] * 300000 %}{% set n2 = [1] * 299999 + [2] %}{% set d = dict.fromkeys(range(100000)) %}{% set d3 = dict.fromkeys(range(100000), none) %}\
    {% set k = [[[[1] * 1000] * 1000] * 1000] * 1000 %}{% set k2 = [[[[1] * 1000] * 1000] * 1000] * 1000 %}{% set d4 = dict.fromkeys(range(50000) | map('string'), 1) %}\
    {% set t = ((((1,) * 100,) * 100,) * 100,) * 100 %}{% set t2 = ((((1,) * 100,) * 100,) * 100,) * 100 %}{% macro m() %}{{ varargs | length }}{{ kwargs | length }}{% endmacro %}";

/// Every how many-th template is rendered: all where `MISTRAL_SWEEP` is set, as `.ci/run` sets it.
fn stride() -> usize {
    if std::env::var_os("MISTRAL_SWEEP").is_some() { 1 } else { 9 }
}

/// Returns whether a rendering ended at a limit, with a message that names the setting.
fn ends_at_a_limit(rendered: &Result<String, Error>) -> bool {
    matches!(rendered, Err(Error::Template { detail, .. }) if detail.contains("exceeds the limit") && detail.contains("raise `"))
}

#[test]
fn memory_stays_below_the_limit() {
    let mut limits = TemplateLimits::default();
    limits.memory_bytes = 48 << 20;
    limits.output_bytes = 32 << 20;
    limits.steps = 2_000_000;
    let input = TemplateInput::new(&[]);
    let (mut wrong, mut at_a_limit) = (Vec::new(), 0);
    assert!(measured(MADE, &limits, &input).0.is_ok());
    let expressions =
        MAKERS.iter().flat_map(|e| [format!("{{{{ {e} }}}}"), format!("{{% set x = [{e}] %}}{{{{ x }}}}")]);
    for body in expressions.chain(KEEPERS.iter().map(|s| s.to_string())).step_by(stride()) {
        let (rendered, peak, time) = measured(&format!("{MADE}{body}"), &limits, &input);
        at_a_limit += usize::from(ends_at_a_limit(&rendered));
        if peak > (48 << 20) + SLACK || time > LONGEST {
            wrong.push(format!("{body}: {peak} bytes in {time:?}: {:?}", rendered.map(|text| text.len())));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(at_a_limit * stride() > 150, "{at_a_limit}");
}

#[test]
fn the_default_limit_of_memory_is_a_bound() {
    let input = TemplateInput::new(&[]);
    for body in [
        "{{ k }}",
        "{{ k | string }}",
        "{{ k ~ '' }}",
        "{{ '%s' % k }}",
        "{{ k | upper }}",
        "{{ k | join }}",
        "{{ k | tojson }}",
    ] {
        let (rendered, peak, time) = measured(&format!("{MADE}{body}"), &TemplateLimits::default(), &input);
        assert!(ends_at_a_limit(&rendered), "{body}: {rendered:?}");
        assert!(peak <= (256 << 20) + SLACK && time < LONGEST, "{body}: {peak} bytes in {time:?}");
    }
}

#[test]
fn looking_is_paid_for() {
    let input = TemplateInput::new(&[]);
    let limits = TemplateLimits::default();
    let mut wrong = Vec::new();
    assert!(measured(LOOKED_AT, &limits, &input).0.is_ok());
    for body in LOOKERS.iter().step_by(stride()) {
        let body = format!(
            "{{% for i in range(100000) %}}{{% for j in range(100000) %}}{{% if {body} %}}{{% endif %}}{{% endfor %}}{{% endfor %}}"
        );
        let (rendered, _, time) = measured(&format!("{LOOKED_AT}{body}"), &limits, &input);
        if !ends_at_a_limit(&rendered) || time > LONGEST {
            wrong.push(format!("{body}: {time:?}: {:?}", rendered.map(|text| text.len())));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
