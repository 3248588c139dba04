//! Writes the Rust messages and methods of the `.proto` files into the folder that it is given.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::{env, fs, io, process::exit};

use prost::Message;
use prost_build::{Config, Service, ServiceGenerator};

fn main() -> io::Result<()> {
    let Some(folder) = env::args().nth(1) else {
        eprintln!("usage: generate FOLDER");
        exit(2);
    };
    let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../proto");
    let mut files = Vec::new();
    find_files(&proto.join("triggers"), &mut files)?;
    files.sort();
    let set = Path::new(&folder).join("set");
    let mut config = Config::new();
    config
        .bytes([".triggers.rpc.v1"])
        .file_descriptor_set_path(&set)
        .include_file("packages.rs")
        .out_dir(&folder);
    let files = config.load_fds(&files, &[proto])?;
    let options = read_options(&fs::read(&set)?)?;
    fs::remove_file(&set)?;
    config.service_generator(Box::new(Methods(options)));
    config.compile_fds(files)
}

fn find_files(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            find_files(&path, files)?;
        } else if path.extension().is_some_and(|each| each == "proto") {
            files.push(path);
        }
    }
    Ok(())
}

/// For each method a type that the client's `call` takes.
struct Methods(HashMap<String, Call>);

impl ServiceGenerator for Methods {
    fn generate(&mut self, service: Service, out: &mut String) {
        for method in service.methods {
            let name = format!(
                "{}.{}/{}",
                service.package, service.proto_name, method.proto_name
            );
            let call = self.0.get(&name).cloned().unwrap_or_default();
            for line in &method.comments.leading {
                *out += &format!("///{line}\n");
            }
            *out += &format!(
                "#[derive(Clone, Copy, Debug)]
                pub struct {short};
                impl crate::Method for {short} {{
                    const NAME: &'static str = {name:?};
                    const REPEATABLE: bool = {repeatable};
                    const WAITS: bool = {waits};
                    type Request = {request};
                    type Response = {response};
                }}\n",
                short = method.proto_name,
                repeatable = call.repeatable,
                waits = call.waits,
                request = method.input_type,
                response = method.output_type,
            );
        }
    }
}

// What is read of a FileDescriptorSet. prost's own drops options that it does not know.

#[derive(Clone, PartialEq, Message)]
struct FileSet {
    #[prost(message, repeated, tag = "1")]
    files: Vec<FileDescriptor>,
}

#[derive(Clone, PartialEq, Message)]
struct FileDescriptor {
    #[prost(string, tag = "2")]
    package: String,
    #[prost(message, repeated, tag = "6")]
    services: Vec<ServiceDescriptor>,
}

#[derive(Clone, PartialEq, Message)]
struct ServiceDescriptor {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, repeated, tag = "2")]
    methods: Vec<MethodDescriptor>,
}

#[derive(Clone, PartialEq, Message)]
struct MethodDescriptor {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "4")]
    options: Option<MethodOptions>,
}

#[derive(Clone, PartialEq, Message)]
struct MethodOptions {
    #[prost(message, optional, tag = "51701")]
    call: Option<Call>,
}

/// What a client needs of triggers.api.v1.Call.
#[derive(Clone, PartialEq, Message)]
struct Call {
    #[prost(bool, tag = "5")]
    repeatable: bool,
    #[prost(bool, tag = "6")]
    waits: bool,
}

/// The options of all methods by their full names.
fn read_options(set: &[u8]) -> io::Result<HashMap<String, Call>> {
    let mut options = HashMap::new();
    for file in FileSet::decode(set)?.files {
        for service in file.services {
            for method in service.methods {
                let name = format!("{}.{}/{}", file.package, service.name, method.name);
                let call = method.options.and_then(|each| each.call);
                options.insert(name, call.unwrap_or_default());
            }
        }
    }
    Ok(options)
}
