//! Chat templates against renderings of the genuine implementations: published templates (shared folder) and our own battery.

use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use mistral_models::{ChatTemplate, Error, TemplateInput};
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
        eprintln!("skipped: MISTRAL_SHARED is not set");
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

#[test]
fn battery_renders_as_in_jinja2() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("goldens/templates/battery.json");
    let battery = read(&path);
    let cases = battery["cases"].as_array().unwrap();
    let mut wrong = Vec::new();
    for case in cases {
        let source = case["template"].as_str().unwrap();
        let mut case = case.clone();
        case["variables"] = battery["variables"].clone();
        case["messages"] = battery["messages"].clone();
        if let Some(why) = mismatch(&ChatTemplate::new(source), &case) {
            wrong.push(format!("{source:?}: {why}"));
        }
    }
    assert!(cases.len() > 300);
    assert!(wrong.is_empty(), "{} of {} wrong\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}
