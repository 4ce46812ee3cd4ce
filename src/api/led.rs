//! `/api/v1/devices/{device}/led`: commands.

use super::{
    Api,
    problem::{self, Kind, Problem},
    reply,
    request::{self, DeviceSegment, Request},
};
use crate::{
    model::{Command, CommandState, DeviceKey},
    registry::Issued,
};
use std::{sync::Arc, time::Duration};
use utoipa::ToSchema;
use warp::{
    Filter, Reply,
    filters::BoxedFilter,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    reply::Response,
};

/// The preference not to wait, and the header that says that it was heard (RFC 7240, section 4.1).
const RESPOND_ASYNC: &str = "respond-async";
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// What the LED should do.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "the schema; the body is read field by field, to name what is wrong")]
pub(super) struct LedOrder {
    /// On or off.
    on: bool,
}

pub(super) fn routes(api: &Arc<Api>) -> BoxedFilter<(Response,)> {
    warp::path!("api" / "v1" / "devices" / DeviceSegment / "led")
        .and(request::filter(api))
        .then(async |DeviceSegment(key): DeviceSegment, request: Request| match request.method {
            Method::PUT => switch(&key, request).await.into_response(),
            _ => request.only(&[Method::PUT]),
        })
        .boxed()
}

/// Switches the LED of a device, and waits until the device confirms.
#[utoipa::path(put, path = "/api/v1/devices/{device}/led", operation_id = "switchLed", tag = "commands",
    params(
        ("device" = String, Path, description = "A name, in any case, or a MAC address"),
        ("Prefer" = Option<String>, Header, description = "`respond-async` answers at once (RFC 7240)"),
    ),
    request_body = LedOrder,
    responses(
        (status = 200, description = "The device has confirmed", body = Command),
        (status = 202, description = "The command is sent, as `Prefer: respond-async` asked", body = Command,
            headers(("Location" = String, description = "The command"), ("Preference-Applied" = String, description = "`respond-async`"))),
        (status = 400, description = "The body is not what it has to be; `errors` names the field", body = problem::Document, content_type = "application/problem+json"),
        (status = 404, description = "No device has that name or MAC address", body = problem::Document, content_type = "application/problem+json"),
        (status = 409, description = "The device is not online, or a newer command took this one's place", body = problem::Document, content_type = "application/problem+json"),
        (status = 413, description = "The body is larger than 16 KiB", body = problem::Document, content_type = "application/problem+json"),
        (status = 415, description = "The body says that it is not JSON", body = problem::Document, content_type = "application/problem+json"),
        (status = 503, description = "Too many commands wait, or the hub is stopping", body = problem::Document, content_type = "application/problem+json"),
        (status = 504, description = "The device did not confirm in time", body = problem::Document, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn switch(key: &DeviceKey, request: Request) -> Result<Response, Problem> {
    let by = request.by();
    let at_once = prefers_async(&request.headers);
    let mut fields = request.body.object().await?;
    let on = fields.take("on")?;
    fields.finish()?;
    let issued = request.api.context.registry.switch_led(key, on, &by).await?;
    if at_once { Ok(accepted(&issued.command)) } else { settled(issued).await }
}

/// The answer to a caller that doesn't wait.
fn accepted(command: &Command) -> Response {
    let mut response = reply::json(StatusCode::ACCEPTED, command);
    let headers = response.headers_mut();
    // Digits and a hyphen: always a header value.
    if let Ok(location) = HeaderValue::from_str(&format!("/api/v1/commands/{}", command.id)) {
        headers.insert(header::LOCATION, location);
    }
    headers.insert(PREFERENCE_APPLIED, HeaderValue::from_static(RESPOND_ASYNC));
    response
}

/// Waits for the end of a command.
async fn settled(issued: Issued) -> Result<Response, Problem> {
    let Ok(command) = issued.outcome.await else {
        return Err(Problem::new(Kind::UNAVAILABLE, "the hub is stopping")
            .retry_after(Duration::from_secs(1))
            .with_command(issued.command));
    };
    let (kind, detail) = match command.state {
        CommandState::Confirmed => return Ok(reply::json(StatusCode::OK, &command)),
        CommandState::TimedOut => {
            (Kind::NOT_CONFIRMED, "the device did not report the new state in time")
        }
        CommandState::Superseded => {
            (Kind::SUPERSEDED, "another command was given to the device before it confirmed")
        }
        // The registry sends ends only.
        CommandState::Sent => (Kind::INTERNAL, "the command has no end"),
    };
    Err(Problem::new(kind, detail).with_command(command))
}

fn prefers_async(headers: &HeaderMap) -> bool {
    headers
        .get_all("prefer")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|preference| preference.split([';', '=']).next().unwrap_or_default().trim())
        .any(|token| token.eq_ignore_ascii_case(RESPOND_ASYNC))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Channel, CommandId, Timestamp};
    use capteur_protocol::Mac;
    use tokio::sync::oneshot;

    fn command(state: CommandState) -> Command {
        Command {
            id: CommandId { boot: 3, number: 42 },
            device: Mac([1, 2, 3, 4, 5, 6]),
            channel: Channel::Led,
            value: true,
            state,
            issued_at: Timestamp::from_millis(0),
            confirmed_at: None,
            issued_by: "anonymous@192.0.2.1".into(),
        }
    }

    async fn end(state: Option<CommandState>) -> Response {
        let (sender, outcome) = oneshot::channel();
        match state {
            Some(state) => sender.send(command(state)).unwrap(),
            None => drop(sender),
        }
        settled(Issued { command: command(CommandState::Sent), outcome }).await.into_response()
    }

    #[tokio::test]
    async fn each_end_of_a_command_has_its_status() {
        for (state, status) in [
            (Some(CommandState::Confirmed), 200),
            (Some(CommandState::TimedOut), 504),
            (Some(CommandState::Superseded), 409),
            (None, 503),
        ] {
            assert_eq!(end(state).await.status(), status, "{state:?}");
        }
    }

    #[test]
    fn a_caller_that_does_not_wait_is_told_where_the_command_is() {
        let response = accepted(&command(CommandState::Sent));
        assert_eq!(response.status(), StatusCode::ACCEPTED);
        assert_eq!(response.headers()[header::LOCATION], "/api/v1/commands/3-42");
        assert_eq!(response.headers()["preference-applied"], "respond-async");
    }

    #[test]
    fn the_preference_is_found_among_others() {
        let prefers = |values: &[&'static str]| {
            let values = values
                .iter()
                .map(|value| (HeaderName::from_static("prefer"), HeaderValue::from_static(value)));
            prefers_async(&values.collect())
        };
        assert!(prefers(&["respond-async"]));
        assert!(prefers(&["wait=10, Respond-Async"]));
        assert!(prefers(&["return=minimal", "respond-async; x=1"]));
        assert!(!prefers(&[]));
        assert!(!prefers(&["wait=10", "respond-asynchronously"]));
    }
}
