use mistral_tools::FunctionTool;

#[derive(mistral_tools::schemars::JsonSchema)]
#[schemars(crate = "mistral_tools::schemars")]
struct Numbers {
    a: i64,
}

fn main() {
    let _ = FunctionTool::new("f", "", |numbers: Numbers| Ok(numbers.a));
}
