use mistral_tools::FunctionTool;

#[derive(serde::Deserialize, mistral_tools::schemars::JsonSchema)]
#[schemars(crate = "mistral_tools::schemars")]
struct Numbers {
    a: i64,
    b: i64,
}

fn main() {
    let mut count = 0;
    let _ = FunctionTool::new("f", "", async move |numbers: Numbers| {
        count += numbers.a + numbers.b;
        Ok(count)
    });
}
