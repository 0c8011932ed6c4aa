use std::rc::Rc;

use mistral_tools::FunctionTool;

#[derive(serde::Deserialize, mistral_tools::schemars::JsonSchema)]
#[schemars(crate = "mistral_tools::schemars")]
struct Numbers {
    a: i64,
    b: i64,
}

fn main() {
    let _ = FunctionTool::new("f", "", async |numbers: Numbers| {
        let sum = Rc::new(numbers.a + numbers.b);
        std::future::ready(()).await;
        Ok(*sum)
    });
}
