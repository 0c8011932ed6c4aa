//! `pattern`: regular expressions as JSON schema has them, in the syntax of the crate that reads them.

use super::dfa::{Dfa, Refused};
pub(super) use super::format::{Enforced, enforced, format};
use super::text::STATES;

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
}
