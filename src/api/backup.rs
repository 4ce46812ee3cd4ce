//! `/api/v1/backup`: the whole store in one file.
//!
//! The file has the boards' session ids, without which they could not go on after a restore; and
//! those are secrets. So it is given to callers on this very machine alone, as long as callers
//! can't prove who they are.

use super::{
    Api,
    caller::Caller,
    problem::{self, Kind, Problem},
    query::Query,
    request::{self, Request},
};
use crate::{
    model::Timestamp,
    store::backup::{Backup, file},
};
use futures_util::stream;
use std::sync::Arc;
use warp::{
    Filter, Reply,
    filters::BoxedFilter,
    http::{HeaderValue, Method, StatusCode, header},
    reply::Response,
};

pub(super) fn routes(api: &Arc<Api>) -> BoxedFilter<(Response,)> {
    warp::path!("api" / "v1" / "backup")
        .and(request::filter(api))
        .then(async |request: Request| match request.method {
            Method::GET | Method::HEAD => download(&request).await.into_response(),
            _ => request.only(&[Method::GET]),
        })
        .boxed()
}

/// Copies the whole store into one file, while the hub goes on.
///
/// Devices, readings and logs, with checksums: `capteur backup --verify` checks it, `capteur
/// restore` makes a store of it. A file that was cut has no end, and is refused. One backup is made
/// at a time. It has the boards' session ids, and is given to callers on the hub's own machine only.
#[utoipa::path(get, path = "/api/v1/backup", operation_id = "downloadBackup", tag = "monitoring", responses(
    (status = 200, description = "The backup, which ends with the connection where it can't be made whole", body = Vec<u8>, content_type = "application/octet-stream",
        headers(("Content-Disposition" = String, description = "A file name with the host and the time"))),
    (status = 400, description = "A parameter is unknown", body = problem::Document, content_type = "application/problem+json"),
    (status = 403, description = "The caller is on another machine", body = problem::Document, content_type = "application/problem+json"),
    (status = 503, description = "Another backup is being made, or the store does not work", body = problem::Document, content_type = "application/problem+json"),
))]
pub(super) async fn download(request: &Request) -> Result<Response, Problem> {
    Query::parse(&request.query)?.finish()?;
    if !request.caller.is_some_and(Caller::is_on_this_machine) {
        let detail = "a backup is given to callers on the hub's own machine only, since it has the \
                      boards' session ids: run `capteur backup FILE` there";
        return Err(Problem::new(Kind::LOCAL_ONLY, detail));
    }
    let now = request.context().clock.now();
    let mut response = if request.method == Method::HEAD {
        StatusCode::OK.into_response()
    } else {
        let backup = request.context().store.backup(now).await?;
        warp::reply::stream(stream::unfold(backup, async |mut backup: Backup| {
            backup.next().await.map(|piece| (piece, backup))
        }))
        .into_response()
    };
    let headers = response.headers_mut();
    let media_type = HeaderValue::from_static("application/octet-stream");
    headers.insert(header::CONTENT_TYPE, media_type);
    if let Ok(disposition) = HeaderValue::from_str(&disposition(now)) {
        headers.insert(header::CONTENT_DISPOSITION, disposition);
    }
    Ok(response)
}

/// RFC 6266, section 4.1: a name of letters, digits, dots and dashes needs no escapes.
fn disposition(now: Timestamp) -> String {
    let uname = rustix::system::uname();
    let host = uname.nodename().to_string_lossy();
    let label = host.split('.').next().unwrap_or_default();
    let plain: String = label.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
    let host = if plain.is_empty() { "hub" } else { &plain };
    format!("attachment; filename=\"{}\"", file::name(&format!("capteur-{host}"), now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_named_after_host_and_time() {
        let text = disposition("2026-11-22T14:05:27.999Z".parse().unwrap());
        let name = text.strip_prefix("attachment; filename=\"capteur-").unwrap();
        let host = name.strip_suffix("-20261122T140527Z.capteur\"").unwrap();
        assert!(!host.is_empty() && !host.contains(['"', '.']), "{host}");
    }
}
