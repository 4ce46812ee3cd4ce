//! A reader of the event stream.

use crate::hub::DEADLINE;
use reqwest::Response;
use serde_json::Value;
use tokio::time::timeout;

/// A server-sent event.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Message {
    pub(crate) event: String,
    pub(crate) id: String,
    pub(crate) data: Value,
}

impl Message {
    /// Reads what stands between two blank lines; `None` for comments and the like.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let field =
            |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        Some(Self {
            event: field("event")?.to_owned(),
            id: field("id")?.to_owned(),
            data: serde_json::from_str(field("data")?).unwrap(),
        })
    }

    /// The run of the hub, and the number within it.
    pub(crate) fn place(&self) -> (u64, u64) {
        let (boot, sequence) = self.id.split_once('-').unwrap();
        (boot.parse().unwrap(), sequence.parse().unwrap())
    }
}

pub(crate) struct Reader {
    response: Response,
    text: String,
}

impl Reader {
    pub(crate) fn new(response: Response) -> Self {
        Self { response, text: String::new() }
    }

    /// The next event.
    pub(crate) async fn next(&mut self) -> Message {
        loop {
            if let Some(end) = self.text.find("\n\n") {
                let message = Message::parse(&self.text[..end]);
                self.text.drain(..end + 2);
                if let Some(message) = message {
                    return message;
                }
            } else {
                let chunk = timeout(DEADLINE, self.response.chunk()).await.expect("no event came");
                let chunk = chunk.unwrap().expect("the stream has ended");
                self.text.push_str(std::str::from_utf8(&chunk).unwrap());
            }
        }
    }

    /// The next event of this name; the others are passed over.
    pub(crate) async fn find(&mut self, event: &str) -> Message {
        loop {
            let message = self.next().await;
            if message.event == event {
                return message;
            }
        }
    }
}
