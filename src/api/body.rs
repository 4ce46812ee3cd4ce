//! JSON bodies, refused by the name of the field that is wrong.

use super::problem::{Kind, Problem};
use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::{pin::Pin, time::Duration};
use warp::http::{HeaderMap, HeaderValue, header};

/// The largest body that is read, in bytes.
pub(super) const BODY_MAX: usize = 16 * 1024;

/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

type Chunks = Pin<Box<dyn Stream<Item = Result<Bytes, warp::Error>> + Send + Sync>>;

/// A body that nobody has read yet.
pub(super) struct Body {
    content_type: Option<HeaderValue>,
    chunks: Chunks,
}

impl Body {
    pub(super) fn new<B: Buf>(
        headers: &HeaderMap,
        chunks: impl Stream<Item = Result<B, warp::Error>> + Send + Sync + 'static,
    ) -> Self {
        let chunks =
            chunks.map(|chunk| chunk.map(|mut chunk| chunk.copy_to_bytes(chunk.remaining())));
        Self { content_type: headers.get(header::CONTENT_TYPE).cloned(), chunks: Box::pin(chunks) }
    }

    /// Reads the body as a JSON object.
    pub(super) async fn object(self) -> Result<Fields, Problem> {
        if !self.content_type.as_ref().is_none_or(is_json) {
            let given = self.content_type.unwrap_or(HeaderValue::from_static(""));
            let detail = format!("the body is {given:?}; send `Content-Type: application/json`");
            return Err(Problem::new(Kind::UNSUPPORTED_MEDIA_TYPE, detail));
        }
        let read = tokio::time::timeout(BODY_TIMEOUT, read(self.chunks));
        let late = |_| {
            Problem::new(Kind::REQUEST_TIMEOUT, "the body did not arrive in time")
                .with_header(header::CONNECTION, HeaderValue::from_static("close"))
        };
        let bytes = read.await.map_err(late)??;
        match serde_json::from_slice(&bytes) {
            Ok(Value::Object(fields)) => Ok(Fields(fields)),
            Ok(_) => Err(Problem::new(Kind::BAD_REQUEST, "the body has to be a JSON object")),
            Err(error) => {
                Err(Problem::new(Kind::BAD_REQUEST, format!("the body is not JSON: {error}")))
            }
        }
    }
}

async fn read(mut chunks: Chunks) -> Result<BytesMut, Problem> {
    let mut bytes = BytesMut::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| {
            Problem::new(Kind::BAD_REQUEST, format!("the body can't be read: {error}"))
        })?;
        if bytes.len() + chunk.len() > BODY_MAX {
            let detail = format!("the body is larger than {BODY_MAX} bytes");
            return Err(Problem::new(Kind::PAYLOAD_TOO_LARGE, detail)
                .with_header(header::CONNECTION, HeaderValue::from_static("close")));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// `application/json`, or any type that is built on it (RFC 6839, section 3.1).
fn is_json(value: &HeaderValue) -> bool {
    let text = value.to_str().unwrap_or_default().to_ascii_lowercase();
    let essence = text.split(';').next().unwrap_or_default().trim();
    essence.strip_prefix("application/").is_some_and(|sub| sub == "json" || sub.ends_with("+json"))
}

/// The fields of a JSON object that nobody has taken yet.
#[derive(Debug)]
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    /// Takes a field that has to be there.
    pub(super) fn take<T: DeserializeOwned>(&mut self, name: &str) -> Result<T, Problem> {
        let value = self
            .0
            .remove(name)
            .ok_or_else(|| Problem::field(Kind::BAD_REQUEST, name, "is missing"))?;
        serde_json::from_value(value)
            .map_err(|error| Problem::field(Kind::BAD_REQUEST, name, error.to_string()))
    }

    /// Refuses what nobody has taken: a field that is ignored in silence is a typing error found too late.
    pub(super) fn finish(self) -> Result<(), Problem> {
        match self.0.keys().next() {
            Some(name) => Err(Problem::field(Kind::BAD_REQUEST, name, "is unknown")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;

    async fn object(content_type: Option<&'static str>, body: &[u8]) -> Result<Fields, Problem> {
        let mut headers = HeaderMap::new();
        if let Some(content_type) = content_type {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        let chunks: Vec<_> =
            body.chunks(1000).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
        Body::new(&headers, stream::iter(chunks)).object().await
    }

    #[tokio::test]
    async fn a_body_is_json_when_it_says_so_or_says_nothing() {
        for content_type in [
            None,
            Some("application/json"),
            Some("Application/JSON; charset=utf-8"),
            Some("application/merge-patch+json"),
        ] {
            assert!(object(content_type, b"{\"on\":true}").await.is_ok(), "{content_type:?}");
        }
        for content_type in ["text/plain", "application/x-www-form-urlencoded", "json", ""] {
            let problem = object(Some(content_type), b"{}").await.unwrap_err();
            assert_eq!(problem.kind(), Kind::UNSUPPORTED_MEDIA_TYPE);
        }
    }

    #[tokio::test]
    async fn a_body_that_is_no_object_or_too_large_is_refused() {
        for body in ["", "{", "[true]", "true", "{\"on\":true} x", "\u{0}"] {
            let problem = object(None, body.as_bytes()).await.unwrap_err();
            assert_eq!(problem.kind(), Kind::BAD_REQUEST, "{body}");
        }
        let mut largest = b"{}".to_vec();
        largest.resize(BODY_MAX, b' ');
        assert!(object(None, &largest).await.is_ok());
        largest.push(b' ');
        assert_eq!(object(None, &largest).await.unwrap_err().kind(), Kind::PAYLOAD_TOO_LARGE);
    }

    #[tokio::test]
    async fn a_wrong_field_is_named() {
        let take = async |body: &str| {
            let mut fields = object(None, body.as_bytes()).await.unwrap();
            let on = fields.take::<bool>("on")?;
            fields.finish().map(|()| on)
        };
        assert!(take("{\"on\":true}").await.unwrap());
        for (body, name) in [
            ("{}", "`on`"),
            ("{\"on\":1}", "`on`"),
            ("{\"on\":null}", "`on`"),
            ("{\"on\":true,\"of\":1}", "`of`"),
        ] {
            let problem = take(body).await.unwrap_err();
            assert_eq!(problem.kind(), Kind::BAD_REQUEST);
            assert!(format!("{problem:?}").contains(name), "{problem:?}");
        }
    }
}
