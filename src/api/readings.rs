//! `/api/v1/devices/{device}/readings/{channel}`: what a channel reported.
//!
//! # Layout
//!
//! - `resolution`: how readings are summed up, and which resolution is the best for a span of time
//! - `point`: readings and buckets as they are answered

mod point;
mod resolution;

use self::{
    point::{Of, Points},
    resolution::{Resolution, Wanted},
};
use super::{
    Api, Context,
    paging::{self, Next},
    problem::{self, Kind, Problem},
    query::{Query, TimeParameter},
    reply,
    request::{self, DeviceSegment, Request},
};
use crate::{
    model::{Channel, Device, DeviceId, DeviceKey, Timestamp, channel::ChannelError},
    store::StoreError,
};
use capteur_protocol::Mac;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use std::{fmt::Write as _, str::FromStr, sync::Arc};
use utoipa::ToSchema;
use warp::{
    Filter, Reply,
    filters::BoxedFilter,
    http::{HeaderValue, Method, StatusCode, header},
    reply::Response,
};

/// How many readings are answered at once, at most, and where the caller doesn't say.
const LIMIT_MAX: usize = 100_000;
const LIMIT_DEFAULT: usize = 1000;

/// Readings of one channel, oldest first.
#[derive(Serialize, ToSchema)]
pub(super) struct Readings {
    /// The device's MAC address.
    #[schema(value_type = String, example = "61:EC:ED:3B:25:B1")]
    device: Mac,
    /// The channel.
    channel: Channel,
    /// What the points are: every reading, or a minute or an hour of them.
    resolution: Resolution,
    /// `raw`: pairs of milliseconds since the Unix epoch and the value, a boolean for the switches, percent for the light. `1m` and `1h`: `[start, min, mean, max, count]`, where the start is in milliseconds since the Unix epoch, and the values of the switches are 0 and 1, so that the mean is how much of the readings said "on".
    #[schema(value_type = Vec<Vec<Value>>, example = json!([[1_763_800_000_000_u64, 58]]))]
    points: Of,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Format {
    #[default]
    Json,
    Csv,
}

#[derive(Debug, thiserror::Error)]
#[error("{given:?} is none of {known}")]
struct ChoiceError {
    given: String,
    known: &'static str,
}

impl FromStr for Format {
    type Err = ChoiceError;

    fn from_str(text: &str) -> Result<Self, ChoiceError> {
        match text {
            "json" => Ok(Self::Json),
            "csv" => Ok(Self::Csv),
            _ => Err(ChoiceError { given: text.to_owned(), known: "json, csv" }),
        }
    }
}

/// What a caller asks for.
#[derive(Debug, PartialEq, Eq)]
struct Selection {
    from: Timestamp,
    to: Timestamp,
    limit: usize,
    skip: usize,
    format: Format,
    resolution: Wanted,
}

impl Selection {
    fn parse(query: &str) -> Result<Self, Problem> {
        let mut query = Query::parse(query)?;
        let from = query.take::<TimeParameter>("from")?.map_or(Timestamp::MIN, |time| time.0);
        let to = query.take::<TimeParameter>("to")?.map_or(Timestamp::MAX, |time| time.0);
        let limit = query.take_number("limit", 1..=LIMIT_MAX)?.unwrap_or(LIMIT_DEFAULT);
        let skip = query.take_number("skip", 0..=LIMIT_MAX)?.unwrap_or(0);
        let format = query.take("format")?.unwrap_or_default();
        let resolution: Wanted = query.take("resolution")?.unwrap_or_default();
        query.finish()?;
        if from > to {
            return Err(Problem::parameter(Kind::BAD_REQUEST, "from", "is later than `to`"));
        }
        Ok(Self { from, to, limit, skip, format, resolution })
    }

    /// The query of the next page.
    fn next(&self, resolution: Resolution, next: Next) -> String {
        let mut query = format!("from={}", next.at.millis());
        // Writing to a string can't fail.
        if self.to != Timestamp::MAX {
            let _ = write!(query, "&to={}", self.to.millis());
        }
        let _ = write!(query, "&limit={}&skip={}", self.limit, next.skip);
        if resolution != Resolution::Raw {
            let _ = write!(query, "&resolution={}", resolution.as_str());
        }
        if self.format == Format::Csv {
            query.push_str("&format=csv");
        }
        query
    }
}

pub(super) fn routes(api: &Arc<Api>) -> BoxedFilter<(Response,)> {
    warp::path!("api" / "v1" / "devices" / DeviceSegment / "readings" / String)
        .and(request::filter(api))
        .then(async |DeviceSegment(key): DeviceSegment, channel: String, request: Request| {
            match request.method {
                Method::GET | Method::HEAD => show(&key, &channel, &request).await.into_response(),
                _ => request.only(&[Method::GET]),
            }
        })
        .boxed()
}

/// Shows readings of one channel, oldest first.
#[utoipa::path(get, path = "/api/v1/devices/{device}/readings/{channel}", operation_id = "showReadings", tag = "readings",
    params(
        ("device" = String, Path, description = "A name, in any case, or a MAC address"),
        ("channel" = Channel, Path, description = "The channel"),
        ("from" = Option<String>, Query, description = "The earliest time: RFC 3339, or milliseconds since the Unix epoch"),
        ("to" = Option<String>, Query, description = "The time before which readings end, in the same spellings"),
        ("resolution" = inline(Option<Wanted>), Query, description = "`raw` (the default): every reading; `1m`, `1h`: summed up by the minute or the hour, also of the minute or hour that `from` is in; `auto`: the finest of them that has all there is in the span and needs at most `limit` points, else the coarsest"),
        ("limit" = Option<u32>, Query, description = "The most points to answer, 1,000 where it is not given", minimum = 1, maximum = 100_000),
        ("skip" = Option<u32>, Query, description = "How many points at the front are already known; part of the link to the next page", minimum = 0, maximum = 100_000),
        ("format" = inline(Option<Format>), Query, description = "`json` (the default), or `csv` (RFC 4180, with the header `time,value`, or `time,min,mean,max,count` for what is summed up)"),
    ),
    responses(
        (status = 200, description = "The readings", content((Readings = "application/json"), (String = "text/csv")),
            headers(("Link" = String, description = "The next page, with `rel=\"next\"`, where there is one (RFC 8288)"))),
        (status = 400, description = "A parameter is wrong or unknown", body = problem::Document, content_type = "application/problem+json"),
        (status = 404, description = "No such device or channel", body = problem::Document, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn show(
    key: &DeviceKey,
    channel: &str,
    request: &Request,
) -> Result<Response, Problem> {
    let channel: Channel = channel
        .parse()
        .map_err(|error: ChannelError| Problem::new(Kind::UNKNOWN_CHANNEL, error.to_string()))?;
    let selection = Selection::parse(&request.query)?;
    let context = request.context();
    let device = context.registry.device(key)?;
    let id = context.registry.device_id(key)?;
    let (resolution, page) = fetch(context, id, channel, &selection).await?;
    let (points, next) = page;
    let points = Of { channel, points };
    let mut response = match selection.format {
        Format::Json => {
            let readings = Readings { device: device.mac, channel, resolution, points };
            reply::json(StatusCode::OK, &readings)
        }
        Format::Csv => as_csv(&device, &points),
    };
    if let Some(next) = next {
        let path = format!("/api/v1/devices/{}/readings/{channel}", device.mac);
        let link = format!("<{path}?{}>; rel=\"next\"", selection.next(resolution, next));
        if let Ok(link) = HeaderValue::from_str(&link) {
            response.headers_mut().insert(header::LINK, link);
        }
    }
    Ok(response)
}

/// A page of points, and where the next begins.
type Page = (Points, Option<Next>);

/// What the selection asks for.
async fn fetch(
    context: &Context,
    device: DeviceId,
    channel: Channel,
    selection: &Selection,
) -> Result<(Resolution, Page), StoreError> {
    if let Some(resolution) = selection.resolution.fixed() {
        return Ok((resolution, page(context, device, channel, resolution, selection).await?));
    }
    let coverage = context.store.coverage(device, channel).await?;
    let earliest = [coverage.raw, coverage.minute, coverage.hour];
    let complete = resolution::complete(earliest, selection.from);
    let (coarsest, finer) = complete.split_last().unwrap_or((&Resolution::Raw, &[]));
    for &resolution in finer {
        // One that goes on in another page has too many points. The store stops there.
        let page = page(context, device, channel, resolution, selection).await?;
        if page.1.is_none() {
            return Ok((resolution, page));
        }
    }
    Ok((*coarsest, page(context, device, channel, *coarsest, selection).await?))
}

async fn page(
    context: &Context,
    device: DeviceId,
    channel: Channel,
    resolution: Resolution,
    selection: &Selection,
) -> Result<Page, StoreError> {
    let Selection { from, to, limit, skip, .. } = *selection;
    let wanted = paging::wanted(skip, limit);
    let store = &context.store;
    if let Some(width) = resolution.width() {
        let fetched = store.buckets(device, channel, width, from, to, wanted).await?;
        let (buckets, next) = paging::cut(fetched, skip, limit, |bucket| bucket.start);
        Ok((Points::Buckets(buckets), next))
    } else {
        let fetched = store.readings(device, channel, from, to, wanted).await?;
        let (readings, next) = paging::cut(fetched, skip, limit, |(at, _)| *at);
        Ok((Points::Raw(readings), next))
    }
}

fn as_csv(device: &Device, points: &Of) -> Response {
    let channel = points.channel;
    let mut response = reply::typed("text/csv; charset=utf-8; header=present", points.csv());
    let name = utf8_percent_encode(device.name.as_str(), NON_ALPHANUMERIC);
    // RFC 6266, section 4.3.
    let disposition = format!("attachment; filename*=UTF-8''{name}-{channel}.csv");
    if let Ok(disposition) = HeaderValue::from_str(&disposition) {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, disposition);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Channels, DeviceState};

    #[test]
    fn what_is_not_asked_for_has_a_default() {
        let selection = Selection::parse("").unwrap();
        let (from, to) = (Timestamp::MIN, Timestamp::MAX);
        let (format, resolution) = (Format::Json, Wanted::Raw);
        let all = Selection { from, to, limit: 1000, skip: 0, format, resolution };
        assert_eq!(selection, all);
        assert_eq!(Selection::parse("resolution=raw&format=json&limit=1000").unwrap(), all);
    }

    #[test]
    fn wrong_parameters_are_refused() {
        for query in
            ["resolution=1d", "format=xml", "limit=0", "limit=100001", "from=2&to=1", "form=2"]
        {
            let kind = Selection::parse(query).unwrap_err().kind();
            assert_eq!(kind, Kind::BAD_REQUEST, "{query}");
        }
    }

    #[test]
    fn the_link_to_the_next_page_selects_the_rest() {
        let next = Next { at: Timestamp::from_millis(7), skip: 2 };
        for query in ["from=1&to=9&limit=5", "limit=5&format=csv", "to=2025-11-22T08:26:40Z"] {
            for (resolution, wanted) in [
                (Resolution::Raw, Wanted::Raw),
                (Resolution::Minute, Wanted::Minute),
                (Resolution::Hour, Wanted::Hour),
            ] {
                let selection = Selection::parse(query).unwrap();
                let rest = Selection::parse(&selection.next(resolution, next)).unwrap();
                let expected =
                    Selection { from: next.at, skip: 2, resolution: wanted, ..selection };
                assert_eq!(rest, expected);
            }
        }
    }

    #[tokio::test]
    async fn csv_is_a_file_with_a_name() {
        let device = Device {
            mac: Mac([1, 2, 3, 4, 5, 6]),
            name: "Salle \"été\"".parse().unwrap(),
            state: DeviceState::Online,
            first_seen: Timestamp::from_millis(0),
            last_seen: Timestamp::from_millis(0),
            joined_at: None,
            left_at: None,
            channels: Channels::default(),
            info: None,
            replaced: None,
        };
        let channel = Channel::Photoresistor;
        let points = Points::Raw(vec![(Timestamp::from_millis(0), 7)]);
        let response = as_csv(&device, &Of { channel, points });
        assert_eq!(
            response.headers()[header::CONTENT_DISPOSITION],
            "attachment; filename*=UTF-8''Salle%20%22%C3%A9t%C3%A9%22-photoresistor.csv"
        );
        let text = super::super::tests::text(response).await;
        assert_eq!(text, "time,value\r\n1970-01-01T00:00:00.000Z,7\r\n");
    }
}
