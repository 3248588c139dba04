//! What the `.proto` files say of methods.

use prost::Message;

/// A method of the protocol, for [`Client::call`](crate::Client::call). The types that have it are
/// generated, beside the messages in [`proto`](crate::proto).
pub trait Method {
    /// `package.Service/Method`.
    const NAME: &'static str;
    /// It may be sent again when it is not known what became of it.
    const REPEATABLE: bool;
    /// Silence up to the deadline is no sign of trouble.
    const WAITS: bool;
    /// What is sent.
    type Request: Message;
    /// What is answered.
    type Response: Message + Default;
}
