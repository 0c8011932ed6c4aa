use mistral_tools::FunctionTool;

struct Mine;

fn fails() -> Result<i64, Mine> {
    Err(Mine)
}

fn main() {
    let _ = FunctionTool::new("f", "", |_: ()| Ok(fails()?));
}
