//! The little language of the scenarios' values: variables, expansions, paths and comparisons.

use serde_json::{Map, Value, json};

pub type Variables = Map<String, Value>;

/// Puts in variables and expansions. `{"$base64": …}` stays, as its bytes are no text.
pub fn expand(value: &Value, variables: &Variables) -> Value {
    match value {
        Value::String(text) => match text.strip_prefix('$') {
            Some(path) => pick_from(variables, path),
            None => value.clone(),
        },
        Value::Array(list) => list
            .iter()
            .flat_map(|each| expand_element(each, variables))
            .collect(),
        Value::Object(object) => expand_object(object, variables),
        _ => value.clone(),
    }
}

fn pick_from(variables: &Variables, path: &str) -> Value {
    let (name, rest) = path.split_once('.').unwrap_or((path, ""));
    variables
        .get(name)
        .map_or(Value::Null, |value| pick(value, rest))
}

fn expand_element(element: &Value, variables: &Variables) -> Vec<Value> {
    match element.get("$repeat").and_then(Value::as_u64) {
        Some(times) => vec![expand(&element["value"], variables); times as usize],
        None => vec![expand(element, variables)],
    }
}

fn expand_object(object: &Map<String, Value>, variables: &Variables) -> Value {
    if let Some(size) = object.get("$payload_size").and_then(Value::as_u64) {
        return json!(format!(r#"{{"a":"{}"}}"#, "x".repeat(size as usize - 8)));
    }
    if let Some(terms) = object.get("$plus") {
        let terms = expand(terms, variables);
        let numbers = terms.as_array().into_iter().flatten();
        return json!(numbers.filter_map(Value::as_i64).sum::<i64>());
    }
    if let Some(list) = object.get("$reversed") {
        let mut list = expand(list, variables);
        if let Some(list) = list.as_array_mut() {
            list.reverse();
        }
        return list;
    }
    let expanded = object
        .iter()
        .map(|(name, each)| (name.clone(), expand(each, variables)));
    Value::Object(expanded.collect())
}

/// What a path leads to; null when it leads nowhere.
pub fn pick(value: &Value, path: &str) -> Value {
    if path.is_empty() {
        return value.clone();
    }
    let (name, rest) = path.split_once('.').unwrap_or((path, ""));
    match value {
        Value::Array(list) if name == "*" => list.iter().map(|each| pick(each, rest)).collect(),
        Value::Array(list) => {
            let element = name.parse().ok().and_then(|place: usize| list.get(place));
            element.map_or(Value::Null, |each| pick(each, rest))
        }
        Value::Object(object) => object
            .get(name)
            .map_or(Value::Null, |each| pick(each, rest)),
        _ => Value::Null,
    }
}

/// Whether what is there is as expected (after expansion).
pub fn fits(found: &Value, expected: &Value) -> bool {
    let matcher = expected
        .as_object()
        .filter(|object| object.len() == 1)
        .and_then(|object| object.iter().next());
    match matcher {
        Some((name, wanted)) if name.starts_with('$') => fits_matcher(found, name, wanted),
        _ => same(found, expected),
    }
}

fn fits_matcher(found: &Value, name: &str, wanted: &Value) -> bool {
    match name {
        "$any" => !(found.is_null() || found == "" || found.as_array().is_some_and(Vec::is_empty)),
        "$not" => !fits(found, wanted),
        "$count" => found.as_array().map(|list| list.len() as u64) == wanted.as_u64(),
        "$between" => match (found.as_f64(), wanted[0].as_f64(), wanted[1].as_f64()) {
            (Some(found), Some(least), Some(most)) => (least..=most).contains(&found),
            _ => false,
        },
        "$same_elements" => sorted(found).is_some() && sorted(found) == sorted(wanted),
        _ => false,
    }
}

fn sorted(list: &Value) -> Option<Vec<String>> {
    let mut texts: Vec<_> = list.as_array()?.iter().map(Value::to_string).collect();
    texts.sort();
    Some(texts)
}

/// Equality with numbers by value and lists element by element.
fn same(found: &Value, expected: &Value) -> bool {
    match (found, expected) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| fits(a, b))
        }
        _ => found == expected,
    }
}
