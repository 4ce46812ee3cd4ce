//! Refuses foreign hosts and foreign origins before any handler runs.
//!
//! A page anywhere on the web can have its own name resolve to the hub's address (DNS rebinding),
//! or send the hub a request from the browser of somebody at home (cross-site request forgery).
//! The first shows in the host of the request, the second in its `Origin`.

use super::{
    Api,
    problem::{Kind, Problem},
};
use std::{net::IpAddr, sync::Arc};
use warp::{
    Filter, Rejection,
    http::{HeaderMap, Method, header, uri::Authority},
    reject::Reject,
};

/// Why a request was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refused {
    /// It has no host, more than one, or one that can't be read.
    BadHost,
    /// It is meant for a host that is not us.
    ForeignHost(String),
    /// It changes something, and comes from a page that is not ours.
    ForeignOrigin(String),
}

impl Reject for Refused {}

impl Refused {
    pub(super) fn problem(&self) -> Problem {
        match self {
            Self::BadHost => Problem::new(
                Kind::BAD_HOST,
                "the request needs exactly one well-formed Host header",
            ),
            Self::ForeignHost(host) => Problem::new(
                Kind::MISDIRECTED_REQUEST,
                format!("the hub is not called {host:?}; if it is, add that name to `http.hosts`"),
            ),
            Self::ForeignOrigin(origin) => Problem::new(
                Kind::FOREIGN_ORIGIN,
                format!("a page from {origin:?} can't change anything here"),
            ),
        }
    }
}

/// Lets through what is meant for us and, where it changes something, comes from us.
pub(super) fn filter(
    api: &Arc<Api>,
) -> impl Filter<Extract = (), Error = Rejection> + Clone + use<> {
    let api = Arc::clone(api);
    // The authority of an absolute target goes before the Host header (RFC 9112, section 3.2.2).
    warp::host::optional()
        .or(warp::any().map(|| None))
        .unify()
        .and(warp::method())
        .and(warp::header::headers_cloned())
        .and_then(move |host: Option<Authority>, method: Method, headers: HeaderMap| {
            let verdict = check(host.as_ref(), &method, &headers, &api.context.settings.hosts);
            std::future::ready(verdict.map_err(warp::reject::custom))
        })
        .untuple_one()
}

fn check(
    host: Option<&Authority>,
    method: &Method,
    headers: &HeaderMap,
    ours: &[String],
) -> Result<(), Refused> {
    let host = host
        .filter(|host| !host.as_str().contains('@'))
        .filter(|_| headers.get_all(header::HOST).iter().count() <= 1)
        .ok_or(Refused::BadHost)?;
    if !is_ours(host.host(), ours) {
        return Err(Refused::ForeignHost(host.host().to_owned()));
    }
    if method.is_safe() {
        return Ok(());
    }
    for origin in headers.get_all(header::ORIGIN) {
        let text = String::from_utf8_lossy(origin.as_bytes());
        let same = text.split_once("://").and_then(|(_, origin)| origin.parse().ok()).is_some_and(
            |origin: Authority| {
                origin.as_str().eq_ignore_ascii_case(host.as_str())
                    || is_listed(origin.host(), ours)
            },
        );
        if !same {
            return Err(Refused::ForeignOrigin(text.into_owned()));
        }
    }
    Ok(())
}

/// Whether the host of a request is one that no foreign page can own.
fn is_ours(host: &str, ours: &[String]) -> bool {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let name = without_root(host).to_ascii_lowercase();
    bare.parse::<IpAddr>().is_ok()
        || name == "localhost"
        || name.strip_suffix(".local").is_some_and(|label| !label.is_empty())
        || is_listed(&name, ours)
}

fn is_listed(host: &str, ours: &[String]) -> bool {
    ours.iter().any(|own| without_root(own).eq_ignore_ascii_case(without_root(host)))
}

/// A name without the dot of the DNS root: `hub.example.` is `hub.example`.
fn without_root(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn verdict(host: &str, method: &Method, origin: Option<&str>) -> Result<(), Refused> {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        let authority = host.parse().ok();
        check(authority.as_ref(), method, &headers, &["hub.example".to_owned()])
    }

    #[test]
    fn addresses_and_our_names_are_ours() {
        for host in [
            "127.0.0.1",
            "192.168.1.5:8080",
            "[::1]:8080",
            "[fe80::1]",
            "localhost",
            "LOCALHOST:80",
            "capteur.local",
            "Capteur.Local.:8080",
            "hub.example",
            "HUB.example.:443",
        ] {
            assert_eq!(verdict(host, &Method::GET, None), Ok(()), "{host}");
        }
    }

    #[test]
    fn other_names_are_foreign_whatever_they_contain() {
        for host in [
            "example.com",
            "local",
            ".local",
            "localhost.example.com",
            "127.0.0.1.example.com",
            "notlocalhost",
            "evil.hub.example",
            "2130706433",
        ] {
            let refused = verdict(host, &Method::GET, None).unwrap_err();
            assert!(matches!(refused, Refused::ForeignHost(_)), "{host}: {refused:?}");
        }
    }

    #[test]
    fn a_host_that_is_missing_doubled_or_dressed_up_is_bad() {
        let none = HeaderMap::new();
        assert_eq!(check(None, &Method::GET, &none, &[]), Err(Refused::BadHost));
        assert_eq!(verdict("localhost@127.0.0.1", &Method::GET, None), Err(Refused::BadHost));
        let mut two = HeaderMap::new();
        two.append(header::HOST, "127.0.0.1".parse().unwrap());
        two.append(header::HOST, "127.0.0.1".parse().unwrap());
        let host = "127.0.0.1".parse().unwrap();
        assert_eq!(check(Some(&host), &Method::GET, &two, &[]), Err(Refused::BadHost));
    }

    #[test]
    fn only_our_own_pages_change_something() {
        let host = "192.168.1.5:8080";
        for origin in [
            None,
            Some("http://192.168.1.5:8080"),
            Some("https://hub.example"),
            Some("https://hub.example:8443"),
        ] {
            assert_eq!(verdict(host, &Method::PUT, origin), Ok(()), "{origin:?}");
        }
        for origin in [
            "null",
            "",
            "http://192.168.1.5",
            "http://192.168.1.5:8081",
            "http://evil.example",
            "192.168.1.5:8080",
            "http://localhost:8080",
        ] {
            let refused = verdict(host, &Method::PUT, Some(origin)).unwrap_err();
            assert!(matches!(refused, Refused::ForeignOrigin(_)), "{origin}");
            assert_eq!(verdict(host, &Method::GET, Some(origin)), Ok(()), "reading is harmless");
        }
    }

    proptest! {
        #[test]
        fn a_name_is_never_ours_for_what_comes_before_a_foreign_end(label in "[a-z0-9.-]{0,20}") {
            let host = format!("{label}.example.com");
            prop_assert!(!is_ours(&host, &["hub.example".to_owned()]));
        }
    }
}
