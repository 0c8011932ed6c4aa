//! Converts Python's numbers to JSON's.

/// Returns the JSON of a number without a sign, or `None` if the word is not a number. Digits are kept as they are.
pub(super) fn number(word: &str) -> Option<String> {
    let radix = match word.get(..2)?.to_ascii_lowercase().as_str() {
        "0x" => 16,
        "0o" => 8,
        "0b" => 2,
        _ => return decimal(word),
    };
    let digits = grouped(word.get(2..)?.strip_prefix('_').unwrap_or(word.get(2..)?), radix)?;
    u128::from_str_radix(&digits, radix).ok().map(|value| value.to_string())
}

/// Converts a number in decimal digits, or a word of one character, which cannot have a prefix.
pub(super) fn decimal(word: &str) -> Option<String> {
    let (mantissa, exponent) = match word.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (word, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let part = |text: &str| if text.is_empty() { Some(String::new()) } else { grouped(text, 10) };
    let (digits, decimals) = (part(whole)?, part(fraction.unwrap_or(""))?);
    let significant = digits.trim_start_matches('0');
    if (digits.is_empty() && decimals.is_empty())
        || (fraction.is_none() && exponent.is_none() && significant.len() < digits.len() && !significant.is_empty())
    {
        return None;
    }
    let mut json = if significant.is_empty() { "0".to_owned() } else { significant.to_owned() };
    if fraction.is_some() {
        json += ".";
        json += if decimals.is_empty() { "0" } else { &decimals };
    }
    if let Some(exponent) = exponent {
        let (sign, digits) = match exponent.as_bytes().first()? {
            b'+' | b'-' => exponent.split_at(1),
            _ => ("", exponent),
        };
        json += &["e", sign, &grouped(digits, 10)?].concat();
    }
    // Python makes the number infinite, which JSON cannot say.
    let is_finite = (fraction.is_none() && exponent.is_none()) || json.parse().is_ok_and(f64::is_finite);
    is_finite.then_some(json)
}

/// Returns digits without the `_` between them, or `None` if the text has other characters.
fn grouped(text: &str, radix: u32) -> Option<String> {
    let is_right = text.split('_').all(|group| !group.is_empty() && group.chars().all(|c| c.is_digit(radix)));
    is_right.then(|| text.replace('_', ""))
}
