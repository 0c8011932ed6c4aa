//! Which dialect a model writes, from its chat template: templates spell out what models are to write.

use super::Dialect;

/// The order in which dialects are looked for. Marks that other dialects contain come later.
const ORDER: &[Dialect] = &[
    Dialect::Harmony,
    Dialect::Gemma4,
    Dialect::FunctionGemma,
    Dialect::KimiK3,
    Dialect::KimiK2,
    Dialect::DeepSeekV32,
    Dialect::DeepSeekV4,
    Dialect::DeepSeekV3,
    Dialect::DeepSeekV31,
    Dialect::MiniMaxM3,
    Dialect::Muse,
    Dialect::Functionary,
    Dialect::MiniMaxM2,
    Dialect::Seed,
    Dialect::Hunyuan,
    Dialect::Glm,
    Dialect::QwenCoder,
    Dialect::Solar,
    Dialect::Apertus,
    Dialect::GigaChat,
    Dialect::Lfm2,
    Dialect::Olmo3,
    Dialect::CommandR,
    Dialect::CommandRPlus,
    Dialect::Mistral,
    Dialect::MistralList,
    Dialect::Apriel,
    Dialect::MiniMaxM1,
    Dialect::Phi4,
    Dialect::Granite,
    Dialect::Hermes,
    Dialect::Llama4,
    Dialect::Llama3,
];

impl Dialect {
    /// The dialect that a chat template teaches, or nothing if it knows of no calls; [`Dialect::Json`] is then as good as any.
    ///
    /// ```
    /// use mistral_tools::dialect::Dialect;
    /// assert_eq!(Dialect::detect("{{ '[TOOL_CALLS]' + name + '[ARGS]' }}"), Some(Dialect::Mistral));
    /// assert_eq!(Dialect::detect("{{ content }}"), None);
    /// ```
    pub fn detect(template: &str) -> Option<Self> {
        let teaches = |marks: &&[&str]| marks.iter().all(|mark| template.contains(mark));
        ORDER.iter().copied().find(|dialect| dialect.spec().detect.iter().any(&teaches))
    }
}
