//! SP's mappings: a connection to a core as a sink and a stream of whole messages, over WebSocket
//! or over a byte stream, each with TLS or without.

use std::future::ready;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_tungstenite::client_async_with_config;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::StatusCode;
use tokio_tungstenite::tungstenite::http::header::{HOST, HeaderValue, SEC_WEBSOCKET_PROTOCOL};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_util::codec::{Framed, LengthDelimitedCodec};

use crate::address::{Address, Carrier};

/// The largest answer is a page of 8 MiB of payloads with what belongs to them.
const MAX_ANSWER: usize = 16 << 20;

/// Finds peers that vanished without a word, and keeps idle connections known to what is between.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// The sub-protocol of SP over WebSocket is named after the peer.
const SUB_PROTOCOL: &str = "rep.sp.nanomsg.org";

/// What both sides of SP over a byte stream open with: `\0SP`, version 0, protocol, reserved.
const HELLO_REQ: [u8; 8] = [0, b'S', b'P', 0, 0, 0x30, 0, 0];
const HELLO_REP: [u8; 8] = [0, b'S', b'P', 0, 0, 0x31, 0, 0];

pub(crate) type Outgoing = Pin<Box<dyn Sink<Bytes, Error = io::Error> + Send>>;
pub(crate) type Incoming = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for T {}

/// Connects, shakes hands, and gives both directions of the connection.
pub(crate) async fn connect(
    address: &Address,
    tls: Option<&TlsConnector>,
) -> io::Result<(Outgoing, Incoming)> {
    let (stream, peer) = open_bytes(address, tls).await?;
    if address.carrier == Carrier::Stream {
        return open_stream(stream).await;
    }
    match open_websocket(&address.url, stream, None).await {
        // nng that listens on an IP address knows no other Host, so not localhost, for example.
        Err(tungstenite::Error::Http(answer)) if answer.status() == StatusCode::NOT_FOUND => {
            let (stream, _) = open_bytes(address, tls).await?;
            open_websocket(&address.url, stream, Some(peer)).await
        }
        opened => opened,
    }
    .map_err(io::Error::other)
}

/// A connection to the address, with TLS or without, and who is at its other end.
async fn open_bytes(
    address: &Address,
    tls: Option<&TlsConnector>,
) -> io::Result<(Box<dyn ByteStream>, SocketAddr)> {
    let stream = TcpStream::connect((address.host.as_str(), address.port)).await?;
    set_options(&stream)?;
    let peer = stream.peer_addr()?;
    match tls {
        Some(tls) if address.tls => {
            let name = ServerName::try_from(address.host.clone()).map_err(io::Error::other)?;
            Ok((Box::new(tls.connect(name, stream).await?), peer))
        }
        _ => Ok((Box::new(stream), peer)),
    }
}

fn set_options(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE))?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(KEEPALIVE))?;
    Ok(())
}

/// `host` is sent as the Host in place of the URL's.
async fn open_websocket(
    url: &str,
    stream: Box<dyn ByteStream>,
    host: Option<SocketAddr>,
) -> Result<(Outgoing, Incoming), tungstenite::Error> {
    let mut request = url.into_client_request()?;
    let headers = request.headers_mut();
    headers.insert(
        SEC_WEBSOCKET_PROTOCOL,
        HeaderValue::from_static(SUB_PROTOCOL),
    );
    if let Some(host) = host {
        headers.insert(HOST, HeaderValue::try_from(host.to_string())?);
    }
    let config = WebSocketConfig::default()
        .max_message_size(Some(MAX_ANSWER))
        .max_frame_size(Some(MAX_ANSWER));
    let (socket, _) = client_async_with_config(request, stream, Some(config)).await?;
    let (sink, stream) = socket.split();
    let outgoing = sink
        .with(|bytes| ready(Ok::<_, tungstenite::Error>(Message::Binary(bytes))))
        .sink_map_err(io::Error::other);
    let incoming = stream.filter_map(|message| {
        ready(match message {
            Ok(Message::Binary(bytes)) => Some(Ok(bytes)),
            Ok(_) => None,
            Err(error) => Some(Err(io::Error::other(error))),
        })
    });
    Ok((Box::pin(outgoing), Box::pin(incoming)))
}

async fn open_stream(mut stream: Box<dyn ByteStream>) -> io::Result<(Outgoing, Incoming)> {
    stream.write_all(&HELLO_REQ).await?;
    stream.flush().await?;
    let mut hello = [0; 8];
    stream.read_exact(&mut hello).await?;
    if hello != HELLO_REP {
        return Err(io::Error::other("the peer does not speak SP as a REP"));
    }
    let codec = LengthDelimitedCodec::builder()
        .length_field_length(8)
        .max_frame_length(MAX_ANSWER)
        .new_codec();
    let (outgoing, incoming) = Framed::new(stream, codec).split();
    let incoming = incoming.map(|message| message.map(BytesMut::freeze));
    Ok((Box::pin(outgoing), Box::pin(incoming)))
}
