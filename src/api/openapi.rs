//! `/api/v1/openapi.json`: the description of the API (OpenAPI 3.1), made from the handlers.

use super::{
    Api,
    problem::Problem,
    query::Query,
    reply,
    request::{self, Request},
};
use crate::model::{Command, Device, LogEntry, Storage};
use std::sync::{Arc, LazyLock};
use utoipa::{
    Modify, OpenApi, ToSchema,
    openapi::{Ref, RefOr, Schema},
};
use warp::{
    Filter, Reply,
    filters::BoxedFilter,
    http::{Method, StatusCode},
    reply::Response,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Capteur",
        description = "The hub your ESP32s come home to. Times are RFC 3339 in UTC with milliseconds. Errors are `application/problem+json` (RFC 9457). Fields and parameters that are not listed here are refused by name.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    paths(
        super::devices::list,
        super::devices::show,
        super::devices::rename,
        super::devices::forget,
        super::replacement::replace,
        super::replacement::undo,
        super::led::switch,
        super::commands::show,
        super::readings::show,
        super::log::show,
        super::export::download,
        super::backup::download,
        super::stream::open,
        super::health::show,
        super::metrics::show,
        show,
    ),
    components(schemas(
        Device,
        Channels,
        SwitchState,
        LightState,
        Command,
        LogEntry,
        super::stream::Snapshot,
        Storage,
    )),
    modifiers(&ChannelsInDevice),
    tags(
        (name = "devices", description = "Who is there"),
        (name = "commands", description = "Orders to LEDs"),
        (name = "readings", description = "What the boards reported"),
        (name = "events", description = "What happens, as it happens"),
        (name = "monitoring", description = "How the hub is"),
    ),
)]
struct Description;

/// The last value of each channel; `null` where no reading has come yet.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the schema of what the model prints by hand")]
struct Channels {
    led: Option<SwitchState>,
    button: Option<SwitchState>,
    photoresistor: Option<LightState>,
}

/// The last value of the LED or the button.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the schema of what the model prints by hand")]
struct SwitchState {
    /// On, or pushed.
    value: bool,
    /// When the last reading came.
    #[schema(format = DateTime)]
    at: String,
    /// When the value last became another.
    #[schema(format = DateTime)]
    changed_at: String,
}

/// The last value of the photoresistor.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the schema of what the model prints by hand")]
struct LightState {
    /// 0 (dark) to 100 (bright).
    #[schema(minimum = 0, maximum = 100)]
    value: u8,
    /// Always `%`.
    #[schema(example = "%")]
    unit: String,
    /// When the last reading came.
    #[schema(format = DateTime)]
    at: String,
    /// When the value last became another.
    #[schema(format = DateTime)]
    changed_at: String,
}

/// Says what the channels of a device are: the model only knows that they are an object.
struct ChannelsInDevice;

impl Modify for ChannelsInDevice {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let schemas = openapi.components.as_mut().map(|components| &mut components.schemas);
        let device = schemas.and_then(|schemas| schemas.get_mut("Device"));
        if let Some(RefOr::T(Schema::Object(device))) = device {
            let channels = Ref::from_schema_name("Channels");
            device.properties.insert("channels".to_owned(), RefOr::Ref(channels));
        }
    }
}

pub(super) fn routes(api: &Arc<Api>) -> BoxedFilter<(Response,)> {
    warp::path!("api" / "v1" / "openapi.json")
        .and(request::filter(api))
        .map(|request: Request| match request.method {
            Method::GET | Method::HEAD => show(&request).into_response(),
            _ => request.only(&[Method::GET]),
        })
        .boxed()
}

/// Shows this description.
#[utoipa::path(get, path = "/api/v1/openapi.json", operation_id = "showOpenapi", tag = "monitoring", responses(
    (status = 200, description = "The description", body = Object),
))]
pub(super) fn show(request: &Request) -> Result<Response, Problem> {
    static DOCUMENT: LazyLock<utoipa::openapi::OpenApi> = LazyLock::new(Description::openapi);
    Query::parse(&request.query)?.finish()?;
    Ok(reply::json(StatusCode::OK, &*DOCUMENT))
}

#[cfg(test)]
mod tests;
