//! TCP/IP over the radio, and the way to the hub.

use capteur_node::Connector;
use capteur_protocol::Mac;
use core::fmt::Write as _;
use embassy_net::{
    DhcpConfig, Runner, Stack, StackResources,
    dns::{self, DnsQueryType},
    tcp::{ConnectError, TcpSocket},
};
use embassy_time::Duration;
use esp_hal::rng::Rng;
use esp_radio::wifi::Interface;

/// The connection to the hub, the DHCP client, the resolver, and one to spare.
pub(crate) type Sockets = StackResources<4>;

/// How long the hub may leave what it was sent unacknowledged before TCP gives up.
const SILENCE: Duration = Duration::from_secs(10);

/// Room for what has arrived or is to go out: some packets of the protocol.
const BUFFER: usize = 1_024;

/// Builds the stack and what drives it. The router gets to know the board as `capteur-3b25b1`, after
/// the second half of its MAC address.
pub(crate) fn stack(
    interface: Interface,
    mac: Mac,
    sockets: &'static mut Sockets,
) -> (Stack<'static>, Runner<'static, Interface>) {
    let [_, _, _, a, b, c] = mac.0;
    let mut name = heapless::String::new();
    // Can't fail: 14 of 32 bytes.
    let _ = write!(name, "capteur-{a:02x}{b:02x}{c:02x}");
    let mut dhcp = DhcpConfig::default();
    dhcp.hostname = Some(name);
    let random = Rng::new();
    let seed = (u64::from(random.random()) << 32) | u64::from(random.random());
    embassy_net::new(interface, embassy_net::Config::dhcpv4(dhcp), sockets, seed)
}

/// Drives the stack. Never returns.
#[embassy_executor::task]
pub(crate) async fn run(mut runner: Runner<'static, Interface>) -> ! {
    runner.run().await
}

/// The way to the hub.
pub(crate) struct Network {
    stack: Stack<'static>,
    /// A name or an IPv4 address.
    host: &'static str,
    port: u16,
    rx: [u8; BUFFER],
    tx: [u8; BUFFER],
}

impl Network {
    pub(crate) fn new(stack: Stack<'static>, host: &'static str, port: u16) -> Self {
        Self { stack, host, port, rx: [0; BUFFER], tx: [0; BUFFER] }
    }
}

/// Why there is no way to the hub.
#[derive(Debug)]
pub(crate) enum NoWay {
    /// The name of the hub has no address.
    #[expect(dead_code, reason = "the log shows it")]
    Resolve(dns::Error),
    /// Nobody has the name of the hub.
    Unknown,
    /// Nothing accepts connections there.
    #[expect(dead_code, reason = "the log shows it")]
    Connect(ConnectError),
}

impl Connector for Network {
    /// Its flush ends when the hub has acknowledged everything, so that nothing is lost with a drop.
    /// Dropped, it is forgotten: what the hub still sends is answered with a reset.
    type Stream<'a> = TcpSocket<'a>;
    type Error = NoWay;

    /// Waits for an address of our own, and finds the hub's each time anew: it may have moved.
    async fn open(&mut self) -> Result<TcpSocket<'_>, NoWay> {
        self.stack.wait_config_up().await;
        // How far a board gets that does not find its hub is for the log: the caller's time-out
        // does not tell.
        if let Some(own) = self.stack.config_v4() {
            log::info!("looking for {} from {}", self.host, own.address);
        }
        // Asks by multicast DNS (RFC 6762) for a name that ends in `.local`.
        let addresses = self.stack.dns_query(self.host, DnsQueryType::A).await;
        let address = *addresses.map_err(NoWay::Resolve)?.first().ok_or(NoWay::Unknown)?;
        log::info!("connecting to {address}, port {}", self.port);
        let mut socket = TcpSocket::new(self.stack, &mut self.rx, &mut self.tx);
        socket.set_timeout(Some(SILENCE));
        socket.set_nagle_enabled(false);
        socket.connect((address, self.port)).await.map_err(NoWay::Connect)?;
        Ok(socket)
    }
}
