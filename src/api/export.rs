//! `/api/v1/export`: readings as a table, however many.

use super::{
    Api,
    problem::{self, Kind, Problem},
    query::{Query, TimeParameter},
    request::{self, Request},
};
use crate::{
    export::{Export, Format, Selection, Subject},
    model::{Channel, Device, DeviceKey, Timestamp},
    store::StoreError,
};
use bytes::Bytes;
use futures_util::{Stream, stream};
use std::{sync::Arc, time::Duration};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use utoipa::ToSchema;
use warp::{
    Filter, Reply,
    filters::BoxedFilter,
    http::{HeaderValue, Method, StatusCode, header},
    reply::Response,
};

/// The most exports at once: each holds some pages of text, and keeps a reader of the store busy.
pub(super) const EXPORTS_MAX: usize = 4;

/// A row of an export in JSON.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the schema of what the export prints")]
pub(super) struct ExportedReading {
    /// When the reading came.
    #[schema(value_type = String, format = DateTime)]
    time: String,
    /// The device's MAC address.
    #[schema(value_type = String, example = "61:EC:ED:3B:25:B1")]
    mac: String,
    /// The device's name now.
    name: String,
    channel: Channel,
    /// A boolean for the switches, percent for the light.
    #[schema(value_type = Value, example = 58)]
    value: u8,
}

pub(super) fn routes(api: &Arc<Api>) -> BoxedFilter<(Response,)> {
    warp::path!("api" / "v1" / "export")
        .and(request::filter(api))
        .map(|request: Request| match request.method {
            Method::GET | Method::HEAD => download(&request).into_response(),
            _ => request.only(&[Method::GET]),
        })
        .boxed()
}

/// Exports single readings as a table, however many.
///
/// The columns are `time`, `mac`, `name`, `channel` and `value`; the rows come by the devices'
/// names, then by channel, then by time. An export that can't be finished ends with the connection.
#[utoipa::path(get, path = "/api/v1/export", operation_id = "exportReadings", tag = "readings",
    params(
        ("from" = Option<String>, Query, description = "The earliest time: RFC 3339, or milliseconds since the Unix epoch"),
        ("to" = Option<String>, Query, description = "The time before which readings are, likewise"),
        ("channel" = Option<Channel>, Query, description = "The only channel; all three where it is not given"),
        ("device" = Option<String>, Query, description = "The only device, by its name, in any case, or its MAC address; all where it is not given"),
        ("format" = Option<String>, Query, description = "`csv` (the default; RFC 4180, with a header line), `json` (one array of objects) or `ndjson` (an object a line)"),
    ),
    responses(
        (status = 200, description = "The readings", content((String = "text/csv"), (Vec<ExportedReading> = "application/json"), (String = "application/x-ndjson"))),
        (status = 400, description = "A parameter is wrong or unknown", body = problem::Document, content_type = "application/problem+json"),
        (status = 404, description = "No device has that name or MAC address", body = problem::Document, content_type = "application/problem+json"),
        (status = 503, description = "Too many exports are under way", body = problem::Document, content_type = "application/problem+json"),
    ),
)]
pub(super) fn download(request: &Request) -> Result<Response, Problem> {
    let (selection, device) = parse(&request.query)?;
    let context = request.context();
    let devices = match device {
        Some(key) => vec![context.registry.device(&key)?],
        None => context.registry.snapshot().0,
    };
    // A device that was forgotten this instant has no readings.
    let subject = |Device { mac, name, .. }| {
        let id = context.registry.device_id(&DeviceKey::Mac(mac)).ok()?;
        Some(Subject { id, mac, name })
    };
    let subjects = devices.into_iter().filter_map(subject).collect();
    let mut response = if request.method == Method::HEAD {
        StatusCode::OK.into_response()
    } else {
        let Ok(permit) = Arc::clone(&request.api.exports).try_acquire_owned() else {
            let detail = format!("{EXPORTS_MAX} exports are under way, which is the most");
            return Err(
                Problem::new(Kind::TOO_MANY_EXPORTS, detail).retry_after(Duration::from_secs(5))
            );
        };
        let export = Export::new(context.store.clone(), subjects, selection);
        warp::reply::stream(pieces(export, permit)).into_response()
    };
    let headers = response.headers_mut();
    let media_type = HeaderValue::from_static(selection.format.media_type());
    headers.insert(header::CONTENT_TYPE, media_type);
    let name = format!("attachment; filename=\"capteur-readings.{}\"", selection.format);
    if let Ok(disposition) = HeaderValue::from_str(&name) {
        headers.insert(header::CONTENT_DISPOSITION, disposition);
    }
    Ok(response)
}

fn parse(query: &str) -> Result<(Selection, Option<DeviceKey>), Problem> {
    let mut query = Query::parse(query)?;
    let from = query.take::<TimeParameter>("from")?.map_or(Timestamp::MIN, |time| time.0);
    let to = query.take::<TimeParameter>("to")?.map_or(Timestamp::MAX, |time| time.0);
    let channel = query.take::<Channel>("channel")?;
    let format = query.take::<Format>("format")?.unwrap_or_default();
    let device = query.take::<DeviceKey>("device")?;
    query.finish()?;
    if from > to {
        return Err(Problem::parameter(Kind::BAD_REQUEST, "from", "is later than `to`"));
    }
    Ok((Selection { from, to, channel, format }, device))
}

/// The export, made by a task of its own that is never more than a piece ahead of the caller.
fn pieces(
    mut export: Export,
    permit: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Bytes, StoreError>> + Send + Sync {
    let (sender, pieces) = mpsc::channel(1);
    tokio::spawn(async move {
        while let Some(piece) = export.next().await {
            // The caller may have gone.
            if sender.send(piece).await.is_err() {
                break;
            }
        }
        drop(permit);
    });
    stream::unfold(pieces, async |mut pieces| pieces.recv().await.map(|piece| (piece, pieces)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_asked_for_has_a_default() {
        let (from, to) = (Timestamp::MIN, Timestamp::MAX);
        let all = Selection { from, to, channel: None, format: Format::Csv };
        assert_eq!(parse("").unwrap(), (all, None));
        let (some, device) =
            parse("from=1&to=2025-11-22T08:26:40Z&channel=led&format=ndjson&device=a%20b").unwrap();
        let (from, to) = (Timestamp::from_millis(1), Timestamp::from_millis(1_763_800_000_000));
        let channel = Some(Channel::Led);
        assert_eq!(some, Selection { from, to, channel, format: Format::Ndjson });
        assert_eq!(device, Some(DeviceKey::Name("a b".into())));
    }

    #[test]
    fn wrong_parameters_are_refused() {
        for query in ["from=2&to=1", "channel=sound", "format=xml", "limit=5", "from=yesterday"] {
            assert_eq!(parse(query).unwrap_err().kind(), Kind::BAD_REQUEST, "{query}");
        }
    }
}
