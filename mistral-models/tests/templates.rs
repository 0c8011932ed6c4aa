//! Chat templates against renderings of the genuine implementations: published templates (shared folder) and our own battery.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use mistral_models::{ChatTemplate, ChatTemplates, Error, Metadata, TemplateInput, TemplateLimits};
use serde_json::Value;

fn render(template: &ChatTemplate, case: &Value) -> Result<String, Error> {
    let none = Vec::new();
    let messages = case["messages"].as_array().unwrap_or(&none);
    let variables = case["variables"].as_object().cloned().unwrap_or_default();
    let mut input = TemplateInput::new(messages)
        .variables(&variables)
        .add_generation_prompt(case["add_generation_prompt"].as_bool().unwrap_or(false))
        .now(UNIX_EPOCH + Duration::from_secs(1_709_210_096));
    if let Some(tools) = case["tools"].as_array() {
        input = input.tools(tools);
    }
    if let Some(documents) = case["documents"].as_array() {
        input = input.documents(documents);
    }
    template.render(&input)
}

/// Nothing when the rendering, or the failure to render, is the expected one.
fn mismatch(template: &Result<ChatTemplate, Error>, case: &Value) -> Option<String> {
    let rendered = match template {
        Ok(template) => render(template, case),
        Err(error) => Err(Error::Template { detail: error.to_string(), line: None }),
    };
    match (rendered, case["rendered"].as_str()) {
        (Ok(text), Some(expected)) if text == expected => None,
        (Ok(text), Some(expected)) => {
            let at = text.bytes().zip(expected.bytes()).take_while(|(a, b)| a == b).count();
            let show =
                |s: &str| String::from_utf8_lossy(&s.as_bytes()[at.min(s.len())..s.len().min(at + 80)]).into_owned();
            Some(format!("differs from byte {at}: {:?}, expected {:?}", show(&text), show(expected)))
        }
        (Ok(text), None) => Some(format!("gave {text:?}, expected the error {}", case["error"])),
        (Err(Error::Template { .. }), None) => None,
        (Err(error), None) => Some(format!("the error is not a template's: {error}")),
        (Err(error), Some(expected)) => Some(format!("{error}; expected {expected:?}")),
    }
}

fn read(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn published_templates_render_as_in_transformers() {
    let Some(shared) = std::env::var_os("MISTRAL_SHARED") else {
        assert!(std::env::var_os("CI").is_none_or(|ci| ci.is_empty()), "MISTRAL_SHARED is not set");
        let _ = writeln!(std::io::stderr(), "skipped: MISTRAL_SHARED is not set"); // Not captured by the test runner.
        return;
    };
    let (mut templates, mut cases, mut wrong) = (0, 0, Vec::new());
    let mut folders: Vec<PathBuf> =
        std::fs::read_dir(Path::new(&shared).join("templates")).unwrap().map(|e| e.unwrap().path()).collect();
    folders.sort();
    for folder in folders.iter().filter(|f| f.is_dir()) {
        templates += 1;
        let template = ChatTemplate::new(&std::fs::read_to_string(folder.join("template.jinja")).unwrap());
        for case in read(&folder.join("cases.json")).as_array().unwrap() {
            cases += 1;
            if let Some(why) = mismatch(&template, case) {
                wrong.push(format!("{} {}: {why}", folder.file_name().unwrap().display(), case["name"]));
            }
        }
    }
    eprintln!("{templates} templates, {cases} cases, {} wrong", wrong.len());
    assert!(templates > 0 && cases > 0);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Compares the renderer with a file of templates and their renderings.
fn renders_as_in(golden: &str, at_least: usize) {
    let golden = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("goldens/templates").join(golden));
    let prefix = golden["prefix"].as_str().unwrap_or_default();
    let cases = golden["cases"].as_array().unwrap();
    let mut wrong = Vec::new();
    for case in cases {
        let source = case["template"].as_str().unwrap();
        let mut case = case.clone();
        case["variables"] = golden["variables"].clone();
        case["messages"] = golden["messages"].clone();
        if let Some(why) = mismatch(&ChatTemplate::new(&format!("{prefix}{source}")), &case) {
            wrong.push(format!("{source:?}: {why}"));
        }
    }
    assert!(cases.len() >= at_least);
    assert!(wrong.is_empty(), "{} of {} wrong\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn battery_renders_as_in_jinja2() {
    renders_as_in("battery.json", 300);
}

#[test]
fn safe_text_renders_as_in_jinja2() {
    renders_as_in("markup.json", 600);
}

/// Every hostile template ends in a template error, on a thread with the default stack of 2 MiB.
#[test]
fn hostile_templates_end_in_typed_errors() {
    let many = |text: &str, n: usize| text.repeat(n);
    let hostile = [
        format!("{{{{ {}1{} }}}}", many("(", 50_000), many(")", 50_000)),
        format!("{{{{ {}1{} }}}}", many("[", 50_000), many("]", 50_000)),
        format!("{{{{ {}1 }}}}", many("not ", 50_000)),
        format!("{{{{ {}1 }}}}", many("-", 50_000)),
        format!("{{{{ {}1 }}}}", many("1 if 0 else ", 50_000)),
        format!("{{{{ {}1 }}}}", many("1 if 0 ", 50_000)),
        format!("{{{{ {}1 }}}}", many("a is b(", 50_000)),
        many("{% if 1 %}", 50_000),
        many("{% for x in y %}", 50_000),
        many("{% macro m() %}", 50_000),
        format!("{{% set {}a", many("(", 50_000)),
        "{{ 'a' * 10**9 }}".into(),
        "{{ ('a' * 10**6) * 10**6 }}".into(),
        "{{ [0] * 10**9 }}".into(),
        "{{ '%1000000000s' % 'a' }}".into(),
        "{{ '{:>1000000000}'.format('a') }}".into(),
        "{{ 'a'.center(10**12) }}{{ 'a' | center(10**12) }}".into(),
        "{{ 'a' | indent(10**12, true) }}".into(),
        "{{ [1] | tojson(indent=10**12) }}".into(),
        "{{ [1] | batch(10**12, 0) | list }}{{ [1] | slice(10**12) | list }}".into(),
        "{{ ('a' * 10**6).replace('a', 'a' * 10**6) }}".into(),
        "{{ range(10**9) }}".into(),
        "{{ 10**1000 }}".into(),
        "{% set ns = namespace(s='aaaaaaaa') %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}".into(),
        "{% set ns = namespace(l=[1]) %}{% for i in range(60) %}{% set ns.l = ns.l + ns.l %}{% endfor %}".into(),
        "{% set ns = namespace(l=[1]) %}{% for i in range(9999) %}{% set ns.l = [ns.l] %}{% endfor %}".into(),
        "{% set ns = namespace(l={}) %}{% for i in range(9999) %}{% set ns.l = {'a': ns.l} %}{% endfor %}".into(),
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}".into(),
        "{% for a in range(99999) %}{% for b in range(99999) %}abcdefgh{% endfor %}{% endfor %}".into(),
        "{% set x %}{% for a in range(99999) %}".to_owned() + &many("b", 50_000) + "{% endfor %}{% endset %}",
        "{% macro m(x) %}{{ m(x) }}{% endmacro %}{{ m(1) }}".into(),
        "{% macro m(x) %}{{ m(x ~ x) }}{% endmacro %}{{ m('a') }}".into(),
        "{% macro m() %}{% call m() %}{% endcall %}{% endmacro %}{{ m() }}".into(),
        "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}".into(),
        "{{ '{0:{0:{0:{0}}}}'.format('a') }}{{ missing.x }}".into(),
    ];
    for source in &hostile {
        let result = ChatTemplate::new(source).and_then(|t| t.render(&TemplateInput::new(&[])));
        let shown: String = source.chars().take(60).collect();
        assert!(matches!(result, Err(Error::Template { .. })), "{shown}: {:?}", result.map(|s| s.len()));
    }
}

/// What is long but flat is no attack on the stack.
#[test]
fn long_flat_templates_render() {
    for source in [
        format!("{{{{ {}1 }}}}", "1 + ".repeat(50_000)),
        format!("{{{{ 'a'{} }}}}", " | trim".repeat(50_000)),
        format!("{{{{ {}1 }}}}", "1 and ".repeat(50_000)),
        format!("{{% if 0 %}}{}{{% endif %}}", "{% elif 0 %}".repeat(20_000)),
        "{% set ns = namespace() %}{% set ns.a = ns %}{% set ns.b = [ns] %}{{ ns.b | length }}".to_owned(),
        "{% set r = namespace(x=1) %}{% for i in range(50000) %}{% set r.x = namespace(p=r.x) %}{% endfor %}"
            .to_owned(),
    ] {
        let rendered = ChatTemplate::new(&source).and_then(|t| t.render(&TemplateInput::new(&[])));
        assert!(rendered.is_ok(), "{}: {rendered:?}", &source[..40]);
    }
}

/// Limits grow with the input: two templates render a long history. One looks back at every message, and one collects its text.
#[test]
fn long_histories_with_tools_render() {
    let call = serde_json::json!({"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f", "arguments": {"x": 1}}}]});
    let result = serde_json::json!({"role": "tool", "name": "f", "content": "12 degrees, some rain and a light wind from the west. ".repeat(10)});
    let messages: Vec<Value> = (0..2000).map(|i| if i % 2 == 0 { call.clone() } else { result.clone() }).collect();
    let tools: Vec<Value> =
        (0..50).map(|i| serde_json::json!({"name": format!("f{i}"), "parameters": {"type": "object"}})).collect();
    let back = "{% for m in messages %}{% set ns = namespace(seen=0) %}{% for n in messages[:loop.index] %}\
        {% if n.role == 'tool' %}{% set ns.seen = ns.seen + 1 %}{% endif %}{% endfor %}{{ ns.seen }},{% endfor %}{{ tools | tojson }}";
    let text = "{% set ns = namespace(text='') %}{% for m in messages %}{% set ns.text = ns.text ~ m.content ~ tools[0].name %}{% endfor %}{{ ns.text }}";
    for source in [back, text] {
        let render = |limits| {
            ChatTemplate::with_limits(source, limits).unwrap().render(&TemplateInput::new(&messages).tools(&tools))
        };
        let rendered = render(TemplateLimits::default());
        assert!(rendered.is_ok(), "{rendered:?}");
        let mut fixed = TemplateLimits::default();
        (fixed.steps_per_input_byte, fixed.memory_per_input_byte, fixed.output_per_input_byte) = (0, 0, 0);
        let error = render(fixed).unwrap_err().to_string();
        assert!(error.contains("limit of 5000000 steps"), "{error}");
    }
}

#[test]
fn errors_of_limits_name_the_limit_and_its_setting() {
    let mut limits = TemplateLimits::default();
    (limits.source_bytes, limits.output_bytes, limits.memory_bytes, limits.steps, limits.depth) =
        (60, 100, 100_000, 1000, 20);
    let error = |source: &str| match ChatTemplate::with_limits(source, limits.clone()) {
        Ok(template) => template.render(&TemplateInput::new(&[])).unwrap_err().to_string(),
        Err(error) => error.to_string(),
    };
    for (source, limit, setting) in [
        (" ".repeat(61), "60 of", "`source_bytes`"),
        ("{{ 'a' * 101 }}".to_owned(), "100 bytes", "`output_bytes`"),
        ("{{ 'a' * 100000 }}".to_owned(), "100000 bytes", "`memory_bytes`"),
        ("{% for i in range(1000) %}{{ i }}{% endfor %}".to_owned(), "1000 steps", "`steps`"),
        ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}".to_owned(), "20 levels", "`depth`"),
    ] {
        let error = error(&source);
        let limit = limit.replace("60 of", "limit of 60");
        assert!(
            error.contains(&limit) && error.contains(setting) && error.contains("TemplateLimits"),
            "{source}: {error}"
        );
    }
}

#[test]
fn what_jinja2_has_and_this_renderer_has_not_is_unsupported() {
    for source in [
        "{{ 'a' | urlize }}",
        "{{ 'a' | wordwrap }}",
        "{{ 'a' | pprint }}",
        "{{ [1] | random }}",
        "{{ lipsum() }}",
        "{{ 'a'.encode() }}",
        "{{ 'a'.maketrans('a', 'b') }}",
        "{{ (5).to_bytes(1) }}",
        "{{ (1.5).hex() }}",
        "{{ {}.keys().mapping() }}",
        "{{ '&copy;' | striptags }}",
    ] {
        let result = ChatTemplate::new(source).and_then(|t| t.render(&TemplateInput::new(&[])));
        assert!(matches!(result, Err(Error::Unsupported { .. })), "{source}: {result:?}");
    }
}

#[test]
fn errors_name_the_line() {
    let line = |source: &str| match ChatTemplate::new(source).and_then(|t| t.render(&TemplateInput::new(&[]))) {
        Err(Error::Template { detail, line }) => (detail, line),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        line("a\n{% if 1 %}\n{{ raise_exception('no system role') }}{% endif %}"),
        ("no system role".into(), Some(3))
    );
    assert_eq!(line("a\n\n{% nope %}").1, Some(3));
}

#[test]
fn dates_are_those_of_the_given_time() {
    let template =
        ChatTemplate::new("{{ strftime_now('%d %b %Y|%Y-%m-%d|%A %B %j %H:%M:%S %p %I %-d %y %%') }}").unwrap();
    let now = UNIX_EPOCH + Duration::from_secs(1_709_210_096);
    let text = template.render(&TemplateInput::new(&[]).now(now)).unwrap();
    assert_eq!(text, "29 Feb 2024|2024-02-29|Thursday February 060 12:34:56 PM 12 29 24 %");
}

#[test]
fn templates_are_found_and_selected() {
    let find = |config: Option<&str>, jinja: Option<&str>, metadata: Option<&Metadata>| {
        ChatTemplates::from_parts(config.map(str::as_bytes), jinja, metadata)
    };
    let source = |found: &ChatTemplates, tools| found.select(tools).unwrap().source().to_owned();
    assert_eq!(find(None, None, None).unwrap(), None);
    assert_eq!(find(Some("{}"), None, None).unwrap(), None);
    let one = find(Some(r#"{"chat_template": "c"}"#), None, None).unwrap().unwrap();
    assert_eq!((source(&one, false), source(&one, true)), ("c".into(), "c".into()));
    let list = r#"{"chat_template": [{"name": "default", "template": "d"}, {"name": "tool_use", "template": "t"}]}"#;
    let two = find(Some(list), None, None).unwrap().unwrap();
    assert_eq!((source(&two, false), source(&two, true)), ("d".into(), "t".into()));
    let file = find(Some(list), Some("j"), None).unwrap().unwrap();
    assert_eq!((source(&file, false), source(&file, true)), ("j".into(), "j".into()));
    let mut metadata = Metadata::default();
    metadata.insert("tokenizer.chat_template", mistral_models::Value::Str("g".into()));
    metadata.insert("tokenizer.chat_template.tool_use", mistral_models::Value::Str("u".into()));
    let gguf = find(None, None, Some(&metadata)).unwrap().unwrap();
    assert_eq!((source(&gguf, false), source(&gguf, true)), ("g".into(), "u".into()));
    assert!(matches!(find(Some("{"), None, None), Err(Error::Malformed { .. })));
    assert!(matches!(find(Some(r#"{"chat_template": 3}"#), None, None), Err(Error::Config { .. })));
}
