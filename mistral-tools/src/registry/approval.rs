//! The answer to a call that waits for approval, and how the call ends by it.

use crate::{
    conversation::Execution,
    outcome::{Outcome, kinds::ErrorKind, paused_call::PausedCall, reply::Reply, text::Text, tool_error::ToolError},
    tool::{Invocation, Tool},
};

/// The answer to a [`PausedCall`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Approval {
    /// Call it.
    Approved,
    /// Do not; the reason is for the model.
    Denied(Text),
}

impl PausedCall {
    /// Returns the outcome of a call that a hook paused. Arguments that are not valid UTF-8 cannot be stored, so such a call is refused.
    pub(crate) fn outcome(tool: &str, execution: Execution<'_>, arguments: &[u8], question: Text) -> Outcome {
        let Ok(arguments) = std::str::from_utf8(arguments) else {
            return ToolError::new(ErrorKind::InvalidArguments, "not UTF-8").into();
        };
        Outcome::Paused(Box::new(Self::during(tool, execution, arguments, question.as_str())))
    }

    /// Ends the call as it was answered: calls the tool, or tells the model why not. [`ToolRegistry::resume`](crate::ToolRegistry::resume)
    /// finds the tool by its name. The conversation of `invocation` may have gone
    /// on since; the call keeps its own id and turn.
    pub fn resume(
        &self,
        tool: &(impl Tool + ?Sized),
        approval: Approval,
        invocation: &Invocation<'_>,
        reply: &mut Reply,
    ) -> Outcome {
        match self.answered(approval, reply) {
            None => tool.call(&self.approved(invocation), self.arguments().as_bytes(), reply),
            Some(outcome) => outcome,
        }
    }

    /// Like [`resume`](Self::resume), asynchronously.
    pub async fn resume_async(
        &self,
        tool: &(impl Tool + ?Sized),
        approval: Approval,
        invocation: &Invocation<'_>,
        reply: &mut Reply,
    ) -> Outcome {
        match self.answered(approval, reply) {
            None => tool.call_async(&self.approved(invocation), self.arguments().as_bytes(), reply).await,
            Some(outcome) => outcome,
        }
    }

    /// Returns the outcome, or `None` if the tool is to be called.
    pub(crate) fn answered(&self, approval: Approval, reply: &mut Reply) -> Option<Outcome> {
        let Approval::Denied(reason) = approval else { return None };
        let outcome = Outcome::Denied(reason);
        reply.set_outcome(&outcome);
        Some(outcome)
    }

    pub(crate) fn approved<'a>(&'a self, invocation: &Invocation<'a>) -> Invocation<'a> {
        invocation.approved(self.turn(), self.call_id())
    }
}
