//! Where a checkpoint keeps its chat templates, and which of several is meant.
//!
//! Sources: `chat_template.jinja` (it wins, as in Hugging Face transformers), `chat_template` in tokenizer_config.json as a string or as
//! a list of names and templates, and in GGUF `tokenizer.chat_template` with further ones as `tokenizer.chat_template.NAME`.

use std::collections::BTreeMap;

use super::{ChatTemplate, TemplateLimits};
use crate::{Error, Metadata};

const GGUF_KEY: &str = "tokenizer.chat_template";

/// The chat templates of a checkpoint by name, compiled when they are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChatTemplates {
    sources: BTreeMap<String, String>,
}

impl ChatTemplates {
    /// Finds the templates in what a checkpoint has: the bytes of tokenizer_config.json, the text of chat_template.jinja, the metadata
    /// of a GGUF. `Ok(None)` when none of them has a template; [`Error::Malformed`] or [`Error::Config`] when one is damaged.
    pub fn from_parts(
        tokenizer_config: Option<&[u8]>,
        jinja: Option<&str>,
        metadata: Option<&Metadata>,
    ) -> Result<Option<Self>, Error> {
        let mut found = Self::default();
        if let Some(metadata) = metadata {
            found.read_metadata(metadata)?;
        }
        // A template file makes transformers ignore those in tokenizer_config.json altogether.
        if let Some(jinja) = jinja {
            found.insert("default", jinja);
        } else if let Some(config) = tokenizer_config {
            found.read_config(config)?;
        }
        Ok((!found.sources.is_empty()).then_some(found))
    }

    /// Adds a template, as those in `additional_chat_templates/NAME.jinja`, or replaces the one of this name.
    pub fn insert(&mut self, name: &str, source: &str) {
        self.sources.insert(name.to_owned(), source.to_owned());
    }

    /// The names of the templates; the one without a name is `default`.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.sources.keys().map(String::as_str)
    }

    /// The source of a template.
    pub fn source(&self, name: &str) -> Option<&str> {
        self.sources.get(name).map(String::as_str)
    }

    /// Compiles the template for a request: `tool_use` when there are tools and such a template, else `default`, else the only one.
    /// [`Error::Missing`] when there are several and none is meant for this.
    pub fn select(&self, has_tools: bool) -> Result<ChatTemplate, Error> {
        self.select_with_limits(has_tools, TemplateLimits::default())
    }

    /// [`select`](Self::select) with other limits.
    pub fn select_with_limits(&self, has_tools: bool, limits: TemplateLimits) -> Result<ChatTemplate, Error> {
        let only = || self.sources.values().next().filter(|_| self.sources.len() == 1);
        let source = has_tools
            .then(|| self.sources.get("tool_use"))
            .flatten()
            .or_else(|| self.sources.get("default"))
            .or_else(only)
            .ok_or_else(|| Error::Missing { kind: "chat template", name: "default".to_owned() })?;
        ChatTemplate::with_limits(source, limits)
    }

    fn read_metadata(&mut self, metadata: &Metadata) -> Result<(), Error> {
        if let Some(source) = metadata.str(GGUF_KEY)? {
            self.insert("default", source);
        }
        for (key, _) in metadata.iter() {
            if let Some(name) = key.strip_prefix(GGUF_KEY).and_then(|rest| rest.strip_prefix('.'))
                && let Some(source) = metadata.str(key)?
            {
                self.insert(name, source);
            }
        }
        Ok(())
    }

    fn read_config(&mut self, config: &[u8]) -> Result<(), Error> {
        const FILE: &str = "tokenizer_config.json";
        const KEY: &str = "chat_template";
        let config: serde_json::Value =
            serde_json::from_slice(config).map_err(|error| Error::malformed(FILE, error.to_string()))?;
        match config.get(KEY) {
            None | Some(serde_json::Value::Null) => Ok(()),
            Some(serde_json::Value::String(source)) => {
                self.insert("default", source);
                Ok(())
            }
            Some(serde_json::Value::Array(all)) => {
                for entry in all {
                    let text = |key| entry.get(key).and_then(serde_json::Value::as_str);
                    let (Some(name), Some(source)) = (text("name"), text("template")) else {
                        return Err(Error::config(KEY, "an entry without `name` and `template` strings"));
                    };
                    self.insert(name, source);
                }
                Ok(())
            }
            Some(_) => Err(Error::config(KEY, "is neither a string nor a list")),
        }
    }
}
