//! The crates know each other in one direction, and their default dependencies stay small and pure Rust.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

const PUBLISHED: [&str; 4] = ["mistral-quant", "mistral-models", "mistral-core", "mistral-tools"];

fn cargo(args: &[&str]) -> String {
    let out = Command::new(env!("CARGO")).args(args).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(out.status.success(), "cargo {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

/// Every package that a published crate pulls in by default and by the `features` named, build scripts' needs included.
fn tree(package: &str, features: &str, edges: &str) -> BTreeSet<String> {
    let mut args = vec!["tree", "--locked", "-p", package, "-e", edges, "--prefix", "none", "--format", "{p}"];
    args.extend(["--features", features]);
    let text = cargo(&args);
    text.lines().filter_map(|line| line.split(' ').next()).filter(|n| !n.is_empty()).map(str::to_owned).collect()
}

#[test]
fn siblings_depend_in_one_direction() {
    let metadata: Value = serde_json::from_str(&cargo(&["metadata", "--no-deps", "--format-version", "1"])).unwrap();
    let allowed = |name: &str| -> &[&str] {
        match name {
            "mistral-quant" | "mistral-tools" => &[],
            "mistral-models" => &["mistral-quant"],
            _ => &["mistral-quant", "mistral-models", "mistral-tools"],
        }
    };
    let mut seen = 0;
    for package in metadata["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        if !PUBLISHED.contains(&name) {
            assert_eq!(package["publish"], serde_json::json!([]), "{name} must not be published");
            continue;
        }
        seen += 1;
        for dependency in package["dependencies"].as_array().unwrap() {
            let dependency = dependency["name"].as_str().unwrap();
            let sibling = dependency.starts_with("mistral-");
            assert!(!sibling || allowed(name).contains(&dependency), "{name} must not depend on {dependency}");
        }
    }
    assert_eq!(seen, PUBLISHED.len());
}

const RUNTIMES: &[&str] =
    &["tokio", "async-std", "smol", "async-executor", "futures-executor", "embassy-executor", "glommio"];
const NETWORK: &[&str] =
    &["ureq", "reqwest", "hyper", "curl", "curl-sys", "hf-hub", "rustls", "native-tls", "socket2", "mio"];
const COMPILERS: &[&str] =
    &["cc", "cmake", "bindgen", "cxx-build", "nasm-rs", "openssl-sys", "onig_sys", "ring", "aws-lc-sys"];

fn assert_pure_rust(package: &str, tree: &BTreeSet<String>) {
    assert!(tree.contains(package), "the tree of {package} was not read: {tree:?}");
    for name in RUNTIMES.iter().chain(NETWORK).chain(COMPILERS) {
        assert!(!tree.contains(*name), "{package} pulls in {name}");
    }
}

#[test]
fn default_dependencies_are_few_and_pure_rust() {
    for package in PUBLISHED {
        let all = tree(package, "", "normal,build");
        assert_pure_rust(package, &all);
        assert!(!all.contains("candle-core"), "{package} pulls in candle by default");
    }
    let core = tree("mistral-core", "", "normal");
    assert!(core.len() <= 140, "mistral-core has {} crates in its tree, 140 are allowed", core.len());
}

#[test]
fn candle_brings_no_c_no_runtime_and_no_network() {
    let all = tree("mistral-quant", "candle", "normal,build");
    assert_pure_rust("mistral-quant", &all);
    assert!(all.contains("candle-core"));
}

#[test]
fn tools_bring_no_c_no_runtime_and_no_network() {
    for package in ["mistral-tools", "mistral-core"] {
        let all = tree(package, "builtin,dynamic", "normal,build");
        assert_pure_rust(package, &all);
        assert!(all.contains("jsonschema") && all.contains("fend-core"));
    }
}
