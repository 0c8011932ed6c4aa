//! The rules of the house that no lint of the compiler knows: names at the roots of the crates, imports that name the defining module,
//! circles between modules, long functions and long files.
//!
//! Each count has a recorded maximum. A change that lowers a count lowers its record too; no change raises one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The records of one crate.
struct House {
    name: &'static str,
    /// Names that `lib.rs` makes public: modules, items and re-exports.
    root_names: usize,
    /// Functions of more than [`FUNCTION_LINES`] lines, tests apart.
    long_functions: usize,
    /// Modules that lie in a circle of imports.
    modules_in_circles: usize,
    /// Whether imports name the module that defines an item, and the folders that are excepted.
    imports: Option<&'static [&'static str]>,
}

const HOUSES: [House; 4] = [
    House { name: "mistral-quant", root_names: 46, long_functions: 0, modules_in_circles: 0, imports: Some(&[]) },
    House { name: "mistral-models", root_names: 55, long_functions: 4, modules_in_circles: 0, imports: Some(&[]) },
    House { name: "mistral-core", root_names: 57, long_functions: 0, modules_in_circles: 0, imports: Some(&[]) },
    House {
        name: "mistral-tools",
        root_names: 60,
        long_functions: 1,
        modules_in_circles: 0,
        imports: Some(&["dialect"]),
    },
];

const ROOT_NAMES: usize = 60;
const FUNCTION_LINES: usize = 80;
const FILE_LINES: usize = 800;

/// A file of a crate, without its tests.
struct Source {
    /// Relative to `src`.
    path: PathBuf,
    /// The path of its module: `["resilience", "retry"]`; empty for `lib.rs`.
    module: Vec<String>,
    /// Lines without comments and without modules of tests.
    code: Vec<String>,
    /// Lines of the whole file.
    lines: usize,
}

impl Source {
    fn read(root: &Path, file: &Path) -> Self {
        let path = file.strip_prefix(root).unwrap().to_owned();
        let mut module: Vec<String> =
            path.with_extension("").iter().map(|part| part.to_str().unwrap().to_owned()).collect();
        if module.last().is_some_and(|last| last == "mod" || last == "lib") {
            module.pop();
        }
        let text = fs::read_to_string(file).unwrap();
        Self { path, module, lines: text.lines().count(), code: code(&text) }
    }

    fn is_test(&self) -> bool {
        self.module.iter().any(|part| part == "tests" || part == "testing")
    }

    /// The paths of all `use` statements, and whether the statement passes the names on. In a module within the file, `super` is the file.
    fn uses(&self) -> Vec<(bool, Vec<Vec<String>>)> {
        let text = self.code.join("\n");
        let mut uses = Vec::new();
        for (at, _) in text.match_indices("use ") {
            let before = text[..at].rsplit('\n').next().unwrap_or_default();
            let line = before.trim();
            let public = line == "pub" || line.starts_with("pub(") && line.ends_with(')');
            if line.is_empty() || public {
                let mut paths = Vec::new();
                expand(&mut Vec::new(), statement(&text[at + "use ".len()..]), &mut paths);
                paths.retain(|path| path[0] != "super" || !before.starts_with(' '));
                uses.push((public, paths));
            }
        }
        uses
    }

    /// The paths of all imports from the crate itself, as segments after `crate`.
    fn imports(&self) -> Vec<Vec<String>> {
        let paths = self.uses().into_iter().flat_map(|(_, paths)| paths);
        paths.filter(|path| path[0] == "crate").map(|path| path[1..].to_vec()).collect()
    }

    /// The paths of the imports from the parent module, as segments after `crate`.
    fn imports_from_parent(&self) -> Vec<Vec<String>> {
        let parent = &self.module[..self.module.len().saturating_sub(1)];
        let paths = self.uses().into_iter().flat_map(|(_, paths)| paths);
        let paths =
            paths.filter(|path| path[0] == "super" && path[1..].iter().all(|part| part != "super" && part != "*"));
        paths.map(|path| [parent, &path[1..]].concat()).collect()
    }

    /// The paths that name an item of the crate in the middle of the code.
    fn inline_paths(&self) -> Vec<Vec<String>> {
        let mut paths = Vec::new();
        for line in self.code.iter().filter(|line| !line.contains("use crate::")) {
            for (at, _) in line.match_indices("crate::") {
                let before = line[..at].chars().next_back();
                if before.is_some_and(|before| before.is_alphanumeric() || matches!(before, '_' | '$' | '"' | '`')) {
                    continue;
                }
                let path = &line[at + "crate::".len()..];
                let end = path.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).unwrap_or(path.len());
                let segments = path[..end].split("::").filter(|segment| !segment.is_empty());
                paths.push(segments.map(str::to_owned).collect());
            }
        }
        paths
    }

    /// Whether this module defines the item or brings it in from another crate, and does not only pass it on from another module. An item
    /// that no `use` of the module names comes from a macro of the module.
    fn defines(&self, item: &str) -> bool {
        let foreign = |path: &[String]| {
            let first = path[0].as_str();
            !matches!(first, "crate" | "self" | "super") && !self.code.iter().any(|line| declares(line, first))
        };
        let uses = self.uses();
        let mut named = uses
            .iter()
            .flat_map(|(public, paths)| paths.iter().map(move |path| (public, path)))
            .filter(|(_, path)| path.len() > 1 && path.last().is_some_and(|last| last == item))
            .peekable();
        if named.peek().is_none() || named.any(|(public, path)| *public && foreign(path)) {
            return true;
        }
        const KEYWORDS: [&str; 10] =
            ["struct", "enum", "trait", "type", "fn", "const", "static", "union", "mod", "macro_rules!"];
        self.code.iter().any(|line| {
            let words: Vec<&str> = line.split(|c: char| c.is_whitespace()).filter(|word| !word.is_empty()).collect();
            words.windows(2).any(|pair| {
                let name = pair[1].split(|c: char| !(c.is_alphanumeric() || c == '_')).next();
                KEYWORDS.contains(&pair[0]) && name == Some(item)
            })
        })
    }
}

/// Whether the line declares a module of this name.
fn declares(line: &str, module: &str) -> bool {
    line.trim_end_matches(';').ends_with(&format!("mod {module}"))
}

/// Returns the lines of a file without comments, and without the modules that only tests see.
fn code(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let (mut tests, mut test_only) = (false, false);
    for line in text.lines() {
        if tests {
            tests = line != "}" && line != "};";
            continue;
        }
        if line == "#[cfg(test)]" || line == "#[cfg(all(test, loom))]" {
            test_only = true;
            continue;
        }
        if test_only {
            test_only = line.starts_with("#[");
            // The rest of an item that only tests see ends at the next brace of the first column.
            tests = line.ends_with('{');
            continue;
        }
        if !line.trim_start().starts_with("//") {
            lines.push(line.to_owned());
        }
    }
    lines
}

/// Returns the text of a statement up to its semicolon.
fn statement(text: &str) -> &str {
    &text[..text.find(';').unwrap_or(text.len())]
}

/// Adds all paths of a tree of imports.
fn expand(prefix: &mut Vec<String>, tree: &str, paths: &mut Vec<Vec<String>>) {
    let tree = tree.trim();
    if let Some(inner) = tree.strip_prefix('{').and_then(|tree| tree.strip_suffix('}')) {
        let (mut depth, mut from) = (0, 0);
        for (at, character) in inner.char_indices() {
            match character {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    expand(prefix, &inner[from..at], paths);
                    from = at + 1;
                }
                _ => {}
            }
        }
        expand(prefix, &inner[from..], paths);
    } else if let Some((first, rest)) = tree.split_once("::") {
        prefix.push(first.trim().to_owned());
        expand(prefix, rest, paths);
        prefix.pop();
    } else if !tree.is_empty() {
        let name = tree.split_whitespace().next().unwrap_or_default();
        let last = (name != "self").then(|| name.to_owned());
        paths.push(prefix.iter().cloned().chain(last).collect());
    }
}

/// All files of a crate, sorted.
fn sources(house: &House) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(house.name).join("src");
    let (mut files, mut folders) = (Vec::new(), vec![root.clone()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    assert!(files.len() > 10, "{} was not read: {files:?}", house.name);
    files.iter().map(|file| Source::read(&root, file)).collect()
}

/// Returns the names that a root makes public, each with the path of its re-export, which is empty for an item of the root itself.
fn root_names(sources: &[Source]) -> BTreeMap<String, Vec<String>> {
    let root = sources.iter().find(|source| source.module.is_empty()).expect("a lib.rs");
    let text = root.code.join("\n");
    let mut names = BTreeMap::new();
    for (at, _) in text.match_indices("pub ") {
        if !text[..at].is_empty() && !text[..at].ends_with('\n') {
            continue;
        }
        let item = &text[at + "pub ".len()..];
        if let Some(tree) = item.strip_prefix("use ") {
            let mut paths = Vec::new();
            expand(&mut Vec::new(), statement(tree), &mut paths);
            for path in paths {
                // `pub use other_crate as name` is one name as well.
                names.insert(path.last().unwrap().clone(), path);
            }
        } else {
            let name = item.split(|c: char| !(c.is_alphanumeric() || c == '_')).nth(1).unwrap_or_default();
            names.insert(name.to_owned(), Vec::new());
        }
    }
    names
}

/// Returns the functions of more than [`FUNCTION_LINES`] lines. The code is formatted: a function ends at a brace under its own first
/// column.
fn long_functions(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    let lines: Vec<&str> = source.code.iter().map(String::as_str).collect();
    for (at, line) in lines.iter().enumerate() {
        let text = line.trim_start();
        let indent = &line[..line.len() - text.len()];
        let Some(name) = function_name(text) else { continue };
        let end = format!("{indent}}}");
        let ends = lines[at..].iter().position(|line| **line == end || line.starts_with(&format!("{indent}fn ")));
        // A function on one line, and a declaration without a body.
        if line.ends_with('}') || line.ends_with(';') {
            continue;
        }
        if let Some(length) = ends.map(|end| end + 1).filter(|&length| length > FUNCTION_LINES) {
            found.push(format!("{}:{name} ({length})", source.path.display()));
        }
    }
    found
}

/// Returns the name of the function that begins on this line.
fn function_name(line: &str) -> Option<&str> {
    let words = line.split(' ').take(6).collect::<Vec<_>>();
    let at = words.iter().position(|&word| word == "fn")?;
    let qualified = words[..at].iter().all(|word| {
        matches!(*word, "pub" | "const" | "async" | "unsafe" | "extern" | "\"C\"" | "default")
            || word.starts_with("pub(")
    });
    words.get(at + 1).filter(|_| qualified).map(|name| name.split(['(', '<']).next().unwrap_or(name))
}

/// Returns for each module the modules that it imports from. An import of a name at the root is one from the module behind it.
fn graph(sources: &[Source]) -> BTreeMap<String, BTreeSet<String>> {
    let modules: BTreeSet<String> = sources.iter().map(|source| source.module.join("::")).collect();
    let root = root_names(sources);
    let mut graph = BTreeMap::new();
    for source in sources.iter().filter(|source| !source.is_test() && !source.module.is_empty()) {
        let from = source.module.join("::");
        let mut to = BTreeSet::new();
        for path in source.imports().into_iter().chain(source.inline_paths()) {
            let path = match root.get(path.first().map_or("", String::as_str)) {
                Some(behind) if !behind.is_empty() => behind.clone(),
                _ => path,
            };
            let module = (1..=path.len()).rev().map(|len| path[..len].join("::")).find(|path| modules.contains(path));
            to.extend(module.filter(|module| *module != from));
        }
        graph.insert(from, to);
    }
    graph
}

/// Returns the circles: modules that reach each other.
fn circles(graph: &BTreeMap<String, BTreeSet<String>>) -> Vec<Vec<&str>> {
    let reach = |from: &str| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![from.to_owned()]);
        while let Some(module) = next.pop() {
            for to in graph.get(&module).into_iter().flatten() {
                if seen.insert(to.clone()) {
                    next.push(to.clone());
                }
            }
        }
        seen
    };
    let reached: BTreeMap<&str, BTreeSet<String>> = graph.keys().map(|from| (from.as_str(), reach(from))).collect();
    let mut circles: Vec<Vec<&str>> = Vec::new();
    for (&from, all) in &reached {
        if all.contains(from) && !circles.iter().flatten().any(|&module| module == from) {
            circles
                .push(reached.keys().copied().filter(|&to| all.contains(to) && reached[to].contains(from)).collect());
        }
    }
    circles
}

fn assert_record(house: &House, what: &str, count: usize, record: usize, found: &dyn std::fmt::Debug) {
    assert!(count <= record, "{}: {count} {what}, and {record} are allowed: {found:#?}", house.name);
}

#[test]
fn the_roots_stay_small() {
    for house in &HOUSES {
        let names: Vec<String> = root_names(&sources(house)).into_keys().collect();
        assert!(house.root_names <= ROOT_NAMES);
        assert_record(house, "names at the root", names.len(), house.root_names, &names);
    }
}

#[test]
fn functions_stay_short() {
    for house in &HOUSES {
        let sources = sources(house);
        let long: Vec<_> = sources.iter().filter(|source| !source.is_test()).flat_map(long_functions).collect();
        assert_record(house, "functions over 80 lines", long.len(), house.long_functions, &long);
    }
}

#[test]
fn files_stay_short() {
    for house in &HOUSES {
        let sources = sources(house);
        let long: Vec<_> = sources.iter().filter(|source| source.lines > FILE_LINES).map(|s| &s.path).collect();
        assert_record(house, "files over 800 lines", long.len(), 0, &long);
    }
}

#[test]
fn modules_import_in_one_direction() {
    for house in &HOUSES {
        let sources = sources(house);
        let graph = graph(&sources);
        let circles = circles(&graph);
        let count = circles.iter().map(Vec::len).sum();
        assert_record(house, "modules in circles of imports", count, house.modules_in_circles, &circles);
    }
}

#[test]
fn imports_name_the_module_that_defines_an_item() {
    for house in &HOUSES {
        let Some(excepted) = house.imports else { continue };
        let sources = sources(house);
        let by_module: BTreeMap<&[String], &Source> = sources.iter().map(|s| (s.module.as_slice(), s)).collect();
        let mut through = Vec::new();
        for source in &sources {
            if source.module.first().is_none_or(|first| excepted.contains(&first.as_str())) {
                continue;
            }
            let paths = source.imports().into_iter().chain(source.imports_from_parent()).chain(source.inline_paths());
            for path in paths {
                let len = (0..=path.len()).rev().find(|&len| by_module.contains_key(&path[..len])).unwrap_or(0);
                let named = path.get(len).is_none_or(|item| len > 0 && by_module[&path[..len]].defines(item));
                if !named {
                    through.push(format!("{}: crate::{}", source.path.display(), path.join("::")));
                }
            }
        }
        assert!(through.is_empty(), "{}: imports through another module: {through:#?}", house.name);
    }
}

/// The rules find what they forbid.
#[test]
fn the_rules_see_what_they_count() {
    let source = |module: &str, text: &str| Source {
        path: PathBuf::from(module),
        module: module.split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect(),
        code: code(text),
        lines: 0,
    };
    let sources = [
        source("", "mod a;\npub mod b;\npub use a::{A, deep::{Deep, other as Other}};\npub use serde_json;\n"),
        source("a", "use crate::b::{B, c::{self, C}};\npub struct A;\nfn f() { crate::b::g() }\n"),
        source("b", "// use crate::nothing::N;\nuse crate::A;\npub(crate) enum B<T> {}\n"),
        source("b::c", "pub type C = u8;\n#[cfg(test)]\nmod tests {\n    use crate::a::A;\n}\n"),
    ];
    let names: Vec<String> = root_names(&sources).into_keys().collect();
    assert_eq!(names, ["A", "Deep", "b", "other", "serde_json"]);
    let paths: Vec<String> = sources[1].imports().iter().map(|path| path.join("::")).collect();
    assert_eq!(paths, ["b::B", "b::c", "b::c::C"]);
    assert_eq!(sources[1].inline_paths(), [["b", "g"]]);
    assert!(sources[2].defines("B") && !sources[2].defines("A") && sources[3].defines("C"));
    let graph = graph(&sources);
    assert_eq!(circles(&graph), [["a", "b"]], "through the root as well: {graph:?}");

    let body = "    work();\n".repeat(FUNCTION_LINES - 1);
    let long =
        format!("impl A {{\n    pub fn short() {{ }}\n}}\npub(crate) fn long<T>() {{\n{body}}}\nfn least() {{\n}}\n");
    assert_eq!(long_functions(&source("a", &long)), ["a:long (81)"]);
}
