use std::{
    collections::HashMap,
    future::poll_fn,
    sync::{Arc, Mutex},
    task::Poll,
};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::*;
use crate::{conversation::extensions::Extensions, outcome::kinds::ErrorKind, sync::park::block_on};

#[derive(Deserialize, JsonSchema)]
struct Numbers {
    /// The first.
    a: i64,
    b: i64,
}

fn call_with(tool: &dyn Tool, invocation: &Invocation<'_>, arguments: &str) -> (String, Option<ErrorKind>) {
    let (mut reply, mut again) = (Reply::new(), Reply::new());
    let outcome = tool.call(invocation, arguments.as_bytes(), &mut reply);
    let other = block_on(tool.call_async(invocation, arguments.as_bytes(), &mut again));
    assert_eq!((reply.as_str(), outcome.error_kind()), (again.as_str(), other.error_kind()));
    (reply.as_str().into(), outcome.error_kind())
}

fn call(tool: &dyn Tool, arguments: &str) -> String {
    call_with(tool, &Invocation::default(), arguments).0
}

/// Ends at the second poll.
async fn later<T>(value: T) -> T {
    let mut polled = false;
    poll_fn(|context| {
        context.waker().wake_by_ref();
        if std::mem::replace(&mut polled, true) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    value
}

fn named(numbers: Numbers) -> Result<i64, ToolError> {
    Ok(numbers.a - numbers.b)
}

fn named_with(numbers: Numbers, call: &Invocation<'_>) -> Result<i64, ToolError> {
    Ok(numbers.a - numbers.b + i64::from(call.conversation().execution().turn()))
}

async fn named_async(numbers: Numbers) -> Result<i64, ToolError> {
    Ok(later(numbers.a).await - numbers.b)
}

async fn named_async_with(numbers: Numbers, call: &Invocation<'_>) -> Result<i64, ToolError> {
    Ok(later(numbers.a).await - numbers.b + i64::from(call.conversation().execution().turn()))
}

#[test]
fn every_form_of_a_function_is_a_tool() {
    let shared = Arc::new(Mutex::new(Vec::new()));
    let (first, second, third, fourth) = (shared.clone(), shared.clone(), shared.clone(), shared.clone());
    let tools = [
        FunctionTool::new("f", "", |n: Numbers| Ok(n.a - n.b)),
        FunctionTool::new("f", "", |n: Numbers, _: &Invocation<'_>| Ok(n.a - n.b)),
        FunctionTool::new("f", "", async |n: Numbers| Ok(later(n.a).await - n.b)),
        FunctionTool::new("f", "", async |n: Numbers, call: &Invocation<'_>| {
            Ok(later(n.a).await - n.b + i64::from(call.conversation().execution().attempt()))
        }),
        FunctionTool::new("f", "", move |n: Numbers| {
            first.lock().unwrap().push(n.b);
            Ok(n.a - n.b)
        }),
        FunctionTool::new("f", "", async move |n: Numbers| {
            let b = later(n.b).await;
            second.lock().unwrap().push(b);
            Ok(n.a - n.b)
        }),
        FunctionTool::new("f", "", async move |n: Numbers, call: &Invocation<'_>| {
            let b = later(n.b).await + i64::from(call.conversation().execution().attempt());
            third.lock().unwrap().push(b);
            Ok(n.a - n.b)
        }),
        FunctionTool::new("f", "", move |n: Numbers| {
            let shared = fourth.clone();
            async move {
                let b = later(n.b).await;
                shared.lock().unwrap().push(b);
                Ok(n.a - n.b)
            }
        }),
        FunctionTool::new("f", "", named),
        FunctionTool::new("f", "", named_with),
        FunctionTool::new("f", "", named_async),
        FunctionTool::new("f", "", named_async_with),
    ];
    for (place, tool) in tools.iter().enumerate() {
        assert_eq!(call(tool, r#"{"a": 7, "b": 5}"#), "2", "{place}");
        assert_eq!(tool.is_blocking(), [0, 1, 4, 8, 9].contains(&place), "{place}");
    }
    assert_eq!(*shared.lock().unwrap(), [5; 8], "called twice each");
    let schema = tools[0].request_schema().unwrap();
    assert_eq!(schema["required"], json!(["a", "b"]));
    assert_eq!(schema["properties"]["a"]["description"], "The first.");
    assert_eq!(tools[0].result_schema().unwrap(), None);
}

#[test]
fn every_error_converts() {
    #[derive(Debug, thiserror::Error)]
    #[error("secret")]
    struct Foreign;
    type Boxed = Box<dyn std::error::Error + Send + Sync>;

    fn fails<E>(error: E) -> Result<(), E> {
        Err(error)
    }
    let tools = [
        (FunctionTool::new("f", "", |_: ()| Ok(fails(Foreign)?)), "the tool failed"),
        (FunctionTool::new("f", "", |_: ()| Ok(fails(Boxed::from("secret"))?)), "the tool failed"),
        (FunctionTool::new("f", "", |_: ()| Ok(fails(anyhow::anyhow!("secret"))?)), "the tool failed"),
        (FunctionTool::new("f", "", |_: ()| Ok(fails("too large")?)), "too large"),
        (FunctionTool::new("f", "", |_: ()| Ok(fails(format!("{} is too large", 7))?)), "7 is too large"),
        (FunctionTool::new("f", "", |_: ()| None::<u8>.ok_or("none".into())), "none"),
        (FunctionTool::new("f", "", |_: ()| if true { Err("no".into()) } else { Ok(1) }), "no"),
        (FunctionTool::new("f", "", |_: ()| fails(Foreign).map_err(Into::into)), "the tool failed"),
        (
            FunctionTool::new("f", "", async |_: ()| Ok(later(fails(anyhow::anyhow!("secret"))).await?)),
            "the tool failed",
        ),
        (FunctionTool::new("f", "", async |_: (), _: &Invocation<'_>| Ok(later(fails("no")).await?)), "no"),
    ];
    for (place, (tool, text)) in tools.iter().enumerate() {
        let expected = (format!("Error (failed): {text}"), Some(ErrorKind::Failed));
        assert_eq!(call_with(tool, &Invocation::default(), ""), expected, "{place}");
    }
}

#[test]
fn values_of_the_run_are_reached_by_type() {
    struct User(&'static str);
    let who = FunctionTool::new("who", "", |_: (), call: &Invocation<'_>| Ok(call.get::<User>().ok_or("nobody")?.0));
    let later = FunctionTool::new("who", "", async |_: (), call: &Invocation<'_>| {
        Ok(later(call.get::<User>()).await.ok_or("nobody")?.0)
    });
    let values = Extensions::new().with(User("Ada"));
    let invocation = Invocation::new(Conversation::default().with_extensions(&values));
    for tool in [who, later] {
        assert_eq!(call_with(&tool, &invocation, "{}").0, "Ada");
        assert_eq!(call(&tool, "{}"), "Error (failed): nobody");
    }
}

#[test]
fn results_are_text_or_json() {
    let line = "line 1\nline \"2\"";
    assert_eq!(call(&FunctionTool::new("f", "", move |_: ()| Ok(line)), ""), line);
    assert_eq!(call(&FunctionTool::new("f", "", move |_: ()| Ok(line.to_owned())), ""), line);
    assert_eq!(call(&FunctionTool::new("f", "", move |_: ()| Ok(Cow::Borrowed(line))), ""), line);
    assert_eq!(
        call(&FunctionTool::new("f", "", move |_: ()| Ok(crate::json::text::Json(line))), ""),
        r#""line 1\nline \"2\"""#
    );
    assert_eq!(call(&FunctionTool::new("f", "", move |_: ()| Ok([line])), ""), r#"["line 1\nline \"2\""]"#);
    assert_eq!(call(&FunctionTool::new("f", "", |_: ()| Ok(json!({"a": 1.5}))), ""), r#"{"a":1.5}"#);
    assert_eq!(call(&FunctionTool::new("f", "", |_: ()| Ok(())), ""), "null");
}

#[test]
fn null_is_enough_where_nothing_is_required() {
    #[derive(Default, Deserialize, JsonSchema)]
    struct Nothing {}
    #[derive(Deserialize, JsonSchema)]
    struct Optional {
        a: Option<i64>,
        #[serde(default)]
        b: bool,
    }
    #[derive(Deserialize, JsonSchema)]
    struct Flat {
        #[serde(flatten)]
        rest: Optional,
    }
    let nothing = FunctionTool::new("f", "", |Nothing {}| Ok("nothing"));
    let optional = FunctionTool::new("f", "", |arguments: Optional| Ok((arguments.a, arguments.b)));
    let flat = FunctionTool::new("f", "", |arguments: Flat| Ok((arguments.rest.a, arguments.rest.b)));
    let map = FunctionTool::new("f", "", |map: HashMap<String, u8>| Ok(map.len()));
    for arguments in ["null", " null\n", "", " ", "{}"] {
        assert_eq!(call(&nothing, arguments), "nothing", "{arguments:?}");
        assert_eq!(call(&optional, arguments), "[null,false]", "{arguments:?}");
        assert_eq!(call(&flat, arguments), "[null,false]", "{arguments:?}");
        assert_eq!(call(&map, arguments), "0", "{arguments:?}");
    }
    let required = FunctionTool::new("f", "", |numbers: Numbers| Ok(numbers.a));
    assert_eq!(call(&required, "null"), "Error (invalid arguments): missing field `a` at byte 4");
    let inner = FunctionTool::new("f", "", |numbers: Vec<Nothing>| Ok(numbers.len()));
    assert!(call(&inner, "[null]").starts_with("Error (invalid arguments): invalid type: null"), "only in their place");
    for wrong in ["nul", "nulls", "null null", "null}"] {
        assert!(call(&nothing, wrong).starts_with("Error (invalid arguments)"), "{wrong}");
    }
}
