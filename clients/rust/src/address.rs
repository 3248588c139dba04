//! Reading of the addresses of cores.

use crate::error::{Code, Error};

const ACCEPTED: &str = "accepted are ws://, wss://, tcp:// and tls+tcp:// with a host, and a port \
                        from 1 to 65535 (which ws and wss may leave out)";

/// How SP messages are carried.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Carrier {
    WebSocket,
    Stream,
}

/// One core's address.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Address {
    pub(crate) url: String,
    pub(crate) carrier: Carrier,
    pub(crate) tls: bool,
    /// Without the brackets of an IPv6 address.
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Address {
    /// Reads addresses that are separated by commas.
    pub(crate) fn parse_list(urls: &str) -> Result<Vec<Self>, Error> {
        urls.split(',').map(|url| Self::parse(url.trim())).collect()
    }

    fn parse(url: &str) -> Result<Self, Error> {
        let (scheme, rest) = url.split_once("://").ok_or_else(|| refuse(url))?;
        let (carrier, tls, default_port) = match scheme {
            "ws" => (Carrier::WebSocket, false, Some(80)),
            "wss" => (Carrier::WebSocket, true, Some(443)),
            "tcp" => (Carrier::Stream, false, None),
            "tls+tcp" => (Carrier::Stream, true, None),
            _ => return Err(refuse(url)),
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (host, port) = split_port(authority).ok_or_else(|| refuse(url))?;
        let port = match port {
            Some(digits) => parse_port(digits),
            None => default_port,
        };
        Ok(Self {
            url: url.to_owned(),
            carrier,
            tls,
            host: host.to_owned(),
            port: port.ok_or_else(|| refuse(url))?,
        })
    }
}

/// Host and port; None when there is no host, or what looks like none.
fn split_port(authority: &str) -> Option<(&str, Option<&str>)> {
    let (host, rest) = match authority.strip_prefix('[') {
        Some(bracketed) => bracketed.split_once(']')?,
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let port = match rest {
        "" => None,
        rest => Some(rest.strip_prefix(':')?),
    };
    let good = !host.is_empty() && !authority.contains(['@', ' ']);
    good.then_some((host, port))
}

fn parse_port(digits: &str) -> Option<u16> {
    let plain = digits.bytes().all(|digit| digit.is_ascii_digit());
    digits.parse().ok().filter(|&port| plain && port > 0)
}

/// An address may hold a password by mistake, which must not get into texts: the core knows none.
fn refuse(url: &str) -> Error {
    let message = if url.contains('@') {
        format!("an address has a user name, which the core does not accept; {ACCEPTED}")
    } else {
        format!("'{url}' is not an address of a core; {ACCEPTED}")
    };
    Error::new(Code::InvalidArgument, "URL_INVALID", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let urls = "ws://a:7300/rpc, wss://b,tcp://[::1]:7,tls+tcp://1.2.3.4:65535";
        let found: Vec<_> = Address::parse_list(urls)
            .unwrap()
            .into_iter()
            .map(|each| (each.carrier, each.tls, each.host, each.port))
            .collect();
        let expected = [
            (Carrier::WebSocket, false, "a".to_owned(), 7300),
            (Carrier::WebSocket, true, "b".to_owned(), 443),
            (Carrier::Stream, false, "::1".to_owned(), 7),
            (Carrier::Stream, true, "1.2.3.4".to_owned(), 65535),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn wrong_addresses_are_refused_without_their_passwords() {
        let wrong = [
            "",
            "a:1",
            "http://a",
            "ws://",
            "ws://:1",
            "ws://a:",
            "ws://a:0",
            "ws://a:65536",
            "ws://a:+1",
            "tcp://a",
            "tcp://[::1",
            "tcp://[::1]7",
            "ws://u:secret@a/",
            "ws://a,",
        ];
        for url in wrong {
            let error = Address::parse_list(url).expect_err(url);
            assert_eq!(error.reason, "URL_INVALID");
            assert!(!error.message.contains("secret"), "{error}");
        }
    }
}
