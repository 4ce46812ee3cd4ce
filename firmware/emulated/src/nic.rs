//! The network card: virtio for QEMU, a driver for embassy-net.

use core::{
    cell::UnsafeCell,
    ptr::NonNull,
    sync::atomic::{AtomicUsize, Ordering},
    task::Context,
};
use embassy_net_driver::{Capabilities, Driver, HardwareAddress, LinkState, RxToken, TxToken};
use static_cell::StaticCell;
use virtio_drivers::{
    BufferDirection, Hal, PAGE_SIZE, PhysAddr,
    device::net::VirtIONetRaw,
    transport::mmio::{MmioTransport, VirtIOHeader},
};

/// The largest Ethernet frame, and more than virtio wants.
const FRAME: usize = 1_514;
const BUFFER: usize = 2_048;

type Device = VirtIONetRaw<Machine, MmioTransport<'static>, 16>;

/// The network card.
pub(crate) struct Nic {
    device: Device,
    /// In a static: the card writes into it while we do other things, so it may not move.
    buffer: &'static mut [u8; BUFFER],
    /// Stands for the buffer while the card has it.
    lent: Option<u16>,
}

impl Nic {
    /// Finds the card among the machine's eight slots.
    pub(crate) fn find() -> Self {
        static BUFFERS: StaticCell<[u8; BUFFER]> = StaticCell::new();
        let device = (0..8)
            .find_map(|slot| {
                let header = NonNull::new((0x1000_1000 + slot * 0x1000) as *mut VirtIOHeader)?;
                // SAFETY: the machine has a slot of this size at this address for ever.
                let transport = unsafe { MmioTransport::new(header, 0x1000) }.ok()?;
                Device::new(transport).ok()
            })
            .expect("QEMU is started with a network card");
        Self { device, buffer: BUFFERS.init([0; BUFFER]), lent: None }
    }

    pub(crate) fn mac(&self) -> [u8; 6] {
        self.device.mac_address()
    }
}

impl Driver for Nic {
    type RxToken<'a> = Received<'a>;
    type TxToken<'a> = Room<'a>;

    fn receive(&mut self, _: &mut Context<'_>) -> Option<(Received<'_>, Room<'_>)> {
        let Some(token) = self.lent else {
            // SAFETY: nobody touches the buffer until `receive_complete`, and it never moves.
            let token = unsafe { self.device.receive_begin(self.buffer) };
            self.lent = Some(token.expect("the queue has room for one buffer"));
            return None;
        };
        self.device.poll_receive()?;
        // SAFETY: it is the buffer that the token was given for.
        let received = unsafe { self.device.receive_complete(token, self.buffer) };
        self.lent = None;
        let (header, length) = received.ok()?;
        let frame = &mut self.buffer[header..header + length];
        Some((Received(frame), Room(&mut self.device)))
    }

    fn transmit(&mut self, _: &mut Context<'_>) -> Option<Room<'_>> {
        Some(Room(&mut self.device))
    }

    fn link_state(&mut self, _: &mut Context<'_>) -> LinkState {
        LinkState::Up
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.max_transmission_unit = FRAME;
        capabilities
    }

    fn hardware_address(&self) -> HardwareAddress {
        HardwareAddress::Ethernet(self.mac())
    }
}

/// A frame that has come in.
pub(crate) struct Received<'a>(&'a mut [u8]);

impl RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, read: F) -> R {
        read(self.0)
    }
}

/// Room for a frame to go out.
pub(crate) struct Room<'a>(&'a mut Device);

impl TxToken for Room<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        let mut frame = [0; FRAME];
        let frame = &mut frame[..length];
        let result = write(frame);
        if let Err(error) = self.0.send(frame) {
            // TCP sends it again.
            log::warn!("a frame is lost: {error}");
        }
        result
    }
}

/// Memory for the queues of the card: they take two pages and are never given back.
const PAGES: usize = 8;

#[repr(align(4096))]
struct Pool(UnsafeCell<[u8; PAGES * PAGE_SIZE]>);

// SAFETY: each page is handed out once, by the count in `USED`.
unsafe impl Sync for Pool {}

static POOL: Pool = Pool(UnsafeCell::new([0; PAGES * PAGE_SIZE]));
static USED: AtomicUsize = AtomicUsize::new(0);

/// A machine without address translation: every address is physical.
struct Machine;

// SAFETY: pages come from the pool, zeroed, aligned and each once; the rest does not move anything.
unsafe impl Hal for Machine {
    fn dma_alloc(pages: usize, _: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        let first = USED.fetch_add(pages, Ordering::Relaxed);
        assert!(first + pages <= PAGES, "the card wants more memory than PAGES");
        // SAFETY: the assertion keeps it within the pool.
        let page = unsafe { POOL.0.get().cast::<u8>().add(first * PAGE_SIZE) };
        (page as PhysAddr, NonNull::new(page).expect("a static is not at zero"))
    }

    unsafe fn dma_dealloc(_: PhysAddr, _: NonNull<u8>, _: usize) -> i32 {
        0
    }

    unsafe fn mmio_phys_to_virt(_: PhysAddr, _: usize) -> NonNull<u8> {
        unreachable!("only PCI asks for this")
    }

    unsafe fn share(buffer: NonNull<[u8]>, _: BufferDirection) -> PhysAddr {
        buffer.cast::<u8>().as_ptr() as PhysAddr
    }

    unsafe fn unshare(_: PhysAddr, _: NonNull<[u8]>, _: BufferDirection) {}
}
