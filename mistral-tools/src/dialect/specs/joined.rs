//! Texts joined while the crate is compiled, so that each mark is spelled once.

/// Joins constant texts.
macro_rules! joined {
    ($($part:expr),+ $(,)?) => {{
        const PARTS: &[&str] = &[$($part),+];
        const BYTES: [u8; $crate::dialect::specs::joined::length(PARTS)] = $crate::dialect::specs::joined::bytes(PARTS);
        const TEXT: &str = $crate::dialect::specs::joined::text(&BYTES);
        TEXT
    }};
}

pub(super) const fn length(parts: &[&str]) -> usize {
    let (mut length, mut part) = (0, 0);
    while part < parts.len() {
        length += parts[part].len();
        part += 1;
    }
    length
}

pub(super) const fn bytes<const LENGTH: usize>(parts: &[&str]) -> [u8; LENGTH] {
    let (mut bytes, mut at, mut part) = ([0; LENGTH], 0, 0);
    while part < parts.len() {
        let mut byte = 0;
        while byte < parts[part].len() {
            bytes[at] = parts[part].as_bytes()[byte];
            byte += 1;
            at += 1;
        }
        part += 1;
    }
    bytes
}

/// Returns the text of bytes that are whole texts, one after the other.
pub(super) const fn text(bytes: &[u8]) -> &str {
    match str::from_utf8(bytes) {
        Ok(text) => text,
        Err(_) => "",
    }
}
