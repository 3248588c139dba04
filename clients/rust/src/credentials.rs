//! The key that calls carry. A closure has its text, so that nothing shows it.

use std::collections::HashMap;
use std::fmt;
use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;

use crate::error::{Code, Error};

type Cause = Box<dyn std::error::Error + Send + Sync>;
type Supplied = Pin<Box<dyn Future<Output = Result<String, Cause>> + Send>>;

/// None, or what gives the current key.
#[derive(Clone, Default)]
pub(crate) struct Credentials(Option<Arc<dyn Fn() -> Supplied + Send + Sync>>);

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "a key" } else { "none" })
    }
}

impl Credentials {
    pub(crate) fn of(key: String) -> Self {
        let supply = move || Box::pin(ready(Ok(key.clone()))) as Supplied;
        Self(Some(Arc::new(supply)))
    }

    pub(crate) fn from<F, Supply, E>(supply: F) -> Self
    where
        F: Fn() -> Supply + Send + Sync + 'static,
        Supply: Future<Output = Result<String, E>> + Send + 'static,
        E: Into<Cause>,
    {
        let supply = move || {
            let supplied = supply();
            Box::pin(async move { supplied.await.map_err(Into::into) }) as Supplied
        };
        Self(Some(Arc::new(supply)))
    }

    /// Adds what one call says of who makes it.
    pub(crate) async fn add_to(&self, metadata: &mut HashMap<String, String>) -> Result<(), Error> {
        let Some(supply) = &self.0 else {
            return Ok(());
        };
        let key = supply().await.map_err(|cause| {
            let message = format!("there is no key: {cause}");
            Error::new(Code::Unauthenticated, "KEY_UNAVAILABLE", message)
        })?;
        if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            let message = "that is no text of a key; accepted are visible characters of ASCII";
            return Err(Error::new(
                Code::InvalidArgument,
                "API_KEY_INVALID",
                message,
            ));
        }
        metadata.insert("authorization".to_owned(), format!("Bearer {key}"));
        Ok(())
    }

    /// Changes the key of a call that was refused; false when there is no other now.
    pub(crate) async fn renew(&self, metadata: &mut HashMap<String, String>) -> bool {
        let mut other = metadata.clone();
        let found = self.add_to(&mut other).await.is_ok() && other != *metadata;
        if found {
            *metadata = other;
        }
        found
    }
}
