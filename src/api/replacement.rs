//! `/api/v1/devices/{device}/replace`: a new board in the place of an old one, and back.

use super::{
    Api,
    problem::{self, Kind, Problem},
    query::Query,
    reply,
    request::{self, DeviceSegment, Request},
};
use crate::model::{Device, DeviceKey};
use capteur_protocol::{Mac, ParseError};
use std::sync::Arc;
use utoipa::ToSchema;
use warp::{
    Filter, Reply,
    filters::BoxedFilter,
    http::{Method, StatusCode},
    reply::Response,
};

/// A new board for a device.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "the schema; the body is read field by field, to name what is wrong")]
pub(super) struct Replacement {
    /// The MAC address of the new board, whether or not the hub has heard of it.
    #[schema(min_length = 17, max_length = 17, example = "61:EC:ED:3B:25:B2")]
    mac: String,
}

pub(super) fn routes(api: &Arc<Api>) -> BoxedFilter<(Response,)> {
    warp::path!("api" / "v1" / "devices" / DeviceSegment / "replace")
        .and(request::filter(api))
        .then(async |DeviceSegment(key): DeviceSegment, request: Request| match request.method {
            Method::POST => replace(&key, request).await.into_response(),
            Method::DELETE => undo(&key, &request).await.into_response(),
            _ => request.only(&[Method::POST, Method::DELETE]),
        })
        .boxed()
}

/// Gives a device a new board. Its name, its readings and its log stay.
///
/// A new board that is known already stops being a device of its own: it is the device from now on,
/// and its own readings are kept aside. The old board is a newcomer if it ever joins again.
#[utoipa::path(post, path = "/api/v1/devices/{device}/replace", operation_id = "replaceBoard", tag = "devices",
    params(("device" = String, Path, description = "A name, in any case, or a MAC address")),
    request_body = Replacement,
    responses(
        (status = 200, description = "The device with its new board", body = Device),
        (status = 400, description = "The body is not what it has to be, or a parameter is unknown; `errors` names it", body = problem::Document, content_type = "application/problem+json"),
        (status = 404, description = "No device has that name or MAC address", body = problem::Document, content_type = "application/problem+json"),
        (status = 409, description = "The device is online, has that board already, or it or the new board is part of a replacement that has to be undone first", body = problem::Document, content_type = "application/problem+json"),
        (status = 413, description = "The body is larger than 16 KiB", body = problem::Document, content_type = "application/problem+json"),
        (status = 415, description = "The body says that it is not JSON", body = problem::Document, content_type = "application/problem+json"),
        (status = 422, description = "`mac` is not a MAC address", body = problem::Document, content_type = "application/problem+json"),
        (status = 503, description = "The store does not work, or the hub is stopping", body = problem::Document, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn replace(key: &DeviceKey, request: Request) -> Result<Response, Problem> {
    Query::parse(&request.query)?.finish()?;
    let by = request.by();
    let mut fields = request.body.object().await?;
    let mac: String = fields.take("mac")?;
    fields.finish()?;
    let mac: Mac = mac
        .parse()
        .map_err(|error: ParseError| Problem::field(Kind::INVALID_MAC, "mac", error.to_string()))?;
    let device = request.api.context.registry.replace(key, mac, &by).await?;
    Ok(reply::json(StatusCode::OK, &device))
}

/// Gives a device its old board back.
///
/// The new board is a device of its own again, with the name and the readings that it had before, or
/// a newcomer where it had none. Readings that came in between stay with the device.
#[utoipa::path(delete, path = "/api/v1/devices/{device}/replace", operation_id = "undoReplacement", tag = "devices",
    params(("device" = String, Path, description = "A name, in any case, or a MAC address")),
    responses(
        (status = 200, description = "The device with its old board", body = Device),
        (status = 400, description = "A parameter is unknown", body = problem::Document, content_type = "application/problem+json"),
        (status = 404, description = "No device has that name or MAC address, or its board has not been replaced", body = problem::Document, content_type = "application/problem+json"),
        (status = 409, description = "The device is online, or another device has the old MAC address or the new board's former name by now", body = problem::Document, content_type = "application/problem+json"),
        (status = 503, description = "The store does not work, or the hub is stopping", body = problem::Document, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn undo(key: &DeviceKey, request: &Request) -> Result<Response, Problem> {
    Query::parse(&request.query)?.finish()?;
    let device = request.context().registry.undo_replacement(key, &request.by()).await?;
    Ok(reply::json(StatusCode::OK, &device))
}
