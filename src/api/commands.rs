//! `/api/v1/commands/{id}`: what became of a command.

use super::{
    Api,
    problem::{self, Kind, Problem},
    query::Query,
    reply,
    request::{self, Request},
};
use crate::model::Command;
use std::sync::Arc;
use warp::{
    Filter, Reply,
    filters::BoxedFilter,
    http::{Method, StatusCode},
    reply::Response,
};

pub(super) fn routes(api: &Arc<Api>) -> BoxedFilter<(Response,)> {
    warp::path!("api" / "v1" / "commands" / String)
        .and(request::filter(api))
        .map(|id: String, request: Request| match request.method {
            Method::GET | Method::HEAD => show(&id, &request).into_response(),
            _ => request.only(&[Method::GET]),
        })
        .boxed()
}

/// Shows a command.
#[utoipa::path(get, path = "/api/v1/commands/{id}", operation_id = "showCommand", tag = "commands",
    params(("id" = String, Path, description = "The command's `id`", example = "1-42")),
    responses(
        (status = 200, description = "The command", body = Command),
        (status = 404, description = "No such command is remembered", body = problem::Document, content_type = "application/problem+json"),
    ),
)]
pub(super) fn show(id: &str, request: &Request) -> Result<Response, Problem> {
    Query::parse(&request.query)?.finish()?;
    let command = id.parse().ok().and_then(|id| request.context().registry.command(id));
    let command = command.ok_or_else(|| {
        Problem::new(Kind::UNKNOWN_COMMAND, format!("no command {id:?} is remembered"))
    })?;
    Ok(reply::json(StatusCode::OK, &command))
}
