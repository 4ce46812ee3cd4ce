//! `/api/v1/devices/{device}/readings/{channel}`: what a channel reported.

use super::{
    Api, paging,
    paging::Next,
    problem::{self, Kind, Problem},
    query::{Query, TimeParameter},
    reply,
    request::{self, DeviceSegment, Request},
};
use crate::model::{Channel, Device, DeviceKey, Timestamp, channel::ChannelError};
use capteur_protocol::Mac;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Serialize, Serializer};
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
    /// `raw`: every reading by itself.
    resolution: Resolution,
    /// Pairs of milliseconds since the Unix epoch and the value: a boolean for the switches, percent for the light.
    #[schema(value_type = Vec<Value>, example = json!([[1_763_800_000_000_u64, 58]]))]
    points: Vec<Point>,
}

/// One reading.
struct Point {
    channel: Channel,
    at: Timestamp,
    value: u8,
}

impl Serialize for Point {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.at.millis(), self.channel.json(self.value)).serialize(serializer)
    }
}

/// How readings are summed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub(super) enum Resolution {
    /// Every reading by itself.
    #[serde(rename = "raw")]
    Raw,
}

/// What a caller may ask for as a resolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Wanted {
    Raw,
    #[serde(rename = "1m")]
    Minute,
    #[serde(rename = "1h")]
    Hour,
    #[default]
    Auto,
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

impl FromStr for Wanted {
    type Err = ChoiceError;

    fn from_str(text: &str) -> Result<Self, ChoiceError> {
        match text {
            "raw" => Ok(Self::Raw),
            "1m" => Ok(Self::Minute),
            "1h" => Ok(Self::Hour),
            "auto" => Ok(Self::Auto),
            _ => Err(ChoiceError { given: text.to_owned(), known: "raw, 1m, 1h, auto" }),
        }
    }
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
        match resolution {
            Wanted::Raw | Wanted::Auto => Ok(Self { from, to, limit, skip, format }),
            Wanted::Minute | Wanted::Hour => Err(Problem::parameter(
                Kind::RESOLUTION_UNAVAILABLE,
                "resolution",
                "only raw readings are kept: ask for raw or auto",
            )),
        }
    }

    /// The query of the next page.
    fn next(&self, next: Next) -> String {
        let mut query = format!("from={}", next.at.millis());
        // Writing to a string can't fail.
        if self.to != Timestamp::MAX {
            let _ = write!(query, "&to={}", self.to.millis());
        }
        let _ = write!(query, "&limit={}&skip={}", self.limit, next.skip);
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
        ("resolution" = inline(Option<Wanted>), Query, description = "`raw`, or `auto` (the default), which is `raw` in this version; `1m` and `1h` are not available yet (501)"),
        ("limit" = Option<u32>, Query, description = "The most readings to answer, 1,000 where it is not given", minimum = 1, maximum = 100_000),
        ("skip" = Option<u32>, Query, description = "How many readings at the front are already known; part of the link to the next page", minimum = 0, maximum = 100_000),
        ("format" = inline(Option<Format>), Query, description = "`json` (the default), or `csv` (RFC 4180, with the header `time,value`)"),
    ),
    responses(
        (status = 200, description = "The readings", content((Readings = "application/json"), (String = "text/csv")),
            headers(("Link" = String, description = "The next page, with `rel=\"next\"`, where there is one (RFC 8288)"))),
        (status = 400, description = "A parameter is wrong or unknown", body = problem::Document, content_type = "application/problem+json"),
        (status = 404, description = "No such device or channel", body = problem::Document, content_type = "application/problem+json"),
        (status = 501, description = "The resolution is not available yet", body = problem::Document, content_type = "application/problem+json"),
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
    let Selection { from, to, limit, skip, .. } = selection;
    let wanted = paging::wanted(skip, limit);
    let fetched = context.store.readings(id, channel, from, to, wanted).await?;
    let (points, next) = paging::cut(fetched, skip, limit, |(at, _)| *at);
    let points = points.into_iter().map(|(at, value)| Point { channel, at, value }).collect();
    let mut response = match selection.format {
        Format::Json => {
            let resolution = Resolution::Raw;
            let readings = Readings { device: device.mac, channel, resolution, points };
            reply::json(StatusCode::OK, &readings)
        }
        Format::Csv => as_csv(&device, channel, &points),
    };
    if let Some(next) = next {
        let path = format!("/api/v1/devices/{}/readings/{channel}", device.mac);
        let link = format!("<{path}?{}>; rel=\"next\"", selection.next(next));
        if let Ok(link) = HeaderValue::from_str(&link) {
            response.headers_mut().insert(header::LINK, link);
        }
    }
    Ok(response)
}

/// RFC 4180: a header line, and CRLF behind every line. No value needs quotes.
fn as_csv(device: &Device, channel: Channel, points: &[Point]) -> Response {
    let mut text = String::with_capacity(12 + points.len() * 31);
    text.push_str("time,value\r\n");
    for point in points {
        let _ = write!(text, "{},{}\r\n", point.at, point.channel.json(point.value));
    }
    let mut response = reply::typed("text/csv; charset=utf-8; header=present", text);
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
        let all = Selection { from, to, limit: 1000, skip: 0, format: Format::Json };
        assert_eq!(selection, all);
        assert_eq!(Selection::parse("resolution=auto").unwrap(), all);
        assert_eq!(Selection::parse("resolution=raw&format=json&limit=1000").unwrap(), all);
    }

    #[test]
    fn wrong_parameters_are_refused() {
        for (query, kind) in [
            ("resolution=1m", Kind::RESOLUTION_UNAVAILABLE),
            ("resolution=1h", Kind::RESOLUTION_UNAVAILABLE),
            ("resolution=1d", Kind::BAD_REQUEST),
            ("format=xml", Kind::BAD_REQUEST),
            ("limit=0", Kind::BAD_REQUEST),
            ("limit=100001", Kind::BAD_REQUEST),
            ("from=2&to=1", Kind::BAD_REQUEST),
            ("form=2", Kind::BAD_REQUEST),
        ] {
            assert_eq!(Selection::parse(query).unwrap_err().kind(), kind, "{query}");
        }
    }

    #[test]
    fn the_link_to_the_next_page_selects_the_rest() {
        let next = Next { at: Timestamp::from_millis(7), skip: 2 };
        for query in ["from=1&to=9&limit=5", "limit=5&format=csv", "to=2025-11-22T08:26:40Z"] {
            let selection = Selection::parse(query).unwrap();
            let rest = Selection::parse(&selection.next(next)).unwrap();
            assert_eq!(rest, Selection { from: next.at, skip: 2, ..selection });
        }
    }

    fn points(channel: Channel, values: &[u8]) -> Vec<Point> {
        let at = |index: i64| Timestamp::from_millis(1_763_800_000_000 + 1000 * index);
        (0..).zip(values).map(|(index, &value)| Point { channel, at: at(index), value }).collect()
    }

    #[test]
    fn points_are_pairs_of_time_and_value() {
        let light = points(Channel::Photoresistor, &[58, 59]);
        let json = serde_json::to_string(&light).unwrap();
        assert_eq!(json, "[[1763800000000,58],[1763800001000,59]]");
        let led = serde_json::to_string(&points(Channel::Led, &[1])).unwrap();
        assert_eq!(led, "[[1763800000000,true]]");
    }

    #[tokio::test]
    async fn csv_has_a_header_and_crlf_line_ends() {
        let device = Device {
            mac: Mac([1, 2, 3, 4, 5, 6]),
            name: "Salle \"été\"".parse().unwrap(),
            state: DeviceState::Online,
            first_seen: Timestamp::from_millis(0),
            last_seen: Timestamp::from_millis(0),
            joined_at: None,
            left_at: None,
            channels: Channels::default(),
            replaced: None,
        };
        let channel = Channel::Photoresistor;
        let response = as_csv(&device, channel, &points(channel, &[0, 100]));
        assert_eq!(
            response.headers()[header::CONTENT_DISPOSITION],
            "attachment; filename*=UTF-8''Salle%20%22%C3%A9t%C3%A9%22-photoresistor.csv"
        );
        let text = super::super::tests::text(response).await;
        assert_eq!(
            text,
            "time,value\r\n2025-11-22T08:26:40.000Z,0\r\n2025-11-22T08:26:41.000Z,100\r\n"
        );
    }
}
