//! `pattern` and `format`: regular expressions as JSON schema has them, in the syntax of the crate that reads them.

use super::dfa::{Dfa, Refused};
use super::text::STATES;

/// The formats that are enforced, by their shape: that there is such a day is for the tool to check.
const FORMATS: [(&str, &str); 7] = [
    ("date", r"[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"),
    ("time", r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,9})?(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"),
    (
        "date-time",
        concat!(
            r"[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]",
            r"(?:\.[0-9]{1,9})?(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
        ),
    ),
    ("uuid", r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"),
    ("ipv4", r"(?:(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])\.){3}(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"),
    ("email", r"[a-zA-Z0-9_%+-]+(?:\.[a-zA-Z0-9_%+-]+)*@[a-zA-Z0-9]+(?:[.-][a-zA-Z0-9]+)*\.[a-zA-Z]{2,}"),
    ("char", r"(?s:.)"),
];

/// The automaton of a format, if it is one that is enforced.
pub(super) fn format(name: &str) -> Option<Result<Dfa, Refused>> {
    let (_, pattern) = FORMATS.iter().find(|(known, _)| *known == name)?;
    Some(Dfa::regex(pattern, STATES))
}

/// The texts in which a regular expression of ECMA 262 finds something. The dialects agree but for what is rewritten here.
pub(super) fn pattern(pattern: &str) -> Result<Dfa, Refused> {
    let any = "(?s:.)*";
    Dfa::regex(&format!("{any}(?:{}){any}", rewritten(pattern)?), STATES)
}

fn rewritten(pattern: &str) -> Result<String, Refused> {
    let (mut out, mut class) = (String::new(), false);
    let mut characters = pattern.chars().peekable();
    let syntax = |what: &str| Refused::Syntax(format!("{what} in `{pattern}`"));
    while let Some(character) = characters.next() {
        match character {
            '\\' => {
                let escaped = characters.next().ok_or_else(|| syntax("a lone backslash"))?;
                match (escaped, class) {
                    // Of ASCII only; `\s` is Unicode's in both.
                    ('d', false) => out += "[0-9]",
                    ('d', true) => out += "0-9",
                    ('D', _) => out += "[^0-9]",
                    ('w', false) => out += "[A-Za-z0-9_]",
                    ('w', true) => out += "A-Za-z0-9_",
                    ('W', _) => out += "[^A-Za-z0-9_]",
                    ('b', false) => out += "(?-u:\\b)",
                    ('b', true) => out += "\\x08",
                    ('B', _) => return Err(syntax("`\\B`")),
                    ('0', _) if !characters.peek().is_some_and(char::is_ascii_digit) => out += "\\x00",
                    ('a' | 'A' | 'z' | 'Z' | 'U', _) => return Err(syntax("an escape that ECMA 262 does not have")),
                    _ => out.extend(['\\', escaped]),
                }
            }
            '.' if !class => out += "[^\\n\\r\\u{2028}\\u{2029}]",
            '[' if !class => {
                class = true;
                out.push('[');
                if characters.peek() == Some(&'^') {
                    out.extend(characters.next());
                }
                if characters.peek() == Some(&']') {
                    return Err(syntax("an empty class"));
                }
            }
            ']' if class => {
                class = false;
                out.push(']');
            }
            // Operators of sets there, characters here.
            '[' | '&' | '~' if class => out.extend(['\\', character]),
            '-' if class && characters.peek() == Some(&'-') => return Err(syntax("`--`")),
            _ => out.push(character),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(dfa: &Dfa, text: &str) -> bool {
        text.bytes().try_fold(0, |state, byte| dfa.step(state, byte)).is_some_and(|state| dfa.accepts(state))
    }

    #[test]
    fn patterns_are_those_of_schemas() {
        for (text, good, bad) in [
            ("^[a-z]+\\d$", vec!["ab1"], vec!["ab", "ab1 ", "ab\u{0661}", "1"]),
            ("a.c", vec!["xabcx", "a\u{e9}c"], vec!["a\nc", "a\rc", "ac"]),
            ("^(\\/[\\w.-]+)+$", vec!["/a/b.c-d"], vec!["/", "a"]),
            ("^[[&~]$", vec!["[", "&", "~"], vec!["a"]),
            ("^(a|b)$|c", vec!["a", "xcx"], vec!["ab"]),
            ("^\\u00e9\\p{Lu}$", vec!["éÀ"], vec!["éa"]),
            ("^[^\\d\\s]{2,3}$", vec!["ab", "éé"], vec!["a", "a1", "a b"]),
            ("\\bif\\b", vec!["if", "an if."], vec!["gift"]),
            ("", vec!["", "x"], vec![]),
        ] {
            let dfa = pattern(text).unwrap();
            assert!(good.iter().all(|good| matches(&dfa, good)), "{text}");
            assert!(!bad.iter().any(|bad| matches(&dfa, bad)), "{text}");
        }
        for text in ["(?=a)", "(a)\\1", "[", "\\B", "[]", "(?<!a)b", "a{2", "\\"] {
            assert!(matches!(pattern(text), Err(Refused::Syntax(_))), "{text}");
        }
        assert_eq!(pattern("^(a|b)*a(a|b){30}$"), Err(Refused::Size));
        assert_eq!(pattern("^a$b"), Err(Refused::Nothing));
    }

    #[test]
    fn formats_have_their_shape() {
        for (name, good, bad) in [
            ("date", "2024-02-29", "2024-13-01"),
            ("time", "23:59:59.5+01:00", "24:00:00Z"),
            ("date-time", "2024-02-29T00:00:00Z", "2024-02-29"),
            ("uuid", "123e4567-e89b-12d3-a456-426614174000", "123e4567"),
            ("ipv4", "192.168.0.1", "256.0.0.1"),
            ("email", "a.b+c@d-e.example.org", "a@b"),
        ] {
            let dfa = format(name).unwrap().unwrap();
            assert!(matches(&dfa, good) && !matches(&dfa, bad), "{name}");
        }
        assert!(format("uri").is_none());
    }
}
