//! Answers, and the headers that all of them carry.

use super::Api;
use serde::Serialize;
use warp::{
    Reply,
    http::{HeaderValue, StatusCode, header},
    reply::Response,
};

/// An answer in JSON.
pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    warp::reply::with_status(warp::reply::json(body), status).into_response()
}

/// An answer of this media type.
pub(super) fn typed(content_type: &'static str, body: impl Into<bytes::Bytes>) -> Response {
    let mut response = warp::http::Response::new(body.into()).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Adds what every answer carries, and counts it.
pub(super) fn finish(api: &Api, mut response: Response) -> Response {
    api.figures.answered(response.status());
    let headers = response.headers_mut();
    // What the hub says is true now, and not for any cache. The page's own files say otherwise.
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
