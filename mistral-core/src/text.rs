//! The text side of a checkpoint: prompt to token ids before a request enters the engine.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use mistral_models::{ChatTemplate, ChatTemplates, Checkpoint, EncodeOptions, TemplateInput, TextStream, Tokenizer};
use mistral_tools::dialect::{CallHistory, Dialect};
use mistral_tools::{ContentPart, Message, Resource, ResourceBody, ToolSpec};
use serde_json::{Map, Value};

use crate::constraint::tokens::TokenTable;
use crate::error::Error;
use crate::prompt::Prompt;

/// Tokenizer and chat templates, each if the checkpoint has them. Cheap to clone, usable from any thread.
#[derive(Debug, Clone, Default)]
pub(crate) struct TextModel {
    tokenizer: Option<Tokenizer>,
    templates: Option<Arc<Templates>>,
    /// Made for the first sequence with a constraint.
    token_table: Arc<OnceLock<Arc<TokenTable>>>,
}

/// What the checkpoint says about ends and text.
#[derive(Debug, Default)]
pub(crate) struct Vocabulary {
    pub(crate) end_tokens: Vec<u32>,
    pub(crate) text: Option<TextStream>,
    pub(crate) text_tokens: usize,
}

/// The chat templates of a checkpoint, compiled at their first use.
#[derive(Debug)]
struct Templates {
    sources: ChatTemplates,
    /// `bos_token` and its like.
    variables: Map<String, Value>,
    compiled: BTreeMap<String, Compiled>,
}

/// One of the templates.
#[derive(Debug, Default)]
struct Compiled {
    template: OnceLock<Result<ChatTemplate, Error>>,
    /// How the template takes calls without and with tools, found with the first call.
    histories: [OnceLock<CallHistory>; 2],
}

/// The variable of a request that names its template.
pub(crate) const TEMPLATE_NAME: &str = "chat_template";

impl Templates {
    /// Returns the template that a request names, or else the template that is meant for the request.
    fn get(&self, named: Option<&str>, has_tools: bool) -> Result<(&ChatTemplate, &OnceLock<CallHistory>), Error> {
        let name = named.or_else(|| self.sources.name(has_tools)).unwrap_or("default");
        let Some(compiled) = self.compiled.get(name) else {
            return Err(self.sources.template(name).map_or_else(Error::from, |_| Error::NoChatTemplate));
        };
        let template = compiled.template.get_or_init(|| Ok(self.sources.template(name)?));
        Ok((template.as_ref().map_err(Error::clone)?, &compiled.histories[usize::from(has_tools)]))
    }
}

impl TextModel {
    pub(crate) fn new(tokenizer: Option<Tokenizer>, templates: Option<ChatTemplates>) -> Self {
        let special = tokenizer.as_ref().map(|t| t.special_tokens_map().clone()).unwrap_or_default();
        let names = [
            ("bos_token", special.bos_token),
            ("eos_token", special.eos_token),
            ("pad_token", special.pad_token),
            ("unk_token", special.unk_token),
        ];
        let variables =
            names.into_iter().filter_map(|(name, text)| Some((name.to_owned(), Value::String(text?)))).collect();
        let compile = |sources: ChatTemplates| {
            let compiled = sources.names().map(|name| (name.to_owned(), Compiled::default())).collect();
            Templates { sources, variables, compiled }
        };
        Self { tokenizer, templates: templates.map(compile).map(Arc::new), token_table: Arc::default() }
    }

    /// Reads what a checkpoint says about text. Without a tokenizer, the model takes and returns token ids only.
    ///
    /// # Errors
    /// The tokenizer's, when there is one and it cannot be used, and those of reading files.
    pub(crate) fn from_checkpoint(checkpoint: &Checkpoint) -> Result<Self, Error> {
        Ok(Self::new(Tokenizer::open(checkpoint)?, ChatTemplates::from_checkpoint(checkpoint)?))
    }

    /// Returns the names of the chat templates.
    pub(crate) fn template_names(&self) -> impl Iterator<Item = &str> {
        self.templates.iter().flat_map(|templates| templates.sources.names())
    }

    /// The tokenizer, if there is one.
    pub(crate) fn tokenizer(&self) -> Option<&Tokenizer> {
        self.tokenizer.as_ref()
    }

    /// Renders and tokenizes a prompt.
    ///
    /// # Errors
    /// [`Error::EmptyPrompt`], [`Error::NoTokenizer`], [`Error::NoChatTemplate`], or the tokenizer's or template's own.
    pub(crate) fn tokens(&self, prompt: Prompt) -> Result<Vec<u32>, Error> {
        let (text, options) = match prompt {
            Prompt::Tokens(tokens) => return Ok(tokens),
            Prompt::Text(text) if text.is_empty() => return Err(Error::EmptyPrompt),
            Prompt::Text(text) => (text, EncodeOptions::TEXT),
            Prompt::Chat { messages, .. } if messages.is_empty() => return Err(Error::EmptyPrompt),
            Prompt::Chat { messages, tools, variables } => {
                (self.render(&messages, &tools, &variables)?, EncodeOptions::TEMPLATE)
            }
        };
        Ok(self.tokenizer.as_ref().ok_or(Error::NoTokenizer)?.encode(&text, options)?)
    }

    /// The tokens of a rendered conversation.
    ///
    /// # Errors
    /// [`Error::NoTokenizer`], or the tokenizer's own.
    pub(crate) fn rendered_tokens(&self, text: &str) -> Result<Vec<u32>, Error> {
        Ok(self.tokenizer.as_ref().ok_or(Error::NoTokenizer)?.encode(text, EncodeOptions::TEMPLATE)?)
    }

    /// The dialect that the chat template teaches.
    ///
    /// # Errors
    /// [`Error::NoChatTemplate`], or the template's own.
    pub(crate) fn dialect(&self, has_tools: bool) -> Result<Option<Dialect>, Error> {
        let templates = self.templates.as_ref().ok_or(Error::NoChatTemplate)?;
        Ok(Dialect::detect(templates.get(None, has_tools)?.0.source()))
    }

    /// The text of a conversation, up to where the model is to go on.
    pub(crate) fn render(
        &self,
        messages: &[Message],
        tools: &[ToolSpec],
        variables: &Map<String, Value>,
    ) -> Result<String, Error> {
        check_content(messages)?;
        let templates = self.templates.as_ref().ok_or(Error::NoChatTemplate)?;
        let has_tools = !tools.is_empty();
        let named = variables.get(TEMPLATE_NAME).and_then(Value::as_str);
        let (template, found) = templates.get(named, has_tools)?;
        let tools: Vec<Value> = tools.iter().map(ToolSpec::to_json).collect();
        let mut all = templates.variables.clone();
        all.extend(variables.iter().map(|(name, value)| (name.clone(), value.clone())));
        let render = |messages: &[Value]| {
            let input = TemplateInput::new(messages).variables(&all).add_generation_prompt(true);
            template.render(&if has_tools { input.tools(&tools) } else { input })
        };
        let dialect = Dialect::detect(template.source()).unwrap_or(Dialect::Json);
        let history = match found.get() {
            _ if messages.iter().all(|message| message.tool_calls.is_empty()) => CallHistory::default(),
            Some(history) => *history,
            None => match CallHistory::of(dialect, |messages| render(messages).ok()) {
                Some(history) => *found.get_or_init(|| history),
                // The error of the template says what is wrong.
                None => CallHistory::default(),
            },
        };
        Ok(render(&history.messages(dialect, messages))?)
    }

    /// Returns the vocabulary as constraints need it.
    ///
    /// # Errors
    /// [`Error::NoTokenizer`].
    pub(crate) fn token_table(&self) -> Result<Arc<TokenTable>, Error> {
        let tokenizer = self.tokenizer.as_ref().ok_or(Error::NoTokenizer)?;
        Ok(Arc::clone(self.token_table.get_or_init(|| Arc::new(TokenTable::new(tokenizer)))))
    }

    /// What a new sequence needs to know; `before` are the tokens of its prompt.
    pub(crate) fn vocabulary(&self, before: &[u32], special_text: bool, ignore_eos: bool) -> Vocabulary {
        let Some(tokenizer) = &self.tokenizer else { return Vocabulary::default() };
        Vocabulary {
            end_tokens: if ignore_eos { Vec::new() } else { tokenizer.eos().to_vec() },
            text: Some(tokenizer.stream_after(before, !special_text)),
            text_tokens: tokenizer.vocab_size(),
        }
    }
}

/// Checks that the messages have only parts that a model of text reads. The text of a resource is text.
///
/// # Errors
/// [`Error::UnsupportedContent`].
pub(crate) fn check_content(messages: &[Message]) -> Result<(), Error> {
    for (index, message) in messages.iter().enumerate() {
        for part in message.content.parts() {
            match part {
                ContentPart::Text(_) | ContentPart::Resource(Resource { body: ResourceBody::Text(_), .. }) => {}
                part => {
                    return Err(Error::UnsupportedContent {
                        message: index,
                        role: message.role,
                        part: part.to_string(),
                    });
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_shown_by_templates_that_know_of_none() {
        let source = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}<|tool_call_start|>";
        let text = TextModel::new(None, ChatTemplates::from_parts(None, Some(source), None).unwrap());
        let call = mistral_tools::ToolCall::new("add", serde_json::json!({"a": 1})).with_id("c1");
        let messages = [Message::user("Hi"), Message::assistant("").with_tool_calls([call]), Message::tool("c1", "2")];
        let shown = text.render(&messages, &[], &Map::new()).unwrap();
        let call = "<|tool_call_start|>[add(a=1)]<|tool_call_end|>";
        assert_eq!(shown, format!("user: Hi\nassistant: {call}\ntool: 2\n<|tool_call_start|>"));
    }

    #[test]
    fn parts_reach_the_template_and_an_image_is_refused() {
        use mistral_tools::{Content, Image};

        let source = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}";
        let text = TextModel::new(None, ChatTemplates::from_parts(None, Some(source), None).unwrap());
        let resource = ContentPart::from(Resource::text("file:///a.md", "# A"));
        let messages = [
            Message::system("Be brief."),
            Message::user(Content::from_iter(["Sum".into(), " up:\n".into(), resource])),
        ];
        let shown = text.render(&messages, &[], &Map::new()).unwrap();
        assert_eq!(shown, "system: Be brief.\nuser: Sum up:\n[resource: file:///a.md]\n# A\n");
        for (part, words) in [
            (ContentPart::from(Image::bytes("image/png", *b"abc")), "[image: image/png, 3 bytes]"),
            (Image::url("https://example.com/a.png").into(), "[image: https://example.com/a.png]"),
            (Resource::bytes("file:///b", *b"abc").into(), "[resource: file:///b, 3 bytes]"),
        ] {
            let messages = [messages[0].clone(), Message::user(Content::from_iter(["See".into(), part]))];
            let error = text.render(&messages, &[], &Map::new()).unwrap_err();
            assert!(matches!(&error, Error::UnsupportedContent { message: 1, role: crate::Role::User, .. }));
            let shown = error.to_string();
            assert!(
                shown.contains(words) && shown.contains("message 1") && shown.contains("no image encoder"),
                "{shown}"
            );
        }
    }

    #[test]
    fn templates_are_picked_by_tools_and_by_name() {
        let mut templates = ChatTemplates::default();
        templates.insert("default", "[plain]{{ messages[0].content }}");
        templates.insert("tool_use", "[tools:{{ tools|length }}]{{ messages[0].content }}");
        templates.insert("rag", "[rag]{{ messages[0].content }}");
        let text = TextModel::new(None, Some(templates));
        assert_eq!(text.template_names().collect::<Vec<_>>(), ["default", "rag", "tool_use"]);
        let messages = [Message::user("Hi")];
        let tool = ToolSpec::new("f", "", serde_json::json!({"type": "object"})).unwrap();
        assert_eq!(text.render(&messages, &[], &Map::new()).unwrap(), "[plain]Hi");
        assert_eq!(text.render(&messages, std::slice::from_ref(&tool), &Map::new()).unwrap(), "[tools:1]Hi");
        let named = |name: &str| Map::from_iter([(TEMPLATE_NAME.to_owned(), Value::String(name.into()))]);
        assert_eq!(text.render(&messages, &[tool], &named("rag")).unwrap(), "[rag]Hi");
        let error = text.render(&messages, &[], &named("none")).unwrap_err().to_string();
        assert!(error.contains("no chat template `none`; the checkpoint has `default`, `rag`, `tool_use`"), "{error}");
    }

    #[test]
    fn variables_of_the_request_reach_the_template() {
        let source =
            "{{ messages[0].content }} {{ 'fast' if enable_thinking is false else 'slow' }} {{ tools is none }}";
        let templates = ChatTemplates::from_parts(None, Some(source), None).unwrap();
        let text = TextModel::new(None, templates);
        let messages = [Message::user("Hi")];
        assert_eq!(text.render(&messages, &[], &Map::new()).unwrap(), "Hi slow True");
        let variables = Map::from_iter([("enable_thinking".to_owned(), Value::Bool(false))]);
        let tool = ToolSpec::new("f", "", serde_json::json!({"type": "object"})).unwrap();
        assert_eq!(text.render(&messages, &[tool], &variables).unwrap(), "Hi fast False");
    }
}
