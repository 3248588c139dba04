//! One scenario: its steps, in order.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::{JoinSet, spawn_blocking};
use triggers::{Client, event_id};

use crate::calls::make_call;
use crate::values::{Variables, expand, fits, pick};
use crate::{Outcome, ask_harness};

/// Longer texts of what differed are cut.
const MAX_DETAIL: usize = 300;

pub async fn run(scenario: &Value, variables: &Variables) -> Outcome {
    let mut variables = variables.clone();
    let mut client = None;
    let mut outcome = Ok(());
    for (number, step) in scenario["steps"]
        .as_array()
        .into_iter()
        .flatten()
        .enumerate()
    {
        outcome = run_step(step, scenario, &mut variables, &mut client)
            .await
            .map_err(|problem| format!("step {number}: {problem}").into());
        if outcome.is_err() {
            break;
        }
    }
    if let Some(client) = client {
        client.close().await;
    }
    outcome
}

async fn run_step(
    step: &Value,
    scenario: &Value,
    variables: &mut Variables,
    client: &mut Option<Client>,
) -> Outcome {
    if let Some(names) = step["new_ids"].as_array() {
        for name in names {
            let name = name.as_str().ok_or("a name is no text")?;
            variables.insert(name.to_owned(), json!(event_id::new()));
        }
        Ok(())
    } else if let Some(wish) = step.get("harness") {
        let wish = expand(wish, variables);
        spawn_blocking(move || ask_harness(&wish)).await?
    } else {
        if client.is_none() {
            *client = Some(open_client(scenario, variables)?);
        }
        let client = client.as_ref().ok_or("no client")?;
        if let Some(names) = step["nonsense"].as_array() {
            // Rust's types let in no more of the scenarios' nonsense.
            if !names.contains(&json!("nul_inside")) {
                return Ok(());
            }
            let value = json!("evt_01h455vb4pex5vsknk084sn02q\0b");
            variables.insert("nonsense".to_owned(), value);
        }
        let outcomes = make_calls(step, variables, client).await?;
        check(step, variables, &outcomes)?;
        save(step, variables, &outcomes)
    }
}

/// Gives these keys, the last one again and again.
fn in_turn(keys: Vec<Value>) -> impl Fn() -> Ready<Result<String, Infallible>> {
    let given = AtomicUsize::new(0);
    move || {
        let next = given.fetch_add(1, Ordering::Relaxed).min(keys.len() - 1);
        ready(Ok(keys[next].as_str().unwrap_or_default().to_owned()))
    }
}

fn open_client(scenario: &Value, variables: &Variables) -> Result<Client, triggers::Error> {
    let default = json!({"urls": ["$url"]});
    let options = expand(scenario.get("client").unwrap_or(&default), variables);
    let mut builder = Client::builder();
    for url in options["urls"].as_array().into_iter().flatten() {
        builder = builder.url(url.as_str().unwrap_or_default());
    }
    if let Some(millis) = options["timeout_ms"].as_u64() {
        builder = builder.timeout(Duration::from_millis(millis));
    }
    if let Some(path) = options["ca_file"].as_str() {
        builder = builder.ca_file(path);
    }
    if let Some(key) = options["api_key"].as_str() {
        builder = builder.api_key(key);
    }
    if let Some(keys) = options["api_keys"].as_array() {
        builder = builder.api_key_from(in_turn(keys.clone()));
    }
    if let Some(path) = options["api_key_file"].as_str() {
        let path = path.to_owned();
        builder = builder.api_key_from(move || {
            let key = std::fs::read_to_string(&path);
            ready(key.map(|text| text.trim().to_owned()))
        });
    }
    builder.open()
}

/// Makes the step's call as often as it says; the outcomes in the order of the calls.
async fn make_calls(
    step: &Value,
    variables: &Variables,
    client: &Client,
) -> Result<Vec<Value>, Box<dyn std::error::Error + Send + Sync>> {
    let method = step["call"]
        .as_str()
        .ok_or("a step that is none")?
        .to_owned();
    let request = Arc::new(expand(&step["request"], variables));
    let client = match step["timeout_ms"].as_u64() {
        Some(millis) => client.with_timeout(Duration::from_millis(millis)),
        None => client.clone(),
    };
    let times = step["times"].as_u64().unwrap_or(1) as usize;
    let mut outcomes = vec![Value::Null; times];
    if step["parallel"] != true {
        for outcome in &mut outcomes {
            *outcome = make_call(&client, &method, &request).await;
        }
        return Ok(outcomes);
    }
    let mut calls = JoinSet::new();
    for number in 0..times {
        let (client, method, request) = (client.clone(), method.clone(), request.clone());
        calls.spawn(async move { (number, make_call(&client, &method, &request).await) });
    }
    while let Some(done) = calls.join_next().await {
        let (number, outcome) = done?;
        outcomes[number] = outcome;
    }
    Ok(outcomes)
}

fn check(step: &Value, variables: &Variables, outcomes: &[Value]) -> Outcome {
    let mut expected = step["expect"].as_object().cloned().unwrap_or_default();
    expected.entry("code").or_insert_with(|| json!("OK"));
    for (path, wanted) in &expected {
        let wanted = expand(wanted, variables);
        for outcome in outcomes {
            let found = pick(outcome, path);
            if !fits(&found, &wanted) {
                let whole = shorten(outcome);
                let (found, wanted) = (shorten(&found), shorten(&wanted));
                return Err(format!("{path} is {found}, not {wanted}, in {whole}").into());
            }
        }
    }
    Ok(())
}

fn shorten(value: &Value) -> String {
    value.to_string().chars().take(MAX_DETAIL).collect()
}

fn save(step: &Value, variables: &mut Variables, outcomes: &[Value]) -> Outcome {
    for (name, path) in step["save"].as_object().into_iter().flatten() {
        let path = path.as_str().ok_or("a path is no text")?;
        let mut found: Vec<_> = outcomes.iter().map(|each| pick(each, path)).collect();
        let value = match step.get("times") {
            Some(_) => Value::Array(found),
            None => found.remove(0),
        };
        variables.insert(name.clone(), value);
    }
    Ok(())
}
