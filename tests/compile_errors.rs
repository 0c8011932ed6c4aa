//! The compiler's messages for a new user: each easy mistake leads to a message that names the solution.
//!
//! Cargo checks the programs of `compile_errors/` in one package. Only the important words are compared, so that a compiler with another
//! layout of errors passes too.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

/// The programs, and the texts that the compiler's errors contain. A program without expectations compiles.
const PROGRAMS: &[(&str, &[&str])] = &[
    ("compiles", &[]),
    ("no_json_schema", &["no schema of `Numbers`", "add `#[derive(schemars::JsonSchema)]` to `Numbers`"]),
    ("no_deserialize", &["cannot be the arguments of a tool", "add `#[derive(serde::Deserialize)]` to `Numbers`"]),
    (
        "ordered_no_deserialize",
        &["cannot be the arguments of a tool", "add `#[derive(serde::Deserialize)]` to `Numbers`"],
    ),
    ("ordered_no_json_schema", &["no schema of `Numbers`", "add `#[derive(schemars::JsonSchema)]` to `Numbers`"]),
    ("ordered_not_clone", &["cloned for each call (wrap them in `Arc`)", "`.with(value)` after the description"]),
    ("no_serialize", &["Serialize", "derive(serde::Serialize)"]),
    ("plain_result", &["is not a function of a tool", "end it with `Ok(result)`"]),
    ("foreign_result", &["is not a function of a tool", "`Ok(other()?)` calls a function with another error"]),
    ("wrong_arity", &["expected `|arguments: A| Ok(result)`, `|arguments: A, call: &Invocation<'_>| Ok(result)`"]),
    ("ordered_arity", &["expected to take 4 arguments, but it takes 1 argument"]),
    ("not_send", &["cannot be sent between threads safely", "await occurs here"]),
    ("not_clone", &["captures something that cannot be cloned", "wrap it in `Arc`"]),
    ("changes_capture", &["AsyncFnMut", "mutates the variable `count`"]),
    // The compiler has no place for a text of ours here: the docs of `Arguments` quote these words, and name `Borrowed`.
    ("borrowed", &["Deserialize` is not general enough"]),
    ("no_error", &["`?` couldn't convert the error", "std::error::Error"]),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Makes a package of the programs next to the build folder of the tests, so that its dependencies are already built.
fn package() -> (PathBuf, PathBuf) {
    let (target, folder) = (root().join("target"), Path::new(env!("CARGO_TARGET_TMPDIR")).join("compile_errors"));
    fs::create_dir_all(folder.join("src/bin")).unwrap();
    let manifest = format!(
        "[package]\nname = \"compile-errors\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n[dependencies]\n\
         mistral-tools = {{ path = {:?} }}\nserde = {{ version = \"1\", features = [\"derive\"] }}\n",
        root().join("mistral-tools")
    );
    fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    fs::copy(root().join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    for (name, _) in PROGRAMS {
        let program = root().join("tests/compile_errors").join(format!("{name}.rs"));
        fs::copy(program, folder.join(format!("src/bin/{name}.rs"))).unwrap();
    }
    (folder, target)
}

/// Returns the errors of each program, as a user sees them.
fn errors() -> BTreeMap<String, String> {
    let (folder, target) = package();
    let output = Command::new(env!("CARGO"))
        .args(["check", "--offline", "--bins", "--keep-going", "--message-format", "json"])
        .env("CARGO_TARGET_DIR", target)
        .current_dir(folder)
        .output()
        .unwrap();
    let mut errors = BTreeMap::<String, String>::new();
    let text = String::from_utf8(output.stdout).unwrap();
    for message in text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        if message["reason"] == "compiler-message" && message["message"]["level"] == "error" {
            let program = message["target"]["name"].as_str().unwrap().to_owned();
            errors.entry(program).or_default().push_str(message["message"]["rendered"].as_str().unwrap());
        }
    }
    let failed = String::from_utf8_lossy(&output.stderr);
    assert!(!errors.is_empty(), "cargo did not check the programs: {failed}");
    errors
}

#[test]
fn errors_point_to_the_way_out() {
    let (errors, mut wrong) = (errors(), String::new());
    for (program, expected) in PROGRAMS {
        let text = errors.get(*program).map_or("", String::as_str);
        if expected.is_empty() != text.is_empty() || !expected.iter().all(|words| text.contains(words)) {
            wrong += &format!("{program} should say {expected:?}, and says:\n{text}\n");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
