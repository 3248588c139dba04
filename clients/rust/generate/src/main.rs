//! Writes the Rust messages of the `.proto` files into the folder that it is given.

use std::{env, io, path::Path, process::exit};

fn main() -> io::Result<()> {
    let Some(folder) = env::args().nth(1) else {
        eprintln!("usage: generate FOLDER");
        exit(2);
    };
    let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../proto");
    let files = ["rpc/v1/envelope", "v1/events", "health/v1/health"]
        .map(|name| proto.join(format!("triggers/{name}.proto")));
    prost_build::Config::new()
        .bytes([".triggers.rpc.v1"])
        .out_dir(folder)
        .compile_protos(&files, &[proto])
}
