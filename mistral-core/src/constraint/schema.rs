//! JSON schemas as grammars, in the [`Style`] of a dialect. What of them is enforced is a table in the parent module.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use serde_json::Value;

use super::dfa::{Dfa, Refused};
use super::flat::{ALL, ARRAY, BOOLEAN, FRACTION, Flat, INTEGER, NULL, NUMBER, OBJECT, STRING, Sub, type_of};
use super::grammar::{Grammar, Pattern, RULES, Rule};
use super::normal::branches;
use super::number::{Decimal, Range};
use super::report::{Finding, Treatment};
use super::style::Style;
use super::terminal::Terminal;
use super::text::STATES;

/// Schemas inside each other that are followed.
const DEPTH: usize = 64;
/// Bytes of the texts of one enumeration.
const ENUM_BYTES: usize = 1 << 20;
/// Keywords that say nothing about values.
const NOTES: [&str; 15] = [
    "title",
    "description",
    "default",
    "examples",
    "example",
    "deprecated",
    "readOnly",
    "writeOnly",
    "$comment",
    "$schema",
    "$id",
    "$defs",
    "definitions",
    "nullable",
    "discriminator",
];

/// What keeps a schema from being enforced, and where: a JSON pointer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) at: Arc<str>,
    pub(super) detail: String,
}

impl Problem {
    pub(super) fn new(at: &Arc<str>, detail: impl Into<String>) -> Self {
        Self { at: Arc::clone(at), detail: detail.into() }
    }
}

pub(super) type Compiled<T> = Result<T, Problem>;

/// The places of schemas that hold together, whether each is negated, and the wanted types. Where text stands without quotes, also a hash
/// of the text that readers take for something else.
type Key = (Vec<(Arc<str>, bool)>, u8, Option<u64>);

#[derive(Debug, Clone, Copy)]
enum Known {
    /// The rule is being made. Holds the rule that stands for it if it was requested meanwhile.
    Open(Option<Rule>),
    Done(Option<Rule>),
}

/// Makes rules for schemas of one document.
pub(super) struct Compiler<'d> {
    pub(super) grammar: &'d mut Grammar,
    pub(super) document: &'d Value,
    pub(super) style: Style,
    /// Rules that are known, so that schemas may refer to themselves.
    known: HashMap<Key, Known>,
    /// The automata of regular expressions and formats.
    pub(super) automata: HashMap<(&'static str, &'d str, bool), Result<Arc<Dfa>, Refused>>,
    /// The number of nested schemas that are being examined.
    depth: usize,
    /// References that are being followed.
    pub(super) open: Vec<Arc<str>>,
    /// Schemas that were looked at, and those that are being looked at for one value.
    pub(super) work: usize,
    pub(super) nesting: usize,
    /// The parts that are not enforced.
    pub(super) found: Vec<Finding>,
    any: Option<Rule>,
    pub(super) colon: Rule,
    pub(super) comma: Rule,
    pub(super) brackets: [Rule; 4],
}

impl<'d> Compiler<'d> {
    pub(super) fn new(grammar: &'d mut Grammar, document: &'d Value, style: Style) -> Compiled<Self> {
        // One blank at most: without a bound a model may go on with them for ever.
        let mut rule = |pattern: &str| {
            let dfa = Dfa::regex(pattern, STATES).map_err(|_| Problem::new(&"".into(), ""))?;
            Ok(grammar.terminal(Terminal::dfa(dfa)))
        };
        let (colon, comma) = (rule("[ \n]?:[ \n]?")?, rule("[ \n]?,[ \n]?")?);
        let brackets = [rule("\\{[ \n]?")?, rule("[ \n]?\\}")?, rule("\\[[ \n]?")?, rule("[ \n]?\\]")?];
        let (known, automata, open, found) = (HashMap::new(), HashMap::new(), Vec::new(), Vec::new());
        Ok(Self {
            grammar,
            document,
            style,
            known,
            automata,
            depth: 0,
            open,
            work: 0,
            nesting: 0,
            found,
            any: None,
            colon,
            comma,
            brackets,
        })
    }

    /// Reports a part of a schema that is not enforced.
    pub(super) fn report(
        &mut self,
        at: &Arc<str>,
        keyword: Option<&str>,
        treatment: Treatment,
        detail: impl Into<String>,
    ) {
        let (at, keyword) = (at.to_string(), keyword.map(str::to_owned));
        let known = |known: &Finding| known.at == at && known.keyword == keyword && known.treatment == treatment;
        if !self.found.iter().any(known) {
            self.found.push(Finding { at, keyword, treatment, detail: detail.into() });
        }
    }

    /// Returns why an automaton was refused, as a detail of a report. Returns `None` if the automaton would match nothing.
    pub(super) fn detail(refused: Refused) -> Option<String> {
        match refused {
            Refused::Nothing => None,
            Refused::Size => Some("needs an automaton of too many states".into()),
            Refused::Syntax(detail) => Some(format!("has a pattern that is not supported: {detail}")),
        }
    }

    /// The objects that the document allows, with all that holds for each.
    pub(super) fn objects(&mut self) -> Compiled<Vec<Flat<'d>>> {
        let document = self.document;
        self.flatten_all(&[Sub::new("", document)], OBJECT, &"".into())
    }

    /// The rule of the whole document, of which only objects are taken.
    pub(super) fn arguments(&mut self) -> Compiled<Option<Rule>> {
        let mut all = Vec::new();
        for flat in self.objects()? {
            all.extend(self.single(&flat));
        }
        Ok(self.one_of(all))
    }

    pub(super) fn one_of(&mut self, rules: Vec<Rule>) -> Option<Rule> {
        match *rules {
            [] => None,
            [rule] => Some(rule),
            _ => Some(self.grammar.choice(&rules)),
        }
    }

    fn reading(&self) -> Option<u64> {
        let Style::Raw { except, .. } = &self.style else { return None };
        let mut hasher = DefaultHasher::new();
        except.hash(&mut hasher);
        Some(hasher.finish())
    }

    pub(super) fn is_raw(&self) -> bool {
        matches!(self.style, Style::Raw { .. })
    }

    /// Returns the rule of the values of some types that all schemas allow. If the rule cannot be made, returns the rule of any value of
    /// these types. Returns `None` if no value is allowed.
    pub(super) fn rule(&mut self, at: &Arc<str>, subs: &[Sub<'d>], types: u8) -> Option<Rule> {
        let mut subs: Vec<Sub<'d>> = subs.iter().map(|sub| self.followed(sub)).filter(|sub| !sub.is_true()).collect();
        if subs.iter().any(Sub::is_false) {
            return None;
        }
        if subs.is_empty() {
            return self.any(types);
        }
        subs.dedup();
        let key = (subs.iter().map(|sub| (Arc::clone(&sub.at), sub.not)).collect(), types, self.reading());
        match self.known.get(&key).copied() {
            Some(Known::Done(rule) | Known::Open(rule @ Some(_))) => return rule,
            Some(Known::Open(None)) => {
                // Matches nothing until it is known what it is.
                let rule = self.grammar.choice(&[]);
                self.known.insert(key, Known::Open(Some(rule)));
                return Some(rule);
            }
            None => {}
        }
        self.known.insert(key.clone(), Known::Open(None));
        self.depth += 1;
        let made = if self.depth > DEPTH {
            Err(Problem::new(at, "nests too deeply"))
        } else if self.grammar.len() > RULES {
            Err(Problem::new(at, "needs too many rules"))
        } else {
            self.rule_of(at, &subs, types)
        };
        self.depth -= 1;
        let mut made = made.unwrap_or_else(|Problem { at, detail }| {
            self.report(&at, None, Treatment::Degraded, detail);
            self.any(types)
        });
        if let Some(Known::Open(Some(placeholder))) = self.known.get(&key).copied() {
            if let Some(inner) = made {
                self.grammar.set(placeholder, Pattern::Choice(vec![inner]));
            }
            made = Some(placeholder);
        }
        self.known.insert(key, Known::Done(made));
        made
    }

    /// Follows a schema that only refers to another schema.
    fn followed(&self, sub: &Sub<'d>) -> Sub<'d> {
        let mut sub = sub.clone();
        for _ in 0..DEPTH {
            let path = sub.schema.as_object().filter(|map| is_only(map, "$ref")).and_then(|map| map.get("$ref"));
            match path.and_then(|path| self.target(path, &sub.at).ok()) {
                Some(target) => sub = Sub { not: sub.not, ..target },
                None => break,
            }
        }
        sub
    }

    fn rule_of(&mut self, at: &Arc<str>, subs: &[Sub<'d>], types: u8) -> Compiled<Option<Rule>> {
        if let [Sub { at, schema: Value::Object(map), not: false }] = subs {
            for keyword in ["anyOf", "oneOf"] {
                let branches = branches(map, keyword, at);
                if !branches.is_empty() && is_only(map, keyword) && (keyword == "anyOf" || self.all_disjoint(&branches))
                {
                    // Each is a rule of its own, shared with where else it is referred to.
                    let rules =
                        branches.iter().filter_map(|branch| self.rule(&branch.at, std::slice::from_ref(branch), types));
                    let rules = rules.collect();
                    return Ok(self.one_of(rules));
                }
            }
        }
        let mut rules = Vec::new();
        for flat in self.flatten_all(subs, types, at)? {
            rules.extend(self.single(&flat));
        }
        Ok(self.one_of(rules))
    }

    /// Returns the rule of a record.
    pub(super) fn single(&mut self, flat: &Flat<'d>) -> Option<Rule> {
        let mut types = flat.meant();
        if flat.values.is_some() {
            let right = self.right(flat);
            let texts: Vec<String> = right.iter().flat_map(|value| self.style.spellings(value)).collect();
            if texts.iter().map(String::len).sum::<usize>() <= ENUM_BYTES {
                return self.words(&texts);
            }
            self.report(&flat.at, Some("enum"), Treatment::Ignored, "has an enumeration that is too long");
            types = right.iter().fold(0, |types, value| types | type_of(value));
        }
        if self.is_raw() {
            types &= STRING;
        }
        if flat.excluded.iter().any(|value| type_of(value) & types & (ARRAY | OBJECT) != 0) {
            self.report(&flat.at, Some("not"), Treatment::Ignored, "excludes a list or an object");
        }
        let mut rules = Vec::new();
        if types & STRING != 0 {
            rules.extend(self.string(flat));
        }
        if types & NUMBER != 0
            && let Some(dfa) = self.number(&Flat { types, ..flat.clone() })
        {
            rules.push(self.grammar.terminal(Terminal::dfa(dfa)));
        }
        let constants = [(BOOLEAN, Value::Bool(true)), (BOOLEAN, Value::Bool(false)), (NULL, Value::Null)];
        let constants = constants.iter().filter(|(kind, value)| types & kind != 0 && !flat.excluded.contains(&value));
        let texts: Vec<String> = constants.flat_map(|(_, value)| self.style.spellings(value)).collect();
        rules.extend(self.words(&texts));
        if types & ARRAY != 0 {
            rules.extend(self.array(flat));
        }
        if types & OBJECT != 0 {
            rules.extend(self.object(flat));
        }
        self.one_of(rules)
    }

    pub(super) fn words(&mut self, texts: &[String]) -> Option<Rule> {
        let some = !texts.is_empty();
        some.then(|| self.grammar.terminal(Terminal::words(texts.iter().map(String::as_str))))
    }

    /// Returns the automaton of the allowed numbers, if there are any.
    pub(super) fn number(&mut self, flat: &Flat<'d>) -> Option<Dfa> {
        let mut range = flat.range.clone();
        let numbers = flat.excluded.iter().filter_map(|value| value.as_number().and_then(Decimal::new));
        let numbers: Vec<Decimal> = numbers.collect();
        let whole = "-?(?:0|[1-9][0-9]*)(?:\\.0+)?";
        let made = match flat.types & NUMBER {
            INTEGER => {
                range.and(&flat.integers);
                range.integers()
            }
            FRACTION => Dfa::regex(whole, STATES).and_then(|whole| Ok(range.numbers(true)?.without(&whole, STATES)?.0)),
            _ => range.numbers(!flat.multiples.is_empty() || !numbers.is_empty()),
        };
        let mut made = match made {
            Ok(made) => made,
            Err(refused) => {
                let detail = Self::detail(refused)?;
                self.report(&flat.at, Some("minimum"), Treatment::Ignored, detail);
                Range::default().integers().ok()?
            }
        };
        for (at, divisor, not) in &flat.multiples {
            match divisor.multiples(*not).and_then(|multiples| made.and(&multiples, STATES)) {
                Ok(both) => made = both,
                Err(refused) => {
                    let detail = Self::detail(refused)?;
                    self.report(at, Some("multipleOf"), Treatment::Ignored, detail);
                }
            }
        }
        for number in numbers {
            match number.spellings().and_then(|spellings| made.without(&spellings, STATES)) {
                Ok((rest, _)) => made = rest,
                Err(refused) => {
                    let detail = Self::detail(refused)?;
                    self.report(&flat.at, Some("not"), Treatment::Ignored, detail);
                }
            }
        }
        Some(made)
    }

    /// Returns the rule of any value of some types.
    pub(super) fn any(&mut self, types: u8) -> Option<Rule> {
        let at: Arc<str> = "".into();
        if types != ALL || self.is_raw() {
            return self.single(&Flat::of(&at, types));
        }
        if let Some(rule) = self.any {
            return Some(rule);
        }
        let value = self.grammar.choice(&[]);
        self.any = Some(value);
        if let Some(rule) = self.single(&Flat::of(&at, ALL)) {
            self.grammar.set(value, Pattern::Choice(vec![rule]));
        }
        Some(value)
    }

    /// Returns whether a value follows a schema.
    pub(super) fn valid(&mut self, sub: &Sub<'d>, value: &Value) -> bool {
        let flats = self.flatten(sub).unwrap_or_default();
        flats.iter().any(|flat| self.allows(flat, value))
    }

    /// Returns the values of an enumeration that the record allows.
    pub(super) fn right(&mut self, flat: &Flat<'d>) -> Vec<&'d Value> {
        let others = Flat { values: None, ..flat.clone() };
        let values = flat.values.iter().flatten().copied();
        values.filter(|value| self.allows(&others, value)).collect()
    }

    /// Returns whether the record allows a value. Parts that are not enforced are ignored.
    pub(super) fn allows(&mut self, flat: &Flat<'d>, value: &Value) -> bool {
        let within = |count: usize, (min, max): (u32, Option<u32>)| {
            count >= min as usize && max.is_none_or(|max| count <= max as usize)
        };
        let is = |other: &&Value| super::flat::equal(other, value);
        if flat.types & type_of(value) == 0
            || flat.values.as_ref().is_some_and(|values| !values.iter().any(is))
            || flat.excluded.iter().any(is)
        {
            return false;
        }
        match value {
            Value::Number(number) => {
                let Some(number) = Decimal::new(number) else { return true };
                let divisible =
                    |divisor: &Decimal, not: bool| number.is_multiple_of(divisor).is_none_or(|is| is != not);
                flat.range.contains(&number)
                    && (!number.is_whole() || flat.integers.contains(&number))
                    && flat.multiples.iter().all(|(_, divisor, not)| divisible(divisor, *not))
            }
            Value::String(text) => {
                within(text.chars().count(), flat.length)
                    && flat.texts.iter().all(|expected| match self.text(expected) {
                        Ok(dfa) => dfa.matches(text),
                        Err(refused) => refused != Refused::Nothing,
                    })
            }
            Value::Array(items) => {
                let same = |i: usize| items.iter().skip(i + 1).any(|other| super::flat::equal(&items[i], other));
                within(items.len(), flat.items)
                    && (flat.unique.is_none() || !(0..items.len()).any(same))
                    && flat.lists.iter().all(|list| {
                        items.iter().enumerate().all(|(i, item)| {
                            list.prefix.get(i).or(list.rest.as_ref()).is_none_or(|sub| self.valid(sub, item))
                        })
                    })
                    && flat.contains.iter().all(|contains| {
                        let found = items.iter().filter(|item| self.valid(&contains.item, item)).count();
                        within(found, (contains.min, contains.max))
                    })
            }
            Value::Object(members) => {
                within(members.len(), flat.properties)
                    && flat.required.iter().all(|key| members.contains_key(*key))
                    && members.iter().all(|(key, value)| {
                        let name = Value::from(key.as_str());
                        flat.names.iter().all(|names| self.valid(names, &name))
                            && self.subs_of(flat, key).iter().all(|sub| self.valid(sub, value))
                    })
            }
            _ => true,
        }
    }
}

/// Returns whether a schema says nothing except under `key`.
fn is_only(schema: &serde_json::Map<String, Value>, key: &str) -> bool {
    schema.keys().all(|known| known == key || NOTES.contains(&known.as_str())) && schema.contains_key(key)
}
