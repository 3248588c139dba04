//! Event ids: TypeIDs (specification 0.3) with the prefix `evt` of UUIDs.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::error::{Code, Error};
use crate::random::random_bytes;

const PREFIX: &str = "evt_";
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// Characters after the prefix: 26 of 5 bits each hold 130, two more than a UUID.
const DIGITS: u32 = 26;

/// Makes a new event id: a UUIDv7 (RFC 9562) of now. [`create`](crate::Client::create) makes one
/// by itself for an event that has none.
pub fn new() -> String {
    let millis = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as u64);
    let mut uuid: [u8; 16] = random_bytes();
    uuid[..6].copy_from_slice(&millis.to_be_bytes()[2..]);
    uuid[6] = 0x70 | (uuid[6] & 0x0f);
    uuid[8] = 0x80 | (uuid[8] & 0x3f);
    format(uuid)
}

/// The event id of a UUID.
pub fn format(uuid: [u8; 16]) -> String {
    let number = u128::from_be_bytes(uuid);
    let digit = |place: u32| ALPHABET[(number >> (5 * place)) as usize & 31] as char;
    let digits = (0..DIGITS).rev().map(digit);
    PREFIX.chars().chain(digits).collect()
}

/// The UUID of an event id; INVALID_ARGUMENT with the reason `EVENT_ID_INVALID` when it is none.
pub fn parse(event_id: &str) -> Result<[u8; 16], Error> {
    parse_digits(event_id)
        .map(u128::to_be_bytes)
        .ok_or_else(|| {
            Error::new(
                Code::InvalidArgument,
                "EVENT_ID_INVALID",
                "an event id is \"evt_\" and 26 characters of 0-9 and a-z without i, l, o and u, \
             the first at most 7",
            )
        })
}

fn parse_digits(event_id: &str) -> Option<u128> {
    let digits = event_id.strip_prefix(PREFIX)?.as_bytes();
    if digits.len() != DIGITS as usize || digits[0] > b'7' {
        return None;
    }
    digits.iter().try_fold(0u128, |number, digit| {
        let value = ALPHABET.iter().position(|each| each == digit)?;
        Some(number << 5 | value as u128)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_uuids_of_version_7_and_differ() {
        let (one, other) = (new(), new());
        assert_ne!(one, other);
        let uuid = parse(&one).unwrap();
        assert_eq!((uuid[6] >> 4, uuid[8] >> 6), (7, 2));
        assert_eq!(format(uuid), one);
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for wrong in ["", "evt_", "evt_8zzzzzzzzzzzzzzzzzzzzzzzzz", "evt_é"] {
            assert_eq!(parse(wrong).unwrap_err().reason, "EVENT_ID_INVALID");
        }
    }
}
