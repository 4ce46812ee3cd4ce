//! The live page: static files that the build puts into the binary (`build.rs`).

use super::{
    Api,
    request::{self, Request},
};
use std::sync::Arc;
use warp::{
    Filter, Reply,
    filters::BoxedFilter,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    path::FullPath,
    reply::Response,
};

/// A file of the page.
#[derive(Debug)]
struct File {
    /// Its path on the hub.
    path: &'static str,
    content_type: &'static str,
    /// Changes whenever the content does (RFC 9110, section 8.8.3).
    etag: &'static str,
    content: &'static [u8],
}

// `static FILES: &[File]`, in the order of their paths.
include!(concat!(env!("OUT_DIR"), "/page.rs"));

/// What the page may do: run its own modules and talk to its own hub. Nothing inline, nothing from
/// elsewhere, and no other page may frame it.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'";

pub(super) fn routes(api: &Arc<Api>) -> BoxedFilter<(Response,)> {
    warp::path::full()
        .and_then(async |path: FullPath| find(path.as_str()).ok_or_else(warp::reject::not_found))
        .and(request::filter(api))
        .map(|file, request: Request| match request.method {
            Method::GET | Method::HEAD => show(file, &request.headers),
            _ => request.only(&[Method::GET]),
        })
        .boxed()
}

fn find(path: &str) -> Option<&'static File> {
    let index = FILES.binary_search_by_key(&path, |file| file.path).ok()?;
    FILES.get(index)
}

fn show(file: &'static File, request: &HeaderMap) -> Response {
    let known = is_known(file.etag, request);
    let mut response = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        warp::http::Response::new(file.content).into_response()
    };
    let headers = response.headers_mut();
    if !known {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(file.content_type));
    }
    for (name, value) in [
        (header::ETAG, file.etag),
        // Kept, and asked about each time: the page is never older than the hub.
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Whether the caller has this version (RFC 9110, section 13.1.2).
fn is_known(etag: &str, request: &HeaderMap) -> bool {
    request
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == etag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_found_and_has_a_version_and_a_type() {
        assert!(find("/").is_some_and(|file| file.content_type.starts_with("text/html")));
        assert!(FILES.is_sorted_by_key(|file| file.path));
        for file in FILES {
            assert_eq!(find(file.path).map(|found| found.path), Some(file.path));
            assert!(file.etag.len() > 10 && file.etag.starts_with('"') && file.etag.ends_with('"'));
            let response = show(file, &HeaderMap::new());
            assert_eq!(response.status(), StatusCode::OK);
            assert_eq!(response.headers()[header::CONTENT_TYPE], file.content_type);
        }
        for path in ["", "/index.htm", "//", "/../Cargo.toml", "/package.json"] {
            assert!(find(path).is_none(), "{path}");
        }
    }

    #[tokio::test]
    async fn a_version_that_the_caller_has_is_not_sent_again() {
        let file = find("/").unwrap();
        for (known, status) in [
            (file.etag.to_owned(), 304),
            (format!("\"other\", W/{}", file.etag), 304),
            ("*".to_owned(), 304),
            ("\"other\"".to_owned(), 200),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_NONE_MATCH, known.parse().unwrap());
            let response = show(file, &headers);
            assert_eq!(response.status(), status, "{known}");
            assert_eq!(response.headers()[header::ETAG], file.etag);
            let text = super::super::tests::text(response).await;
            assert_eq!(text.is_empty(), status == 304);
        }
    }
}
