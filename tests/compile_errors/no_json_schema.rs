use mistral_tools::FunctionTool;

#[derive(serde::Deserialize)]
struct Numbers {
    a: i64,
}

fn main() {
    let _ = FunctionTool::new("f", "", |numbers: Numbers| Ok(numbers.a));
}
