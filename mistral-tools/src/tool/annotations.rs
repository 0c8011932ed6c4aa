//! What a tool does to its surroundings, as its maker states it.

use serde::{Deserialize, Serialize};

/// What a tool does to its surroundings, as its maker states it: the annotations of MCP, in whose spelling they are written in JSON.
///
/// They are hints. A host may use them to decide which calls to approve without a question, if the host trusts the maker of the tool: the
/// annotations of a foreign server prove nothing. An annotation that is not stated has the value that MCP gives it, which is the careful
/// one.
///
/// ```
/// use mistral_tools::ToolAnnotations;
///
/// let unknown = ToolAnnotations::new();
/// assert!(!unknown.is_read_only() && unknown.is_destructive() && !unknown.is_idempotent() && unknown.is_open_world());
/// let search = ToolAnnotations::new().read_only(true);
/// assert!(search.is_read_only() && !search.is_destructive());
/// assert_eq!(serde_json::to_string(&search)?, r#"{"readOnlyHint":true}"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ToolAnnotations {
    #[serde(skip_serializing_if = "Option::is_none")]
    read_only_hint: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    destructive_hint: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    idempotent_hint: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    open_world_hint: Option<bool>,
}

impl ToolAnnotations {
    /// Makes annotations that state nothing.
    pub const fn new() -> Self {
        Self { read_only_hint: None, destructive_hint: None, idempotent_hint: None, open_world_hint: None }
    }

    /// States whether the tool changes nothing.
    #[must_use]
    pub const fn read_only(mut self, read_only: bool) -> Self {
        self.read_only_hint = Some(read_only);
        self
    }

    /// States whether the tool may delete or overwrite something.
    #[must_use]
    pub const fn destructive(mut self, destructive: bool) -> Self {
        self.destructive_hint = Some(destructive);
        self
    }

    /// States whether a second call with the same arguments changes nothing more.
    #[must_use]
    pub const fn idempotent(mut self, idempotent: bool) -> Self {
        self.idempotent_hint = Some(idempotent);
        self
    }

    /// States whether the tool reaches something that the host does not own, such as the web.
    #[must_use]
    pub const fn open_world(mut self, open_world: bool) -> Self {
        self.open_world_hint = Some(open_world);
        self
    }

    /// Returns whether the tool changes nothing. Default: no.
    pub const fn is_read_only(&self) -> bool {
        matches!(self.read_only_hint, Some(true))
    }

    /// Returns whether the tool may delete or overwrite something. Default: yes, unless the tool is [read-only](Self::is_read_only).
    pub const fn is_destructive(&self) -> bool {
        !self.is_read_only() && !matches!(self.destructive_hint, Some(false))
    }

    /// Returns whether a second call with the same arguments changes nothing more. Default: no, unless the tool is
    /// [read-only](Self::is_read_only).
    pub const fn is_idempotent(&self) -> bool {
        self.is_read_only() || matches!(self.idempotent_hint, Some(true))
    }

    /// Returns whether the tool reaches something that the host does not own. Default: yes.
    pub const fn is_open_world(&self) -> bool {
        !matches!(self.open_world_hint, Some(false))
    }
}
