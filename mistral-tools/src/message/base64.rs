//! Base64 with the standard alphabet and padding (RFC 4648, section 4), for bytes in the JSON of messages.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Appends the base64 text of `bytes`.
pub(super) fn encode(bytes: &[u8], to: &mut String) {
    to.reserve(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let digit = ALPHABET.get((bits >> (18 - 6 * place)) as usize & 63);
            to.push(if place <= group.len() { digit.copied().map_or('=', char::from) } else { '=' });
        }
    }
}

/// Returns the bytes of a base64 text, or `None` unless the text is exactly what [`encode`] writes for some bytes.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    let value = |byte: u8| match byte {
        b'A'..=b'Z' => Some(u32::from(byte - b'A')),
        b'a'..=b'z' => Some(u32::from(byte - b'a') + 26),
        b'0'..=b'9' => Some(u32::from(byte - b'0') + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let digits = text.trim_end_matches('=');
    if !text.len().is_multiple_of(4) || text.len() - digits.len() > 2 {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    for group in digits.as_bytes().chunks(4) {
        let mut bits = 0;
        for &digit in group {
            bits = bits << 6 | value(digit)?;
        }
        bits <<= 6 * (4 - group.len());
        let [_, whole @ ..] = bits.to_be_bytes();
        let (kept, spare) = whole.split_at(group.len() - 1);
        if spare.iter().any(|&byte| byte != 0) {
            return None;
        }
        bytes.extend_from_slice(kept);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_and_nothing_else_is_read() {
        for len in 0..70u8 {
            let bytes: Vec<u8> = (0..len).map(|at| at.wrapping_mul(83) ^ len).collect();
            let mut text = String::new();
            encode(&bytes, &mut text);
            assert_eq!(decode(&text), Some(bytes), "{text}");
        }
        // RFC 4648, section 10.
        for (bytes, expected) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            let mut text = String::new();
            encode(bytes.as_bytes(), &mut text);
            assert_eq!(text, expected);
        }
        for wrong in ["A", "AA", "AAA", "A===", "=", "====", "Zh==", "Zm9=", "Zg==Zg==", "Z g=", "Zg-_", "é"] {
            assert_eq!(decode(wrong), None, "{wrong}");
        }
    }
}
