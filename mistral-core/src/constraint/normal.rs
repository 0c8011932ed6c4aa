//! Converts schemas and their opposites to the normal form. Parts that cannot be expressed are reported.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::flat::{
    ALL, ARRAY, Contains, FALSE, Flat, List, Members, NUMBER, OBJECT, STRING, Sub, TRUE, Text, below, count, equal,
    list, named_type, texts,
};
use super::number::{Decimal, Range};
use super::pattern;
use super::report::Treatment;
use super::schema::{Compiled, Compiler, Problem};

/// The most alternatives that one schema may have once they are multiplied out.
const ALTERNATIVES: usize = 256;
/// The most schemas that are examined per tool while alternatives are multiplied out.
const WORK: usize = 1 << 17;
/// The number of schemas as which an automaton counts.
const AUTOMATON: usize = 1 << 7;
/// The deepest nesting of schemas that hold for one value.
const NESTING: usize = 64;
/// The deepest nesting of schemas that are examined to find out whether two schemas exclude each other.
const DEPTH: usize = 4;

type Schema = Map<String, Value>;
type Flats<'d> = Vec<Flat<'d>>;

impl<'d> Compiler<'d> {
    /// Returns the normal form of a schema.
    pub(super) fn flatten(&mut self, sub: &Sub<'d>) -> Compiled<Flats<'d>> {
        self.work += 1;
        if self.work > WORK {
            return Err(Problem::new(&sub.at, "has too many alternatives"));
        }
        if self.nesting >= NESTING {
            return Err(Problem::new(&sub.at, "nests too deeply"));
        }
        self.nesting += 1;
        let flats = self.flatten_here(sub);
        self.nesting -= 1;
        flats
    }

    fn flatten_here(&mut self, sub: &Sub<'d>) -> Compiled<Flats<'d>> {
        match sub.schema {
            Value::Bool(_) if sub.is_false() => Ok(Vec::new()),
            Value::Bool(_) => Ok(vec![Flat::of(&sub.at, ALL)]),
            Value::Object(schema) if sub.not => self.opposite(schema, &sub.at),
            Value::Object(schema) => self.normal(schema, &sub.at),
            _ => Err(Problem::new(&sub.at, "is not an object, `true` or `false`: such a value is no schema")),
        }
    }

    /// Returns the normal form of several schemas that hold together, for values of some types.
    pub(super) fn flatten_all(&mut self, subs: &[Sub<'d>], types: u8, at: &Arc<str>) -> Compiled<Flats<'d>> {
        let mut all = vec![Flat::of(at, types)];
        for sub in subs {
            let other = self.flatten(sub)?;
            all = both(&all, &other, &sub.at)?;
        }
        Ok(all)
    }

    /// Adds the conditions of one keyword, or reports the keyword if the conditions cannot be expressed.
    fn add(&mut self, all: &mut Flats<'d>, keyword: &str, at: &Arc<str>, other: Compiled<Flats<'d>>) {
        match other.and_then(|other| both(all, &other, at)) {
            Ok(product) => *all = product,
            Err(Problem { detail, .. }) => self.report(at, Some(keyword), Treatment::Ignored, detail),
        }
    }

    fn normal(&mut self, schema: &'d Schema, at: &Arc<str>) -> Compiled<Flats<'d>> {
        let mut all = vec![self.own(schema, at)];
        for keyword in ["$ref", "$dynamicRef", "$recursiveRef"] {
            if let Some(path) = schema.get(keyword) {
                let other = self.referred(path, at, false);
                self.add(&mut all, keyword, at, other);
            }
        }
        for branch in branches(schema, "allOf", at) {
            let other = self.flatten(&branch);
            self.add(&mut all, "allOf", at, other);
        }
        if schema.get("anyOf").is_some_and(Value::is_array) {
            let other = self.any_of(&branches(schema, "anyOf", at));
            self.add(&mut all, "anyOf", at, other);
        }
        if schema.get("oneOf").is_some_and(Value::is_array) {
            let other = self.one_of_many(&branches(schema, "oneOf", at), at);
            self.add(&mut all, "oneOf", at, other);
        }
        if let Some(not) = schema.get("not") {
            let other = self.flatten(&Sub::new(below(at, &["not"]), not).negated());
            self.add(&mut all, "not", at, other);
        }
        if schema.contains_key("if") && (schema.contains_key("then") || schema.contains_key("else")) {
            let other = self.conditional(schema, at, false);
            self.add(&mut all, "if", at, other);
        }
        for keyword in ["dependentRequired", "dependentSchemas", "dependencies"] {
            for (key, what) in schema.get(keyword).and_then(Value::as_object).into_iter().flatten() {
                let other = self.dependent(key, what, &below(at, &[keyword, key]));
                self.add(&mut all, keyword, at, other);
            }
        }
        let rest = |keyword| schema.get(keyword).map(|rest| Sub::new(below(at, &[keyword]), rest));
        for flat in &mut all {
            // Everything that was evaluated is in one record now.
            if let Some(rest) = rest("unevaluatedProperties").filter(|_| flat.members.iter().all(|m| m.rest.is_none()))
            {
                let mut known = Members { rest: Some(rest), ..Members::default() };
                for members in &flat.members {
                    known.named.extend(members.named.iter().map(|(key, _)| (*key, Sub::new("", &TRUE))));
                    known.patterns.extend(members.patterns.iter().map(|(key, _)| (*key, Sub::new("", &TRUE))));
                }
                flat.members.push(known);
            }
            if let Some(rest) = rest("unevaluatedItems").filter(|_| flat.lists.iter().all(|list| list.rest.is_none())) {
                let longest = flat.lists.iter().map(|list| list.prefix.len()).max().unwrap_or(0);
                flat.lists.push(List { prefix: vec![Sub::new("", &TRUE); longest], rest: Some(rest) });
            }
        }
        Ok(all)
    }

    /// Returns the conditions of the keywords that stand for themselves.
    fn own(&mut self, schema: &'d Schema, at: &Arc<str>) -> Flat<'d> {
        let mut flat = Flat::of(at, ALL);
        if let Some(names) = schema.get("type") {
            let mut types = 0;
            for name in texts(names) {
                match named_type(name) {
                    Some(named) => types |= named,
                    None => {
                        let detail = format!("has the type `{name}`, which JSON Schema does not have");
                        self.report(at, Some("type"), Treatment::Ignored, detail);
                        types = ALL;
                    }
                }
            }
            flat.types = types;
        }
        if let Some(values) = schema.get("enum").and_then(Value::as_array) {
            flat.values = Some(values.iter().collect());
        }
        if let Some(value) = schema.get("const") {
            let right = flat.values.is_none_or(|values| values.iter().any(|known| equal(known, value)));
            flat.values = Some(if right { vec![value] } else { Vec::new() });
        }
        flat.narrow();
        flat.range = Range::of_schema(schema);
        if let Some(number) = schema.get("multipleOf").and_then(Value::as_number) {
            match Decimal::new(number).filter(Decimal::is_positive) {
                Some(number) => flat.multiples.push((Arc::clone(at), number, false)),
                None => {
                    self.report(at, Some("multipleOf"), Treatment::Ignored, "has a number here that is not above 0")
                }
            }
        }
        for keyword in ["pattern", "format"] {
            for text in schema.get(keyword).into_iter().flat_map(texts) {
                if keyword == "format" {
                    flat.integers.and(&Range::of_format(text));
                    match pattern::enforced(text) {
                        pattern::Enforced::Yes => {}
                        pattern::Enforced::Annotation => continue,
                        pattern::Enforced::No => {
                            let detail = format!("has the format `{text}`");
                            self.report(at, Some("format"), Treatment::Ignored, detail);
                            continue;
                        }
                    }
                }
                flat.texts.push(Text { at: Arc::clone(at), keyword, text, not: false });
            }
        }
        let between = |min, max| (count(schema, min).unwrap_or(0), count(schema, max));
        flat.length = between("minLength", "maxLength");
        flat.items = between("minItems", "maxItems");
        flat.properties = between("minProperties", "maxProperties");
        flat.lists.extend(list_of(schema, at));
        if schema.get("uniqueItems") == Some(&TRUE) {
            flat.unique = Some(Arc::clone(at));
        }
        if let Some(item) = schema.get("contains") {
            let (min, max) = (count(schema, "minContains").unwrap_or(1), count(schema, "maxContains"));
            let item = Sub::new(below(at, &["contains"]), item);
            flat.contains.push(Contains { at: Arc::clone(at), item, min, max });
        }
        if let Some(names) = schema.get("required") {
            texts(names).for_each(|name| {
                if !flat.required.contains(&name) {
                    flat.required.push(name);
                }
            });
        }
        flat.members.extend(members_of(schema, at));
        flat.names.extend(schema.get("propertyNames").map(|names| Sub::new(below(at, &["propertyNames"]), names)));
        flat
    }

    /// Returns the opposite of a schema: one of its keywords is broken.
    fn opposite(&mut self, schema: &'d Schema, at: &Arc<str>) -> Compiled<Flats<'d>> {
        let mut all = Vec::new();
        let of = |types| Flat::of(at, types);
        for (keyword, value) in schema {
            let sub = |keys: &[&str], schema| Sub::new(below(at, &[&[keyword.as_str()], keys].concat()), schema);
            let unsupported = || Problem::new(at, format!("has the opposite of `{keyword}` in it"));
            match keyword.as_str() {
                "type" => {
                    let mut types = texts(value).map(|name| named_type(name).ok_or_else(unsupported));
                    let types = types.try_fold(0, |all, types| Ok::<u8, Problem>(all | types?))?;
                    all.push(of(ALL & !types));
                }
                "enum" => all.push(Flat { excluded: list(value).iter().collect(), ..of(ALL) }),
                "const" => all.push(Flat { excluded: vec![value], ..of(ALL) }),
                "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" => {
                    let bounds = ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"];
                    if bounds.iter().find(|key| schema.contains_key(**key)) != Some(&keyword.as_str()) {
                        // All are looked at together.
                        continue;
                    }
                    let range = Range::of_schema(schema);
                    all.extend(range.opposites().into_iter().map(|range| Flat { range, ..of(NUMBER) }));
                }
                "multipleOf" => {
                    let number = value.as_number().and_then(Decimal::new).filter(Decimal::is_positive);
                    let number = number.ok_or_else(unsupported)?;
                    all.push(Flat { multiples: vec![(Arc::clone(at), number, true)], ..of(NUMBER) });
                }
                "pattern" | "format" => {
                    let keyword = if keyword == "pattern" { "pattern" } else { "format" };
                    for text in texts(value) {
                        let enforced =
                            if keyword == "pattern" { pattern::Enforced::Yes } else { pattern::enforced(text) };
                        match enforced {
                            pattern::Enforced::Annotation if Range::of_format(text) == Range::default() => continue,
                            pattern::Enforced::Yes => {}
                            _ => return Err(unsupported()),
                        }
                        let text = Text { at: Arc::clone(at), keyword, text, not: true };
                        match self.text(&text) {
                            Ok(_) => all.push(Flat { texts: vec![text], ..of(STRING) }),
                            Err(super::dfa::Refused::Nothing) => {}
                            Err(_) => return Err(unsupported()),
                        }
                    }
                }
                "minLength" | "minItems" | "minProperties" | "maxLength" | "maxItems" | "maxProperties" => {
                    let Some(count) = count(schema, keyword) else { continue };
                    let outside = match (keyword.starts_with("min"), count) {
                        (true, 0) => continue,
                        (true, count) => (0, Some(count - 1)),
                        (false, count) => (count.saturating_add(1), None),
                    };
                    all.push(match &keyword[3..] {
                        "Length" => Flat { length: outside, ..of(STRING) },
                        "Items" => Flat { items: outside, ..of(ARRAY) },
                        _ => Flat { properties: outside, ..of(OBJECT) },
                    });
                }
                "required" => {
                    for name in texts(value) {
                        all.push(Flat { members: vec![without(name, at)], ..of(OBJECT) });
                    }
                }
                "properties" => {
                    for (key, schema) in value.as_object().into_iter().flatten() {
                        let wrong = sub(&[key], schema).negated();
                        if !wrong.is_false() {
                            let members = Members { named: vec![(key.as_str(), wrong)], ..Members::default() };
                            all.push(Flat { required: vec![key], members: vec![members], ..of(OBJECT) });
                        }
                    }
                }
                "prefixItems" | "items" | "additionalItems" => {
                    let Some(List { prefix, rest }) = list_of(schema, at) else { continue };
                    let first =
                        ["prefixItems", "items", "additionalItems"].iter().find(|key| schema.contains_key(**key));
                    if first != Some(&keyword.as_str()) {
                        // Both are looked at together.
                        continue;
                    }
                    for (i, item) in (0u32..).zip(&prefix) {
                        let mut items = vec![Sub::new("", &TRUE); i as usize];
                        items.push(item.clone().negated());
                        let lists = vec![List { prefix: items, rest: None }];
                        all.push(Flat { lists, items: (i + 1, None), ..of(ARRAY) });
                    }
                    match rest {
                        None => {}
                        Some(rest) if rest.is_true() => {}
                        Some(rest) if rest.is_false() => {
                            all.push(Flat { items: (prefix.len() as u32 + 1, None), ..of(ARRAY) });
                        }
                        Some(rest) if prefix.is_empty() => {
                            let contains = Contains { at: Arc::clone(at), item: rest.negated(), min: 1, max: None };
                            all.push(Flat { contains: vec![contains], ..of(ARRAY) });
                        }
                        Some(_) => return Err(unsupported()),
                    }
                }
                "contains" => {
                    if count(schema, "minContains").is_some_and(|min| min != 1) || schema.contains_key("maxContains") {
                        return Err(unsupported());
                    }
                    let lists = vec![List { prefix: Vec::new(), rest: Some(sub(&[], value).negated()) }];
                    all.push(Flat { lists, ..of(ARRAY) });
                }
                "uniqueItems" if value == &FALSE => {}
                "additionalProperties" | "unevaluatedProperties" | "unevaluatedItems" | "propertyNames"
                    if value == &TRUE => {}
                "dependentRequired" => {
                    for (key, names) in value.as_object().into_iter().flatten() {
                        for name in texts(names) {
                            let members = vec![without(name, at)];
                            all.push(Flat { required: vec![key], members, ..of(OBJECT) });
                        }
                    }
                }
                "$ref" | "$dynamicRef" | "$recursiveRef" => all.extend(self.referred(value, at, true)?),
                "allOf" => {
                    for branch in branches(schema, "allOf", at) {
                        all.extend(self.flatten(&branch.negated())?);
                    }
                }
                "anyOf" => all.extend(self.none_of(&branches(schema, "anyOf", at), at)?),
                "oneOf" => {
                    let branches = branches(schema, "oneOf", at);
                    all.extend(self.none_of(&branches, at)?);
                    for (i, a) in branches.iter().enumerate() {
                        for b in branches.iter().skip(i + 1) {
                            all.extend(both(&self.flatten(a)?, &self.flatten(b)?, at)?);
                        }
                    }
                }
                "not" => all.extend(self.flatten(&sub(&[], value))?),
                "if" => all.extend(self.conditional(schema, at, true)?),
                "uniqueItems"
                | "additionalProperties"
                | "patternProperties"
                | "propertyNames"
                | "dependentSchemas"
                | "dependencies"
                | "unevaluatedProperties"
                | "unevaluatedItems" => return Err(unsupported()),
                _ => {}
            }
            if all.len() > ALTERNATIVES {
                return Err(Problem::new(at, "has too many alternatives"));
            }
        }
        all.iter_mut().for_each(Flat::narrow);
        Ok(all)
    }

    /// Returns the normal form of the schema to which a reference points.
    fn referred(&mut self, path: &'d Value, at: &Arc<str>, not: bool) -> Compiled<Flats<'d>> {
        let target = self.target(path, at)?;
        if self.open.contains(&target.at) {
            return Err(Problem::new(at, "refers to itself with nothing in between"));
        }
        self.open.push(Arc::clone(&target.at));
        let all = self.flatten(&if not { target.negated() } else { target });
        self.open.pop();
        all
    }

    /// Returns the schema to which a reference within the document points.
    pub(super) fn target(&self, path: &'d Value, at: &Arc<str>) -> Compiled<Sub<'d>> {
        let path = path.as_str().ok_or_else(|| Problem::new(at, "has a reference that is not a text"))?;
        let pointer = path.strip_prefix('#').map(decoded);
        let found = pointer.as_ref().and_then(|pointer| {
            let found = self.document.pointer(pointer).map(|schema| Sub::new(pointer.as_str(), schema));
            found.or_else(|| anchor(self.document, pointer, "", 0))
        });
        found.ok_or_else(|| Problem::new(at, format!("refers to `{path}`, which is not in it")))
    }

    fn any_of(&mut self, branches: &[Sub<'d>]) -> Compiled<Flats<'d>> {
        let mut all = Vec::new();
        for branch in branches {
            all.extend(self.flatten(branch)?);
        }
        Ok(all)
    }

    fn none_of(&mut self, branches: &[Sub<'d>], at: &Arc<str>) -> Compiled<Flats<'d>> {
        let all: Vec<Sub<'d>> = branches.iter().cloned().map(Sub::negated).collect();
        self.flatten_all(&all, ALL, at)
    }

    /// Returns the normal form of `oneOf`: exactly one branch holds.
    fn one_of_many(&mut self, branches: &[Sub<'d>], at: &Arc<str>) -> Compiled<Flats<'d>> {
        let flats: Vec<Flats<'d>> = branches.iter().map(|branch| self.flatten(branch)).collect::<Compiled<_>>()?;
        let mut all = Vec::new();
        for (i, flat) in flats.iter().enumerate() {
            let mut one = flat.clone();
            for (j, (other, others)) in branches.iter().zip(&flats).enumerate() {
                if i == j || self.disjoint(&one, others, DEPTH) {
                    continue;
                }
                let excluded = self.flatten(&other.clone().negated()).and_then(|not| both(&one, &not, at));
                match excluded {
                    Ok(rest) => one = rest,
                    Err(Problem { detail, .. }) => {
                        let detail = format!("has branches that may hold together, and {detail}");
                        self.report(at, Some("oneOf"), Treatment::Ignored, detail);
                        return Ok(flats.concat());
                    }
                }
            }
            all.extend(one);
        }
        Ok(all)
    }

    /// Returns whether branches certainly exclude each other, so that "exactly one" means "any".
    pub(super) fn all_disjoint(&mut self, branches: &[Sub<'d>]) -> bool {
        let flats: Compiled<Vec<Flats<'d>>> = branches.iter().map(|branch| self.flatten(branch)).collect();
        let flats = flats.unwrap_or_default();
        let pairs = |i| flats.iter().skip(i + 1);
        flats.len() == branches.len()
            && flats.iter().enumerate().all(|(i, a)| pairs(i).all(|b| self.disjoint(a, b, DEPTH)))
    }

    /// Returns whether certainly no value follows both.
    fn disjoint(&mut self, some: &[Flat<'d>], others: &[Flat<'d>], depth: usize) -> bool {
        let mut pairs = some.iter().flat_map(|a| others.iter().map(move |b| (a, b)));
        pairs.all(|(a, b)| a.and(b).is_none_or(|both| self.is_nothing(&both, depth)))
    }

    /// Returns whether certainly no value follows the record.
    pub(super) fn is_nothing(&mut self, flat: &Flat<'d>, depth: usize) -> bool {
        if flat.values.is_some() {
            return self.right(flat).is_empty();
        }
        if flat.types & !(STRING | NUMBER | OBJECT | ARRAY) != 0 {
            return false;
        }
        if !flat.texts.is_empty() || !flat.multiples.is_empty() {
            self.work += AUTOMATON;
            if self.work > WORK {
                return false;
            }
        }
        let out = |(min, max): (u32, Option<u32>)| max.is_some_and(|max| max < min);
        let strings = flat.types & STRING != 0 && !(out(flat.length) || self.content(flat).is_none());
        let numbers = flat.types & NUMBER != 0 && self.number(flat).is_some();
        let arrays = flat.types & ARRAY != 0 && !out(flat.items);
        if strings || numbers || arrays {
            return false;
        }
        if flat.types & OBJECT == 0 {
            return true;
        }
        let too_many = flat.properties.1.is_some_and(|max| (max as usize) < flat.required.len());
        out(flat.properties)
            || too_many
            || depth > 0
                && flat.required.iter().any(|key| {
                    let subs = self.subs_of(flat, key);
                    let all = self.flatten_all(&subs, ALL, &flat.at);
                    all.is_ok_and(|all| all.iter().all(|value| self.is_nothing(value, depth - 1)))
                })
    }

    /// Returns the normal form of `if`, `then` and `else`, or of their opposite.
    fn conditional(&mut self, schema: &'d Schema, at: &Arc<str>, not: bool) -> Compiled<Flats<'d>> {
        let sub = |key| Sub::new(below(at, &[key]), schema.get(key).unwrap_or(&TRUE));
        let then = |key| if not { sub(key).negated() } else { sub(key) };
        let mut all = self.flatten_all(&[sub("if"), then("then")], ALL, at)?;
        all.extend(self.flatten_all(&[sub("if").negated(), then("else")], ALL, at)?);
        Ok(all)
    }

    /// Returns what must hold if an object has a property: other properties, or a schema.
    fn dependent(&mut self, key: &'d str, what: &'d Value, at: &Arc<str>) -> Compiled<Flats<'d>> {
        let mut all: Flats<'d> = match what {
            Value::Array(_) => {
                let mut required = vec![key];
                required.extend(texts(what).filter(|name| *name != key));
                vec![Flat { required, ..Flat::of(at, ALL) }]
            }
            schema => {
                let present = vec![Flat { required: vec![key], ..Flat::of(at, ALL) }];
                both(&present, &self.flatten(&Sub::new(Arc::clone(at), schema))?, at)?
            }
        };
        all.push(Flat { members: vec![without(key, at)], ..Flat::of(at, ALL) });
        Ok(all)
    }
}

/// Combines two lists of alternatives: one alternative of each list must hold.
fn both<'d>(some: &[Flat<'d>], others: &[Flat<'d>], at: &Arc<str>) -> Compiled<Flats<'d>> {
    if some.len().saturating_mul(others.len()) > ALTERNATIVES.max(some.len()).max(others.len()) {
        return Err(Problem::new(at, "has too many alternatives"));
    }
    Ok(some.iter().flat_map(|a| others.iter().filter_map(|b| a.and(b))).collect())
}

/// Returns the condition of objects without a property.
fn without<'d>(name: &'d str, at: &Arc<str>) -> Members<'d> {
    Members { named: vec![(name, Sub::new(Arc::clone(at), &FALSE))], ..Members::default() }
}

/// Returns the schemas under a keyword.
pub(super) fn branches<'d>(schema: &'d Schema, keyword: &str, at: &str) -> Vec<Sub<'d>> {
    let all = schema.get(keyword).and_then(Value::as_array).into_iter().flatten().enumerate();
    all.map(|(i, branch)| Sub::new(below(at, &[keyword, &i.to_string()]), branch)).collect()
}

/// Returns what a schema says about items; `items` may be a list with `additionalItems` after it.
fn list_of<'d>(schema: &'d Schema, at: &str) -> Option<List<'d>> {
    let (key, prefix, rest) = match (schema.get("prefixItems"), schema.get("items")) {
        (Some(prefix), _) => ("prefixItems", prefix.as_array(), "items"),
        (None, Some(Value::Array(prefix))) => ("items", Some(prefix), "additionalItems"),
        (None, Some(_)) => ("", None, "items"),
        (None, None) => return None,
    };
    let prefix = prefix.into_iter().flatten().enumerate();
    let prefix = prefix.map(|(i, item)| Sub::new(below(at, &[key, &i.to_string()]), item)).collect();
    let rest = schema.get(rest).map(|item| Sub::new(below(at, &[rest]), item));
    Some(List { prefix, rest })
}

/// Returns what a schema says about properties.
fn members_of<'d>(schema: &'d Schema, at: &str) -> Option<Members<'d>> {
    let of = |keyword: &'static str| {
        let all = schema.get(keyword).and_then(Value::as_object).into_iter().flatten();
        all.map(move |(key, value)| (key.as_str(), Sub::new(below(at, &[keyword, key]), value))).collect::<Vec<_>>()
    };
    let rest = schema.get("additionalProperties");
    let rest = rest.map(|rest| Sub::new(below(at, &["additionalProperties"]), rest));
    let said = ["properties", "patternProperties", "additionalProperties"].iter().any(|key| schema.contains_key(*key));
    said.then(|| Members { named: of("properties"), patterns: of("patternProperties"), rest })
}

/// Decodes the pointer of a reference, whose characters may be escaped as in a URI.
fn decoded(pointer: &str) -> String {
    let mut bytes = Vec::with_capacity(pointer.len());
    let (all, mut at) = (pointer.as_bytes(), 0);
    while let Some(&byte) = all.get(at) {
        let code = pointer.get(at + 1..at + 3).filter(|_| byte == b'%');
        let code = code.and_then(|code| u8::from_str_radix(code, 16).ok());
        bytes.push(code.unwrap_or(byte));
        at += if code.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Finds the schema with an anchor.
fn anchor<'d>(schema: &'d Value, name: &str, at: &str, depth: usize) -> Option<Sub<'d>> {
    if depth > 64 || name.is_empty() {
        return None;
    }
    let inside = |key: &str, value| anchor(value, name, &below(at, &[key]), depth + 1);
    match schema {
        Value::Object(map) => {
            let named =
                ["$anchor", "$dynamicAnchor"].iter().any(|key| map.get(*key).is_some_and(|found| found == name));
            if named {
                return Some(Sub::new(at, schema));
            }
            map.iter().find_map(|(key, value)| inside(key, value))
        }
        Value::Array(all) => all.iter().enumerate().find_map(|(i, value)| inside(&i.to_string(), value)),
        _ => None,
    }
}
