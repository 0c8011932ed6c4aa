//! The messages with which a run begins, in the forms that programs use.

use mistral_tools::{Content, Message};

use crate::session::ChatSession;

/// The input of an [`Agent`](crate::Agent): a text of the user, a message, or a whole conversation.
///
/// | value | messages |
/// |---|---|
/// | `&str`, `String`, [`Content`] | one message of the user |
/// | [`Message`] | that message |
/// | a list of messages | the conversation, oldest first |
/// | `&`[`ChatSession`] | its [`prompt`](ChatSession::prompt) |
///
/// ```
/// use mistral_core::{Message, agent::IntoMessages};
/// assert_eq!("Hello!".into_messages(), [Message::user("Hello!")]);
/// assert_eq!([Message::system("Be brief."), Message::user("Hello!")].into_messages().len(), 2);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a text, a `Message` or a list of messages",
    note = "pass a `&str` or `String` for what the user says, a `Message`, a `Vec<Message>` or `&[Message]`, or `&ChatSession`"
)]
pub trait IntoMessages {
    /// Returns the messages, oldest first.
    fn into_messages(self) -> Vec<Message>;
}

impl IntoMessages for &str {
    fn into_messages(self) -> Vec<Message> {
        vec![Message::user(self)]
    }
}

impl IntoMessages for String {
    fn into_messages(self) -> Vec<Message> {
        vec![Message::user(self)]
    }
}

impl IntoMessages for &String {
    fn into_messages(self) -> Vec<Message> {
        self.as_str().into_messages()
    }
}

impl IntoMessages for Content {
    fn into_messages(self) -> Vec<Message> {
        vec![Message::user(self)]
    }
}

impl IntoMessages for Message {
    fn into_messages(self) -> Vec<Message> {
        vec![self]
    }
}

impl IntoMessages for &Message {
    fn into_messages(self) -> Vec<Message> {
        vec![self.clone()]
    }
}

impl IntoMessages for Vec<Message> {
    fn into_messages(self) -> Vec<Message> {
        self
    }
}

impl IntoMessages for &Vec<Message> {
    fn into_messages(self) -> Vec<Message> {
        self.clone()
    }
}

impl IntoMessages for &[Message] {
    fn into_messages(self) -> Vec<Message> {
        self.to_vec()
    }
}

impl<const N: usize> IntoMessages for [Message; N] {
    fn into_messages(self) -> Vec<Message> {
        self.into()
    }
}

impl<const N: usize> IntoMessages for &[Message; N] {
    fn into_messages(self) -> Vec<Message> {
        self.to_vec()
    }
}

impl IntoMessages for &ChatSession {
    fn into_messages(self) -> Vec<Message> {
        self.prompt()
    }
}
