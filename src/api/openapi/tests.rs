//! The description against what is really answered.

use super::{DOCUMENT, description::Description};
use crate::{
    api::problem,
    model::{
        self, Channel, Command, CommandId, CommandState, Device, DeviceState, LogEntry, LogKind,
        ReplacedBoard, Storage, Timestamp,
        storage::{LastBackup, NotRecording, Recovered},
    },
};
use capteur_protocol::Mac;
use serde::Serialize;
use serde_json::Value;
use utoipa::OpenApi as _;
use warp::Reply as _;

/// Where the description is kept, and what has it written there anew.
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/api/openapi/openapi.json");
const WRITE: &str = "CAPTEUR_WRITE_OPENAPI";

fn document() -> Value {
    serde_json::from_str(DOCUMENT).unwrap()
}

#[test]
fn the_description_that_is_kept_is_that_of_the_handlers() {
    let made = Description::openapi().to_pretty_json().unwrap() + "\n";
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(FILE, &made).unwrap();
        return;
    }
    let differs = made.lines().zip(DOCUMENT.lines()).find(|(made, kept)| made != kept);
    assert!(
        made == DOCUMENT,
        "the API has changed: `{WRITE}=1 cargo test --lib openapi` writes {FILE} anew; first: {differs:?}"
    );
}

/// Checks a value against a schema as far as our schemas go, and, beyond JSON Schema, that the
/// schema names every field of the value.
fn check(document: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    let refused = |why: &str| Err(format!("{value} {why}: {schema}"));
    let fields = schema.as_object().ok_or("a schema is an object")?;
    for (keyword, rule) in fields {
        match (keyword.as_str(), rule) {
            ("$ref", Value::String(pointer)) => {
                let target = document.pointer(pointer.trim_start_matches('#'));
                check(document, target.ok_or(format!("{pointer} leads nowhere"))?, value)?;
            }
            ("type", rule) => {
                let is = |name: &Value| match name.as_str() {
                    Some("null") => value.is_null(),
                    Some("boolean") => value.is_boolean(),
                    Some("integer") => value.is_i64() || value.is_u64(),
                    Some("number") => value.is_number(),
                    Some("string") => value.is_string(),
                    Some("array") => value.is_array(),
                    Some("object") => value.is_object(),
                    _ => false,
                };
                if !rule.as_array().map_or_else(|| is(rule), |names| names.iter().any(is)) {
                    return refused("has another type");
                }
            }
            ("enum", Value::Array(values)) if !values.contains(value) => {
                return refused("is none of the values");
            }
            ("required", Value::Array(names)) if value.is_object() => {
                for name in names {
                    if value.get(name.as_str().unwrap()).is_none() {
                        return refused(&format!("lacks {name}"));
                    }
                }
            }
            ("properties", Value::Object(properties)) if value.is_object() => {
                for (name, field) in value.as_object().unwrap() {
                    if let Some(schema) = properties.get(name) {
                        check(document, schema, field).map_err(|why| format!("{name}: {why}"))?;
                    }
                }
            }
            ("items", schema) if value.is_array() => {
                for item in value.as_array().unwrap() {
                    check(document, schema, item)?;
                }
            }
            ("oneOf", Value::Array(schemas)) => {
                let fits =
                    schemas.iter().filter(|schema| check(document, schema, value).is_ok()).count();
                if fits != 1 {
                    return refused(&format!("fits {fits} of the choices"));
                }
            }
            ("allOf", Value::Array(schemas)) => {
                for schema in schemas {
                    check(document, schema, value)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Every property that a schema names for this value, on its top level.
fn named(document: &Value, schema: &Value, value: &Value, names: &mut Vec<String>) {
    if let Some(pointer) = schema["$ref"].as_str() {
        let target = document.pointer(pointer.trim_start_matches('#')).unwrap();
        return named(document, target, value, names);
    }
    if let Some(properties) = schema["properties"].as_object() {
        names.extend(properties.keys().cloned());
    }
    for schema in ["allOf", "oneOf"].iter().filter_map(|key| schema[key].as_array()).flatten() {
        if check(document, schema, value).is_ok() {
            named(document, schema, value, names);
        }
    }
}

/// A real value fits the schema of that name, and the schema names all that the value has.
fn assert_described(name: &str, value: &impl Serialize) {
    let document = document();
    let schema = &document["components"]["schemas"][name];
    assert!(schema.is_object(), "there is no schema {name}");
    let value = serde_json::to_value(value).unwrap();
    check(&document, schema, &value).unwrap();
    let mut names = Vec::new();
    named(&document, schema, &value, &mut names);
    for field in value.as_object().unwrap().keys() {
        assert!(names.contains(field), "{name} has {field}, which its schema does not name");
    }
}

fn device(seen: bool) -> Device {
    let at = Timestamp::from_millis(1_763_800_000_000);
    let mut channels = model::Channels::default();
    if seen {
        for channel in Channel::ALL {
            channels.update(channel, 1, at);
        }
    }
    Device {
        mac: Mac([1, 2, 3, 4, 5, 6]),
        name: "capteur01".parse().unwrap(),
        state: if seen { DeviceState::Online } else { DeviceState::Joining },
        first_seen: at,
        last_seen: at,
        joined_at: seen.then_some(at),
        left_at: None,
        channels,
        info: seen.then(|| {
            Box::new(model::Info {
                firmware: Some("0.1.0".into()),
                rssi: Some(-61),
                uptime_s: Some(300),
                ..model::Info::default()
            })
        }),
        replaced: seen.then_some(ReplacedBoard { mac: Mac([6, 5, 4, 3, 2, 1]), at }),
    }
}

fn command(state: CommandState) -> Command {
    let at = Timestamp::from_millis(1_763_800_000_000);
    Command {
        id: CommandId { boot: 1, number: 42 },
        device: Mac([1, 2, 3, 4, 5, 6]),
        channel: Channel::Led,
        value: true,
        state,
        issued_at: at,
        confirmed_at: (state == CommandState::Confirmed).then_some(at),
        issued_by: "anonymous@192.0.2.1".into(),
    }
}

#[test]
fn every_call_of_the_api_is_described() {
    let document = document();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    for (path, methods) in [
        ("/api/v1/devices", &["get"][..]),
        ("/api/v1/devices/{device}", &["get", "patch", "delete"]),
        ("/api/v1/devices/{device}/replace", &["post", "delete"]),
        ("/api/v1/devices/{device}/led", &["put"]),
        ("/api/v1/commands/{id}", &["get"]),
        ("/api/v1/devices/{device}/readings/{channel}", &["get"]),
        ("/api/v1/devices/{device}/log", &["get"]),
        ("/api/v1/export", &["get"]),
        ("/api/v1/backup", &["get"]),
        ("/api/v1/events", &["get"]),
        ("/api/v1/health", &["get"]),
        ("/api/v1/openapi.json", &["get"]),
        ("/metrics", &["get"]),
    ] {
        for method in methods {
            let operation = &document["paths"][path][method];
            assert!(operation["responses"].is_object(), "{method} {path} is missing");
            assert!(operation["summary"].is_string(), "{method} {path} says nothing");
        }
    }
}

#[test]
fn operations_have_names_of_their_own() {
    let document = document();
    let mut names: Vec<_> = document["paths"]
        .as_object()
        .unwrap()
        .values()
        .flat_map(|item| item.as_object().unwrap().values())
        .filter_map(|operation| operation["operationId"].as_str())
        .collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!((names.len(), all), (16, 16));
}

#[test]
fn every_reference_leads_somewhere() {
    fn walk(document: &Value, value: &Value) {
        match value {
            Value::Object(fields) => {
                if let Some(Value::String(pointer)) = fields.get("$ref") {
                    let target = document.pointer(pointer.trim_start_matches('#'));
                    assert!(target.is_some(), "{pointer} leads nowhere");
                }
                fields.values().for_each(|field| walk(document, field));
            }
            Value::Array(items) => items.iter().for_each(|item| walk(document, item)),
            _ => {}
        }
    }
    let document = document();
    walk(&document, &document);
}

#[test]
fn devices_are_as_described() {
    assert_described("Device", &device(true));
    assert_described("Device", &device(false));
    let shown = serde_json::to_value(device(true)).unwrap();
    assert_described("Channels", &shown["channels"]);
    assert_described("SwitchState", &shown["channels"]["led"]);
    assert_described("LightState", &shown["channels"]["photoresistor"]);
}

#[test]
fn commands_are_as_described() {
    for state in [
        CommandState::Sent,
        CommandState::Confirmed,
        CommandState::TimedOut,
        CommandState::Superseded,
    ] {
        assert_described("Command", &command(state));
    }
}

#[test]
fn log_entries_are_as_described() {
    for kind in [
        LogKind::Discovered,
        LogKind::Joined,
        LogKind::Left,
        LogKind::Renamed {
            from: "capteur01".parse().unwrap(),
            to: "LeBron".parse().unwrap(),
            by: "anonymous".into(),
        },
        LogKind::WishRefused { name: "kitchen".parse().unwrap() },
        LogKind::Replaced {
            from: Mac([1, 2, 3, 4, 5, 6]),
            to: Mac([6, 5, 4, 3, 2, 1]),
            by: "anonymous".into(),
        },
        LogKind::ReplacementUndone {
            from: Mac([6, 5, 4, 3, 2, 1]),
            to: Mac([1, 2, 3, 4, 5, 6]),
            by: "anonymous".into(),
        },
        LogKind::Command {
            id: "1-42".into(),
            channel: Channel::Led,
            value: true,
            outcome: CommandState::TimedOut,
            by: "anonymous".into(),
        },
    ] {
        assert_described("LogEntry", &LogEntry { at: Timestamp::from_millis(0), kind });
    }
}

#[test]
fn storage_is_as_described() {
    let at = Timestamp::from_millis(0);
    let recovered = Recovered {
        at,
        set_aside: "damaged-20261122T140527Z".into(),
        backup: None,
        devices: 1,
        readings: 2,
        log_lines: 3,
        newest_reading: Some(at),
        lost_devices: 0,
        lost_readings: 0,
        lost_commits: 0,
        lost_between: Some([at, at]),
    };
    let storage = Storage {
        reason: Some(NotRecording::DiskFull),
        free_bytes: Some(5),
        last_backup: Some(LastBackup { at: Some(at), bytes: 1, error: None }),
        recovered: Some(recovered.clone()),
        ..Storage::default()
    };
    assert_described("Storage", &storage);
    assert_described("Storage", &Storage::default());
    assert_described("Recovered", &recovered);
    assert_described("UsedBytes", &storage.used_bytes);
    assert_described("LastBackup", &storage.last_backup);
}

#[tokio::test]
async fn problems_are_as_described() {
    use problem::{Kind, Problem};
    for problem in [
        Problem::new(Kind::NOT_FOUND, "x"),
        Problem::field(Kind::BAD_REQUEST, "on", "is missing"),
        Problem::parameter(Kind::BAD_REQUEST, "limit", "is unknown"),
        Problem::new(Kind::NOT_CONFIRMED, "x").with_command(command(CommandState::TimedOut)),
    ] {
        let text = crate::api::tests::text(problem.into_response()).await;
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_described("Problem", &value);
        for fault in value["errors"].as_array().into_iter().flatten() {
            assert_described("Fault", fault);
        }
    }
}

#[test]
fn the_checker_refuses_what_does_not_fit() {
    let document = document();
    let schema = &document["components"]["schemas"]["Device"];
    for (field, value) in [
        ("state", "asleep".into()),
        ("mac", 5.into()),
        ("first_seen", Value::Null),
        ("channels", serde_json::json!({"led": {"value": 1}})),
    ] {
        let mut shown = serde_json::to_value(device(true)).unwrap();
        shown[field] = value;
        assert!(check(&document, schema, &shown).is_err(), "{field}");
    }
}
