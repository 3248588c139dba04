//! Generic calls of methods by their names in the scenarios, with messages as JSON.

use std::sync::LazyLock;
use std::{env, fs};

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, SerializeOptions};
use serde_json::Value;
use triggers::proto::events::*;
use triggers::{Client, Error, Method};

/// The descriptors of all messages, which `conformance` makes of the .proto files.
static DESCRIPTORS: LazyLock<DescriptorPool> = LazyLock::new(|| {
    let path = env::var("TRIGGERS_DESCRIPTORS").expect("TRIGGERS_DESCRIPTORS is not set");
    let bytes = fs::read(path).expect("no file of descriptors");
    DescriptorPool::decode(&bytes[..]).expect("no descriptors")
});

macro_rules! call_one_of {
    ($client:expr, $name:expr, $request:expr, $($method:ident)*) => {
        match $name {
            $(<$method as Method>::NAME => make::<$method>($client, $request).await,)*
            _ => panic!("an unknown method: {}", $name),
        }
    };
}

/// Calls `SERVICE/METHOD` of triggers.v1.
pub async fn call_any(client: &Client, name: &str, request: &Value) -> Result<Value, Error> {
    let name = format!("triggers.v1.{name}");
    call_one_of!(client, name.as_str(), request,
        Ack AckEvent BatchAckEvents BatchCreateEvents CreateEvent CreateKey DeleteDeadLetters
        DeleteSubscription DeleteTenant EraseEvent Extend GetEvent GetKey GetSubscription
        GetTenant ListAuditRecords ListDeadLetters ListEvents ListInbox ListKeys ListKinds
        ListSubscriptions ListTenants Nack Pull PutSubscription PutTenant RedriveDeadLetters
        Release ResumeTenant RevokeKey RotateKey Seek SuspendTenant)
}

async fn make<M: Method>(client: &Client, request: &Value) -> Result<Value, Error>
where
    M::Request: Default,
{
    let (service, method) = M::NAME.split_once('/').expect("a name of a method");
    let service = DESCRIPTORS.get_service_by_name(service).expect("a service");
    let method = service.methods().find(|each| each.name() == method);
    let method = method.expect("a method");
    let request = read(method.input(), request);
    let request = M::Request::decode(&request[..]).expect("a request");
    let response = client.call::<M>(&request).await?;
    Ok(write(method.output(), &response.encode_to_vec()))
}

fn read(kind: MessageDescriptor, json: &Value) -> Vec<u8> {
    let empty = Value::Object(Default::default());
    let json = if json.is_null() { &empty } else { json };
    let message = DynamicMessage::deserialize(kind, json).expect("no such message");
    message.encode_to_vec()
}

fn write(kind: MessageDescriptor, bytes: &[u8]) -> Value {
    let message = DynamicMessage::decode(kind, bytes).expect("a response");
    let options = SerializeOptions::new().use_proto_field_name(true);
    message
        .serialize_with_options(serde_json::value::Serializer, &options)
        .expect("JSON")
}
