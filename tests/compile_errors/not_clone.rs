use mistral_tools::FunctionTool;

struct Counter(std::sync::atomic::AtomicI64);

#[derive(serde::Deserialize, mistral_tools::schemars::JsonSchema)]
#[schemars(crate = "mistral_tools::schemars")]
struct Numbers {
    a: i64,
    b: i64,
}

fn main() {
    let counter = Counter(0.into());
    let _ = FunctionTool::new("f", "", async move |numbers: Numbers| {
        counter.0.fetch_add(numbers.a + numbers.b, std::sync::atomic::Ordering::Relaxed);
        Ok(())
    });
}
