//! Every error that the API answers: `application/problem+json` (RFC 9457).
//!
//! The `type` of a problem is a path on the hub itself, which explains it to people: the hub works
//! without the internet, and so does its documentation.

mod kind;

pub(super) use kind::Kind;

use super::{Api, reply, request};
use crate::{model::Command, registry::DeviceError, store::StoreError};
use serde::Serialize;
use std::{convert::Infallible, fmt::Write as _, sync::Arc, time::Duration};
use utoipa::ToSchema;
use warp::{
    Filter, Rejection, Reply,
    filters::BoxedFilter,
    http::{HeaderName, HeaderValue, Method, header},
    reply::Response,
};

/// An error on its way to the caller.
#[derive(Debug)]
pub(super) struct Problem {
    kind: &'static Kind,
    detail: String,
    errors: Vec<Fault>,
    command: Option<Box<Command>>,
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
    pub(super) fn new(kind: &'static Kind, detail: impl Into<String>) -> Self {
        let (detail, errors, headers) = (detail.into(), Vec::new(), Vec::new());
        Self { kind, detail, errors, command: None, headers }
    }

    /// A field of the body is at fault.
    pub(super) fn field(kind: &'static Kind, name: &str, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        let pointer = format!("#/{}", name.replace('~', "~0").replace('/', "~1"));
        let mut problem = Self::new(kind, format!("field `{name}`: {detail}"));
        problem.errors.push(Fault { pointer: Some(pointer), parameter: None, detail });
        problem
    }

    /// A parameter of the query is at fault.
    pub(super) fn parameter(kind: &'static Kind, name: &str, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        let mut problem = Self::new(kind, format!("parameter `{name}`: {detail}"));
        problem.errors.push(Fault { pointer: None, parameter: Some(name.to_owned()), detail });
        problem
    }

    /// Shows what became of a command.
    #[must_use]
    pub(super) fn with_command(mut self, command: Command) -> Self {
        self.command = Some(Box::new(command));
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
    pub(super) fn kind(&self) -> &'static Kind {
        self.kind
    }
}

impl Reply for Problem {
    fn into_response(self) -> Response {
        let Kind { slug, status, title, .. } = *self.kind;
        let mut response = reply::json(
            status,
            &Document {
                r#type: format!("/problems/{slug}"),
                title,
                status: status.as_u16(),
                detail: &self.detail,
                errors: &self.errors,
                command: self.command.as_deref(),
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
            DeviceError::Unknown(_) => Self::new(Kind::UNKNOWN_DEVICE, detail),
            DeviceError::NameTaken(_) => Self::field(Kind::NAME_TAKEN, "name", detail),
            DeviceError::MacTaken { .. } => Self::new(Kind::MAC_TAKEN, detail),
            DeviceError::FormerNameTaken { .. } => Self::new(Kind::NAME_TAKEN, detail),
            DeviceError::SameBoard { .. } => Self::field(Kind::SAME_BOARD, "mac", detail),
            DeviceError::Replaced(_) => Self::new(Kind::BOARD_REPLACED, detail),
            DeviceError::NotReplaced(_) => Self::new(Kind::NOT_REPLACED, detail),
            DeviceError::Online(_) => Self::new(Kind::DEVICE_ONLINE, detail),
            DeviceError::NotOnline(_) => Self::new(Kind::DEVICE_OFFLINE, detail),
            DeviceError::Busy => Self::new(Kind::BUSY, detail).retry_after(soon),
            DeviceError::Unavailable(_) => Self::new(Kind::UNAVAILABLE, detail).retry_after(soon),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        if matches!(error, StoreError::BackupRunning) {
            return Self::new(Kind::BACKUP_RUNNING, error.to_string())
                .retry_after(Duration::from_mins(1));
        }
        tracing::error!(%error, "the store can't be read");
        Self::new(Kind::UNAVAILABLE, "the store can't be read now")
            .retry_after(Duration::from_secs(1))
    }
}

/// Answers what no handler took: an unknown path, or a request that a filter refused.
pub(super) async fn recover(rejection: Rejection) -> Result<Response, Infallible> {
    let problem = if let Some(refused) = rejection.find::<super::guard::Refused>() {
        refused.problem()
    } else if rejection.is_not_found() {
        Problem::new(Kind::NOT_FOUND, "no resource has this path; see /api/v1/openapi.json")
    } else if rejection.find::<warp::reject::InvalidHeader>().is_some() {
        Problem::new(Kind::BAD_REQUEST, "a header can't be read")
    } else {
        tracing::error!(?rejection, "a request was rejected for no known reason");
        Problem::new(Kind::INTERNAL, "the hub's log says more")
    };
    Ok(problem.into_response())
}

/// `GET /problems/{slug}`: what a kind of problem means.
pub(super) fn routes(api: &Arc<Api>) -> BoxedFilter<(Response,)> {
    warp::path!("problems" / String)
        .and(request::filter(api))
        .map(|slug: String, request: request::Request| match request.method {
            Method::GET | Method::HEAD => explain(&slug)
                .ok_or_else(|| Problem::new(Kind::NOT_FOUND, "no kind of problem has this name"))
                .into_response(),
            _ => request.only(&[Method::GET]),
        })
        .boxed()
}

fn explain(slug: &str) -> Option<String> {
    let kind = Kind::ALL.iter().find(|kind| kind.slug == slug)?;
    let Kind { status, title, meaning, .. } = kind;
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
        let types: BTreeSet<_> = Kind::ALL.iter().map(|kind| kind.slug).collect();
        assert_eq!(types.len(), Kind::ALL.len());
        for slug in types {
            assert!(explain(slug).unwrap().contains(slug));
        }
        assert_eq!(explain("nonsense"), None);
    }

    #[test]
    fn every_failure_of_a_call_on_a_device_has_its_status() {
        let name: capteur_protocol::Name = "capteur01".parse().unwrap();
        let mac = capteur_protocol::Mac([1, 2, 3, 4, 5, 6]);
        let key = crate::model::DeviceKey::Name("x".into());
        for (error, status) in [
            (DeviceError::Unknown(key), 404),
            (DeviceError::NameTaken(name.clone()), 409),
            (DeviceError::MacTaken { mac, holder: name.clone() }, 409),
            (DeviceError::FormerNameTaken { name: name.clone(), mac }, 409),
            (DeviceError::SameBoard { name: name.clone(), mac }, 409),
            (DeviceError::Replaced(name.clone()), 409),
            (DeviceError::NotReplaced(name.clone()), 404),
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
        let problem = Problem::field(Kind::BAD_REQUEST, "a/b~c", "is unknown");
        assert_eq!(problem.errors[0].pointer.as_deref(), Some("#/a~1b~0c"));
    }
}
