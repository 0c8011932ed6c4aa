use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

use super::*;
use crate::{
    builder::{function_tool::FunctionTool, schema::SchemaType, steps::ToolBuilder},
    outcome::kinds::ErrorKind,
};

fn tool(name: impl Into<Cow<'static, str>>, result: usize) -> impl Tool {
    ToolBuilder::named(name)
        .description("")
        .with(result)
        .request_schema::<()>(SchemaType::Serde)
        .result_schema::<usize>(SchemaType::Serde)
        .on_invocation(|_, _, (), result| Ok(*result))
        .build()
        .unwrap()
}

fn result(registry: &ToolRegistry, name: &str) -> Result<String, ErrorKind> {
    let mut reply = Reply::new();
    let outcome = registry.call(name, &Invocation::default(), b"{}", &mut reply);
    match outcome.error_kind() {
        None => Ok(reply.as_str().into()),
        Some(kind) => Err(kind),
    }
}

#[test]
fn batches_add_replace_and_remove_in_order() {
    let registry = ToolRegistry::new();
    assert!(registry.is_empty());
    let mut batch = ToolBatch::new();
    batch.add(tool("a", 1)).add(tool("b", 2)).remove("b").add(tool("b", 3)).remove("a").remove("none");
    assert_eq!(format!("{batch:?}"), "[+a, +b, -b, +b, -a, -none]");
    registry.publish(batch).unwrap();
    assert_eq!(result(&registry, "b").as_deref(), Ok("3"));
    assert_eq!((result(&registry, "a"), registry.len()), (Err(ErrorKind::NotFound), 1));

    let mut batch = ToolBatch::new();
    batch.add(tool("a", 4)).remove("b");
    registry.publish(batch).unwrap();
    assert_eq!(registry.get("b").unwrap_err().to_string(), "there is no tool `b`; there are: a");
    assert_eq!(result(&registry, "a").as_deref(), Ok("4"));
    assert_eq!(format!("{registry:?}"), r#"{"a"}"#);
}

#[test]
fn a_thousand_tools_are_found() {
    let registry = ToolRegistry::new();
    for tens in 0..100 {
        let mut batch = ToolBatch::with_capacity(10);
        for at in 0..10 {
            batch.add(tool(format!("tool_{}", tens * 10 + at), tens * 10 + at));
        }
        registry.publish(batch).unwrap();
    }
    for at in 0..1000 {
        assert_eq!(result(&registry, &format!("tool_{at}")), Ok(at.to_string()));
    }
    let error = registry.get("tool_1000").unwrap_err();
    assert_eq!(error.available().len(), 1000);
    assert!(error.to_string().ends_with(" and 936 more"), "{error}");
    assert!(registry.tools().iter().map(|tool| tool.name().to_owned()).is_sorted());
    assert_eq!(registry.specs().len(), 1000);
}

/// A tool of somebody else's making, wrong in every way that the trait allows.
struct Broken(&'static str);

impl Tool for Broken {
    fn name(&self) -> &str {
        self.0
    }

    fn description(&self) -> &str {
        ""
    }

    fn request_schema(&self) -> Result<serde_json::Value, Error> {
        Err(Error::Parameters { name: self.0.into() })
    }

    fn call(&self, _: &Invocation<'_>, _: &[u8], _: &mut Reply) -> Outcome {
        panic!("on purpose")
    }

    fn call_async<'a>(&'a self, _: &'a Invocation<'a>, _: &'a [u8], _: &'a mut Reply) -> crate::tool::CallFuture<'a> {
        crate::tool::CallFuture::new(async { panic!("on purpose") })
    }
}

#[test]
fn broken_tools_do_no_harm_to_others() {
    let registry = ToolRegistry::new();
    let mut batch = ToolBatch::new();
    let erased: Vec<Box<dyn Tool>> = vec![Box::new(Broken("broken")), Box::new(tool("good", 1))];
    for tool in erased {
        batch.add(tool);
    }
    registry.publish(batch).unwrap();
    assert_eq!(registry.specs().iter().map(ToolSpec::name).collect::<Vec<_>>(), ["good"]);
    assert!(registry.get("broken").unwrap().spec().is_err());
    assert_eq!(result(&registry, "broken"), Err(ErrorKind::Failed));
    let mut reply = Reply::new();
    let invocation = Invocation::default();
    let outcome = crate::sync::park::block_on(registry.call_async("broken", &invocation, b"", &mut reply));
    assert_eq!((outcome.error_kind(), reply.as_str()), (Some(ErrorKind::Failed), "Error (failed): the tool panicked"));
    assert_eq!(result(&registry, "good").as_deref(), Ok("1"));

    let mut batch = ToolBatch::new();
    batch.remove("good").add(Broken(""));
    assert_eq!(registry.publish(batch), Err(Error::Name { name: String::new() }));
    assert_eq!(result(&registry, "good").as_deref(), Ok("1"), "a refused batch changes nothing");
}

#[test]
fn readers_see_whole_batches_while_writers_publish() {
    let registry = ToolRegistry::new();
    let publish = |value: usize| {
        let mut batch = ToolBatch::new();
        batch.add(tool("x", value)).add(tool("y", value));
        registry.publish(batch).unwrap();
    };
    publish(0);
    let (done, lookups) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let tools = registry.tools();
                    let mut replies = [Reply::new(), Reply::new()];
                    for (tool, reply) in tools.iter().zip(&mut replies) {
                        assert!(tool.call(&Invocation::default(), b"{}", reply).is_success());
                    }
                    assert_eq!(replies[0].as_str(), replies[1].as_str(), "half a batch");
                    lookups.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let writers = [1, 2].map(|writer| scope.spawn(move || (0..500).for_each(|value| publish(value * 2 + writer))));
        for writer in writers {
            writer.join().unwrap();
        }
        while lookups.load(Ordering::Relaxed) == 0 {
            thread::yield_now();
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(registry.len(), 2);
}

/// A tool that panics in the function that it names.
struct Panics(&'static str);

impl Panics {
    fn at(&self, place: &str) {
        assert!(self.0 != place, "on purpose");
    }
}

impl Tool for Panics {
    fn name(&self) -> &str {
        self.at("name");
        "panics"
    }

    fn description(&self) -> &str {
        self.at("description");
        ""
    }

    fn request_schema(&self) -> Result<serde_json::Value, Error> {
        self.at("schema");
        Ok(serde_json::json!({"type": "object"}))
    }

    fn call(&self, _: &Invocation<'_>, _: &[u8], _: &mut Reply) -> Outcome {
        Outcome::Success
    }

    fn call_async<'a>(&'a self, _: &'a Invocation<'a>, _: &'a [u8], _: &'a mut Reply) -> crate::tool::CallFuture<'a> {
        self.at("future");
        crate::tool::CallFuture::new(async { Outcome::Success })
    }

    fn is_blocking(&self) -> bool {
        self.at("blocking");
        false
    }
}

#[test]
fn a_tool_that_panics_when_it_is_described_is_left_out_with_an_event() {
    for place in ["description", "schema"] {
        let events = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&events);
        let registry =
            ToolRegistry::new().with_observer(move |tool: &str, event: &crate::resilience::events::ResilienceEvent| {
                assert_eq!((tool, *event), ("panics", crate::resilience::events::ResilienceEvent::LeftOut));
                seen.fetch_add(1, Ordering::SeqCst);
            });
        registry.add(Panics(place)).unwrap();
        registry.add(tool("good", 1)).unwrap();
        for _ in 0..3 {
            assert_eq!(registry.specs().iter().map(ToolSpec::name).collect::<Vec<_>>(), ["good"]);
        }
        let panicked = Error::Panicked { name: "panics".into(), asked: "description or schema" };
        assert_eq!(registry.get("panics").unwrap().spec(), Err(&panicked));
        assert_eq!(events.load(Ordering::SeqCst), 1, "told once");
    }
    let registry = ToolRegistry::new();
    registry.add(tool("good", 1)).unwrap();
    for (place, name, asked) in [("name", "", "name"), ("blocking", "panics", "way of running (`is_blocking`)")] {
        let mut batch = ToolBatch::new();
        batch.remove("good").add(Panics(place));
        assert!(format!("{batch:?}").starts_with("[-good, +"));
        let panicked = Error::Panicked { name: name.into(), asked };
        assert_eq!(registry.publish(batch), Err(panicked));
        assert_eq!(result(&registry, "good").as_deref(), Ok("1"), "a refused batch changes nothing");
    }
    registry.add(Panics("future")).unwrap();
    let (invocation, mut reply) = (Invocation::default(), Reply::new());
    let outcome = crate::sync::park::block_on(registry.call_async("panics", &invocation, b"", &mut reply));
    assert_eq!(outcome.error_kind(), Some(ErrorKind::Failed));
}

/// What tokio's parts say when they are polled outside a runtime.
#[test]
fn a_tool_that_misses_its_runtime_says_what_to_do() {
    for text in [
        "there is no reactor running, must be called from the context of a Tokio 1.x runtime",
        "A Tokio 1.x context was found, but timers are disabled. Call `enable_time` on the runtime builder to enable timers.",
    ] {
        let registry = ToolRegistry::new();
        registry
            .add(crate::builder::function_tool::FunctionTool::new("sleeps", "", async move |(): ()| {
                if !text.is_empty() {
                    panic!("{text}");
                }
                Ok(())
            }))
            .unwrap();
        let (invocation, mut reply) = (Invocation::default(), Reply::new());
        let outcome = crate::sync::park::block_on(registry.call_async("sleeps", &invocation, b"{}", &mut reply));
        assert_eq!(reply.as_str(), "Error (failed): the tool panicked: it needs a running Tokio runtime");
        let Outcome::Error(error) = outcome else { panic!("{outcome:?}") };
        let told = error.to_string();
        assert!(told.contains(text) && told.contains("`enable_all`") && told.contains("`Runtime::enter`"), "{told}");
    }
}

#[test]
fn names_that_models_cannot_write_have_aliases() {
    let names =
        |registry: &ToolRegistry| registry.specs().iter().map(|spec| spec.name().to_owned()).collect::<Vec<_>>();
    let tools = [("files.read/v2", 1), ("a.b", 2), ("a/b", 3), ("plain", 4)];
    let mut orders = [tools, tools];
    orders[1].reverse();
    for order in orders {
        let registry = ToolRegistry::new();
        for (name, value) in order {
            registry.add(tool(name, value)).unwrap();
        }
        let told = names(&registry);
        assert_eq!(
            (told.len(), told[0].as_str(), &told[2..]),
            (4, "a_b", &["files_read_v2".into(), "plain".into()][..])
        );
        // The order in which they came does not matter: `.` sorts before `/`.
        for (alias, name, value) in
            [("files_read_v2", "files.read/v2", "1"), ("a_b", "a.b", "2"), (&told[1], "a/b", "3")]
        {
            assert_eq!(result(&registry, alias).as_deref(), Ok(value), "{alias}");
            assert_eq!(result(&registry, name).as_deref(), Ok(value), "{name}");
            assert_eq!(registry.get(alias).unwrap().name(), name);
            assert_eq!(registry.get(name).unwrap().alias(), alias);
        }

        // A name that models can write stays with its tool; the statistics of the other stay too.
        registry.add(tool("a_b", 5)).unwrap();
        let moved = registry.get("a.b").unwrap().alias().to_owned();
        assert!(moved.starts_with("a_b_"), "{moved}");
        assert_eq!(["a_b", "a.b", &moved].map(|name| result(&registry, name).unwrap()), ["5", "2", "2"]);
        assert_eq!(registry.get("a.b").unwrap().statistics().calls(), 4);
        assert!(names(&registry).is_sorted() && names(&registry).contains(&moved));

        let mut batch = ToolBatch::new();
        batch.remove("a_b").remove(moved);
        registry.publish(batch).unwrap();
        assert_eq!(names(&registry), ["a_b", "files_read_v2", "plain"]);
        assert_eq!(registry.get("a_b").unwrap().name(), "a/b");
        let outcome = registry.call("nothing", &Invocation::default(), b"", &mut Reply::new());
        assert!(outcome.error().unwrap().text().starts_with("there is no tool `nothing`"));
    }
}

#[test]
fn paused_calls_of_aliased_tools_are_resumed() {
    let registry = ToolRegistry::new().with_gate(|_, chain, tool, _| {
        assert_eq!(tool, "a.b", "the gate knows the tool by its own name");
        chain.pause("sure?")
    });
    registry.add(tool("a.b", 7)).unwrap();
    let (invocation, mut reply) = (Invocation::default(), Reply::new());
    let Outcome::Paused(paused) = registry.call("a_b", &invocation, b"{}", &mut reply) else { panic!() };
    assert!(registry.resume(&paused, Approval::Approved, &invocation, &mut reply).is_success());
    assert_eq!(reply.as_str(), "7");
}

#[test]
fn a_registry_is_made_of_tools() {
    let registry = ToolRegistry::try_from(vec![tool("a", 1), tool("b", 2)]).unwrap();
    assert_eq!(registry.len(), 2);
    assert!(ToolRegistry::try_from([tool("a", 1)]).is_ok_and(|registry| registry.len() == 1));
    assert!(ToolRegistry::try_from([Broken("")]).is_err());
    let erased: Vec<Box<dyn Tool>> = vec![Box::new(tool("a", 1)), Box::new(Broken("b"))];
    registry.publish(erased.into_iter().collect()).unwrap();
    assert_eq!(registry.len(), 2);
}

#[test]
fn tools_of_two_sources_do_not_replace_each_other() {
    let search = |text: &'static str| FunctionTool::new("search", "", move |_: ()| Ok(text));
    let registry = ToolRegistry::new();
    let (mut first, mut second) = (ToolBatch::new(), ToolBatch::new());
    first.add(search("1")).namespace("docs");
    second.namespace("web").add(search("2"));
    for batch in [first, second] {
        registry.publish(batch).unwrap();
    }
    registry.add(search("3")).unwrap();
    let called = |name: &str| {
        let mut reply = Reply::new();
        let outcome = registry.call(name, &Invocation::default(), b"{}", &mut reply);
        if outcome.is_success() { reply.as_str().to_owned() } else { "?".into() }
    };
    let names = ["docs.search", "docs_search", "web.search", "web_search", "search"];
    assert_eq!(names.map(called), ["1", "1", "2", "2", "3"]);
    let mut batch = ToolBatch::new();
    batch.namespace("docs").remove("search");
    registry.publish(batch).unwrap();
    assert_eq!(names.map(called), ["?", "?", "2", "2", "3"]);

    let mut twice = ToolBatch::new();
    twice.add(search("4")).add(search("5"));
    assert_eq!(registry.publish(twice), Err(Error::Duplicate { name: "search".into() }));
    let mut replaced = ToolBatch::new();
    replaced.add(search("4")).remove("search").add(search("5"));
    registry.publish(replaced).unwrap();
    assert_eq!(called("search"), "5");
}

#[test]
fn annotations_reach_the_specification_under_any_name() {
    use crate::tool::annotations::ToolAnnotations;

    let read_only = ToolAnnotations::new().read_only(true).idempotent(true);
    let built = ToolBuilder::named("a.b")
        .description("")
        .request_schema::<String>(SchemaType::Serde)
        .result_schema::<String>(SchemaType::Serde)
        .on_invocation(|_, _, text, ()| Ok(text))
        .with_annotations(read_only)
        .build()
        .unwrap();
    let function = FunctionTool::new("c", "", |_: ()| Ok(())).with_annotations(read_only);
    let registry = ToolRegistry::new();
    let mut batch = ToolBatch::new();
    batch.add(built).add(Box::new(function) as Box<dyn Tool>).add(FunctionTool::new("d", "", |_: ()| Ok(())));
    registry.publish(batch).unwrap();
    let stated: Vec<_> = registry.specs().iter().map(|spec| (spec.name().to_owned(), spec.annotations())).collect();
    let expected = [("a_b", read_only), ("c", read_only), ("d", ToolAnnotations::new())];
    assert_eq!(stated, expected.map(|(name, annotations)| (name.to_owned(), annotations)));
    let careful: ToolAnnotations = serde_json::from_str(r#"{"title": "A", "destructiveHint": false}"#).unwrap();
    assert!(!careful.is_destructive() && !careful.is_read_only() && careful.is_open_world());
}

#[test]
fn functions_return_contents_with_parts() {
    use crate::message::content::{Content, Image};

    let tool = FunctionTool::new("look", "", |_: ()| {
        let mut content = Content::from("before");
        content.push(Image::url("https://example.com/a.png"));
        content.push_text("after");
        Ok(content)
    });
    let mut reply = Reply::new();
    assert!(tool.call(&Invocation::default(), b"{}", &mut reply).is_success());
    assert_eq!(reply.content().to_string(), "before[image: https://example.com/a.png]after");
    assert_eq!((reply.as_str(), reply.content().parts().len()), ("beforeafter", 3));
    reply.set_text("next");
    assert_eq!((reply.content(), reply.structured()), (Content::from("next"), None));
}
