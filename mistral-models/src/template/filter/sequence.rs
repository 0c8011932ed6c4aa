//! Filters of sequences and mappings.

use std::cmp::Ordering;

use crate::template::Fault;
use crate::template::ast::Arithmetic;
use crate::template::call::{Given, required};
use crate::template::compare::{equals, less, order};
use crate::template::interpreter::Interpreter;
use crate::template::meter::Vector;
use crate::template::text::{Str, shown};
use crate::template::value::{Dict, Items, Value};

/// A sort key: the value itself, or its lower case.
type Keyed = (Value, Value);

impl Interpreter<'_> {
    pub(super) fn sequence_filter(&mut self, name: &str, value: &Value, given: Given) -> Result<Value, Fault> {
        match name {
            "length" | "count" => Ok(Value::Int(value.length(&self.meter)? as i128)),
            "list" => self.listed(value),
            "first" => {
                let first = match value {
                    Value::Generator(generator) => generator.next(),
                    Value::Str(s) => match s.chars().next() {
                        Some(c) => Some(self.str(c.encode_utf8(&mut [0; 4]))?),
                        None => None,
                    },
                    _ => value.iterate(&self.meter)?.first().cloned(),
                };
                match first {
                    Some(first) => Ok(first),
                    None => self.missing("no first item, sequence was empty"),
                }
            }
            "last" => {
                let last = match value {
                    Value::Generator(_) => return Err(Fault::new("'generator' object is not reversible")),
                    Value::Str(s) => match s.chars().next_back() {
                        Some(c) => {
                            let c = Str::copy(&self.meter, c.encode_utf8(&mut [0; 4]))?;
                            Some(Value::Str(c.marked(s.is_safe())))
                        }
                        None => None,
                    },
                    _ => value.iterate(&self.meter)?.last().cloned(),
                };
                match last {
                    Some(last) => Ok(last),
                    None => self.missing("no last item, sequence was empty"),
                }
            }
            "reverse" => match value {
                Value::Str(s) => {
                    self.meter.read(s.len())?;
                    let mut out = self.buffer();
                    out.reserve(s.len())?;
                    out.extend(s.chars().rev())?;
                    Ok(Value::Str(Str::made(out)?.marked(s.is_safe())))
                }
                _ => {
                    let items = self.visit(value)?;
                    let mut items = Vector::copy(&self.meter, &items, 0)?;
                    items.reverse();
                    if matches!(value, Value::Generator(_)) { Value::list(items) } else { Value::generator(items) }
                }
            },
            "join" => self.join(value, given),
            "random" | "urlize" | "wordwrap" | "pprint" => Err(Fault::unsupported("filter of chat templates", name)),
            "items" => match value {
                Value::Undefined(_) => Value::generator(Vector::new(&self.meter)),
                Value::Dict(_) => {
                    let pairs = self.pairs(value)?;
                    Value::generator(Vector::copy(&self.meter, &pairs, 0)?)
                }
                _ => Err(Fault::new("can only get item pairs from a mapping")),
            },
            "dictsort" => self.dict_sort(value, given),
            "sort" => {
                let [reverse, case_sensitive, attribute] =
                    given.bind(name, ["reverse", "case_sensitive", "attribute"])?;
                let items = self.visit(value)?;
                let items = self.sorted(&items, &attribute, truth(&case_sensitive), truth(&reverse))?;
                Value::list(items)
            }
            "unique" => {
                let [case_sensitive, attribute] = given.bind(name, ["case_sensitive", "attribute"])?;
                let mut seen = Dict::new(&self.meter)?;
                let mut kept = Vector::new(&self.meter);
                for item in self.visit(value)?.iter() {
                    let key = self.attribute_of(item.clone(), &attribute)?;
                    let key = self.fold_case(key, truth(&case_sensitive))?;
                    if seen.get(&key)?.is_none() {
                        seen.insert(key, Value::None)?;
                        kept.push(item.clone())?;
                    }
                }
                Value::generator(kept)
            }
            "min" | "max" => {
                let [case_sensitive, attribute] = given.bind(name, ["case_sensitive", "attribute"])?;
                let wanted = if name == "min" { Ordering::Less } else { Ordering::Greater };
                let mut best: Option<Keyed> = None;
                for item in self.visit(value)?.iter() {
                    let key = self.attribute_of(item.clone(), &attribute)?;
                    let key = self.fold_case(key, truth(&case_sensitive))?;
                    let better = match &best {
                        Some((old, _)) => order(&self.meter, &key, old)? == Some(wanted),
                        None => true,
                    };
                    if better {
                        best = Some((key, item.clone()));
                    }
                }
                match best {
                    Some((_, best)) => Ok(best),
                    None => self.missing("no aggregated item, sequence was empty"),
                }
            }
            "sum" => {
                let [attribute, start] = given.bind(name, ["attribute", "start"])?;
                let mut sum = start.unwrap_or(Value::Int(0));
                for item in self.visit(value)?.iter() {
                    let item = self.attribute_of(item.clone(), &attribute)?;
                    if sum.as_str().is_some() {
                        return Err(Fault::new("sum() can't sum strings"));
                    }
                    sum = self.arithmetic(Arithmetic::Add, &sum, &item)?;
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
            _ => Err(Fault::new(format!("no filter named '{}'", shown(name)))),
        }
    }

    /// Returns a new list of all items.
    fn listed(&mut self, value: &Value) -> Result<Value, Fault> {
        let items = self.visit(value)?;
        Value::list(Vector::copy(&self.meter, &items, 0)?)
    }

    /// Returns the pairs of a dict.
    fn pairs(&mut self, dict: &Value) -> Result<std::rc::Rc<Items>, Fault> {
        let pairs = self.method(dict, "items", self.empty())?;
        self.visit(&pairs)
    }

    /// Applies the `join` filter. The result is plain text, except for safe text in an `autoescape` block.
    fn join(&mut self, value: &Value, given: Given) -> Result<Value, Fault> {
        let [separator, attribute] = given.bind("join", ["d", "attribute"])?;
        let mut separator = match separator {
            Some(separator) => self.text(&separator)?,
            None => Str::copy(&self.meter, "")?,
        };
        let items = self.visit(value)?;
        let mut parts = Vector::with_capacity(&self.meter, items.len())?;
        let mut safe = separator.is_safe();
        for item in items.iter() {
            let item = self.attribute_of(item.clone(), &attribute)?;
            let text = self.text(&item)?;
            safe |= text.is_safe();
            parts.push(text)?;
        }
        safe &= self.autoescape;
        if safe {
            separator = separator.escaped(&self.meter)?;
        }
        let mut out = self.buffer();
        for (i, part) in parts.iter().enumerate() {
            self.meter.step()?;
            if i > 0 {
                out.push_str(&separator)?;
            }
            if safe {
                out.push_str(&part.escaped(&self.meter)?)?;
            } else {
                out.push_str(part)?;
            }
        }
        Ok(Value::Str(Str::made(out)?.marked(safe)))
    }

    /// The attribute path `a.b.0` of an item, or the item itself without one.
    fn attribute_of(&mut self, item: Value, path: &Option<Value>) -> Result<Value, Fault> {
        match path {
            None | Some(Value::None) => Ok(item),
            Some(Value::Str(path)) => {
                let mut value = item;
                self.meter.read(path.len())?;
                for part in path.split('.') {
                    self.meter.step()?;
                    let index = match part.parse::<u32>() {
                        Ok(i) => Value::Int(i.into()),
                        Err(_) => self.str(part)?,
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
        items: &[Value],
        attribute: &Option<Value>,
        case_sensitive: bool,
        reverse: bool,
    ) -> Result<Vector<Value>, Fault> {
        let mut keyed: Vector<Keyed> = Vector::with_capacity(&self.meter, items.len())?;
        for item in items {
            let key = match attribute {
                Some(Value::Str(paths)) if paths.contains(',') => {
                    let mut keys = Vector::new(&self.meter);
                    for path in paths.split(',') {
                        let path = Some(self.str(path)?);
                        let part = self.attribute_of(item.clone(), &path)?;
                        keys.push(self.fold_case(part, case_sensitive)?)?;
                    }
                    Value::list(keys)?
                }
                _ => {
                    let part = self.attribute_of(item.clone(), attribute)?;
                    self.fold_case(part, case_sensitive)?
                }
            };
            keyed.push((key, item.clone()))?;
        }
        // A reversed stable sort keeps equal items in their order.
        if reverse {
            keyed.reverse();
        }
        keyed.sort_by(&mut |a, b| less(&self.meter, &a.0, &b.0))?;
        if reverse {
            keyed.reverse();
        }
        let mut sorted = Vector::with_capacity(&self.meter, keyed.len())?;
        for (_, item) in keyed {
            sorted.push(item)?;
        }
        Ok(sorted)
    }

    /// Returns a sort key: strings in lower case unless `case_sensitive`.
    fn fold_case(&mut self, value: Value, case_sensitive: bool) -> Result<Value, Fault> {
        match &value {
            Value::Str(s) if !case_sensitive => self.recased(s, false).map(Value::Str),
            _ => Ok(value),
        }
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
        let pairs = self.pairs(value)?;
        Value::list(self.sorted(&pairs, &Some(by), truth(&case_sensitive), truth(&reverse))?)
    }

    fn map(&mut self, value: &Value, mut given: Given) -> Result<Value, Fault> {
        if !value.truth() {
            return Value::generator(Vector::new(&self.meter));
        }
        let items = self.visit(value)?;
        let mut mapped = Vector::with_capacity(&self.meter, items.len())?;
        if given.positional.is_empty() {
            let [attribute, default] = given.bind("map", ["attribute", "default"])?;
            let attribute = Some(required(attribute, "map", "attribute")?);
            for item in items.iter() {
                let found = self.attribute_of(item.clone(), &attribute)?;
                mapped.push(match &default {
                    Some(default) if found.is_undefined() => default.clone(),
                    _ => found,
                })?;
            }
        } else {
            let name = given.positional.remove(0);
            let Value::Str(name) = name else { return Err(Fault::new("map() takes the name of a filter")) };
            for item in items.iter() {
                self.meter.step()?;
                let again = given.repeat(&self.meter)?;
                mapped.push(self.filter(&name, item, again)?)?;
            }
        }
        Value::generator(mapped)
    }

    fn select(&mut self, value: &Value, mut given: Given, by_attribute: bool, keep: bool) -> Result<Value, Fault> {
        if !value.truth() {
            return Value::generator(Vector::new(&self.meter));
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
        let mut kept = Vector::new(&self.meter);
        for item in self.visit(value)?.iter() {
            self.meter.step()?;
            let subject = self.attribute_of(item.clone(), &attribute)?;
            let holds = match &test {
                None => subject.truth(),
                Some(Value::Str(name)) => {
                    let again = given.repeat(&self.meter)?;
                    self.test(name, &subject, again)?
                }
                Some(other) => return Err(Fault::new(format!("no test named {}", other.type_name()))),
            };
            if holds == keep {
                kept.push(item.clone())?;
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
        let mut lists = Vector::new(&self.meter);
        if name == "batch" {
            for chunk in items.chunks(count) {
                let missing = if fill.is_some() { count - chunk.len() } else { 0 };
                let mut list = Vector::copy(&self.meter, chunk, missing)?;
                for _ in 0..missing {
                    list.push(fill.clone().unwrap_or(Value::None))?;
                }
                lists.push(Value::list(list)?)?;
            }
        } else {
            lists = Vector::with_capacity(&self.meter, count)?;
            let (each, extra) = (items.len() / count, items.len() % count);
            let mut rest = &items[..];
            for i in 0..count {
                let (part, after) = rest.split_at(each + usize::from(i < extra));
                rest = after;
                let mut list = Vector::copy(&self.meter, part, 1)?;
                if let Some(fill) = fill.as_ref().filter(|_| i >= extra) {
                    list.push(fill.clone())?;
                }
                lists.push(Value::list(list)?)?;
            }
        }
        Value::generator(lists)
    }

    fn group_by(&mut self, value: &Value, given: Given) -> Result<Value, Fault> {
        let [attribute, default, case_sensitive] = given.bind("groupby", ["attribute", "default", "case_sensitive"])?;
        let attribute = Some(required(attribute, "groupby", "attribute")?);
        let items = self.visit(value)?;
        let mut keyed: Vector<Keyed> = Vector::with_capacity(&self.meter, items.len())?;
        for item in items.iter() {
            let mut key = self.attribute_of(item.clone(), &attribute)?;
            if let (true, Some(default)) = (key.is_undefined(), &default) {
                key = default.clone();
            }
            keyed.push((self.fold_case(key, truth(&case_sensitive))?, item.clone()))?;
        }
        keyed.sort_by(&mut |a, b| less(&self.meter, &a.0, &b.0))?;
        let mut groups: Vector<(Value, Vector<Value>)> = Vector::new(&self.meter);
        for (key, item) in keyed {
            match groups.last_mut() {
                Some((last, items)) if equals(&self.meter, last, &key)? => items.push(item)?,
                _ => {
                    let mut items = Vector::new(&self.meter);
                    items.push(item)?;
                    groups.push((key, items))?;
                }
            }
        }
        let mut list = Vector::with_capacity(&self.meter, groups.len())?;
        for (key, items) in groups {
            // The group is named as its first item spells the key.
            let shown = match items.first() {
                Some(first) => self.attribute_of(first.clone(), &attribute)?,
                None => Value::None,
            };
            let shown = if shown.is_undefined() { key } else { shown };
            list.push(Items::pair(&self.meter, [shown, Value::list(items)?], true)?)?;
        }
        Value::list(list)
    }
}

fn truth(value: &Option<Value>) -> bool {
    value.as_ref().is_some_and(Value::truth)
}
