//! Requests at the door: refused alike by an engine and by a model, and constraints of a program's own.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mistral_models::ChatTemplates;
use mistral_tools::{Message, ToolSpec};

use super::*;
use crate::constraint::rule::Constraint;
use crate::engine::Engine;
use crate::event::EventKind;
use crate::memory::Limits;
use crate::model::Model;
use crate::testing::{Script, Scripted, babbles, byte_text, byte_tokenizer, says};

const LIMITS: Limits = Limits { max_sequences: 4, queue_capacity: 8, max_batch_tokens: 16 };

fn engine(text: TextModel, script: Script) -> Engine {
    Engine::new(Box::new(Scripted::new(64, 32, 4, script)), text, LIMITS, 7)
}

fn with_template() -> TextModel {
    let mut templates = ChatTemplates::default();
    templates.insert("default", "{{ messages[0].content }}");
    TextModel::new(Some(byte_tokenizer()), Some(templates))
}

/// The texts of all sequences, by their numbers.
fn run(engine: &mut Engine) -> Vec<String> {
    let mut texts = Vec::new();
    while !engine.is_idle() {
        engine.step(Instant::now());
        while let Some(event) = engine.poll_event() {
            let index = event.sequence.0 as usize;
            texts.resize(texts.len().max(index + 1), String::new());
            match event.kind {
                EventKind::Piece(piece) => texts[index] += &piece.text,
                EventKind::Finished { .. } => {}
                EventKind::Failed(error) => panic!("{error}"),
            }
        }
    }
    texts
}

#[test]
fn settings_that_nothing_would_hear_are_refused_by_both_doors() {
    let tool = ToolSpec::new("add", "", serde_json::json!({"type": "object"})).unwrap();
    let chat = || Request::chat([Message::user("hi")]);
    let cases = [
        ("tools", Request::new("ab").tools([tool.clone()])),
        ("tools", Request::new(vec![97u32]).tools([tool.clone()])),
        ("template_variable", Request::new("ab").template_variable("enable_thinking", false)),
        ("template_variable", Request::new("ab").chat_template("rag")),
        ("chat_template", chat().template_variable("chat_template", 3)),
    ];
    let mut engine = engine(with_template(), says(2, "x"));
    let model = Model::from_engine(self::engine(with_template(), says(2, "x"))).unwrap();
    for (name, request) in cases {
        for error in [engine.submit(request.clone(), Instant::now()).unwrap_err(), model.generate(request).unwrap_err()]
        {
            assert!(matches!(&error, Error::InvalidParameter { name: found, .. } if *found == name), "{name}: {error}");
        }
    }
    let heard = chat().tools([tool]).template_variable("enable_thinking", false);
    assert_eq!(model.generate(heard).unwrap().text().unwrap(), "x");
    let mut changed = Request::new("ab").tools([]);
    changed.prompt = chat().prompt;
    assert!(model.generate(changed).is_ok(), "the prompt is a chat after all");
    let mut without_text = self::engine(TextModel::default(), says(2, "x"));
    let stop = Request::new(vec![97u32, 98]).stop("x");
    assert!(matches!(without_text.submit(stop, Instant::now()), Err(Error::NoTokenizer)));
}

#[test]
fn the_seed_of_a_request_without_one_depends_on_its_number_only() {
    let warm = |seed: Option<u64>| {
        let mut request = Request::new("ab").temperature(1.5).max_tokens(12);
        request.seed = seed;
        request
    };
    let texts = |seeds: [Option<u64>; 3]| {
        let mut engine = engine(byte_text(), babbles());
        for seed in seeds {
            engine.submit(warm(seed), Instant::now()).unwrap();
        }
        run(&mut engine)
    };
    let (none, first) = (texts([None, None, None]), texts([Some(3), Some(4), None]));
    assert_eq!(none[2], first[2]);
    assert!(none[0] != none[1] && none[0] != first[0]);
}

/// Only one letter may come, for so many tokens; then only an end.
#[derive(Debug)]
struct Letter {
    token: u32,
    count: usize,
    started: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct Letters {
    token: u32,
    left: usize,
    end: u32,
}

impl Constraint for Letter {
    fn begin(&self, sequence: &SequenceStart<'_>) -> Result<Box<dyn TokenMask>, Error> {
        assert_eq!((sequence.prompt(), sequence.vocab_size()), (&[97, 98][..], 257));
        self.started.fetch_add(1, Ordering::Relaxed);
        let end = *sequence.end_tokens().first().ok_or(Error::NoTokenizer)?;
        Ok(Box::new(Letters { token: self.token, left: self.count, end }))
    }
}

impl TokenMask for Letters {
    fn mask(&mut self, logits: &mut [f32]) {
        let only = if self.left == 0 { self.end } else { self.token };
        for (token, logit) in (0..).zip(logits) {
            if token != only {
                *logit = f32::NEG_INFINITY;
            }
        }
    }

    fn commit(&mut self, token: u32) {
        assert_eq!(token, if self.left == 0 { self.end } else { self.token });
        self.left = self.left.saturating_sub(1);
    }
}

#[test]
fn a_constraint_of_the_programs_own_decides_what_comes_in_each_of_its_sequences() {
    let started = Arc::new(AtomicUsize::new(0));
    let rule = Arc::new(Letter { token: 120, count: 3, started: Arc::clone(&started) });
    let request = || Request::new("ab").temperature(1.0).constraint(Arc::clone(&rule));
    let mut engine = engine(byte_text(), babbles());
    for request in [request(), Request::new("ab").max_tokens(4), request()] {
        engine.submit(request, Instant::now()).unwrap();
    }
    let texts = run(&mut engine);
    assert_eq!((texts[0].as_str(), texts[2].as_str()), ("xxx", "xxx"));
    assert_ne!(texts[1], "xxx");
    assert_eq!(started.load(Ordering::Relaxed), 2);

    let model = Model::from_engine(self::engine(byte_text(), babbles())).unwrap();
    assert_eq!(model.generate(request()).unwrap().text().unwrap(), "xxx");
    let no_ends = model.generate(request().ignore_eos(true));
    assert!(matches!(no_ends, Err(Error::NoTokenizer)), "an error of `begin` refuses the request at once");
}

#[test]
fn a_request_equals_its_copy_but_not_one_with_another_constraint() {
    let rule = || Letter { token: 120, count: 3, started: Arc::default() };
    let request = Request::new("ab").constraint(rule());
    assert_eq!(request, request.clone());
    assert_ne!(request, Request::new("ab").constraint(rule()));
}

#[test]
fn a_constraint_that_lets_nothing_come_fails_its_sequence_alone() {
    #[derive(Debug)]
    struct Nothing;
    impl Constraint for Nothing {
        fn begin(&self, _: &SequenceStart<'_>) -> Result<Box<dyn TokenMask>, Error> {
            Ok(Box::new(Nothing))
        }
    }
    impl TokenMask for Nothing {
        fn mask(&mut self, logits: &mut [f32]) {
            logits.fill(f32::NEG_INFINITY);
        }

        fn commit(&mut self, _: u32) {}
    }
    let model = Model::from_engine(engine(byte_text(), says(2, "well"))).unwrap();
    let (ill, well) = (model.generate(Request::new("ab").constraint(Nothing)).unwrap(), model.generate("ab").unwrap());
    assert!(matches!(ill.text(), Err(Error::NonFiniteLogits { .. })));
    assert_eq!(well.text().unwrap(), "well");
}
