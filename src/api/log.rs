//! `/api/v1/devices/{device}/log`: what happened to a device.

use super::{
    Api, paging,
    problem::{self, Problem},
    query::{Query, TimeParameter},
    reply,
    request::{self, DeviceSegment, Request},
};
use crate::model::{DeviceKey, LogEntry, Timestamp};
use capteur_protocol::Mac;
use serde::Serialize;
use std::{sync::Arc, time::Duration};
use utoipa::ToSchema;
use warp::{
    Filter, Reply,
    filters::BoxedFilter,
    http::{HeaderValue, Method, StatusCode, header},
    reply::Response,
};

/// How many entries are answered at once, at most, and where the caller doesn't say.
const LIMIT_MAX: usize = 1000;
const LIMIT_DEFAULT: usize = 100;

/// What happened to a device, newest first.
#[derive(Serialize, ToSchema)]
pub(super) struct Log {
    /// The device's MAC address.
    #[schema(value_type = String, example = "61:EC:ED:3B:25:B1")]
    device: Mac,
    /// What happened, newest first.
    entries: Vec<LogEntry>,
}

pub(super) fn routes(api: &Arc<Api>) -> BoxedFilter<(Response,)> {
    warp::path!("api" / "v1" / "devices" / DeviceSegment / "log")
        .and(request::filter(api))
        .then(async |DeviceSegment(key): DeviceSegment, request: Request| match request.method {
            Method::GET | Method::HEAD => show(&key, &request).await.into_response(),
            _ => request.only(&[Method::GET]),
        })
        .boxed()
}

/// Shows what happened to a device, newest first.
#[utoipa::path(get, path = "/api/v1/devices/{device}/log", operation_id = "showLog", tag = "devices",
    params(
        ("device" = String, Path, description = "A name, in any case, or a MAC address"),
        ("before" = Option<String>, Query, description = "The time before which entries begin: RFC 3339, or milliseconds since the Unix epoch"),
        ("limit" = Option<u32>, Query, description = "The most entries to answer, 100 where it is not given", minimum = 1, maximum = 1000),
        ("skip" = Option<u32>, Query, description = "How many entries at the front are already known; part of the link to the next page", minimum = 0, maximum = 1000),
    ),
    responses(
        (status = 200, description = "The entries", body = Log,
            headers(("Link" = String, description = "The next page, with `rel=\"next\"`, where there is one (RFC 8288)"))),
        (status = 400, description = "A parameter is wrong or unknown", body = problem::Document, content_type = "application/problem+json"),
        (status = 404, description = "No device has that name or MAC address", body = problem::Document, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn show(key: &DeviceKey, request: &Request) -> Result<Response, Problem> {
    let mut query = Query::parse(&request.query)?;
    let before = query.take::<TimeParameter>("before")?.map(|time| time.0);
    let limit = query.take_number("limit", 1..=LIMIT_MAX)?.unwrap_or(LIMIT_DEFAULT);
    let skip = query.take_number("skip", 0..=LIMIT_MAX)?.unwrap_or(0);
    query.finish()?;
    let context = request.context();
    let device = context.registry.device(key)?.mac;
    let id = context.registry.device_id(key)?;
    let fetched = context.store.log(id, before, paging::wanted(skip, limit)).await?;
    let (entries, next) = paging::cut(fetched, skip, limit, |entry| entry.at);
    let mut response = reply::json(StatusCode::OK, &Log { device, entries });
    if let Some(next) = next {
        let link = link(device, next, limit);
        if let Ok(link) = HeaderValue::from_str(&link) {
            response.headers_mut().insert(header::LINK, link);
        }
    }
    Ok(response)
}

fn link(device: Mac, next: paging::Next, limit: usize) -> String {
    // `before` excludes its own millisecond, and the next page begins within the last one.
    let before: Timestamp = next.at.after(Duration::from_millis(1));
    let (before, skip) = (before.millis(), next.skip);
    format!(
        "</api/v1/devices/{device}/log?before={before}&limit={limit}&skip={skip}>; rel=\"next\""
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_begins_within_the_last_millisecond() {
        let next = paging::Next { at: Timestamp::from_millis(41), skip: 3 };
        assert_eq!(
            link(Mac([0x61, 0xec, 0xed, 0x3b, 0x25, 0xb1]), next, 100),
            "</api/v1/devices/61:EC:ED:3B:25:B1/log?before=42&limit=100&skip=3>; rel=\"next\""
        );
    }
}
