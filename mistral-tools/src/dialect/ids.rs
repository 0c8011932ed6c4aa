//! Ids of calls: what ties a result to its call in the history.

use super::Dialect;
use super::cursor::is_name;

impl Dialect {
    /// An id for a call that came without one: as the models of the dialect write ids, or else nine letters and digits, which every
    /// template takes. `number` counts the calls of the conversation from 0; different numbers give different ids.
    ///
    /// ```
    /// use mistral_tools::dialect::Dialect;
    /// assert_eq!(Dialect::KimiK2.call_id("clock", 2), "functions.clock:2");
    /// assert_eq!(Dialect::CommandR.call_id("clock", 2), "2");
    /// assert_eq!(Dialect::Hermes.call_id("clock", 2), "c00000002");
    /// ```
    pub fn call_id(self, name: &str, number: usize) -> String {
        match self {
            Self::KimiK2 => format!("functions.{name}:{number}"),
            Self::CommandR => number.to_string(),
            _ => format!("c{number:08}"),
        }
    }

    /// Whether the templates of the dialect take an id that a model wrote. What they do not take breaks the rendering of the history
    /// or the model's own format.
    ///
    /// ```
    /// use mistral_tools::dialect::Dialect;
    /// assert!(Dialect::Mistral.takes_id("9Ae3bDc2F") && !Dialect::Mistral.takes_id("call_1"));
    /// assert!(Dialect::KimiK2.takes_id("functions.clock:0") && !Dialect::KimiK2.takes_id("9Ae3bDc2F"));
    /// assert!(Dialect::Hermes.takes_id("call_1") && !Dialect::Hermes.takes_id("\"}"));
    /// ```
    pub fn takes_id(self, id: &str) -> bool {
        let plain = !id.is_empty() && id.len() <= 128 && id.bytes().all(is_name);
        match self {
            Self::Mistral | Self::MistralList => id.len() == 9 && id.bytes().all(|c| c.is_ascii_alphanumeric()),
            Self::KimiK2 => plain && numbered(id).is_some_and(|(name, _)| name.starts_with("functions.")),
            _ => plain,
        }
    }
}

/// A name with `:` and a number after it, taken apart.
pub(super) fn numbered(name: &str) -> Option<(&str, &str)> {
    name.rsplit_once(':')
        .filter(|(name, number)| !name.is_empty() && !number.is_empty() && number.bytes().all(|c| c.is_ascii_digit()))
}
