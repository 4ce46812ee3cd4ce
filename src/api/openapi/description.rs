//! The description of the API, gathered from the handlers and the model.

use crate::model::{Command, Device, LogEntry, Storage};
use utoipa::{
    Modify, OpenApi, ToSchema,
    openapi::{Ref, RefOr, Schema},
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Capteur",
        description = "The hub your ESP32s come home to. Times are RFC 3339 in UTC with milliseconds. Errors are `application/problem+json` (RFC 9457). Fields and parameters that are not listed here are refused by name.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    paths(
        super::super::devices::list,
        super::super::devices::show,
        super::super::devices::rename,
        super::super::devices::forget,
        super::super::replacement::replace,
        super::super::replacement::undo,
        super::super::led::switch,
        super::super::commands::show,
        super::super::readings::show,
        super::super::log::show,
        super::super::export::download,
        super::super::backup::download,
        super::super::stream::open,
        super::super::health::show,
        super::super::metrics::show,
        super::show,
    ),
    components(schemas(
        Device,
        Channels,
        SwitchState,
        LightState,
        Command,
        LogEntry,
        super::super::stream::Snapshot,
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
pub(super) struct Description;

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
