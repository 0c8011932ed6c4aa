//! Where a checkpoint stores its chat templates, and which of several templates a request uses.
//!
//! Sources, as in Hugging Face transformers 5: `chat_template.jinja` and `additional_chat_templates/NAME.jinja`. If neither exists,
//! `chat_template` in tokenizer_config.json, as a string or as a list of names and templates. In GGUF: `tokenizer.chat_template`, and
//! further templates as `tokenizer.chat_template.NAME`.

use std::collections::BTreeMap;

use super::{ChatTemplate, TemplateLimits};
use crate::error::Error;
use crate::loader::checkpoint::Checkpoint;
use crate::metadata::Metadata;

const GGUF_KEY: &str = "tokenizer.chat_template";
const FOLDER: &str = "additional_chat_templates";

/// The chat templates of a checkpoint by name, compiled at their first use.
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
    /// Reads all templates of a checkpoint. Returns `Ok(None)` if there are none.
    ///
    /// # Errors
    /// The errors of [`from_parts`](Self::from_parts), and errors of reading files.
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

    /// Finds the templates in parts of a checkpoint: the bytes of tokenizer_config.json, the text of chat_template.jinja, the metadata of a
    /// GGUF file. Returns `Ok(None)` if no part has a template.
    ///
    /// # Errors
    /// [`Error::Malformed`] or [`Error::Config`] if a part is damaged.
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

    /// Adds a template, or replaces the template of this name.
    pub fn insert(&mut self, name: &str, source: &str) {
        self.sources.insert(name.to_owned(), source.to_owned());
    }

    /// Returns the names of the templates, in order; the template without a name is `default`.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.sources.keys().map(String::as_str)
    }

    /// Returns the source of a template.
    pub fn source(&self, name: &str) -> Option<&str> {
        self.sources.get(name).map(String::as_str)
    }

    /// Returns the name of the template for a request: `tool_use` if there are tools and such a template, else `default`, else the only
    /// template. Returns `None` if there are several templates and none of these names exists.
    pub fn name(&self, has_tools: bool) -> Option<&str> {
        let known = |name| self.sources.get_key_value(name).map(|(name, _)| name.as_str());
        let only = || self.names().next().filter(|_| self.sources.len() == 1);
        has_tools.then(|| known("tool_use")).flatten().or_else(|| known("default")).or_else(only)
    }

    /// Compiles the template of this name, regardless of which template a request would use.
    ///
    /// # Errors
    /// [`Error::UnknownTemplate`], otherwise as [`ChatTemplate::new`].
    pub fn template(&self, name: &str) -> Result<ChatTemplate, Error> {
        self.template_with_limits(name, TemplateLimits::default())
    }

    /// Compiles the template of this name with other limits; see [`template`](Self::template).
    ///
    /// # Errors
    /// The errors of [`template`](Self::template).
    pub fn template_with_limits(&self, name: &str, limits: TemplateLimits) -> Result<ChatTemplate, Error> {
        let unknown =
            || Error::UnknownTemplate { name: name.to_owned(), known: self.names().map(str::to_owned).collect() };
        ChatTemplate::with_limits(self.source(name).ok_or_else(unknown)?, limits)
    }

    /// Compiles the template for a request: the template that [`name`](Self::name) returns.
    ///
    /// # Errors
    /// [`Error::UnknownTemplate`] if [`name`](Self::name) returns `None`, otherwise as [`ChatTemplate::new`].
    pub fn select(&self, has_tools: bool) -> Result<ChatTemplate, Error> {
        self.select_with_limits(has_tools, TemplateLimits::default())
    }

    /// Compiles the template for a request with other limits; see [`select`](Self::select).
    ///
    /// # Errors
    /// The errors of [`select`](Self::select).
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
