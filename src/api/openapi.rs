//! `/api/v1/openapi.json`: the description of the API (OpenAPI 3.1).
//!
//! It is made from the handlers, by a test, and kept beside them: what makes it would be half a
//! megabyte of the program.

use super::{
    Api,
    problem::Problem,
    query::Query,
    reply,
    request::{self, Request},
};
use std::sync::Arc;
use warp::{Filter, Reply, filters::BoxedFilter, http::Method, reply::Response};

/// The description.
const DOCUMENT: &str = include_str!("openapi/openapi.json");

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
    Query::parse(&request.query)?.finish()?;
    Ok(reply::typed("application/json", DOCUMENT))
}

#[cfg(test)]
mod description;
#[cfg(test)]
mod tests;
