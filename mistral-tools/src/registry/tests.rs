use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

use super::*;
use crate::{ErrorKind, SchemaType, ToolBuilder, ToolError};

fn tool(name: impl Into<Cow<'static, str>>, result: usize) -> impl Tool {
    ToolBuilder::named(name)
        .description("")
        .with(result)
        .request_schema::<()>(SchemaType::Serde)
        .result_schema::<usize>(SchemaType::Serde)
        .on_invocation(|_, _, (), result| Ok::<_, ToolError>(*result))
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
    batch.add(tool("a", 1)).add(tool("b", 2)).add(tool("b", 3)).remove("a").remove("none");
    assert_eq!(format!("{batch:?}"), "[+a, +b, +b, -a, -none]");
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

    fn call_async<'a>(&'a self, _: &'a Invocation<'a>, _: &'a [u8], _: &'a mut Reply) -> crate::CallFuture<'a> {
        crate::CallFuture::new(async { panic!("on purpose") })
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
    assert_eq!(result(&registry, "broken"), Err(ErrorKind::Handler));
    let mut reply = Reply::new();
    let invocation = Invocation::default();
    let outcome = crate::block_on(registry.call_async("broken", &invocation, b"", &mut reply));
    assert_eq!((outcome.error_kind(), reply.as_str()), (Some(ErrorKind::Handler), "Error (failed): the tool panicked"));
    assert_eq!(result(&registry, "good").as_deref(), Ok("1"));

    let mut batch = ToolBatch::new();
    batch.remove("good").add(Broken("no name"));
    assert_eq!(registry.publish(batch), Err(Error::Name { name: "no name".into() }));
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
