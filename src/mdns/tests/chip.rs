//! How a chip asks: smoltcp, which is its TCP/IP stack, with the loopback interface in the place of
//! the air.

use smoltcp::{
    iface::{Config, Interface, SocketSet},
    phy::{Checksum, ChecksumCapabilities, Device, DeviceCapabilities, Medium, RxToken, TxToken},
    socket::dns::{self, GetQueryResultError},
    time::Instant,
    wire::{
        DnsQueryType, HardwareAddress, IpAddress, IpCidr, IpProtocol, Ipv4Address, Ipv4Packet,
        Ipv4Repr, UdpPacket, UdpRepr,
    },
};
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    time::Duration,
};

/// The chip's address behind the test's.
const CHIP: Ipv4Address = Ipv4Address::new(192, 0, 2, 7);

/// How long what comes in is waited for, between two turns of the stack.
const TURN: Duration = Duration::from_millis(10);

/// The address of `host`, as a chip finds it that asks UDP port `port` of the multicast group;
/// `None` where there is no answer within `deadline`.
pub(super) fn find(host: &str, port: u16, deadline: Duration) -> Option<Ipv4Addr> {
    let began = std::time::Instant::now();
    let mut air = Air::new(port);
    let mut config = Config::new(HardwareAddress::Ip);
    config.random_seed = getrandom::u64().unwrap();
    let mut interface = Interface::new(config, &mut air, Instant::ZERO);
    interface.update_ip_addrs(|all| all.push(IpCidr::new(CHIP.into(), 24)).unwrap());
    let mut sockets = SocketSet::new(Vec::new());
    let handle = sockets.add(dns::Socket::new(&[], Vec::new()));
    while began.elapsed() < deadline {
        let socket = sockets.get_mut::<dns::Socket>(handle);
        let query = socket.start_query(interface.context(), host, DnsQueryType::A).unwrap();
        loop {
            let now = Instant::from_micros(i64::try_from(began.elapsed().as_micros()).unwrap());
            interface.poll(now, &mut air, &mut sockets);
            match sockets.get_mut::<dns::Socket>(handle).get_query_result(query) {
                Ok(addresses) => {
                    let IpAddress::Ipv4(address) = addresses[0];
                    return Some(address);
                }
                // As the firmware does, which asks anew.
                Err(GetQueryResultError::Failed) => break,
                Err(GetQueryResultError::Pending) => air.carry(),
            }
        }
    }
    None
}

/// A router that translates addresses: between the stack's packets and a socket of this machine.
struct Air {
    socket: UdpSocket,
    /// What UDP port 5353 of the multicast group is here.
    port: u16,
    sent: Vec<Vec<u8>>,
    received: Vec<Vec<u8>>,
    /// The chip's port, once it has asked.
    chip_port: u16,
}

impl Air {
    fn new(port: u16) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP)).unwrap();
        socket.set_multicast_if_v4(&Ipv4Addr::LOCALHOST).unwrap();
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        let socket = UdpSocket::from(socket);
        socket.set_read_timeout(Some(TURN)).unwrap();
        Self { socket, port, sent: Vec::new(), received: Vec::new(), chip_port: 0 }
    }

    /// Carries what the chip has sent, and what has come for it.
    fn carry(&mut self) {
        for packet in std::mem::take(&mut self.sent) {
            let ip = Ipv4Packet::new_checked(&packet[..]).unwrap();
            let udp = UdpPacket::new_checked(ip.payload()).unwrap();
            assert_eq!((ip.dst_addr(), udp.dst_port()), (Ipv4Address::new(224, 0, 0, 251), 5353));
            self.chip_port = udp.src_port();
            self.socket.send_to(udp.payload(), (ip.dst_addr(), self.port)).unwrap();
        }
        let mut message = [0; 1500];
        let Ok((length, from)) = self.socket.recv_from(&mut message) else { return };
        let IpAddr::V4(source) = from.ip() else { return };
        assert_eq!(from.port(), self.port, "a chip takes no answer from another port");
        let message = &message[..length];
        let checksums = ChecksumCapabilities::default();
        let udp = UdpRepr { src_port: 5353, dst_port: self.chip_port };
        let ip = Ipv4Repr {
            src_addr: source,
            dst_addr: CHIP,
            next_header: IpProtocol::Udp,
            payload_len: udp.header_len() + length,
            hop_limit: 64,
        };
        let mut packet = vec![0; ip.buffer_len() + ip.payload_len];
        ip.emit(&mut Ipv4Packet::new_unchecked(&mut packet), &checksums);
        udp.emit(
            &mut UdpPacket::new_unchecked(&mut packet[ip.buffer_len()..]),
            &source.into(),
            &CHIP.into(),
            length,
            |payload| payload.copy_from_slice(message),
            &checksums,
        );
        self.received.push(packet);
    }
}

impl Device for Air {
    type RxToken<'a> = Received;
    type TxToken<'a> = Sent<'a>;

    fn receive(&mut self, _now: Instant) -> Option<(Received, Sent<'_>)> {
        Some((Received(self.received.pop()?), Sent(&mut self.sent)))
    }

    fn transmit(&mut self, _now: Instant) -> Option<Sent<'_>> {
        Some(Sent(&mut self.sent))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = 1500;
        capabilities.checksum.udp = Checksum::Both;
        capabilities
    }
}

struct Received(Vec<u8>);

impl RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, take: F) -> R {
        take(&self.0)
    }
}

struct Sent<'a>(&'a mut Vec<Vec<u8>>);

impl TxToken for Sent<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, fill: F) -> R {
        let mut packet = vec![0; length];
        let result = fill(&mut packet);
        self.0.push(packet);
        result
    }
}
