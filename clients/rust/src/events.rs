//! The iterator over a list.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use futures_core::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt, stream};

use crate::client::Client;
use crate::error::Error;
use crate::proto::events::{Event, ListInboxRequest};

/// Every event of a list, as [`Client::list_all`] gives it: a [`Stream`] that asks for the next
/// page when it needs it. It ends after an error.
pub struct Events(BoxStream<'static, Result<Event, Error>>);

impl Events {
    pub(crate) fn new(client: Client, request: ListInboxRequest) -> Self {
        let pages = stream::try_unfold(Some(request), move |request| {
            let client = client.clone();
            async move {
                let Some(mut request) = request else {
                    return Ok(None);
                };
                let page = client.list(request.clone()).await?;
                request.page_token = page.next_page_token;
                let more = !request.page_token.is_empty();
                let events = stream::iter(page.events.into_iter().map(Ok));
                Ok(Some((events, more.then_some(request))))
            }
        });
        Self(pages.try_flatten().boxed())
    }

    /// The next event; None at the end. The same as `StreamExt::next`.
    pub async fn next(&mut self) -> Option<Result<Event, Error>> {
        self.0.next().await
    }
}

impl Stream for Events {
    type Item = Result<Event, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next_unpin(cx)
    }
}
