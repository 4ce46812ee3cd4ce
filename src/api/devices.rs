//! `/api/v1/devices`: list, show, rename and forget.

use super::{
    Api,
    problem::{self, Kind, Problem},
    query::Query,
    reply,
    request::{self, DeviceSegment, Request},
};
use crate::model::{Device, DeviceKey};
use capteur_protocol::{Name, NameError};
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;
use warp::{
    Filter, Reply,
    filters::BoxedFilter,
    http::{Method, StatusCode},
    reply::Response,
};

/// Every device, by name.
#[derive(Serialize, ToSchema)]
pub(super) struct DeviceList {
    devices: Vec<Device>,
}

/// A new name for a device.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "the schema; the body is read field by field, to name what is wrong")]
pub(super) struct Rename {
    /// 1 to 29 bytes of printable UTF-8 without `;`.
    #[schema(min_length = 1, max_length = 29, example = "LeBron")]
    name: String,
}

pub(super) fn routes(api: &Arc<Api>) -> BoxedFilter<(Response,)> {
    let all =
        warp::path!("api" / "v1" / "devices").and(request::filter(api)).map(|request: Request| {
            match request.method {
                Method::GET | Method::HEAD => list(&request).into_response(),
                _ => request.only(&[Method::GET]),
            }
        });
    let one = warp::path!("api" / "v1" / "devices" / DeviceSegment).and(request::filter(api)).then(
        async |DeviceSegment(key): DeviceSegment, request: Request| match request.method {
            Method::GET | Method::HEAD => show(&key, &request).into_response(),
            Method::PATCH => rename(&key, request).await.into_response(),
            Method::DELETE => forget(&key, &request).await.into_response(),
            _ => request.only(&[Method::GET, Method::PATCH, Method::DELETE]),
        },
    );
    all.or(one).unify().boxed()
}

/// Lists every device, by name.
#[utoipa::path(get, path = "/api/v1/devices", operation_id = "listDevices", tag = "devices", responses(
    (status = 200, description = "Every device, by name", body = DeviceList),
))]
pub(super) fn list(request: &Request) -> Result<Response, Problem> {
    Query::parse(&request.query)?.finish()?;
    let (devices, _) = request.context().registry.snapshot();
    Ok(reply::json(StatusCode::OK, &DeviceList { devices }))
}

/// Shows one device.
#[utoipa::path(get, path = "/api/v1/devices/{device}", operation_id = "showDevice", tag = "devices",
    params(("device" = String, Path, description = "A name, in any case, or a MAC address")),
    responses(
        (status = 200, description = "The device", body = Device),
        (status = 404, description = "No device has that name or MAC address", body = problem::Document, content_type = "application/problem+json"),
    ),
)]
pub(super) fn show(key: &DeviceKey, request: &Request) -> Result<Response, Problem> {
    Query::parse(&request.query)?.finish()?;
    Ok(reply::json(StatusCode::OK, &request.context().registry.device(key)?))
}

/// Renames a device. Its history and its MAC address stay.
#[utoipa::path(patch, path = "/api/v1/devices/{device}", operation_id = "renameDevice", tag = "devices",
    params(("device" = String, Path, description = "A name, in any case, or a MAC address")),
    request_body = Rename,
    responses(
        (status = 200, description = "The device under its new name", body = Device),
        (status = 400, description = "The body is not what it has to be; `errors` names the field", body = problem::Document, content_type = "application/problem+json"),
        (status = 404, description = "No device has that name or MAC address", body = problem::Document, content_type = "application/problem+json"),
        (status = 409, description = "Another device has the new name", body = problem::Document, content_type = "application/problem+json"),
        (status = 413, description = "The body is larger than 16 KiB", body = problem::Document, content_type = "application/problem+json"),
        (status = 415, description = "The body says that it is not JSON", body = problem::Document, content_type = "application/problem+json"),
        (status = 422, description = "The new name is not a name", body = problem::Document, content_type = "application/problem+json"),
        (status = 503, description = "The store does not work, or the hub is stopping", body = problem::Document, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn rename(key: &DeviceKey, request: Request) -> Result<Response, Problem> {
    let by = request.by();
    let mut fields = request.body.object().await?;
    let name: String = fields.take("name")?;
    fields.finish()?;
    let name: Name = name.parse().map_err(|error: NameError| {
        Problem::field(Kind::INVALID_NAME, "name", error.to_string())
    })?;
    let device = request.api.context.registry.rename(key, name, &by).await?;
    Ok(reply::json(StatusCode::OK, &device))
}

/// Forgets a device that is not online, with its readings and its log.
#[utoipa::path(delete, path = "/api/v1/devices/{device}", operation_id = "forgetDevice", tag = "devices",
    params(("device" = String, Path, description = "A name, in any case, or a MAC address")),
    responses(
        (status = 204, description = "The device is forgotten"),
        (status = 404, description = "No device has that name or MAC address", body = problem::Document, content_type = "application/problem+json"),
        (status = 409, description = "The device is online", body = problem::Document, content_type = "application/problem+json"),
        (status = 503, description = "The store does not work, or the hub is stopping", body = problem::Document, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn forget(key: &DeviceKey, request: &Request) -> Result<Response, Problem> {
    request.context().registry.forget(key, &request.by()).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
