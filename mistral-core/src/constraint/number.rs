//! Numbers in ranges, as automata over their digits.

use std::cmp::Ordering;

use serde_json::{Map, Number, Value};

use super::dfa::{Classes, Dfa, Refused};
use super::text::STATES;

/// Digits before the point where no bound says more: all of them fit 64 bits.
const DIGITS: usize = 18;
/// Digits after the point.
const FRACTION: usize = 17;

/// Bounds of a number, each with whether the bound itself is left out.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Range {
    pub(super) min: Option<(Decimal, bool)>,
    pub(super) max: Option<(Decimal, bool)>,
    /// Whether there is a bound that only a number with an exponent could exceed.
    pub(super) far: bool,
}

/// A number in decimal, exactly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Decimal {
    negative: bool,
    whole: i128,
    /// Without zeros at the end.
    fraction: Vec<u8>,
}

impl Decimal {
    /// `None` where it is too large to bound anything.
    pub(super) fn new(number: &Number) -> Option<Self> {
        let text = number.to_string();
        let (negative, text) = text.strip_prefix('-').map_or((false, text.as_str()), |text| (true, text));
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let exponent: i32 = exponent.parse().ok()?;
        let (mut whole, mut fraction) = (whole.as_bytes().to_vec(), fraction.as_bytes().to_vec());
        if exponent > 40 {
            return None;
        }
        for _ in 0..exponent {
            whole.push(if fraction.is_empty() { b'0' } else { fraction.remove(0) });
        }
        for _ in exponent.max(-400)..0 {
            fraction.insert(0, whole.pop().unwrap_or(b'0'));
        }
        while fraction.last() == Some(&b'0') {
            fraction.pop();
        }
        let whole = whole.iter().try_fold(0i128, |all, digit| all.checked_mul(10)?.checked_add((digit - b'0').into()));
        let whole = whole.filter(|&whole| whole < 10i128.pow(36))?;
        Some(Self { negative: negative && (whole > 0 || !fraction.is_empty()), whole, fraction })
    }

    pub(super) fn is_positive(&self) -> bool {
        !self.negative && (self.whole > 0 || !self.fraction.is_empty())
    }

    pub(super) fn is_whole(&self) -> bool {
        self.fraction.is_empty()
    }

    /// Returns whether the number is a multiple of another, if that can be decided.
    pub(super) fn is_multiple_of(&self, divisor: &Self) -> Option<bool> {
        let places = self.fraction.len().max(divisor.fraction.len());
        let (number, divisor) = (self.shifted(places)?, divisor.shifted(places)?);
        number.checked_rem(divisor).map(|rest| rest == 0)
    }

    /// Returns the digits up to `places` places after the point, as an integer.
    fn shifted(&self, places: usize) -> Option<i128> {
        let digit = |at: usize| i128::from(self.fraction.get(at).map_or(0, |digit| digit - b'0'));
        (0..places).try_fold(self.whole, |all, at| all.checked_mul(10)?.checked_add(digit(at)))
    }

    /// Returns the automaton of all spellings of the number without an exponent.
    pub(super) fn spellings(&self) -> Result<Dfa, Refused> {
        let digits = String::from_utf8_lossy(&self.fraction);
        let fraction = if digits.is_empty() { "(?:\\.0+)?".to_owned() } else { format!("\\.{digits}0*") };
        let sign = match self.negative {
            true => "-",
            false if self.whole == 0 && digits.is_empty() => "-?",
            false => "",
        };
        Dfa::regex(&format!("{sign}{}{fraction}", self.whole), STATES)
    }

    /// Returns the automaton of the multiples of the number or, with `not`, of all other numbers; without exponents.
    pub(super) fn multiples(&self, not: bool) -> Result<Dfa, Refused> {
        // Of the integer that it is after a shift of the point.
        let places = self.fraction.len();
        let divisor = self.shifted(places).ok_or(Refused::Size)?;
        if divisor.saturating_mul(places as i128 + 2) > STATES as i128 || divisor < 1 {
            return Err(Refused::Size);
        }
        // The remainder, and the digits after the point if it has come; none once it is no multiple whatever comes.
        type At = Option<(i128, Option<usize>)>;
        let step = |at: &At, byte: u8| -> Option<At> {
            let Some((rest, after)) = *at else { return byte.is_ascii_digit().then_some(None) };
            let digit = i128::from(byte.wrapping_sub(b'0'));
            match (byte, after) {
                (b'-', None) => Some(*at),
                (b'.', None) => Some(Some((rest, Some(0)))),
                (b'0', Some(after)) if after == places => Some(*at),
                (b'1'..=b'9', Some(after)) if after == places => Some(None),
                (b'0'..=b'9', _) => Some(Some(((rest * 10 + digit) % divisor, after.map(|after| after + 1)))),
                _ => None,
            }
        };
        let multiple = |at: &At| {
            at.is_some_and(|(rest, after)| (after.unwrap_or(0)..places).fold(rest, |rest, _| rest * 10 % divisor) == 0)
        };
        let digits: Vec<u8> = b"-.0123456789".to_vec();
        Ok(Dfa::explore(Classes::new(&[], &digits), Some((0, None)), STATES, step, |at| multiple(at) != not)?.0)
    }

    /// The least integer that is not below it, and is above it if it is `left_out`.
    fn ceiling(&self, left_out: bool) -> i128 {
        match (self.negative, self.fraction.is_empty()) {
            (false, true) => self.whole + i128::from(left_out),
            (false, false) => self.whole + 1,
            (true, true) => -self.whole + i128::from(left_out),
            (true, false) => -self.whole,
        }
    }

    fn compare(&self, other: &Self) -> Ordering {
        let magnitude = self.whole.cmp(&other.whole).then_with(|| self.fraction.cmp(&other.fraction));
        match (self.negative, other.negative) {
            (false, false) => magnitude,
            (true, true) => magnitude.reverse(),
            (negative, _) => {
                if negative {
                    Ordering::Less
                } else {
                    Ordering::Greater
                }
            }
        }
    }

    fn negated(&self) -> Self {
        Self { negative: !self.negative && (self.whole > 0 || !self.fraction.is_empty()), ..self.clone() }
    }
}

impl Range {
    /// The integers that a format of OpenAPI and schemars has.
    pub(super) fn of_format(name: &str) -> Self {
        let of = |low: i128, high: i128| {
            let bound = |whole: i128| Decimal { negative: whole < 0, whole: whole.abs(), fraction: Vec::new() };
            Self { min: Some((bound(low), false)), max: Some((bound(high), false)), far: false }
        };
        match name {
            "int8" => of(i8::MIN.into(), i8::MAX.into()),
            "int16" => of(i16::MIN.into(), i16::MAX.into()),
            "int32" => of(i32::MIN.into(), i32::MAX.into()),
            "int64" | "int" => of(i64::MIN.into(), i64::MAX.into()),
            "uint8" => of(0, u8::MAX.into()),
            "uint16" => of(0, u16::MAX.into()),
            "uint32" => of(0, u32::MAX.into()),
            "uint64" | "uint" => of(0, u64::MAX.into()),
            _ => Self::default(),
        }
    }

    /// Returns the bounds of a schema.
    pub(super) fn of_schema(schema: &Map<String, Value>) -> Self {
        let mut range = Self::default();
        for (key, exclusive, above) in [("minimum", "exclusiveMinimum", true), ("maximum", "exclusiveMaximum", false)] {
            let beyond = schema.get(exclusive).and_then(Value::as_bool).unwrap_or(false);
            for (key, left_out) in [(key, beyond), (exclusive, true)] {
                let Some(number) = schema.get(key).and_then(Value::as_number) else { continue };
                let negative = number.as_f64().is_some_and(|number| number < 0.0);
                match Decimal::new(number) {
                    Some(bound) if above => range.at_least((bound, left_out)),
                    Some(bound) => range.at_most((bound, left_out)),
                    None if above == negative => range.far = true,
                    // No number that is written here is so far out.
                    None => {
                        range.at_least((Decimal { negative: false, whole: 1, fraction: Vec::new() }, false));
                        range.at_most((Decimal { negative: false, whole: 0, fraction: Vec::new() }, false));
                    }
                }
            }
        }
        range
    }

    /// Returns the ranges outside of this range: below, and above.
    pub(super) fn opposites(&self) -> Vec<Self> {
        let below = self.min.clone().map(|(min, out)| Self { max: Some((min, !out)), ..Self::default() });
        let above = self.max.clone().map(|(max, out)| Self { min: Some((max, !out)), ..Self::default() });
        below.into_iter().chain(above).collect()
    }

    /// Narrows the range to the numbers that another range also holds.
    pub(super) fn and(&mut self, other: &Self) {
        other.min.iter().for_each(|bound| self.at_least(bound.clone()));
        other.max.iter().for_each(|bound| self.at_most(bound.clone()));
        self.far |= other.far;
    }

    pub(super) fn contains(&self, number: &Decimal) -> bool {
        let above = |(min, out): &(Decimal, bool)| match number.compare(min) {
            Ordering::Equal => !out,
            order => order.is_gt(),
        };
        let below = |(max, out): &(Decimal, bool)| match number.compare(max) {
            Ordering::Equal => !out,
            order => order.is_lt(),
        };
        self.min.as_ref().is_none_or(above) && self.max.as_ref().is_none_or(below)
    }

    /// Also from this bound on.
    pub(super) fn at_least(&mut self, new: (Decimal, bool)) {
        let tighter = self.min.as_ref().is_none_or(|old| new.0.compare(&old.0).then(new.1.cmp(&old.1)).is_gt());
        if tighter {
            self.min = Some(new);
        }
    }

    /// Also up to this bound.
    pub(super) fn at_most(&mut self, new: (Decimal, bool)) {
        let tighter = self.max.as_ref().is_none_or(|old| old.0.compare(&new.0).then(new.1.cmp(&old.1)).is_gt());
        if tighter {
            self.max = Some(new);
        }
    }

    /// Integers of the range, without signs of zero: readers take `-0` for a fraction.
    pub(super) fn integers(&self) -> Result<Dfa, Refused> {
        let most = 10i128.pow(DIGITS as u32) - 1;
        let low = self.min.as_ref().map(|(min, left_out)| min.ceiling(*left_out));
        let high = self.max.as_ref().map(|(max, left_out)| -max.negated().ceiling(*left_out));
        let low = low.unwrap_or_else(|| high.map_or(-most, |high| (-most).min(high - most)));
        let high = high.unwrap_or_else(|| most.max(low + most));
        let mut all = Vec::new();
        if low < 0 {
            all.extend(magnitudes((-high).max(1), -low).into_iter().map(|text| format!("-{text}")));
        }
        all.extend(magnitudes(low.max(0), high));
        union(&all)
    }

    /// Returns the automaton of the numbers of the range. Exponents are allowed only if the range has no bounds and `plain` is false.
    pub(super) fn numbers(&self, plain: bool) -> Result<Dfa, Refused> {
        let whole = format!("(?:0|[1-9][0-9]{{0,{}}})", DIGITS - 1);
        if self.min.is_none() && self.max.is_none() {
            let fraction = format!("(?:\\.[0-9]{{1,{FRACTION}}})?");
            let exponent = if plain || self.far { "" } else { "(?:[eE][-+]?[0-9]{1,2})?" };
            return Dfa::regex(&format!("-?{whole}{fraction}{exponent}"), STATES);
        }
        let negated = |bound: &Option<(Decimal, bool)>| bound.as_ref().map(|(bound, out)| (bound.negated(), *out));
        let positive = magnitude(self.min.as_ref(), self.max.as_ref())?;
        let negative = magnitude(negated(&self.max).as_ref(), negated(&self.min).as_ref())?;
        let classes = [&positive, &negative].map(|dfa| dfa.as_ref().map(Dfa::classes));
        let classes: Vec<&Classes> = classes.into_iter().flatten().collect();
        // The beginning, then a state of one of the two.
        let step = |state: &Option<(bool, u32)>, byte: u8| match state {
            None if byte == b'-' => negative.is_some().then_some(Some((true, 0))),
            None => Some(Some((false, positive.as_ref()?.step(0, byte)?))),
            Some((sign, state)) => {
                let dfa = if *sign { &negative } else { &positive };
                Some(Some((*sign, dfa.as_ref()?.step(*state, byte)?)))
            }
        };
        let accepts = |state: &Option<(bool, u32)>| {
            state.is_some_and(|(sign, state)| {
                let dfa = if sign { &negative } else { &positive };
                dfa.as_ref().is_some_and(|dfa| dfa.accepts(state))
            })
        };
        Ok(Dfa::explore(Classes::new(&classes, b"-"), None, STATES, step, accepts)?.0)
    }
}

fn union(all: &[String]) -> Result<Dfa, Refused> {
    if all.is_empty() { Err(Refused::Nothing) } else { Dfa::regex(&all.join("|"), STATES) }
}

/// Decimal numbers without a sign between two bounds, if there are any.
fn magnitude(min: Option<&(Decimal, bool)>, max: Option<&(Decimal, bool)>) -> Result<Option<Dfa>, Refused> {
    let any = format!("(?:\\.[0-9]{{1,{FRACTION}}})?");
    let most = 10i128.pow(DIGITS as u32) - 1;
    let zero = (Decimal { negative: false, whole: 0, fraction: Vec::new() }, false);
    let (min, min_out) = min.filter(|(min, _)| !min.negative).unwrap_or(&zero);
    let most = max.map_or(most.max(min.whole + most), |(max, _)| max.whole);
    if max.is_some_and(|(max, _)| max.negative) || min.whole > most {
        return Ok(None);
    }
    let whole = |from, to, fractions: Vec<String>, at: i128| {
        let above = magnitudes(from, to).into_iter().map(|text| format!("{text}{any}"));
        above.chain(fractions.into_iter().map(move |text| format!("{at}{text}"))).collect::<Vec<String>>()
    };
    let low = whole(min.whole + 1, most, at_least(&min.fraction, *min_out), min.whole);
    let both = match max {
        None => union(&low),
        Some((max, max_out)) => {
            let high = whole(0, max.whole - 1, at_most(&max.fraction, *max_out), max.whole);
            union(&low).and_then(|low| low.and(&union(&high)?, STATES))
        }
    };
    match both {
        Ok(dfa) => Ok(Some(dfa)),
        Err(Refused::Nothing) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Fractions, with the point, that are not below some digits.
fn at_least(digits: &[u8], left_out: bool) -> Vec<String> {
    let mut all = Vec::new();
    let room = FRACTION.saturating_sub(digits.len()).max(1);
    let text = |digits: &[u8]| String::from_utf8_lossy(digits).into_owned();
    for (at, &digit) in digits.iter().enumerate().filter(|(_, digit)| **digit < b'9') {
        let rest = FRACTION.saturating_sub(at + 1);
        all.push(format!("\\.{}[{}-9][0-9]{{0,{rest}}}", text(&digits[..at]), char::from(digit + 1)));
    }
    let above = format!("0{{0,{}}}[1-9][0-9]{{0,{room}}}", room - 1);
    match (digits.is_empty(), left_out) {
        (true, true) => all.push(format!("\\.{above}")),
        (true, false) => all.push(format!("(?:\\.[0-9]{{1,{FRACTION}}})?")),
        (false, true) => all.push(format!("\\.{}{above}", text(digits))),
        (false, false) => all.push(format!("\\.{}[0-9]{{0,{room}}}", text(digits))),
    }
    all
}

/// Fractions, with the point, or none, that are not above some digits.
fn at_most(digits: &[u8], left_out: bool) -> Vec<String> {
    let mut all = Vec::new();
    let room = FRACTION.saturating_sub(digits.len()).max(1);
    let text = |digits: &[u8]| String::from_utf8_lossy(digits).into_owned();
    for (at, &digit) in digits.iter().enumerate() {
        if digit > b'0' {
            let rest = FRACTION.saturating_sub(at + 1);
            all.push(format!("\\.{}[0-{}][0-9]{{0,{rest}}}", text(&digits[..at]), char::from(digit - 1)));
        }
        // What stops before the last digit is below.
        all.push(if at == 0 { String::new() } else { format!("\\.{}", text(&digits[..at])) });
    }
    match (digits.is_empty(), left_out) {
        (true, true) => {}
        (true, false) => all.push(format!("(?:\\.0{{1,{FRACTION}}})?")),
        (false, true) => {}
        (false, false) => all.push(format!("\\.{}0{{0,{room}}}", text(digits))),
    }
    all
}

/// Integers without a sign between two, both included.
fn magnitudes(low: i128, high: i128) -> Vec<String> {
    let mut all = Vec::new();
    let (mut from, mut to) = (low, 9);
    while from <= high {
        if from <= to {
            let (low, high) = (from.to_string(), high.min(to).to_string());
            all.push(same_length(low.as_bytes(), high.as_bytes()));
            from = to + 1;
        }
        to = to * 10 + 9;
    }
    all
}

/// Digits between two texts of as many.
fn same_length(low: &[u8], high: &[u8]) -> String {
    let (Some((&a, low_rest)), Some((&b, high_rest))) = (low.split_first(), high.split_first()) else {
        return String::new();
    };
    let tail = low_rest.len();
    if low.iter().all(|&digit| digit == b'0') && high.iter().all(|&digit| digit == b'9') {
        return format!("[0-9]{{{}}}", tail + 1);
    }
    if a == b {
        return format!("{}{}", char::from(a), same_length(low_rest, high_rest));
    }
    let (zeros, nines) = (vec![b'0'; tail], vec![b'9'; tail]);
    let mut all = vec![
        format!("{}{}", char::from(a), same_length(low_rest, &nines)),
        format!("{}{}", char::from(b), same_length(&zeros, high_rest)),
    ];
    if b - a > 1 {
        all.push(format!("[{}-{}][0-9]{{{tail}}}", char::from(a + 1), char::from(b - 1)));
    }
    format!("(?:{})", all.join("|"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn matches(dfa: &Dfa, text: &str) -> bool {
        text.bytes().try_fold(0, |state, byte| dfa.step(state, byte)).is_some_and(|state| dfa.accepts(state))
    }

    fn bound(value: Value) -> Option<(Decimal, bool)> {
        value.as_number().and_then(Decimal::new).map(|bound| (bound, false))
    }

    fn outside(value: Value) -> Option<(Decimal, bool)> {
        bound(value).map(|(bound, _)| (bound, true))
    }

    #[test]
    fn integers_of_every_small_range() {
        for low in -25..=25 {
            for high in low..=25 {
                let dfa = Range { min: bound(json!(low)), max: bound(json!(high)), far: false }.integers().unwrap();
                let matched: Vec<i32> = (-130..=130).filter(|number| matches(&dfa, &number.to_string())).collect();
                assert_eq!(matched, (low..=high).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn integers_at_the_edges() {
        let range = |min, max| Range { min, max, far: false }.integers();
        let wide = range(bound(json!(i64::MIN)), bound(json!(u64::MAX))).unwrap();
        for text in ["-9223372036854775808", "18446744073709551615", "0", "-1", "10"] {
            assert!(matches(&wide, text), "{text}");
        }
        for text in ["-9223372036854775809", "18446744073709551616", "-0", "00", "01", "", "-", "1.0", "+1"] {
            assert!(!matches(&wide, text), "{text}");
        }
        let above = range(outside(json!(998)), None).unwrap();
        assert!(!matches(&above, "998") && matches(&above, "999") && matches(&above, "1000000"));
        let half = range(bound(json!(-1.5)), outside(json!(2.0))).unwrap();
        let matched: Vec<i32> = (-9..9).filter(|number| matches(&half, &number.to_string())).collect();
        assert_eq!(matched, [-1, 0, 1]);
        let tiny = range(bound(json!(1e-7)), bound(json!(1.5e1))).unwrap();
        assert!(!matches(&tiny, "0") && matches(&tiny, "15") && !matches(&tiny, "16"));
        assert_eq!(range(bound(json!(3)), bound(json!(2))), Err(Refused::Nothing));
        assert_eq!(range(bound(json!(0.2)), bound(json!(0.8))), Err(Refused::Nothing));
        assert!(matches(&range(None, None).unwrap(), "999999999999999999"));
    }

    #[test]
    fn numbers_of_ranges() {
        let texts: Vec<String> = (-40..=40)
            .flat_map(|whole| [format!("{}", whole / 10), format!("{}.{}", whole / 10, (whole % 10i32).abs())])
            .chain(["-0.5", "0.05", "0.95", "0.949", "2.50", "2.500001", "-1.25", "-1.250", "3.0"].map(String::from))
            .collect();
        let bounds = [-3.0, -1.25, -1.0, -0.5, 0.0, 0.05, 0.9, 0.95, 1.0, 2.5, 3.0];
        for (low, low_out, high, high_out) in bounds.iter().flat_map(|&low| {
            let bits = [(false, false), (true, false), (false, true), (true, true)];
            bounds.iter().flat_map(move |&high| bits.map(|(a, b)| (low, a, high, b)))
        }) {
            let range = Range {
                min: bound(json!(low)).map(|(bound, _)| (bound, low_out)),
                max: bound(json!(high)).map(|(bound, _)| (bound, high_out)),
                far: false,
            };
            let dfa = range.numbers(false);
            for text in &texts {
                let value: f64 = text.parse().unwrap();
                let inside = (value > low || value == low && !low_out) && (value < high || value == high && !high_out);
                // The sign of zero is written only where there is something below it.
                let odd = value == 0.0 && text.starts_with('-');
                if !odd {
                    let matched = dfa.as_ref().is_ok_and(|dfa| matches(dfa, text));
                    assert_eq!(matched, inside, "{text} between {low} {low_out} and {high} {high_out}");
                }
            }
        }
        let free = Range::default().numbers(false).unwrap();
        assert!(matches(&free, "-1.5e+3") && matches(&free, "0") && !matches(&free, "1.") && !matches(&free, "01"));
    }
}
