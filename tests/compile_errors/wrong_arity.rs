use mistral_tools::FunctionTool;

#[derive(serde::Deserialize, mistral_tools::schemars::JsonSchema)]
#[schemars(crate = "mistral_tools::schemars")]
struct Numbers {
    a: i64,
    b: i64,
}

fn main() {
    let _ = FunctionTool::new("f", "", |_: (), _: (), numbers: Numbers| Ok(numbers.a + numbers.b));
}
