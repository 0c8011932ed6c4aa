//! A call that waits for somebody's approval: plain data, to be stored, shown and resumed later or elsewhere.

use serde::{Deserialize, Serialize};

use crate::conversation::Execution;

/// The only version there is.
const VERSION: u32 = 1;

/// A call that a hook has paused. As JSON it can be stored, and resumed by another process whose registry has the same tool.
///
/// The arguments are the exact text that was shown for approval, and only they are approved. The JSON is not signed: keep it
/// where the model cannot write.
///
/// ```
/// use mistral_tools::PausedCall;
/// let paused = PausedCall::new("delete", r#"{"path":"a.txt"}"#, "Delete a.txt?").with_call_id("c1");
/// let json = serde_json::to_string(&paused)?;
/// assert_eq!(serde_json::from_str::<PausedCall>(&json)?, paused);
/// // A version that this program does not know is an error, not a guess.
/// assert!(serde_json::from_str::<PausedCall>(&json.replace(r#""version":1"#, r#""version":2"#)).is_err());
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Stored")]
pub struct PausedCall {
    version: u32,
    tool: String,
    call_id: Option<String>,
    turn: u32,
    arguments: String,
    question: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u32,
    tool: String,
    call_id: Option<String>,
    turn: u32,
    arguments: String,
    question: String,
}

impl TryFrom<Stored> for PausedCall {
    type Error = String;

    fn try_from(stored: Stored) -> Result<Self, String> {
        let Stored { version, tool, call_id, turn, arguments, question } = stored;
        if version != VERSION {
            return Err(format!("a paused call of version {version}, and only version {VERSION} is known"));
        }
        Ok(Self { version, tool, call_id, turn, arguments, question })
    }
}

impl PausedCall {
    /// A call that waits for an answer to `question`.
    pub fn new(tool: impl Into<String>, arguments: impl Into<String>, question: impl Into<String>) -> Self {
        let (tool, arguments, question) = (tool.into(), arguments.into(), question.into());
        Self { version: VERSION, tool, call_id: None, turn: 0, arguments, question }
    }

    /// The same for the call of this id.
    #[must_use]
    pub fn with_call_id(mut self, id: impl Into<String>) -> Self {
        self.call_id = Some(id.into());
        self
    }

    /// The same in another turn.
    #[must_use]
    pub fn with_turn(mut self, turn: u32) -> Self {
        self.turn = turn;
        self
    }

    /// Makes the paused call of an execution.
    pub(crate) fn during(tool: &str, execution: Execution<'_>, arguments: &str, question: &str) -> Self {
        Self {
            version: VERSION,
            tool: tool.into(),
            call_id: execution.call_id().map(Into::into),
            turn: execution.turn(),
            arguments: arguments.into(),
            question: question.into(),
        }
    }

    /// Returns the same call of the tool with this name.
    pub(crate) fn of_tool(mut self, tool: &str) -> Self {
        if self.tool != tool {
            self.tool = tool.into();
        }
        self
    }

    /// Returns the name of the tool.
    pub fn tool(&self) -> &str {
        &self.tool
    }

    /// The id of the call, if it has one.
    pub fn call_id(&self) -> Option<&str> {
        self.call_id.as_deref()
    }

    /// The turn in which the model made the call.
    pub fn turn(&self) -> u32 {
        self.turn
    }

    /// The exact text of the arguments.
    pub fn arguments(&self) -> &str {
        &self.arguments
    }

    /// What is asked.
    pub fn question(&self) -> &str {
        &self.question
    }
}
