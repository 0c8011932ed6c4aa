//! Where a checkpoint keeps its chat templates, and which of several is meant.
//!
//! Sources, as in Hugging Face transformers 5: `chat_template.jinja` and `additional_chat_templates/NAME.jinja`; where there is neither,
//! `chat_template` in tokenizer_config.json as a string or as a list of names and templates. In GGUF: `tokenizer.chat_template`, with
//! further ones as `tokenizer.chat_template.NAME`.

use std::collections::BTreeMap;

use super::{ChatTemplate, TemplateLimits};
use crate::{Checkpoint, Error, Metadata};

const GGUF_KEY: &str = "tokenizer.chat_template";
const FOLDER: &str = "additional_chat_templates";

/// The chat templates of a checkpoint by name, compiled when they are asked for.
///
/// ```
/// use mistral_models::ChatTemplates;
///
/// let config = br#"{"chat_template": [{"name": "default", "template": "a"}, {"name": "rag", "template": "b"}]}"#;
/// let templates = ChatTemplates::from_parts(Some(config), None, None)?.ok_or("there are templates")?;
/// assert_eq!(templates.names().collect::<Vec<_>>(), ["default", "rag"]);
/// assert_eq!(templates.template("rag")?.source(), "b");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChatTemplates {
    sources: BTreeMap<String, String>,
}

impl ChatTemplates {
    /// Reads all templates of a checkpoint. Returns `Ok(None)` when there is none.
    ///
    /// # Errors
    /// As [`from_parts`](Self::from_parts), and those of reading files.
    pub fn from_checkpoint(checkpoint: &Checkpoint) -> Result<Option<Self>, Error> {
        let mut files = Self::default();
        let mut read = |name: &str, file: &str| {
            if let Some(bytes) = checkpoint.file(file)? {
                files.insert(name, &String::from_utf8_lossy(&bytes));
            }
            Ok::<_, Error>(())
        };
        read("default", "chat_template.jinja")?;
        for file in checkpoint.names_in(FOLDER)? {
            if let Some(name) = file.strip_suffix(".jinja") {
                read(name, &format!("{FOLDER}/{file}"))?;
            }
        }
        if !files.sources.is_empty() {
            return Ok(Some(files));
        }
        Self::from_parts(checkpoint.file("tokenizer_config.json")?.as_deref(), None, checkpoint.metadata())
    }

    /// Finds the templates in parts of a checkpoint: the bytes of tokenizer_config.json, the text of chat_template.jinja, the metadata
    /// of a GGUF. Returns `Ok(None)` when none of them has a template.
    ///
    /// # Errors
    /// [`Error::Malformed`] or [`Error::Config`] when one is damaged.
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

    /// Adds a template, or replaces the one of this name.
    pub fn insert(&mut self, name: &str, source: &str) {
        self.sources.insert(name.to_owned(), source.to_owned());
    }

    /// Returns the names of the templates, in order; the one without a name is `default`.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.sources.keys().map(String::as_str)
    }

    /// Returns the source of a template.
    pub fn source(&self, name: &str) -> Option<&str> {
        self.sources.get(name).map(String::as_str)
    }

    /// Returns the name of the template for a request: `tool_use` when there are tools and such a template, else `default`, else the
    /// only one. `None` when there are several and none is meant for this.
    pub fn name(&self, has_tools: bool) -> Option<&str> {
        let known = |name| self.sources.get_key_value(name).map(|(name, _)| name.as_str());
        let only = || self.names().next().filter(|_| self.sources.len() == 1);
        has_tools.then(|| known("tool_use")).flatten().or_else(|| known("default")).or_else(only)
    }

    /// Compiles the template of this name, whatever a request would take.
    ///
    /// # Errors
    /// [`Error::UnknownTemplate`], otherwise as [`ChatTemplate::new`].
    pub fn template(&self, name: &str) -> Result<ChatTemplate, Error> {
        self.template_with_limits(name, TemplateLimits::default())
    }

    /// Compiles the template of this name to run within other limits; see [`template`](Self::template).
    ///
    /// # Errors
    /// As there.
    pub fn template_with_limits(&self, name: &str, limits: TemplateLimits) -> Result<ChatTemplate, Error> {
        let unknown =
            || Error::UnknownTemplate { name: name.to_owned(), known: self.names().map(str::to_owned).collect() };
        ChatTemplate::with_limits(self.source(name).ok_or_else(unknown)?, limits)
    }

    /// Compiles the template for a request, the one that [`name`](Self::name) returns.
    ///
    /// # Errors
    /// [`Error::UnknownTemplate`] when there are several and none is meant for this, otherwise as [`ChatTemplate::new`].
    pub fn select(&self, has_tools: bool) -> Result<ChatTemplate, Error> {
        self.select_with_limits(has_tools, TemplateLimits::default())
    }

    /// Compiles the template for a request to run within other limits; see [`select`](Self::select).
    ///
    /// # Errors
    /// As there.
    pub fn select_with_limits(&self, has_tools: bool, limits: TemplateLimits) -> Result<ChatTemplate, Error> {
        self.template_with_limits(self.name(has_tools).unwrap_or("default"), limits)
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
