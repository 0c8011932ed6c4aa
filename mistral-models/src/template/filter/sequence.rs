//! Filters of sequences and mappings.

use std::cmp::Ordering;

use crate::template::Fault;
use crate::template::call::{Given, required};
use crate::template::interpreter::Interpreter;
use crate::template::value::Value;

/// A sort key: the value itself, or its lower case.
type Keyed = (Value, Value);

impl Interpreter<'_> {
    pub(super) fn sequence_filter(&mut self, name: &str, value: &Value, given: Given) -> Result<Value, Fault> {
        match name {
            "length" | "count" => {
                self.charge(value.as_str().map_or(0, |s| s.len() / 16))?;
                Ok(Value::Int(value.length()? as i128))
            }
            "list" => Value::list(self.visit(value)?),
            "first" => Ok(self
                .visit(value)?
                .into_iter()
                .next()
                .unwrap_or_else(|| Value::missing("no first item, sequence was empty"))),
            "last" => match value {
                Value::Generator(_) => Err(Fault::new("'generator' object is not reversible")),
                _ => Ok(self.visit(value)?.pop().unwrap_or_else(|| Value::missing("no last item, sequence was empty"))),
            },
            "reverse" => match value {
                Value::Str(s) => Ok(Value::str(s.chars().rev().collect::<String>())),
                Value::Generator(_) => {
                    let mut items = self.visit(value)?;
                    items.reverse();
                    Value::list(items)
                }
                _ => {
                    let mut items = self.visit(value)?;
                    items.reverse();
                    Value::generator(items)
                }
            },
            "join" => {
                let [separator, attribute] = given.bind(name, ["d", "attribute"])?;
                let separator = match separator {
                    Some(separator) => self.text(&separator)?,
                    None => String::new(),
                };
                let mut out = String::new();
                for (i, item) in self.visit(value)?.into_iter().enumerate() {
                    let item = self.attribute_of(item, &attribute)?;
                    if i > 0 {
                        self.charge(separator.len())?;
                        out.push_str(&separator);
                    }
                    self.write(&mut out, &item)?;
                }
                Ok(Value::str(out))
            }
            "items" => match value {
                Value::Undefined(_) => Value::generator(Vec::new()),
                Value::Dict(_) => {
                    let pairs = self.method(value, "items", Given::empty())?;
                    Value::generator(self.visit(&pairs)?)
                }
                _ => Err(Fault::new("can only get item pairs from a mapping")),
            },
            "dictsort" => self.dict_sort(value, given),
            "sort" => {
                let [reverse, case_sensitive, attribute] =
                    given.bind(name, ["reverse", "case_sensitive", "attribute"])?;
                let items = self.visit(value)?;
                let items = self.sorted(items, &attribute, truth(&case_sensitive), truth(&reverse))?;
                Value::list(items)
            }
            "unique" => {
                let [case_sensitive, attribute] = given.bind(name, ["case_sensitive", "attribute"])?;
                let mut seen: Vec<Value> = Vec::new();
                let mut kept = Vec::new();
                for item in self.visit(value)? {
                    self.charge(seen.len())?;
                    let key = self.attribute_of(item.clone(), &attribute)?;
                    let key = fold_case(key, truth(&case_sensitive));
                    if !seen.iter().any(|s| s.equals(&key)) {
                        seen.push(key);
                        kept.push(item);
                    }
                }
                Value::generator(kept)
            }
            "min" | "max" => {
                let [case_sensitive, attribute] = given.bind(name, ["case_sensitive", "attribute"])?;
                let wanted = if name == "min" { Ordering::Less } else { Ordering::Greater };
                let mut best: Option<Keyed> = None;
                for item in self.visit(value)? {
                    let key = self.attribute_of(item.clone(), &attribute)?;
                    let key = fold_case(key, truth(&case_sensitive));
                    let better = match &best {
                        Some((old, _)) => self.order(&key, old)? == Some(wanted),
                        None => true,
                    };
                    if better {
                        best = Some((key, item));
                    }
                }
                Ok(best.map_or_else(|| Value::missing("no aggregated item, sequence was empty"), |b| b.1))
            }
            "sum" => {
                let [attribute, start] = given.bind(name, ["attribute", "start"])?;
                let mut sum = start.unwrap_or(Value::Int(0));
                for item in self.visit(value)? {
                    let item = self.attribute_of(item, &attribute)?;
                    if sum.as_str().is_some() {
                        return Err(Fault::new("sum() can't sum strings"));
                    }
                    sum = self.arithmetic(crate::template::ast::Arithmetic::Add, &sum, &item)?;
                }
                Ok(sum)
            }
            "map" => self.map(value, given),
            "select" => self.select(value, given, false, true),
            "reject" => self.select(value, given, false, false),
            "selectattr" => self.select(value, given, true, true),
            "rejectattr" => self.select(value, given, true, false),
            "batch" | "slice" => self.batches(name, value, given),
            "groupby" => self.group_by(value, given),
            _ => Err(Fault::new(format!("no filter named '{name}'"))),
        }
    }

    /// The attribute path `a.b.0` of an item, or the item itself without one.
    fn attribute_of(&mut self, item: Value, path: &Option<Value>) -> Result<Value, Fault> {
        match path {
            None | Some(Value::None) => Ok(item),
            Some(Value::Str(path)) => {
                let mut value = item;
                for part in path.split('.') {
                    let index = match part.parse::<u32>() {
                        Ok(i) => Value::Int(i.into()),
                        Err(_) => Value::str(part),
                    };
                    value = self.item(&value, &index)?;
                }
                Ok(value)
            }
            Some(index) => self.item(&item, index),
        }
    }

    fn sorted(
        &mut self,
        items: Vec<Value>,
        attribute: &Option<Value>,
        case_sensitive: bool,
        reverse: bool,
    ) -> Result<Vec<Value>, Fault> {
        let mut keyed = Vec::with_capacity(items.len());
        for item in items {
            let key = match attribute {
                Some(Value::Str(paths)) if paths.contains(',') => {
                    let mut keys = Vec::new();
                    for path in paths.split(',') {
                        let part = self.attribute_of(item.clone(), &Some(Value::str(path)))?;
                        keys.push(fold_case(part, case_sensitive));
                    }
                    Value::list(keys)?
                }
                _ => {
                    let part = self.attribute_of(item.clone(), attribute)?;
                    fold_case(part, case_sensitive)
                }
            };
            keyed.push((key, item));
        }
        // A reversed stable sort keeps equal items in their order.
        if reverse {
            keyed.reverse();
        }
        self.sort_by(&mut keyed, |k: &Keyed| &k.0)?;
        if reverse {
            keyed.reverse();
        }
        Ok(keyed.into_iter().map(|k| k.1).collect())
    }

    fn dict_sort(&mut self, value: &Value, given: Given) -> Result<Value, Fault> {
        let [case_sensitive, by, reverse] = given.bind("dictsort", ["case_sensitive", "by", "reverse"])?;
        let by = match by.as_ref().map(Value::as_str) {
            None | Some(Some("key")) => Value::Int(0),
            Some(Some("value")) => Value::Int(1),
            _ => return Err(Fault::new("dictsort() sorts by 'key' or 'value'")),
        };
        match value {
            Value::Dict(_) => {}
            Value::Undefined(what) => return Err(Fault::new(what.to_string())),
            other => return Err(Fault::new(format!("'{}' object has no attribute 'items'", other.type_name()))),
        }
        let pairs = self.method(value, "items", Given::empty())?;
        let pairs = self.visit(&pairs)?;
        Value::list(self.sorted(pairs, &Some(by), truth(&case_sensitive), truth(&reverse))?)
    }

    fn map(&mut self, value: &Value, mut given: Given) -> Result<Value, Fault> {
        if !value.truth() {
            return Value::generator(Vec::new());
        }
        let items = self.visit(value)?;
        let mut mapped = Vec::with_capacity(items.len());
        if given.positional.is_empty() {
            let [attribute, default] = given.bind("map", ["attribute", "default"])?;
            let attribute = Some(required(attribute, "map", "attribute")?);
            for item in items {
                let found = self.attribute_of(item, &attribute)?;
                mapped.push(match &default {
                    Some(default) if found.is_undefined() => default.clone(),
                    _ => found,
                });
            }
        } else {
            let name = given.positional.remove(0);
            let Value::Str(name) = name else { return Err(Fault::new("map() takes the name of a filter")) };
            for item in items {
                self.step()?;
                let again = self.repeat_given(&given)?;
                mapped.push(self.filter(&name, &item, again)?);
            }
        }
        Value::generator(mapped)
    }

    fn repeat_given(&mut self, given: &Given) -> Result<Given, Fault> {
        self.charge((given.positional.len() + given.named.len()) * 48)?;
        Ok(Given { positional: given.positional.clone(), named: given.named.clone(), caller: None })
    }

    fn select(&mut self, value: &Value, mut given: Given, by_attribute: bool, keep: bool) -> Result<Value, Fault> {
        if !value.truth() {
            return Value::generator(Vec::new());
        }
        let attribute = if by_attribute {
            if given.positional.is_empty() {
                return Err(Fault::new("missing parameter for attribute name"));
            }
            Some(given.positional.remove(0))
        } else {
            None
        };
        let test = if given.positional.is_empty() { None } else { Some(given.positional.remove(0)) };
        let mut kept = Vec::new();
        for item in self.visit(value)? {
            self.step()?;
            let subject = self.attribute_of(item.clone(), &attribute)?;
            let holds = match &test {
                None => subject.truth(),
                Some(Value::Str(name)) => {
                    let again = self.repeat_given(&given)?;
                    self.test(name, &subject, again)?
                }
                Some(other) => return Err(Fault::new(format!("no test named {}", other.type_name()))),
            };
            if holds == keep {
                kept.push(item);
            }
        }
        Value::generator(kept)
    }

    fn batches(&mut self, name: &str, value: &Value, given: Given) -> Result<Value, Fault> {
        let [count, fill] = given.bind(name, ["count", "fill_with"])?;
        let count = count.as_ref().and_then(Value::as_int).and_then(|n| usize::try_from(n).ok()).filter(|&n| n > 0);
        let count = count.ok_or_else(|| Fault::new(format!("{name}() takes a positive count")))?;
        let fill = fill.filter(|f| !matches!(f, Value::None));
        let items = self.visit(value)?;
        let mut lists = Vec::new();
        if name == "batch" {
            for chunk in items.chunks(count) {
                let mut chunk = chunk.to_vec();
                if let Some(fill) = &fill {
                    self.charge((count - chunk.len()).saturating_mul(32))?;
                    chunk.resize(count, fill.clone());
                }
                lists.push(Value::list(chunk)?);
            }
        } else {
            self.charge(count.saturating_mul(64))?;
            let (each, extra) = (items.len() / count, items.len() % count);
            let mut rest = items.into_iter();
            for i in 0..count {
                let mut part: Vec<Value> = rest.by_ref().take(each + usize::from(i < extra)).collect();
                if let Some(fill) = fill.as_ref().filter(|_| i >= extra && extra > 0) {
                    part.push(fill.clone());
                }
                lists.push(Value::list(part)?);
            }
        }
        Value::generator(lists)
    }

    fn group_by(&mut self, value: &Value, given: Given) -> Result<Value, Fault> {
        let [attribute, default, case_sensitive] = given.bind("groupby", ["attribute", "default", "case_sensitive"])?;
        let attribute = Some(required(attribute, "groupby", "attribute")?);
        let mut keyed: Vec<Keyed> = Vec::new();
        for item in self.visit(value)? {
            let mut key = self.attribute_of(item.clone(), &attribute)?;
            if let (true, Some(default)) = (key.is_undefined(), &default) {
                key = default.clone();
            }
            keyed.push((fold_case(key, truth(&case_sensitive)), item));
        }
        self.sort_by(&mut keyed, |k| &k.0)?;
        let mut groups: Vec<(Value, Vec<Value>)> = Vec::new();
        for (key, item) in keyed {
            match groups.last_mut() {
                Some((last, items)) if last.equals(&key) => items.push(item),
                _ => {
                    let shown = self.attribute_of(item.clone(), &attribute)?;
                    let shown = if shown.is_undefined() { key.clone() } else { shown };
                    groups.push((key, vec![shown, item]));
                }
            }
        }
        let groups = groups.into_iter().map(|(_, mut items)| {
            let shown = items.remove(0);
            Value::tuple(vec![shown, Value::list(items)?])
        });
        Value::list(groups.collect::<Result<_, _>>()?)
    }
}

fn truth(value: &Option<Value>) -> bool {
    value.as_ref().is_some_and(Value::truth)
}

fn fold_case(value: Value, case_sensitive: bool) -> Value {
    match &value {
        Value::Str(s) if !case_sensitive => Value::str(s.to_lowercase()),
        _ => value,
    }
}
