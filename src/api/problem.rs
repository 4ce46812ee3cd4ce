//! Every error that the API answers: `application/problem+json` (RFC 9457).
//!
//! The `type` of a problem is a path on the hub itself, which explains it to people: the hub works
//! without the internet, and so does its documentation.

use super::{Api, reply, request};
use crate::{model::Command, registry::DeviceError, store::StoreError};
use serde::Serialize;
use std::{convert::Infallible, fmt::Write as _, sync::Arc, time::Duration};
use utoipa::ToSchema;
use warp::{
    Filter, Rejection, Reply,
    filters::BoxedFilter,
    http::{HeaderName, HeaderValue, Method, StatusCode, header},
    reply::Response,
};

/// A kind of problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    BadHost,
    BadRequest,
    Busy,
    DeviceOffline,
    DeviceOnline,
    ForeignOrigin,
    Internal,
    InvalidName,
    MethodNotAllowed,
    MisdirectedRequest,
    NameTaken,
    NotConfirmed,
    NotFound,
    PayloadTooLarge,
    RequestTimeout,
    ResolutionUnavailable,
    Superseded,
    TooManyStreams,
    Unavailable,
    UnknownChannel,
    UnknownCommand,
    UnknownDevice,
    UnsupportedMediaType,
}

/// What is fixed for a kind: the last segment of its `type`, its status, its title, and what it means.
struct Entry(&'static str, StatusCode, &'static str, &'static str);

impl Kind {
    const ALL: [Self; 23] = [
        Self::BadHost,
        Self::BadRequest,
        Self::Busy,
        Self::DeviceOffline,
        Self::DeviceOnline,
        Self::ForeignOrigin,
        Self::Internal,
        Self::InvalidName,
        Self::MethodNotAllowed,
        Self::MisdirectedRequest,
        Self::NameTaken,
        Self::NotConfirmed,
        Self::NotFound,
        Self::PayloadTooLarge,
        Self::RequestTimeout,
        Self::ResolutionUnavailable,
        Self::Superseded,
        Self::TooManyStreams,
        Self::Unavailable,
        Self::UnknownChannel,
        Self::UnknownCommand,
        Self::UnknownDevice,
        Self::UnsupportedMediaType,
    ];

    const fn entry(self) -> Entry {
        match self {
            Self::BadHost => Entry(
                "bad-host",
                StatusCode::BAD_REQUEST,
                "The Host header is missing or malformed",
                "An HTTP/1.1 request has exactly one Host header (RFC 9112, section 3.2).",
            ),
            Self::BadRequest => Entry(
                "bad-request",
                StatusCode::BAD_REQUEST,
                "The request is malformed",
                "A parameter, a field or the whole body can't be read as what it has to be, or is unknown. `errors` names it.",
            ),
            Self::Busy => Entry(
                "busy",
                StatusCode::SERVICE_UNAVAILABLE,
                "Too many commands wait",
                "Too many commands wait for their confirmation. Try again once some have come to their end.",
            ),
            Self::DeviceOffline => Entry(
                "device-offline",
                StatusCode::CONFLICT,
                "The device is not online",
                "A command can only be given to a device that is online.",
            ),
            Self::DeviceOnline => Entry(
                "device-online",
                StatusCode::CONFLICT,
                "The device is online",
                "A device that is online can't be forgotten. Unplug it first.",
            ),
            Self::ForeignOrigin => Entry(
                "foreign-origin",
                StatusCode::FORBIDDEN,
                "The request comes from a foreign page",
                "Requests that change something are refused when a page of another origin sends them. List the page's host in `http.hosts` where it is yours.",
            ),
            Self::Internal => Entry(
                "internal",
                StatusCode::INTERNAL_SERVER_ERROR,
                "The hub failed",
                "A defect of the hub. Its log says more.",
            ),
            Self::InvalidName => Entry(
                "invalid-name",
                StatusCode::UNPROCESSABLE_ENTITY,
                "That is not a name",
                "A name is 1 to 29 bytes of printable UTF-8 without `;`, without blanks at its ends, and doesn't look like a MAC address.",
            ),
            Self::MethodNotAllowed => Entry(
                "method-not-allowed",
                StatusCode::METHOD_NOT_ALLOWED,
                "This can't be done with that",
                "The resource exists, but doesn't know the method. The header `Allow` lists those that it knows.",
            ),
            Self::MisdirectedRequest => Entry(
                "misdirected-request",
                StatusCode::MISDIRECTED_REQUEST,
                "The hub doesn't go by that name",
                "The hub answers to IP addresses, `localhost`, `*.local`, and the names in the setting `http.hosts`. Anything else may be a foreign page that had its own name point here.",
            ),
            Self::NameTaken => Entry(
                "name-taken",
                StatusCode::CONFLICT,
                "The name is taken",
                "Another device has that name. Names that differ only in case are the same.",
            ),
            Self::NotConfirmed => Entry(
                "not-confirmed",
                StatusCode::GATEWAY_TIMEOUT,
                "The device did not confirm",
                "The command was sent, and the device did not report the new state within `commands.confirm_timeout_ms`. `command` shows what is known.",
            ),
            Self::NotFound => Entry(
                "not-found",
                StatusCode::NOT_FOUND,
                "There is nothing here",
                "The path is not one of the hub's. `/api/v1/openapi.json` lists them.",
            ),
            Self::PayloadTooLarge => Entry(
                "payload-too-large",
                StatusCode::PAYLOAD_TOO_LARGE,
                "The body is too large",
                "No call needs a body of more than 16 KiB.",
            ),
            Self::RequestTimeout => Entry(
                "request-timeout",
                StatusCode::REQUEST_TIMEOUT,
                "The body did not arrive",
                "The body of a request has to arrive within 10 seconds of its head.",
            ),
            Self::ResolutionUnavailable => Entry(
                "resolution-unavailable",
                StatusCode::NOT_IMPLEMENTED,
                "Readings are not summed up yet",
                "This version keeps raw readings only: ask for `resolution=raw` or `resolution=auto`.",
            ),
            Self::Superseded => Entry(
                "superseded",
                StatusCode::CONFLICT,
                "A newer command took its place",
                "Another command was given to the same device before this one was confirmed. `command` shows what is known.",
            ),
            Self::TooManyStreams => Entry(
                "too-many-streams",
                StatusCode::SERVICE_UNAVAILABLE,
                "Too many event streams",
                "The hub serves a limited number of event streams at once. Close one, or try again later.",
            ),
            Self::Unavailable => Entry(
                "unavailable",
                StatusCode::SERVICE_UNAVAILABLE,
                "The hub can't do this now",
                "The store does not work, or the hub is stopping. `/api/v1/health` says more.",
            ),
            Self::UnknownChannel => Entry(
                "unknown-channel",
                StatusCode::NOT_FOUND,
                "There is no such channel",
                "A device has the channels `led`, `button` and `photoresistor`.",
            ),
            Self::UnknownCommand => Entry(
                "unknown-command",
                StatusCode::NOT_FOUND,
                "There is no such command",
                "The hub remembers the last 1,024 commands since it started. A device's log keeps those that came to an end.",
            ),
            Self::UnknownDevice => Entry(
                "unknown-device",
                StatusCode::NOT_FOUND,
                "There is no such device",
                "No device has that name or MAC address. Names have to be percent-encoded in a path.",
            ),
            Self::UnsupportedMediaType => Entry(
                "unsupported-media-type",
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "The body is not JSON",
                "Bodies are JSON: send `Content-Type: application/json`.",
            ),
        }
    }
}

/// An error on its way to the caller.
#[derive(Debug)]
pub(super) struct Problem {
    kind: Kind,
    detail: String,
    errors: Vec<Fault>,
    command: Option<Command>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// A problem as it is answered (RFC 9457, section 3).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct Document<'a> {
    /// The kind of problem: a path on the hub, which explains it.
    #[schema(value_type = String, example = "/problems/unknown-device")]
    r#type: String,
    /// The kind of problem in a few words.
    #[schema(value_type = String)]
    title: &'a str,
    /// The HTTP status.
    status: u16,
    /// What happened this time.
    #[schema(value_type = String)]
    detail: &'a str,
    /// Which parts of the request are at fault.
    #[serde(skip_serializing_if = "<[Fault]>::is_empty")]
    #[schema(value_type = Vec<Fault>, required = false)]
    errors: &'a [Fault],
    /// The command that was given and not confirmed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Command, required = false)]
    command: Option<&'a Command>,
}

/// A part of a request that is at fault.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Fault {
    /// The field in the body, as a JSON pointer (RFC 6901, section 6).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pointer: Option<String>,
    /// The parameter in the query.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    parameter: Option<String>,
    /// What is wrong with it.
    detail: String,
}

impl Problem {
    pub(super) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        let (detail, errors, headers) = (detail.into(), Vec::new(), Vec::new());
        Self { kind, detail, errors, command: None, headers }
    }

    /// A field of the body is at fault.
    pub(super) fn field(kind: Kind, name: &str, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        let pointer = format!("#/{}", name.replace('~', "~0").replace('/', "~1"));
        let mut problem = Self::new(kind, format!("field `{name}`: {detail}"));
        problem.errors.push(Fault { pointer: Some(pointer), parameter: None, detail });
        problem
    }

    /// A parameter of the query is at fault.
    pub(super) fn parameter(kind: Kind, name: &str, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        let mut problem = Self::new(kind, format!("parameter `{name}`: {detail}"));
        problem.errors.push(Fault { pointer: None, parameter: Some(name.to_owned()), detail });
        problem
    }

    /// Shows what became of a command.
    #[must_use]
    pub(super) fn with_command(mut self, command: Command) -> Self {
        self.command = Some(command);
        self
    }

    /// Says when to try again (RFC 9110, section 10.2.3).
    #[must_use]
    pub(super) fn retry_after(self, time: Duration) -> Self {
        self.with_header(header::RETRY_AFTER, HeaderValue::from(time.as_secs()))
    }

    #[must_use]
    pub(super) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    #[cfg(test)]
    pub(super) fn kind(&self) -> Kind {
        self.kind
    }
}

impl Reply for Problem {
    fn into_response(self) -> Response {
        let Entry(slug, status, title, _) = self.kind.entry();
        let mut response = reply::json(
            status,
            &Document {
                r#type: format!("/problems/{slug}"),
                title,
                status: status.as_u16(),
                detail: &self.detail,
                errors: &self.errors,
                command: self.command.as_ref(),
            },
        );
        let headers = response.headers_mut();
        headers.extend(self.headers);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        response
    }
}

/// Lets a filter refuse a request before any handler sees it.
impl warp::reject::Reject for Problem {}

impl From<DeviceError> for Problem {
    fn from(error: DeviceError) -> Self {
        let soon = Duration::from_secs(1);
        let detail = error.to_string();
        match error {
            DeviceError::Unknown(_) => Self::new(Kind::UnknownDevice, detail),
            DeviceError::NameTaken(_) => Self::field(Kind::NameTaken, "name", detail),
            DeviceError::Online(_) => Self::new(Kind::DeviceOnline, detail),
            DeviceError::NotOnline(_) => Self::new(Kind::DeviceOffline, detail),
            DeviceError::Busy => Self::new(Kind::Busy, detail).retry_after(soon),
            DeviceError::Unavailable(_) => Self::new(Kind::Unavailable, detail).retry_after(soon),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "the store can't be read");
        Self::new(Kind::Unavailable, "the store can't be read now")
            .retry_after(Duration::from_secs(1))
    }
}

/// Answers what no handler took: an unknown path, or a request that a filter refused.
pub(super) async fn recover(rejection: Rejection) -> Result<Response, Infallible> {
    let problem = if let Some(refused) = rejection.find::<super::guard::Refused>() {
        refused.problem()
    } else if rejection.is_not_found() {
        Problem::new(Kind::NotFound, "no resource has this path; see /api/v1/openapi.json")
    } else if rejection.find::<warp::reject::InvalidHeader>().is_some() {
        Problem::new(Kind::BadRequest, "a header can't be read")
    } else {
        tracing::error!(?rejection, "a request was rejected for no known reason");
        Problem::new(Kind::Internal, "the hub's log says more")
    };
    Ok(problem.into_response())
}

/// `GET /problems/{slug}`: what a kind of problem means.
pub(super) fn routes(api: &Arc<Api>) -> BoxedFilter<(Response,)> {
    warp::path!("problems" / String)
        .and(request::filter(api))
        .map(|slug: String, request: request::Request| match request.method {
            Method::GET | Method::HEAD => {
                explain(&slug).map(Reply::into_response).unwrap_or_else(|| {
                    let detail = "no kind of problem has this name";
                    Problem::new(Kind::NotFound, detail).into_response()
                })
            }
            _ => request.only(&[Method::GET]),
        })
        .boxed()
}

fn explain(slug: &str) -> Option<String> {
    let Entry(slug, status, title, meaning) =
        Kind::ALL.map(Kind::entry).into_iter().find(|entry| entry.0 == slug)?;
    let mut text = String::new();
    let _ = writeln!(text, "{title}\n\n{meaning}\n\ntype: /problems/{slug}\nstatus: {status}");
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_kind_has_a_type_of_its_own_that_the_hub_explains() {
        let types: BTreeSet<_> = Kind::ALL.map(|kind| kind.entry().0).into();
        assert_eq!(types.len(), Kind::ALL.len());
        for slug in types {
            assert!(explain(slug).unwrap().contains(slug));
        }
        assert_eq!(explain("nonsense"), None);
    }

    #[test]
    fn every_failure_of_a_call_on_a_device_has_its_status() {
        let name: capteur_protocol::Name = "capteur01".parse().unwrap();
        let key = crate::model::DeviceKey::Name("x".into());
        for (error, status) in [
            (DeviceError::Unknown(key), 404),
            (DeviceError::NameTaken(name.clone()), 409),
            (DeviceError::Online(name.clone()), 409),
            (DeviceError::NotOnline(name), 409),
            (DeviceError::Busy, 503),
            (DeviceError::Unavailable("stopping".into()), 503),
        ] {
            let response = Problem::from(error).into_response();
            assert_eq!(response.status(), status);
            let retry = response.headers().contains_key(header::RETRY_AFTER);
            assert_eq!(retry, status == 503, "only a passing problem says when to try again");
        }
    }

    #[test]
    fn a_field_is_named_by_a_json_pointer() {
        let problem = Problem::field(Kind::BadRequest, "a/b~c", "is unknown");
        assert_eq!(problem.errors[0].pointer.as_deref(), Some("#/a~1b~0c"));
    }
}
