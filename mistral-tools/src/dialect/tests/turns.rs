//! What stands around calls and between them, in every dialect: text and reasoning.

use super::examples::{read, read_after};
use super::*;

fn call(arguments: serde_json::Value) -> crate::ToolCall {
    crate::ToolCall::new("add", arguments)
}

/// Text around calls and between them is text. Only Llama 4 has calls that fill whole messages.
#[test]
fn text_stands_around_calls() {
    for dialect in Dialect::ALL {
        if dialect == Dialect::Llama4 {
            continue;
        }
        let (one, two) = (call(json!({"count": 1})), call(json!({"text": "x"})));
        let both = dialect.write(&[one.clone(), two.clone()], 0);
        let (one, two) = (dialect.write(&[one], 0), dialect.write(&[two], 1));
        for (text, expected) in [
            (format!("Well. {one} Then. {two} Done."), ["t:Well. ", "c", "t: Then. ", "c", "t: Done."].as_slice()),
            (format!("{one} Then. {two}"), &["c", "t: Then. ", "c"]),
            (format!("{both} Done."), &["c", "c", "t: Done."]),
            (format!("Well. {one}{two}"), &["t:Well. ", "c", "c"]),
            (format!("Well.\n\n{one}\n{two}\n\nDone."), &["t:Well.\n\n", "c", "c", "t:Done."]),
        ] {
            let found: Vec<String> = read(dialect, &text)
                .into_iter()
                .map(|part| if part.starts_with("c:") { "c".to_owned() } else { part })
                .collect();
            assert_eq!(found, expected, "{dialect:?} {text}");
        }
    }
}

/// A mark that stands alone in prose is text: no mark is swallowed, and no mark hides the text after it.
#[test]
fn marks_alone_are_text() {
    for dialect in Dialect::ALL {
        let family = dialect.family();
        let mut marks: Vec<&str> = family.noise.to_vec();
        for shape in family.shapes {
            marks.extend(shape.openers().chain(shape.close.iter().copied()));
        }
        marks.extend(family.reasoning.iter().flat_map(|&(think, answer)| [think, answer]));
        marks.extend(family.headers.iter().chain(family.leading).flat_map(|&(text, end)| [text, end]));
        // The header of a message, which ends its line: it is one wherever it stands.
        for mark in marks.into_iter().filter(|mark| *mark != ">>>all\n") {
            for text in
                [format!("write {mark} and then"), format!("write{mark}so it"), format!("The mark\n{mark}\nis odd.")]
            {
                let message = dialect.parser(&tools()).parse(&text);
                assert_eq!(message.text(), text, "{dialect:?} {mark:?}");
                assert_eq!(read(dialect, &text), [format!("t:{text}")], "{dialect:?} {mark:?}");
            }
        }
    }
}

/// At the end of a message and before other marks, a meaningless mark is left out.
#[test]
fn marks_between_messages_are_left_out() {
    for dialect in Dialect::ALL {
        let Some(last) = dialect.family().noise.last().filter(|mark| **mark != ">>>all\n") else { continue };
        let written = dialect.write(&[call(json!({"text": "x"}))], 0);
        for end in ["", " ", "\n"] {
            assert_eq!(read(dialect, &format!("So.{last}{end}"))[0], "t:So.", "{dialect:?}");
            assert_eq!(read(dialect, &format!("So.{last}{last}{end}")), ["t:So."], "{dialect:?}");
            let found = read(dialect, &format!("So.{last}{end}{written}"));
            assert!(found.len() == 2 && found[0] == "t:So." && found[1].starts_with("c:"), "{dialect:?} {found:?}");
        }
    }
}

/// Thoughts may speak of calls, also when the prompt has opened them. Kimi K2 alone ends its thoughts with a call.
#[test]
fn calls_in_reasoning_are_thoughts() {
    for dialect in Dialect::ALL {
        let written = dialect.write(&[call(json!({"text": "x"}))], 0);
        for (think, answer) in dialect.family().reasoning {
            let thought = format!("Perhaps {written} or {think} not. ");
            let text = format!("{thought}{answer}{written}");
            for found in [read(dialect, &[*think, &text].concat()), read_after(dialect, think, &text)] {
                if dialect == Dialect::KimiK2 {
                    assert_eq!(found[0], "r:Perhaps ", "{found:?}");
                    assert!(found[1].starts_with("c:"), "{found:?}");
                } else {
                    assert_eq!(found.len(), 2, "{dialect:?} {found:?}");
                    assert_eq!(found[0], format!("r:{thought}"), "{dialect:?}");
                    assert!(found[1].starts_with("c:"), "{dialect:?} {found:?}");
                }
            }
        }
    }
}

/// A reasoning mark within an answer is text, as it may be quoted; before an answer it is a mark wherever a call or a mark was.
#[test]
fn answers_are_not_reasoned_away() {
    for dialect in Dialect::ALL {
        let (think, answer) = dialect.family().reasoning[0];
        let text = format!("The mark {think} opens.");
        let message = dialect.parser(&tools()).parse(&text);
        // Marks that are also the beginning of a message are always marks.
        let said = message.text() + &message.reasoning() + message.fragment();
        assert!(said.starts_with("The mark ") && said.ends_with(" opens."), "{dialect:?} {said:?}");
        assert!(message.calls().next().is_none(), "{dialect:?}");
        assert_eq!(read(dialect, &format!("{think}{answer}Yes, and no.")), ["t:Yes, and no."], "{dialect:?}");
        assert_eq!(read(dialect, &format!("{think}Hm{answer}")), ["r:Hm"], "{dialect:?}");
    }
}
