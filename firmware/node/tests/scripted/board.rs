//! A board with pins that the story reads and moves.

use crate::{
    air::{Broken, End, Port},
    clock, world,
};
use capteur_node::{Connector, LightSensor, Node, Peripherals, Phase, Settings, Supervisor};
use capteur_protocol::{Info, Mac, Percent};
use embedded_hal::digital::{ErrorType, InputPin, OutputPin};
use embedded_hal_async::digital::Wait;
use std::{
    cell::{Cell, RefCell},
    convert::Infallible,
    future::poll_fn,
    rc::Rc,
    task::{Context, Poll, Waker},
};

pub(crate) const MAC: Mac = Mac([0x61, 0xEC, 0xED, 0x3B, 0x25, 0xB1]);
pub(crate) const MAC_TEXT: &str = "61:EC:ED:3B:25:B1";

/// What the story sees of the board.
#[derive(Clone)]
pub(crate) struct Pins {
    /// Every level that the LED's pin was given.
    pub(crate) led: Rc<RefCell<Vec<bool>>>,
    button: Rc<ButtonPin>,
    /// What the photoresistor measures; `None`: it fails.
    pub(crate) light: Rc<Cell<Option<u8>>>,
    /// Whether the photoresistor never comes to an end with measuring.
    pub(crate) light_hangs: Rc<Cell<bool>>,
    /// When the board came to be in each phase, in milliseconds.
    pub(crate) phases: Rc<RefCell<Vec<(u64, String)>>>,
    /// When the board said that it has got somewhere, in milliseconds.
    pub(crate) progress: Rc<RefCell<Vec<u64>>>,
    /// What the board tells about itself.
    pub(crate) info: Rc<RefCell<Option<Info>>>,
    stop: Rc<Stop>,
    /// Whether the board has stopped.
    pub(crate) stopped: Rc<Cell<bool>>,
}

impl Pins {
    /// Tells the board to stop.
    pub(crate) fn stop(&self) {
        self.stop.wished.set(true);
        if let Some(waker) = self.stop.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    /// Presses the button, which pulls its pin to ground, or lets go.
    pub(crate) fn set_pressed(&self, pressed: bool) {
        self.set_low(pressed);
    }

    /// Pulls the button's pin to ground, or lets go.
    pub(crate) fn set_low(&self, low: bool) {
        self.button.low.set(low);
        if let Some(waker) = self.button.waker.borrow_mut().take() {
            waker.wake();
        }
    }
}

/// Switches a board on and plays a story with it.
pub(crate) fn play<T, F: Future<Output = T>>(story: impl FnOnce(Port, Pins) -> F) -> T {
    play_with(Settings::new(MAC), story)
}

/// The same with a board of other settings.
pub(crate) fn play_with<T, F: Future<Output = T>>(
    settings: Settings,
    story: impl FnOnce(Port, Pins) -> F,
) -> T {
    let port = Port::new();
    let pins = Pins {
        led: Rc::default(),
        button: Rc::new(ButtonPin { low: Cell::new(false), waker: RefCell::default() }),
        light: Rc::new(Cell::new(Some(58))),
        light_hangs: Rc::default(),
        phases: Rc::default(),
        progress: Rc::default(),
        info: Rc::default(),
        stop: Rc::default(),
        stopped: Rc::default(),
    };
    let peripherals = Peripherals {
        led: Led(Rc::clone(&pins.led)),
        button: Button(Rc::clone(&pins.button)),
        light: Light { level: Rc::clone(&pins.light), hangs: Rc::clone(&pins.light_hangs) },
    };
    let mut node = Node::new(Knock(port.clone()), peripherals, settings, 7);
    let watch = pins.clone();
    let board = async move {
        let stop = Rc::clone(&watch.stop);
        let wish = poll_fn(move |cx| stop.poll(cx));
        let stopped = Rc::clone(&watch.stopped);
        node.run_until(watch, wish).await;
        stopped.set(true);
    };
    world::play(board, story(port, pins))
}

impl Supervisor for Pins {
    fn phase(&mut self, phase: Phase<'_>) {
        self.phases.borrow_mut().push((clock::now_ms(), format!("{phase:?}")));
    }

    fn progress(&mut self) {
        self.progress.borrow_mut().push(clock::now_ms());
    }

    fn info(&mut self) -> Option<Info> {
        self.info.borrow().clone()
    }
}

#[derive(Default)]
struct Stop {
    wished: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Stop {
    fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        if self.wished.get() {
            return Poll::Ready(());
        }
        *self.waker.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    }
}

struct Knock(Port);

impl Connector for Knock {
    type Stream<'a> = End;
    type Error = Broken;

    async fn open(&mut self) -> Result<End, Broken> {
        self.0.connect().await
    }
}

struct Led(Rc<RefCell<Vec<bool>>>);

impl ErrorType for Led {
    type Error = Infallible;
}

impl OutputPin for Led {
    fn set_low(&mut self) -> Result<(), Infallible> {
        self.0.borrow_mut().push(false);
        Ok(())
    }

    fn set_high(&mut self) -> Result<(), Infallible> {
        self.0.borrow_mut().push(true);
        Ok(())
    }
}

struct ButtonPin {
    low: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

struct Button(Rc<ButtonPin>);

impl Button {
    async fn level(&self, low: bool) -> Result<(), Infallible> {
        poll_fn(|cx| {
            if self.0.low.get() == low {
                return Poll::Ready(Ok(()));
            }
            *self.0.waker.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }
}

impl ErrorType for Button {
    type Error = Infallible;
}

impl InputPin for Button {
    fn is_high(&mut self) -> Result<bool, Infallible> {
        Ok(!self.0.low.get())
    }

    fn is_low(&mut self) -> Result<bool, Infallible> {
        Ok(self.0.low.get())
    }
}

impl Wait for Button {
    async fn wait_for_high(&mut self) -> Result<(), Infallible> {
        self.level(false).await
    }

    async fn wait_for_low(&mut self) -> Result<(), Infallible> {
        self.level(true).await
    }

    async fn wait_for_rising_edge(&mut self) -> Result<(), Infallible> {
        self.level(true).await?;
        self.level(false).await
    }

    async fn wait_for_falling_edge(&mut self) -> Result<(), Infallible> {
        self.level(false).await?;
        self.level(true).await
    }

    async fn wait_for_any_edge(&mut self) -> Result<(), Infallible> {
        let low = self.0.low.get();
        self.level(!low).await
    }
}

struct Light {
    level: Rc<Cell<Option<u8>>>,
    hangs: Rc<Cell<bool>>,
}

impl LightSensor for Light {
    type Error = &'static str;

    async fn percent(&mut self) -> Result<Percent, &'static str> {
        if self.hangs.get() {
            std::future::pending::<()>().await;
        }
        self.level.get().and_then(Percent::new).ok_or("the wire is off")
    }
}
