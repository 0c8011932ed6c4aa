use mistral_tools::FunctionTool;

#[derive(serde::Deserialize, mistral_tools::schemars::JsonSchema)]
#[schemars(crate = "mistral_tools::schemars")]
struct City<'a> {
    name: &'a str,
}

fn main() {
    let _ = FunctionTool::new("f", "", |city: City<'_>| Ok(city.name.len()));
}
