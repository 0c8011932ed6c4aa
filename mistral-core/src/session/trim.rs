//! Trimming: what a prompt leaves out so that it fits, whole exchanges first and never a call without its result.

use std::collections::BTreeSet;

use mistral_tools::{Message, Role};

use super::ChatSession;
use crate::error::Error;
use crate::session::message_id::MessageId;

impl ChatSession {
    /// Leaves out the oldest messages until the prompt has at most `budget` tokens by `count`, which gets a whole prompt; returns how many
    /// it has then. A prompt that fits stays as it is; one that does not is cut down to three quarters of the budget, so that the next ones begin alike.
    ///
    /// Whole exchanges go first: what the user said and everything up to the next message of the user. Of the last one, calls and
    /// their results go together, oldest first; what the user said last and the last message of the model stay. Messages are left out
    /// of prompts, not of the session. Cost: a `count` for each halving of what could go.
    ///
    /// # Errors
    /// [`Error::PromptTooLong`] if what has to stay does not fit; the session is then as before. Those of `count`.
    pub fn fit(
        &mut self,
        budget: usize,
        mut count: impl FnMut(&[Message]) -> Result<usize, Error>,
    ) -> Result<usize, Error> {
        let (tokens, dropped) = self.cut(budget, &mut count)?;
        if let Some(dropped) = dropped {
            self.dropped = dropped;
        }
        Ok(tokens)
    }

    /// As [`fit`](Self::fit), with a summary in place of what is left out: `summarise` gets the summary so far and the messages that
    /// go now. It may ask a model.
    ///
    /// # Errors
    /// Also [`Error::PromptTooLong`] if the prompt is above the budget with the summary, for which a quarter of it was left.
    pub fn fit_with_summary(
        &mut self,
        budget: usize,
        mut count: impl FnMut(&[Message]) -> Result<usize, Error>,
        summarise: impl FnOnce(Option<&str>, &[Message]) -> Result<String, Error>,
    ) -> Result<usize, Error> {
        let (tokens, dropped) = self.cut(budget, &mut count)?;
        let Some(dropped) = dropped else { return Ok(tokens) };
        let new = |(id, message): (MessageId, &Message)| {
            (dropped.contains(&id) && !self.dropped.contains(&id)).then(|| message.clone())
        };
        let going: Vec<Message> = self.messages().filter_map(new).collect();
        let summary = summarise(self.summary.as_deref(), &going)?;
        let tokens = count(&self.assemble(&dropped, Some(&summary)))?;
        if tokens > budget {
            return Err(Error::PromptTooLong { tokens, limit: budget, tools: 0 });
        }
        (self.dropped, self.summary) = (dropped, Some(summary));
        Ok(tokens)
    }

    /// What has to be left out in all, nothing if the prompt fits as it is; and the tokens of the prompt without it.
    fn cut(
        &self,
        budget: usize,
        count: &mut impl FnMut(&[Message]) -> Result<usize, Error>,
    ) -> Result<(usize, Option<BTreeSet<MessageId>>), Error> {
        let whole = count(&self.prompt())?;
        if whole <= budget {
            return Ok((whole, None));
        }
        let parts = self.parts();
        let without = |parts: &[Vec<MessageId>]| -> BTreeSet<MessageId> {
            self.dropped.iter().copied().chain(parts.iter().flatten().copied()).collect()
        };
        let mut tokens = |parts: &[Vec<MessageId>]| count(&self.assemble(&without(parts), self.summary.as_deref()));
        let least = tokens(&parts)?;
        if least > budget {
            return Err(Error::PromptTooLong { tokens: least, limit: budget, tools: 0 });
        }
        // The fewest parts that bring it down to the goal, or to the budget if the goal is out of reach: 0 are too few, `most` do.
        let goal = (budget - budget / 4).max(least);
        let (mut few, mut most, mut left) = (0, parts.len(), least);
        while most - few > 1 {
            let middle = few + (most - few) / 2;
            let now = tokens(parts.get(..middle).unwrap_or_default())?;
            (few, most, left) = if now <= goal { (few, middle, now) } else { (middle, most, left) };
        }
        Ok((left, Some(without(parts.get(..most).unwrap_or_default()))))
    }

    /// What can go, in the order in which it goes; each part as a whole.
    fn parts(&self) -> Vec<Vec<MessageId>> {
        let kept: Vec<(MessageId, Role)> = self
            .messages()
            .filter(|(id, _)| !self.dropped.contains(id))
            .map(|(id, message)| (id, message.role))
            .collect();
        let last_user = kept.iter().rposition(|(_, role)| *role == Role::User).unwrap_or(0);
        let mut parts: Vec<Vec<MessageId>> = Vec::new();
        // The last exchange is taken apart at the messages of the model; the user's own message is no part of any.
        for (index, (id, role)) in kept.iter().enumerate() {
            let begins = if index < last_user { *role == Role::User } else { *role == Role::Assistant };
            match parts.last_mut() {
                _ if index == last_user && *role == Role::User => parts.push(Vec::new()),
                Some(part) if !begins => part.push(*id),
                _ => parts.push(vec![*id]),
            }
        }
        // What was said last stays.
        parts.pop();
        parts.retain(|part| !part.is_empty());
        parts
    }
}
