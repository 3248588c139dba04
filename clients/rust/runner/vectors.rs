//! The byte vectors: envelopes and event ids.

use data_encoding::{BASE64, HEXLOWER};
use prost::Message;
use serde_json::{Value, json};
use triggers::event_id;
use triggers::proto::rpc::{ErrorDetails, FieldViolation, Request, Response};

use crate::Outcome;

type Check = fn(&Value) -> Outcome;

/// Vector files and what checks them.
pub const ALL: [(&str, Check); 2] = [
    ("vectors/envelope", check_envelopes),
    ("vectors/typeid", check_typeids),
];

fn list<'a>(vectors: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    vectors[name].as_array().into_iter().flatten()
}

fn text(vector: &Value, name: &str) -> String {
    vector[name].as_str().unwrap_or_default().to_owned()
}

fn number(vector: &Value, name: &str) -> i64 {
    vector[name].as_i64().unwrap_or_default()
}

fn bytes(vector: &Value, name: &str) -> Vec<u8> {
    BASE64
        .decode(text(vector, name).as_bytes())
        .unwrap_or_default()
}

fn check_that(good: bool, vector: &Value) -> Outcome {
    match good {
        true => Ok(()),
        false => Err(format!("vector {} differs", vector["name"]).into()),
    }
}

fn check_envelopes(vectors: &Value) -> Outcome {
    for vector in list(vectors, "requests") {
        check_message(vector, &request(vector))?;
    }
    for vector in list(vectors, "responses") {
        check_message(vector, &response(vector))?;
    }
    for vector in list(vectors, "malformed") {
        let bytes = bytes(vector, "bytes");
        let request = Request::decode(bytes.as_slice());
        let response = Response::decode(bytes.as_slice());
        check_that(request.is_err() && response.is_err(), vector)?;
    }
    Ok(())
}

/// `fields` is the message that the vector's bytes stand for.
fn check_message<M: Message + Default + PartialEq>(vector: &Value, fields: &M) -> Outcome {
    let bytes = bytes(vector, "bytes");
    check_that(M::decode(bytes.as_slice())? == *fields, vector)?;
    let encoded = fields.encode_to_vec();
    let as_many = vector["foreign"] == true || encoded.len() == bytes.len();
    check_that(as_many && M::decode(encoded.as_slice())? == *fields, vector)
}

fn metadata(vector: &Value) -> std::collections::HashMap<String, String> {
    let entries = vector["metadata"].as_object().into_iter().flatten();
    entries
        .map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned()))
        .collect()
}

fn request(vector: &Value) -> Request {
    Request {
        method: text(vector, "method"),
        timeout_ms: number(vector, "timeout_ms") as u32,
        metadata: metadata(vector),
        body: bytes(vector, "body").into(),
    }
}

fn response(vector: &Value) -> Response {
    Response {
        code: number(vector, "code") as i32,
        message: text(vector, "message"),
        details: vector["details"]
            .is_object()
            .then(|| details(&vector["details"])),
        metadata: metadata(vector),
        body: bytes(vector, "body").into(),
    }
}

fn details(vector: &Value) -> ErrorDetails {
    let violation = |each: &Value| FieldViolation {
        field: text(each, "field"),
        description: text(each, "description"),
    };
    ErrorDetails {
        reason: text(vector, "reason"),
        field_violations: list(vector, "field_violations").map(violation).collect(),
        retry_delay_ms: number(vector, "retry_delay_ms") as u32,
        first_sequence: 0, // no vector has it
    }
}

fn check_typeids(vectors: &Value) -> Outcome {
    for vector in list(vectors, "valid") {
        let digits = text(vector, "uuid").replace('-', "");
        let uuid: [u8; 16] = HEXLOWER
            .decode(digits.as_bytes())?
            .try_into()
            .map_err(|_| "a uuid has not 16 bytes")?;
        let id = text(vector, "event_id");
        check_that(
            event_id::parse(&id) == Ok(uuid) && event_id::format(uuid) == id,
            vector,
        )?;
    }
    for vector in list(vectors, "invalid") {
        check_that(event_id::parse(&text(vector, "event_id")).is_err(), vector)?;
    }
    check_made_ids(json!({"name": "made by the client"}))
}

/// Ids that the client makes are UUIDv7s of now.
fn check_made_ids(vector: Value) -> Outcome {
    let uuid = event_id::parse(&event_id::new())?;
    let millis = uuid[..6]
        .iter()
        .fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed()?.as_millis() as u64;
    check_that(uuid[6] >> 4 == 7 && now.abs_diff(millis) < 5000, &vector)
}
