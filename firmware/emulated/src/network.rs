//! TCP/IP, and the way to the hub.

use crate::nic::Nic;
use capteur_node::Connector;
use core::net::{AddrParseError, Ipv4Addr};
use embassy_net::{
    DhcpConfig, Runner, Stack, StackResources,
    tcp::{ConnectError, TcpSocket},
};
use embassy_time::Duration;

/// The connection to the hub, the DHCP client, and one to spare.
pub(crate) type Sockets = StackResources<3>;

/// Builds the stack and what drives it.
pub(crate) fn stack(
    nic: Nic,
    sockets: &'static mut Sockets,
) -> (Stack<'static>, Runner<'static, Nic>) {
    let config = embassy_net::Config::dhcpv4(DhcpConfig::default());
    // The seed chooses port numbers, and nobody else is on this network.
    embassy_net::new(nic, config, sockets, 1)
}

/// The way to the hub.
pub(crate) struct Network {
    stack: Stack<'static>,
    /// An IPv4 address: this machine's network knows no names.
    host: &'static str,
    port: u16,
    rx: [u8; 1_024],
    tx: [u8; 1_024],
}

impl Network {
    pub(crate) fn new(stack: Stack<'static>, host: &'static str, port: u16) -> Self {
        Self { stack, host, port, rx: [0; 1_024], tx: [0; 1_024] }
    }
}

/// Why there is no way to the hub.
#[derive(Debug)]
#[expect(dead_code, reason = "the log shows what is in it")]
pub(crate) enum NoWay {
    Address(AddrParseError),
    Connect(ConnectError),
}

impl Connector for Network {
    type Stream<'a> = TcpSocket<'a>;
    type Error = NoWay;

    async fn open(&mut self) -> Result<TcpSocket<'_>, NoWay> {
        self.stack.wait_config_up().await;
        let address: Ipv4Addr = self.host.parse().map_err(NoWay::Address)?;
        let mut socket = TcpSocket::new(self.stack, &mut self.rx, &mut self.tx);
        socket.set_timeout(Some(Duration::from_secs(10)));
        socket.set_nagle_enabled(false);
        socket.connect((address, self.port)).await.map_err(NoWay::Connect)?;
        Ok(socket)
    }
}
