//! The kinds of problems.

use warp::http::StatusCode;

/// A kind of problem: what is the same each time that it comes up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::api) struct Kind {
    /// The last segment of its `type`.
    pub(super) slug: &'static str,
    pub(super) status: StatusCode,
    pub(super) title: &'static str,
    /// What it means, and what can be done.
    pub(super) meaning: &'static str,
}

impl Kind {
    /// All of them, by slug.
    pub(super) const ALL: &[&Self] = &[
        Self::BACKUP_RUNNING,
        Self::BAD_HOST,
        Self::BAD_REQUEST,
        Self::BOARD_REPLACED,
        Self::BUSY,
        Self::DEVICE_OFFLINE,
        Self::DEVICE_ONLINE,
        Self::FOREIGN_ORIGIN,
        Self::INTERNAL,
        Self::INVALID_MAC,
        Self::INVALID_NAME,
        Self::LOCAL_ONLY,
        Self::MAC_TAKEN,
        Self::METHOD_NOT_ALLOWED,
        Self::MISDIRECTED_REQUEST,
        Self::NAME_TAKEN,
        Self::NOT_CONFIRMED,
        Self::NOT_FOUND,
        Self::NOT_REPLACED,
        Self::PAYLOAD_TOO_LARGE,
        Self::REQUEST_TIMEOUT,
        Self::SAME_BOARD,
        Self::SUPERSEDED,
        Self::TOO_MANY_EXPORTS,
        Self::TOO_MANY_STREAMS,
        Self::UNAVAILABLE,
        Self::UNKNOWN_CHANNEL,
        Self::UNKNOWN_COMMAND,
        Self::UNKNOWN_DEVICE,
        Self::UNSUPPORTED_MEDIA_TYPE,
    ];

    pub(in crate::api) const BACKUP_RUNNING: &Self = &Self {
        slug: "backup-running",
        status: StatusCode::SERVICE_UNAVAILABLE,
        title: "Another backup is being made",
        meaning: "The hub makes one backup at a time: the nightly one, or one that somebody downloads. Try again once it is finished.",
    };

    pub(in crate::api) const BAD_HOST: &Self = &Self {
        slug: "bad-host",
        status: StatusCode::BAD_REQUEST,
        title: "The Host header is missing or malformed",
        meaning: "An HTTP/1.1 request has exactly one Host header (RFC 9112, section 3.2).",
    };

    pub(in crate::api) const BAD_REQUEST: &Self = &Self {
        slug: "bad-request",
        status: StatusCode::BAD_REQUEST,
        title: "The request is malformed",
        meaning: "A parameter, a field or the whole body can't be read as what it has to be, or is unknown. `errors` names it.",
    };

    pub(in crate::api) const BOARD_REPLACED: &Self = &Self {
        slug: "board-replaced",
        status: StatusCode::CONFLICT,
        title: "The board has been replaced already",
        meaning: "A device remembers one replaced board. `DELETE` on `/api/v1/devices/{device}/replace` undoes that replacement; then the device can be given another board.",
    };

    pub(in crate::api) const BUSY: &Self = &Self {
        slug: "busy",
        status: StatusCode::SERVICE_UNAVAILABLE,
        title: "Too many commands wait",
        meaning: "Too many commands wait for their confirmation. Try again once some have come to their end.",
    };

    pub(in crate::api) const DEVICE_OFFLINE: &Self = &Self {
        slug: "device-offline",
        status: StatusCode::CONFLICT,
        title: "The device is not online",
        meaning: "A command can only be given to a device that is online.",
    };

    pub(in crate::api) const DEVICE_ONLINE: &Self = &Self {
        slug: "device-online",
        status: StatusCode::CONFLICT,
        title: "The device is online",
        meaning: "A device that is online can't be forgotten, nor given another board. Unplug it first.",
    };

    pub(in crate::api) const FOREIGN_ORIGIN: &Self = &Self {
        slug: "foreign-origin",
        status: StatusCode::FORBIDDEN,
        title: "The request comes from a foreign page",
        meaning: "Requests that change something are refused when a page of another origin sends them. List the page's host in `http.hosts` where it is yours.",
    };

    pub(in crate::api) const INTERNAL: &Self = &Self {
        slug: "internal",
        status: StatusCode::INTERNAL_SERVER_ERROR,
        title: "The hub failed",
        meaning: "A defect of the hub. Its log says more.",
    };

    pub(in crate::api) const INVALID_MAC: &Self = &Self {
        slug: "invalid-mac",
        status: StatusCode::UNPROCESSABLE_ENTITY,
        title: "That is not a MAC address",
        meaning: "A MAC address is six bytes in hexadecimal with `:` between, such as 61:EC:ED:3B:25:B1.",
    };

    pub(in crate::api) const INVALID_NAME: &Self = &Self {
        slug: "invalid-name",
        status: StatusCode::UNPROCESSABLE_ENTITY,
        title: "That is not a name",
        meaning: "A name is 1 to 29 bytes of printable UTF-8 without `;`, without blanks at its ends, and doesn't look like a MAC address.",
    };

    pub(in crate::api) const LOCAL_ONLY: &Self = &Self {
        slug: "local-only",
        status: StatusCode::FORBIDDEN,
        title: "This is for callers on the hub's own machine",
        meaning: "A backup has the session ids of the boards, which are secrets, and callers can't prove who they are yet. Run `capteur backup FILE` on the hub's machine.",
    };

    pub(in crate::api) const MAC_TAKEN: &Self = &Self {
        slug: "mac-taken",
        status: StatusCode::CONFLICT,
        title: "Another device has that MAC address",
        meaning: "The board that was replaced has come again, as a device of its own. Forget that device, or leave things as they are.",
    };

    pub(in crate::api) const METHOD_NOT_ALLOWED: &Self = &Self {
        slug: "method-not-allowed",
        status: StatusCode::METHOD_NOT_ALLOWED,
        title: "This can't be done with that",
        meaning: "The resource exists, but doesn't know the method. The header `Allow` lists those that it knows.",
    };

    pub(in crate::api) const MISDIRECTED_REQUEST: &Self = &Self {
        slug: "misdirected-request",
        status: StatusCode::MISDIRECTED_REQUEST,
        title: "The hub doesn't go by that name",
        meaning: "The hub answers to IP addresses, `localhost`, `*.local`, and the names in the setting `http.hosts`. Anything else may be a foreign page that had its own name point here.",
    };

    pub(in crate::api) const NAME_TAKEN: &Self = &Self {
        slug: "name-taken",
        status: StatusCode::CONFLICT,
        title: "The name is taken",
        meaning: "Another device has that name. Names that differ only in case are the same.",
    };

    pub(in crate::api) const NOT_CONFIRMED: &Self = &Self {
        slug: "not-confirmed",
        status: StatusCode::GATEWAY_TIMEOUT,
        title: "The device did not confirm",
        meaning: "The command was sent, and the device did not report the new state within `commands.confirm_timeout_ms`. `command` shows what is known.",
    };

    pub(in crate::api) const NOT_FOUND: &Self = &Self {
        slug: "not-found",
        status: StatusCode::NOT_FOUND,
        title: "There is nothing here",
        meaning: "The path is not one of the hub's. `/api/v1/openapi.json` lists them.",
    };

    pub(in crate::api) const NOT_REPLACED: &Self = &Self {
        slug: "not-replaced",
        status: StatusCode::NOT_FOUND,
        title: "The board has not been replaced",
        meaning: "There is no replacement to undo: the device has the board that it always had.",
    };

    pub(in crate::api) const PAYLOAD_TOO_LARGE: &Self = &Self {
        slug: "payload-too-large",
        status: StatusCode::PAYLOAD_TOO_LARGE,
        title: "The body is too large",
        meaning: "No call needs a body of more than 16 KiB.",
    };

    pub(in crate::api) const REQUEST_TIMEOUT: &Self = &Self {
        slug: "request-timeout",
        status: StatusCode::REQUEST_TIMEOUT,
        title: "The body did not arrive",
        meaning: "The body of a request has to arrive within 10 seconds of its head.",
    };

    pub(in crate::api) const SAME_BOARD: &Self = &Self {
        slug: "same-board",
        status: StatusCode::CONFLICT,
        title: "That is the device's board already",
        meaning: "The MAC address is the device's own. Give that of the new board.",
    };

    pub(in crate::api) const SUPERSEDED: &Self = &Self {
        slug: "superseded",
        status: StatusCode::CONFLICT,
        title: "A newer command took its place",
        meaning: "Another command was given to the same device before this one was confirmed. `command` shows what is known.",
    };

    pub(in crate::api) const TOO_MANY_EXPORTS: &Self = &Self {
        slug: "too-many-exports",
        status: StatusCode::SERVICE_UNAVAILABLE,
        title: "Too many exports",
        meaning: "The hub serves a limited number of exports at once. Try again once one is finished.",
    };

    pub(in crate::api) const TOO_MANY_STREAMS: &Self = &Self {
        slug: "too-many-streams",
        status: StatusCode::SERVICE_UNAVAILABLE,
        title: "Too many event streams",
        meaning: "The hub serves a limited number of event streams at once. Close one, or try again later.",
    };

    pub(in crate::api) const UNAVAILABLE: &Self = &Self {
        slug: "unavailable",
        status: StatusCode::SERVICE_UNAVAILABLE,
        title: "The hub can't do this now",
        meaning: "The store does not work, or the hub is stopping. `/api/v1/health` says more.",
    };

    pub(in crate::api) const UNKNOWN_CHANNEL: &Self = &Self {
        slug: "unknown-channel",
        status: StatusCode::NOT_FOUND,
        title: "There is no such channel",
        meaning: "A device has the channels `led`, `button` and `photoresistor`.",
    };

    pub(in crate::api) const UNKNOWN_COMMAND: &Self = &Self {
        slug: "unknown-command",
        status: StatusCode::NOT_FOUND,
        title: "There is no such command",
        meaning: "The hub remembers the last 1,024 commands since it started. A device's log keeps those that came to an end.",
    };

    pub(in crate::api) const UNKNOWN_DEVICE: &Self = &Self {
        slug: "unknown-device",
        status: StatusCode::NOT_FOUND,
        title: "There is no such device",
        meaning: "No device has that name or MAC address. Names have to be percent-encoded in a path.",
    };

    pub(in crate::api) const UNSUPPORTED_MEDIA_TYPE: &Self = &Self {
        slug: "unsupported-media-type",
        status: StatusCode::UNSUPPORTED_MEDIA_TYPE,
        title: "The body is not JSON",
        meaning: "Bodies are JSON: send `Content-Type: application/json`.",
    };
}
