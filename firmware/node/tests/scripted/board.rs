//! A board with pins that the story reads and moves.

use crate::{
    air::{Broken, End, Port},
    clock, world,
};
use capteur_node::{Connector, LightSensor, Node, Peripherals, Phase, Settings};
use capteur_protocol::{Mac, Percent};
use embedded_hal::digital::{ErrorType, InputPin, OutputPin};
use embedded_hal_async::digital::Wait;
use std::{
    cell::{Cell, RefCell},
    convert::Infallible,
    future::poll_fn,
    rc::Rc,
    task::{Poll, Waker},
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
    /// When the board came to be in each phase, in milliseconds.
    pub(crate) phases: Rc<RefCell<Vec<(u64, String)>>>,
}

impl Pins {
    /// Pulls the button's pin to ground, or lets go.
    pub(crate) fn set_pressed(&self, pressed: bool) {
        self.button.low.set(pressed);
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
        phases: Rc::default(),
    };
    let peripherals = Peripherals {
        led: Led(Rc::clone(&pins.led)),
        button: Button(Rc::clone(&pins.button)),
        light: Light(Rc::clone(&pins.light)),
    };
    let mut node = Node::new(Knock(port.clone()), peripherals, settings, 7);
    let phases = Rc::clone(&pins.phases);
    let board = async move {
        node.run(|phase: Phase<'_>| {
            phases.borrow_mut().push((clock::now_ms(), format!("{phase:?}")));
        })
        .await;
    };
    world::play(board, story(port, pins))
}

struct Knock(Port);

impl Connector for Knock {
    type Stream<'a> = End;
    type Error = Broken;

    async fn open(&mut self) -> Result<End, Broken> {
        self.0.connect()
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

struct Light(Rc<Cell<Option<u8>>>);

impl LightSensor for Light {
    type Error = &'static str;

    async fn percent(&mut self) -> Result<Percent, &'static str> {
        self.0.get().and_then(Percent::new).ok_or("the wire is off")
    }
}
