//! Executes the conformance scenarios against the core that the harness started; see
//! clients/conformance/README.md.

mod any_call;
mod calls;
mod scenario;
mod values;
mod vectors;

use std::error::Error;
use std::io::{Write, stdin, stdout};
use std::path::Path;
use std::{env, fs};

use serde_json::{Value, json};

/// Why a step failed, for the report.
type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

fn say(line: &Value) -> std::io::Result<()> {
    let mut out = stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

fn report(name: &str, outcome: Outcome) -> std::io::Result<()> {
    let detail = outcome.err().map_or(String::new(), |e| e.to_string());
    say(&json!({"scenario": name, "passed": detail.is_empty(), "detail": detail}))
}

/// Asks the harness for something and waits until it is done.
fn ask_harness(wish: &Value) -> Outcome {
    say(&json!({ "harness": wish }))?;
    let mut line = String::new();
    stdin().read_line(&mut line)?;
    let answer: Value = serde_json::from_str(&line)?;
    match answer["ok"] == true {
        true => Ok(()),
        false => Err(format!("harness: {}", answer["detail"]).into()),
    }
}

fn read_json(path: &Path) -> Result<Value, Box<dyn Error + Send + Sync>> {
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}

#[tokio::main]
async fn main() -> Outcome {
    let folder = env::var("TRIGGERS_CONFORMANCE")?;
    let folder = Path::new(&folder);
    let variables = serde_json::from_str(&env::var("TRIGGERS_CONFORMANCE_VARIABLES")?)?;
    let only = env::var("TRIGGERS_CONFORMANCE_ONLY").unwrap_or_default();
    let wanted = |name: &str| only.is_empty() || only.split(',').any(|each| each == name);

    let mut files: Vec<_> = fs::read_dir(folder.join("scenarios"))?
        .map(|entry| entry.map(|each| each.path()))
        .collect::<Result<_, _>>()?;
    files.retain(|path| path.extension().is_some_and(|each| each == "json"));
    files.sort();
    for file in files {
        let scenarios = read_json(&file)?;
        for each in scenarios.as_array().ok_or("not a list of scenarios")? {
            let name = each["name"].as_str().ok_or("a scenario without a name")?;
            if wanted(name) {
                report(name, scenario::run(each, &variables).await)?;
            }
        }
    }
    for (name, check) in vectors::ALL {
        if wanted(name) {
            let file = folder.join(format!("{name}.json"));
            report(name, read_json(&file).and_then(|vectors| check(&vectors)))?;
        }
    }
    Ok(())
}
