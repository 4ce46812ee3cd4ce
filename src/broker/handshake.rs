//! From an open socket to a session: CONNECT and CONNACK (sections 3.1 and 3.2).

use super::{
    ConnectionId, Origin, access,
    connection::{Connection, TOPIC_ALIAS_MAXIMUM},
    ending,
    front::Front,
    lock::lock,
    outbound::Wire,
    packet::{Connect, ConnectError, Frame, Reason, Version, encode},
    receipts::RECEIVE_MAXIMUM,
    sessions::{Admission, Admitted},
    topic,
    will::Will,
};
use std::{net::IpAddr, sync::Arc, time::Duration};
use tokio::{net::TcpStream, time::timeout};

/// What is read at once of a CONNECT, in bytes.
const READ_BYTES: usize = 1024;

/// The longest client id, in bytes. It is kept with the session, also of an absent client.
const CLIENT_ID_MAX: usize = 256;

/// The most that a board's will may have beside its topic, in bytes; a leave has 47.
const DEVICE_WILL_MAX: usize = 1024;

/// Why a socket gets no session.
enum Refusal {
    /// There is nobody to answer.
    Silent,
    /// A CONNACK with this reason, in the form of this level.
    Answered(Version, Reason),
}

/// Serves the CONNECT of a socket. `None` if it gets no session; it has been answered then.
pub(crate) async fn establish(
    front: &Arc<Front>,
    stream: TcpStream,
    address: IpAddr,
) -> Option<Box<Connection>> {
    match admit(front, &stream, address).await {
        Ok(parts) => Some(Box::new(Connection::new(Arc::clone(front), stream, parts))),
        Err(Refusal::Silent) => None,
        Err(Refusal::Answered(version, reason)) => {
            let mut out = Vec::new();
            encode::connack_refusal(&mut out, version, reason);
            if stream.try_write(&out).is_ok() {
                front.counters.bytes_sent.add(out.len() as u64);
            }
            ending::linger(stream).await;
            None
        }
    }
}

/// What a connection begins with.
pub(crate) struct Parts {
    pub(crate) admitted: Admitted,
    pub(crate) origin: Origin,
    pub(crate) wire: Wire,
    pub(crate) keep_alive: Duration,
    /// In seconds, as it holds.
    pub(crate) session_expiry: u32,
    pub(crate) will: Option<Box<Will>>,
    /// CONNACK.
    pub(crate) output: Vec<u8>,
    /// What came in after CONNECT.
    pub(crate) input: Vec<u8>,
}

async fn admit(front: &Arc<Front>, stream: &TcpStream, address: IpAddr) -> Result<Parts, Refusal> {
    let counters = &front.counters;
    let deadline = Duration::from_millis(front.settings.connect_timeout_ms);
    let read = tokio::select! {
        read = timeout(deadline, read_first(stream, front.settings.max_packet_bytes)) => read,
        () = front.stopping() => return Err(Refusal::Silent),
    };
    let Ok(read) = read else {
        counters.refused_timeout.increment();
        return Err(Refusal::Silent);
    };
    let (bytes, len) = read.inspect_err(|_| counters.refused_malformed.increment())?;
    counters.bytes_received.add(bytes.len() as u64);
    let (packet, rest) = bytes.split_at(len);
    let frame = Frame::first(packet, len).ok().flatten().ok_or(Refusal::Silent)?;
    let connect = Connect::read(&frame).map_err(|error| match error {
        ConnectError::Unsupported(version) => {
            counters.refused_version.increment();
            Refusal::Answered(version, Reason::UNSUPPORTED_VERSION)
        }
        ConnectError::Broken(Version::V5, reason) => {
            counters.refused_malformed.increment();
            Refusal::Answered(Version::V5, reason)
        }
        ConnectError::Broken(Version::V3, _) | ConnectError::NotMqtt => {
            counters.refused_malformed.increment();
            Refusal::Silent
        }
    })?;
    let version = connect.version;
    let role = access::admit(&front.settings, connect.user_name, connect.password)
        .and_then(|role| check(&connect, role).map(|()| role))
        .map_err(|reason| {
            let not_authorized = [
                Reason::NOT_AUTHORIZED,
                Reason::BAD_USER_NAME_OR_PASSWORD,
                Reason::BAD_AUTHENTICATION_METHOD,
            ];
            if not_authorized.contains(&reason) {
                counters.refused_not_authorized.increment();
            } else {
                counters.refused_malformed.increment();
            }
            Refusal::Answered(version, reason)
        })?;
    let id = front.next_connection();
    let client_id = match connect.client_id {
        "" => front.assigned_client_id(id),
        given => given.into(),
    };
    let mut admitted = take_session(front, &client_id, connect.clean_start, role)
        .await
        .map_err(|reason| Refusal::Answered(version, reason))?;
    if let Some(ended) = admitted.ended.take() {
        front.finish(ended).await;
    }
    counters.connections_total.increment();
    Ok(connect_session(front, &connect, id, address, client_id, admitted, rest))
}

/// Reads until the first packet is whole; gives the bytes and its length.
async fn read_first(stream: &TcpStream, max: usize) -> Result<(Vec<u8>, usize), Refusal> {
    let mut input = Vec::new();
    loop {
        stream.readable().await.map_err(|_| Refusal::Silent)?;
        input.reserve(READ_BYTES);
        match stream.try_read_buf(&mut input) {
            Ok(0) => return Err(Refusal::Silent),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
            Err(_) => return Err(Refusal::Silent),
        }
        // Anything but a CONNECT is not waited for.
        if input.first() != Some(&0x10) {
            return Err(Refusal::Silent);
        }
        if let Some(frame) = Frame::first(&input, max).map_err(|_| Refusal::Silent)? {
            let len = frame.len;
            return Ok((input, len));
        }
    }
}

/// Whether a CONNECT asks for nothing that it can't have.
fn check(connect: &Connect<'_>, role: access::Role) -> Result<(), Reason> {
    if connect.enhanced_authentication {
        return Err(Reason::BAD_AUTHENTICATION_METHOD);
    }
    // 3.1.1, [MQTT-3.1.3-8].
    if connect.version == Version::V3 && connect.client_id.is_empty() && !connect.clean_start {
        return Err(Reason::CLIENT_ID_NOT_VALID);
    }
    if connect.client_id.len() > CLIENT_ID_MAX {
        return Err(Reason::CLIENT_ID_NOT_VALID);
    }
    match &connect.will {
        Some(will) if !topic::is_valid_name(will.topic) => Err(Reason::TOPIC_NAME_INVALID),
        Some(will) if !role.may_publish(will.topic) => Err(Reason::NOT_AUTHORIZED),
        Some(will)
            if role.is_device() && will.payload.len() + will.properties.len() > DEVICE_WILL_MAX =>
        {
            Err(Reason::QUOTA_EXCEEDED)
        }
        _ => Ok(()),
    }
}

/// Takes the session of a client id, once whoever has it has left: the old connection's will is
/// published before the new connection does anything. Fails where the server is full, and where
/// the client id is that of a board that this client is not.
async fn take_session(
    front: &Arc<Front>,
    client_id: &Arc<str>,
    clean_start: bool,
    role: access::Role,
) -> Result<Admitted, Reason> {
    loop {
        let admission = lock(&front.sessions).admit(client_id, clean_start, role);
        match admission {
            Admission::Admitted(admitted) => return Ok(admitted),
            Admission::Full => {
                front.counters.refused_full.increment();
                return Err(Reason::QUOTA_EXCEEDED);
            }
            Admission::Foreign => {
                front.counters.refused_not_authorized.increment();
                return Err(Reason::CLIENT_ID_NOT_VALID);
            }
            // The sender is dropped, never used: the error is what is waited for.
            Admission::Taken(left) => {
                let _ = left.await;
            }
        }
    }
}

fn connect_session(
    front: &Arc<Front>,
    connect: &Connect<'_>,
    id: ConnectionId,
    address: IpAddr,
    client_id: Arc<str>,
    admitted: Admitted,
    rest: &[u8],
) -> Parts {
    let version = connect.version;
    let session_expiry = connect.session_expiry.min(front.settings.max_session_expiry_s);
    let wire = Wire {
        version,
        receive_maximum: connect.receive_maximum,
        maximum_packet_size: connect.maximum_packet_size,
    };
    let mut output = Vec::new();
    let properties = encode::ConnAckProperties {
        session_expiry: (session_expiry != connect.session_expiry).then_some(session_expiry),
        receive_maximum: RECEIVE_MAXIMUM,
        maximum_packet_size: u32::try_from(front.settings.max_packet_bytes).unwrap_or(u32::MAX),
        assigned_client_id: connect.client_id.is_empty().then_some(&*client_id),
        topic_alias_maximum: TOPIC_ALIAS_MAXIMUM,
    };
    encode::connack(&mut output, version, admitted.present, &properties);
    lock(&front.addressing).add(id, Arc::clone(&admitted.session));
    admitted.session.connect(session_expiry > 0);
    let mac = admitted.session.role.proven();
    Parts {
        admitted,
        origin: Origin { connection: id, client_id, address, mac },
        wire,
        // One and a half times what the client promised ([MQTT-3.1.2-22]).
        keep_alive: Duration::from_millis(u64::from(connect.keep_alive) * 1500),
        session_expiry,
        will: connect.will.as_ref().map(|will| Box::new(Will::new(will))),
        output,
        input: rest.to_vec(),
    }
}
