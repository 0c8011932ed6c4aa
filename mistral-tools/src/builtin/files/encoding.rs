//! Whether bytes are text, and in which encoding.

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};

use super::FileError;

/// The encoding of a text that starts with these bytes: by its mark, else UTF-8 where it is that, else UTF-16 where every other
/// byte of most is 0, else the legacy encoding that its letters suggest.
pub(super) fn detect(start: &[u8], is_whole: bool) -> Result<&'static Encoding, FileError> {
    if let Some((encoding, _)) = Encoding::for_bom(start) {
        return Ok(encoding);
    }
    if let Some(encoding) = utf_16(start) {
        return Ok(encoding);
    }
    if start.contains(&0) {
        return Err(FileError::Binary(sniff(start)));
    }
    match std::str::from_utf8(start) {
        Ok(_) => return text_or_known(start, UTF_8),
        // Cut within a character.
        Err(error) if error.error_len().is_none() && !is_whole => return text_or_known(start, UTF_8),
        Err(_) => {}
    }
    let known = sniff(start);
    let controls = start.iter().filter(|&&byte| byte < 0x20 && !b"\t\n\r\x0c\x1b".contains(&byte)).count();
    if known != UNKNOWN || controls * 50 > start.len() {
        return Err(FileError::Binary(known));
    }
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Allow);
    detector.feed(start, is_whole);
    // A few wrong bytes in what is otherwise UTF-8 are shown as such.
    let wrong = start.utf8_chunks().filter(|chunk| !chunk.invalid().is_empty()).count();
    let right =
        start.utf8_chunks().flat_map(|chunk| chunk.valid().chars()).filter(|character| !character.is_ascii()).count();
    if right > 4 * wrong { Ok(UTF_8) } else { Ok(detector.guess(None, Utf8Detection::Deny)) }
}

const UNKNOWN: &str = "application/octet-stream";

/// The type of what is not text.
fn sniff(start: &[u8]) -> &'static str {
    infer::get(start).map_or(UNKNOWN, |found| found.mime_type())
}

/// Some formats that are no text consist of characters at the start, such as PDF.
fn text_or_known(start: &[u8], encoding: &'static Encoding) -> Result<&'static Encoding, FileError> {
    match infer::get(start) {
        Some(found)
            if found.matcher_type() != infer::MatcherType::Text && found.mime_type() != "text/x-shellscript" =>
        {
            Err(FileError::Binary(found.mime_type()))
        }
        _ => Ok(encoding),
    }
}

/// UTF-16 without a mark, as far as it has letters of Latin scripts: 0 in most bytes of one side and none in the other.
fn utf_16(start: &[u8]) -> Option<&'static Encoding> {
    let pairs = start.len() / 2;
    let zeros = |side: usize| start.iter().skip(side).step_by(2).filter(|&&byte| byte == 0).count();
    let (even, odd) = (zeros(0), zeros(1));
    if pairs < 2 {
        None
    } else if even == 0 && odd * 10 > pairs * 7 {
        Some(UTF_16LE)
    } else if odd == 0 && even * 10 > pairs * 7 {
        Some(UTF_16BE)
    } else {
        None
    }
}
