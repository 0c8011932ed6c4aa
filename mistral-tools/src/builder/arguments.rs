//! Arguments of a call: types that are read from the model's bytes, and may borrow from them.

use std::{borrow::Cow, marker::PhantomData};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, de::DeserializeOwned};

/// The arguments of a tool: any owned type that serde reads, or [`Borrowed`] of a type with a lifetime.
///
/// For `struct City<'a> { name: &'a str }` the compiler says that an "implementation of `Deserialize` is not general enough": the type
/// reads from bytes of one lifetime only. Name it as `Borrowed<City<'static>>`, as [`BorrowedArguments`] shows, or make its fields owned.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the arguments of a tool",
    label = "add `#[derive(serde::Deserialize)]` to `{Self}`",
    note = "a type with a lifetime is named as `Borrowed<MyArguments<'static>>`, and implements `BorrowedArguments`"
)]
pub trait Arguments: 'static {
    /// The arguments of a call whose bytes live as long as `'a`.
    type At<'a>: Deserialize<'a> + Send;
}

#[diagnostic::do_not_recommend] // The text of the trait says what to derive.
impl<T: DeserializeOwned + Send + 'static> Arguments for T {
    type At<'a> = T;
}

/// Arguments of the short path. This trait exists for the compiler's error message.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the arguments of a tool",
    label = "add `#[derive(serde::Deserialize)]` to `{Self}`",
    note = "arguments are of an owned type; those that borrow need `ToolBuilder` and `Borrowed`"
)]
pub trait OwnedArguments: DeserializeOwned {}

#[diagnostic::do_not_recommend]
impl<T: DeserializeOwned> OwnedArguments for T {}

/// A type with a lifetime, described for every lifetime. Wrap the type in [`Borrowed`] to use it as the arguments of a tool.
///
/// Without [`Borrowed`], the compiler refuses the type as arguments: "implementation of `Deserialize` is not general enough".
///
/// ```
/// use mistral_tools::{builder::{BorrowedArguments, Borrowed}, SchemaType, Tool, ToolBuilder, Invocation, Reply};
///
/// #[derive(serde::Deserialize, schemars::JsonSchema)]
/// struct City<'a> {
///     name: &'a str, // borrowed, even if the model writes escapes
/// }
/// impl BorrowedArguments for City<'static> {
///     type At<'a> = City<'a>;
/// }
///
/// let tool = ToolBuilder::named("length")
///     .description("Counts the bytes of a name")
///     .request_schema::<Borrowed<City<'static>>>(SchemaType::Serde)
///     .result_schema::<usize>(SchemaType::Serde)
///     .on_invocation(|_, _, city, ()| Ok(city.name.len()))
///     .build()?;
/// let mut reply = Reply::new();
/// assert!(tool.call(&Invocation::default(), br#"{"name": "\"Z\u00fcrich\""}"#, &mut reply).is_success());
/// assert_eq!(reply.as_str(), "9");
/// # Ok::<(), mistral_tools::Error>(())
/// ```
pub trait BorrowedArguments: 'static {
    /// The same type with this lifetime.
    type At<'a>: Deserialize<'a> + Send;
}

/// Arguments that borrow from the model's bytes: `Borrowed<City<'static>>` stands for `City<'a>` at every `'a`.
pub struct Borrowed<T>(PhantomData<fn() -> T>);

impl<T: BorrowedArguments> Arguments for Borrowed<T> {
    type At<'a> = T::At<'a>;
}

impl<T: JsonSchema> JsonSchema for Borrowed<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}
