//! The values of `format`, as regular expressions. Each expression matches a part of what its standard allows, and nothing that a strict
//! reader refuses.

use super::dfa::{Dfa, Refused};
use super::text::STATES;

/// Whether a format is enforced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Enforced {
    Yes,
    /// The format is a note on how numbers or texts are stored. It requires nothing of them, or only a range of integers.
    Annotation,
    No,
}

const ANNOTATIONS: [&str; 17] = [
    "int8", "int16", "int32", "int64", "int", "uint8", "uint16", "uint32", "uint64", "uint", "int128", "uint128",
    "float", "double", "password", "binary", "decimal",
];

/// Dates that exist in the Gregorian calendar.
const DATE: &str = concat!(
    "(?:[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|",
    "02-(?:0[1-9]|1[0-9]|2[0-8]))|",
    "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29)",
);
/// Years have four digits, and the first year is 1.
const YEARS: &str = "0000.*";
const TIME: &str =
    "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\\.[0-9]{1,9})?(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])";
const UUID: &str = "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}";
const BYTE: &str = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";
/// A label without two hyphens together, so that no label is taken for an encoded label.
const LABEL: &str = "[a-zA-Z0-9](?:-?[a-zA-Z0-9]){0,20}";
const LONG_LABEL: &str = "[a-zA-Z0-9](?:-?[a-zA-Z0-9]){0,29}";
const DURATION: &str = concat!(
    "P(?:(?:[0-9]{1,6}Y(?:[0-9]{1,6}M(?:[0-9]{1,6}D)?)?|[0-9]{1,6}M(?:[0-9]{1,6}D)?|[0-9]{1,6}D)(?:T(?:[0-9]{1,6}H(?:[0-9]{1,6}M",
    "(?:[0-9]{1,6}S)?)?|[0-9]{1,6}M(?:[0-9]{1,6}S)?|[0-9]{1,6}S))?|",
    "T(?:[0-9]{1,6}H(?:[0-9]{1,6}M(?:[0-9]{1,6}S)?)?|[0-9]{1,6}M(?:[0-9]{1,6}S)?|[0-9]{1,6}S)|[0-9]{1,6}W)",
);
const ESCAPED: &str = "%[0-9a-fA-F]{2}";
/// Characters of international addresses: those of the first plane, without the ones of private use.
const WIDE: &str = "\\x{a1}-\\x{d7ff}\\x{f900}-\\x{fdcf}\\x{fdf0}-\\x{ffef}";

/// Returns whether a format is enforced.
pub(super) fn enforced(name: &str) -> Enforced {
    match expression(name) {
        Some(_) => Enforced::Yes,
        None if ANNOTATIONS.contains(&name) => Enforced::Annotation,
        None => Enforced::No,
    }
}

/// Returns the automaton of an enforced format.
pub(super) fn format(name: &str) -> Result<Dfa, Refused> {
    let expression = expression(name).ok_or_else(|| Refused::Syntax(format!("the format `{name}`")))?;
    let dfa = Dfa::regex(&expression, STATES)?;
    match name {
        "date" | "date-time" => Ok(dfa.without(&Dfa::regex(YEARS, STATES)?, STATES)?.0),
        _ => Ok(dfa),
    }
}

fn expression(name: &str) -> Option<String> {
    let four = format!("(?:{BYTE}\\.){{3}}{BYTE}");
    Some(match name {
        "date" => DATE.into(),
        "time" => TIME.into(),
        "date-time" => format!("{DATE}T{TIME}"),
        "duration" => DURATION.into(),
        "uuid" => UUID.into(),
        "ipv4" => four,
        "ipv6" => ipv6(&four),
        "hostname" => hostname(),
        "email" => email("a-zA-Z0-9!#$%&'*+/=?^_`{|}~-"),
        "idn-email" => email("a-zA-Z0-9!#$%&'*+/=?^_`{|}~\\x{c0}-\\x{d6}\\x{d8}-\\x{f6}\\x{4e00}-\\x{9fa5}-"),
        "uri" => address("", false),
        "uri-reference" => address("", true),
        "iri" => address(WIDE, false),
        "iri-reference" => address(WIDE, true),
        "uri-template" => template(),
        "json-pointer" => "(?:/(?:[^~/]|~[01])*)*".into(),
        "relative-json-pointer" => "(?:0|[1-9][0-9]{0,8})(?:#|(?:/(?:[^~/]|~[01])*)*)".into(),
        "char" => "(?s:.)".into(),
        _ => return None,
    })
}

fn hostname() -> String {
    format!("(?:{LABEL}\\.){{0,4}}{LONG_LABEL}")
}

/// Returns the expression of an address with a local part of these characters, and a domain of at least two labels.
fn email(local: &str) -> String {
    format!("[{local}]{{1,60}}(?:\\.[{local}]{{1,60}})?@(?:{LABEL}\\.){{1,4}}[a-zA-Z]{{2,20}}")
}

fn ipv6(four: &str) -> String {
    let group = "[0-9a-fA-F]{1,4}";
    let last = format!("(?:{group}:{group}|{four})");
    let mut all = vec![format!("(?:{group}:){{6}}{last}")];
    // Before and after `::`, at most seven groups together.
    for before in 0..=7 {
        let first = match before {
            0 => String::new(),
            n => format!("{group}(?::{group}){{{}}}", n - 1),
        };
        let after = 7 - before;
        let mut ends = vec![String::new()];
        if after > 0 {
            ends.push(format!("{group}(?::{group}){{0,{}}}", after - 1));
        }
        if after > 1 {
            ends.push(format!("(?:{group}:){{0,{}}}{four}", after - 2));
        }
        all.push(format!("{first}::(?:{})", ends.join("|")));
    }
    format!("(?:{})", all.join("|"))
}

/// Returns the expression of addresses with a scheme, and of relative addresses if `relative`.
fn address(wide: &str, relative: bool) -> String {
    let character = format!("(?:[a-zA-Z0-9._~!$&'()*+,;=:@{wide}-]|{ESCAPED})");
    let plain = format!("(?:[a-zA-Z0-9._~!$&'()*+,;=@{wide}-]|{ESCAPED})");
    let user = format!("(?:(?:[a-zA-Z0-9._~!$&'()*+,;=:{wide}-]|{ESCAPED})*@)?");
    let host = "[a-zA-Z0-9](?:[.-]?[a-zA-Z0-9])*";
    let authority = format!("//{user}{host}(?::[0-9]{{1,4}})?(?:/{character}*)*");
    let rest = format!("(?:\\?(?:{character}|[/?])*)?(?:#(?:{character}|[/?])*)?");
    let absolute = format!("/(?:{character}+(?:/{character}*)*)?");
    let rootless = format!("{character}+(?:/{character}*)*");
    let with_scheme = format!("[a-zA-Z][a-zA-Z0-9+.-]*:(?:{authority}|{absolute}|{rootless}){rest}");
    match relative {
        false => with_scheme,
        true => format!("(?:{with_scheme}|(?:{authority}|{absolute}|{plain}+(?:/{character}*)*)?{rest})"),
    }
}

fn template() -> String {
    let name = "[a-zA-Z0-9_]+(?:\\.[a-zA-Z0-9_]+)*(?::[1-9][0-9]{0,3}|\\*)?";
    format!("(?:[a-zA-Z0-9._~!$&()*+,;=:@/?#\\[\\]-]|{ESCAPED}|\\{{[+#./;?&]?{name}(?:,{name})*\\}})*")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_what_they_say() {
        for (name, good, bad) in [
            (
                "date",
                vec!["2024-02-29", "2000-02-29", "1999-12-31"],
                vec!["2024-13-01", "5544-11-31", "2023-02-29", "1900-02-29", "0000-01-01"],
            ),
            ("time", vec!["23:59:59.5+01:00", "00:00:00Z"], vec!["24:00:00Z", "12:00:00", "23:59:60Z"]),
            ("date-time", vec!["2024-02-29T00:00:00Z"], vec!["2024-02-29", "2024-02-30T00:00:00Z"]),
            ("duration", vec!["P1Y2M3DT4H5M6S", "PT1M", "P3W"], vec!["P", "P1", "PT", "P1H", "P1Y2D", "1D"]),
            ("uuid", vec!["123e4567-e89b-12d3-a456-426614174000"], vec!["123e4567"]),
            ("ipv4", vec!["192.168.0.1"], vec!["256.0.0.1", "1.2.3", "01.2.3.4"]),
            (
                "ipv6",
                vec!["::", "::1", "1:2:3:4:5:6:7:8", "fe80::1:2", "::ffff:1.2.3.4", "1:2:3:4:5:6:7::"],
                vec!["1:2", ":::", "1::2::3", "1:2:3:4:5:6:7:8:9", "12345::"],
            ),
            ("hostname", vec!["example.org", "a-b.c", "localhost"], vec!["-a", "a-", "a..b", "", "a_b", "xn--a"]),
            ("email", vec!["a.b+c@d-e.example.org"], vec!["a@b", "a b@c.org", "@c.org", "a..b@c.org"]),
            (
                "uri",
                vec!["https://example.org/a?b=c#d", "mailto:a@b", "urn:x:y"],
                vec!["example.org", "http://a b", "/a", ""],
            ),
            ("uri-reference", vec!["/a/b", "?q", "", "a/b", "http://x.y"], vec!["a b", "\\\\x"]),
            ("iri", vec!["http://example.org/é"], vec!["é"]),
            ("uri-template", vec!["/a/{b}{?c,d*}", "x"], vec!["{", "{a", "}", "{^a}"]),
            ("json-pointer", vec!["", "/a/b~1c", "/"], vec!["a", "/~2", "~"]),
            ("relative-json-pointer", vec!["0", "1/a", "2#"], vec!["", "-1", "01", "a"]),
        ] {
            let dfa = format(name).unwrap();
            assert!(dfa.states() < 4000, "{name}: {}", dfa.states());
            good.iter().for_each(|text| assert!(dfa.matches(text), "{name}: {text}"));
            bad.iter().for_each(|text| assert!(!dfa.matches(text), "{name}: {text}"));
            assert_eq!(enforced(name), Enforced::Yes);
        }
        assert_eq!((enforced("regex"), enforced("int32")), (Enforced::No, Enforced::Annotation));
    }
}
