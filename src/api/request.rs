//! What a handler gets of a request, besides what its path says.

use super::{
    Api, Context,
    body::Body,
    caller::Caller,
    problem::{Kind, Problem},
};
use crate::model::DeviceKey;
use percent_encoding::percent_decode_str;
use std::{
    str::{FromStr, Utf8Error},
    sync::Arc,
};
use warp::{
    Filter, Rejection, Reply,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    reply::Response,
};

/// A request whose path is known.
///
/// Handlers `match` on the method themselves, with [`only`](Self::only) for the rest: so every
/// resource knows what to say to `OPTIONS`, and in the `Allow` of a 405.
pub(super) struct Request {
    pub(super) api: Arc<Api>,
    pub(super) method: Method,
    pub(super) headers: HeaderMap,
    /// Without the `?`; empty where there is none.
    pub(super) query: String,
    pub(super) caller: Option<Caller>,
    pub(super) body: Body,
}

/// Takes a request whole. Goes behind the filters of the path.
pub(super) fn filter(
    api: &Arc<Api>,
) -> impl Filter<Extract = (Request,), Error = Rejection> + Clone + use<> {
    let api = Arc::clone(api);
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    warp::method()
        .and(warp::header::headers_cloned())
        .and(query)
        .and(warp::ext::optional::<Caller>())
        .and(warp::body::stream())
        .map(move |method, headers, query, caller, body| Request {
            api: Arc::clone(&api),
            body: Body::new(&headers, body),
            method,
            headers,
            query,
            caller,
        })
}

impl Request {
    pub(super) fn context(&self) -> &Context {
        &self.api.context
    }

    /// Who is asking, as a device's log names them.
    pub(super) fn by(&self) -> String {
        self.caller.map_or_else(|| "anonymous".to_owned(), |caller| caller.to_string())
    }

    /// The answer to a method that is none of `methods`. `GET` brings `HEAD`, and `OPTIONS` is answered everywhere.
    pub(super) fn only(&self, methods: &[Method]) -> Response {
        let mut allow: Vec<&str> = Vec::new();
        for method in methods {
            allow.push(method.as_str());
            if *method == Method::GET {
                allow.push("HEAD");
            }
        }
        allow.push("OPTIONS");
        let allow = allow.join(", ");
        // Method names are tokens: always a header value.
        let value = HeaderValue::from_str(&allow).unwrap_or(HeaderValue::from_static("OPTIONS"));
        if self.method == Method::OPTIONS {
            let mut response = StatusCode::NO_CONTENT.into_response();
            response.headers_mut().insert(header::ALLOW, value);
            return response;
        }
        let detail = format!("{} is not known here; use {allow}", self.method);
        Problem::new(Kind::METHOD_NOT_ALLOWED, detail)
            .with_header(header::ALLOW, value)
            .into_response()
    }
}

/// A device in a path: a percent-encoded name, or a MAC address.
pub(super) struct DeviceSegment(pub(super) DeviceKey);

impl FromStr for DeviceSegment {
    type Err = Utf8Error;

    fn from_str(segment: &str) -> Result<Self, Utf8Error> {
        let text = percent_decode_str(segment).decode_utf8()?;
        let Ok(key) = text.parse();
        Ok(Self(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_named_by_mac_or_by_percent_encoded_name() {
        let key = |segment: &str| segment.parse::<DeviceSegment>().map(|segment| segment.0);
        let mac = capteur_protocol::Mac([0x61, 0xec, 0xed, 0x3b, 0x25, 0xb1]);
        assert_eq!(key("61:ec:ed:3b:25:b1"), Ok(DeviceKey::Mac(mac)));
        assert_eq!(key("61%3AEC%3AED%3A3B%3A25%3AB1"), Ok(DeviceKey::Mac(mac)));
        assert_eq!(key("Salle%20%C3%A9t%C3%A9%2F1"), Ok(DeviceKey::Name("Salle été/1".into())));
        assert_eq!(key("50%"), Ok(DeviceKey::Name("50%".into())));
        assert!(key("%ff").is_err());
    }
}
