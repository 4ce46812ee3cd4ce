//! Figures, ratios and goals as a Markdown table.

use std::fmt;

/// What a figure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Milliseconds,
    Seconds,
    CpuSeconds,
    PerSecond,
    Bytes,
    /// 1,000 bytes.
    Kilobytes,
    /// 1,000,000 bytes.
    Megabytes,
}

impl Unit {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Milliseconds => "ms",
            Self::Seconds => "s",
            Self::CpuSeconds => "CPU s",
            Self::PerSecond => "/s",
            Self::Bytes => "B",
            Self::Kilobytes => "kB",
            Self::Megabytes => "MB",
        }
    }

    /// The number with three significant digits and the unit.
    fn format(self, value: f64) -> String {
        let decimals = match value.abs() {
            value if value >= 100.0 => 0,
            value if value >= 10.0 => 1,
            _ => 2,
        };
        let text = format!("{value:.decimals$}");
        let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
        let mut grouped = String::new();
        for (index, digit) in whole.chars().enumerate() {
            let left = whole.len() - index;
            if index > 0 && left.is_multiple_of(3) && !grouped.ends_with('-') {
                grouped.push(',');
            }
            grouped.push(digit);
        }
        let point = if fraction.is_empty() { "" } else { "." };
        format!("{grouped}{point}{fraction} {}", self.as_str())
    }
}

/// What came out, on one side.
#[derive(Debug, Clone)]
enum Value {
    None,
    Number(f64),
    /// What there is to say where no number came out.
    Words(String),
}

/// What the project has set itself.
#[derive(Debug, Clone, Copy)]
enum Goal {
    AtMost(f64),
    Below(f64),
    AtLeast(f64),
}

/// One line of the table.
#[derive(Debug, Clone)]
pub(crate) struct Figure {
    name: String,
    unit: Unit,
    hub: Value,
    peer: Value,
    goal: Option<Goal>,
}

impl Figure {
    pub(crate) fn new(name: impl Into<String>, unit: Unit, hub: f64) -> Self {
        Self { name: name.into(), unit, hub: Value::Number(hub), peer: Value::None, goal: None }
    }

    /// What the peer does, in the same unit.
    pub(crate) fn beside(mut self, peer: f64) -> Self {
        self.peer = Value::Number(peer);
        self
    }

    /// Why the peer gave no number.
    pub(crate) fn beside_words(mut self, words: String) -> Self {
        self.peer = Value::Words(words);
        self
    }

    pub(crate) fn at_most(mut self, goal: f64) -> Self {
        self.goal = Some(Goal::AtMost(goal));
        self
    }

    pub(crate) fn below(mut self, goal: f64) -> Self {
        self.goal = Some(Goal::Below(goal));
        self
    }

    pub(crate) fn at_least(mut self, goal: f64) -> Self {
        self.goal = Some(Goal::AtLeast(goal));
        self
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = |value: &Value| match value {
            Value::None => "–".to_owned(),
            Value::Number(number) => self.unit.format(*number),
            Value::Words(words) => words.clone(),
        };
        let ratio = match (&self.hub, &self.peer) {
            (Value::Number(hub), Value::Number(peer)) if *peer > 0.0 => {
                format!("{:.2}", hub / peer)
            }
            _ => "–".to_owned(),
        };
        let (goal, met) = match (self.goal, &self.hub) {
            (Some(Goal::AtMost(goal)), Value::Number(hub)) => {
                (format!("≤ {}", self.unit.format(goal)), if *hub <= goal { "yes" } else { "no" })
            }
            (Some(Goal::Below(goal)), Value::Number(hub)) => {
                (format!("< {}", self.unit.format(goal)), if *hub < goal { "yes" } else { "no" })
            }
            (Some(Goal::AtLeast(goal)), Value::Number(hub)) => {
                (format!("≥ {}", self.unit.format(goal)), if *hub >= goal { "yes" } else { "no" })
            }
            _ => ("–".to_owned(), "–"),
        };
        let (hub, peer) = (show(&self.hub), show(&self.peer));
        writeln!(f, "| {} | {hub} | {peer} | {ratio} | {goal} | {met} |", self.name)
    }
}

/// All figures of a run: a table for each peer.
#[derive(Debug, Default)]
pub(crate) struct Table {
    parts: Vec<Part>,
    notes: Vec<String>,
}

/// The figures beside one peer.
#[derive(Debug)]
struct Part {
    peer: &'static str,
    figures: Vec<Figure>,
}

impl Table {
    /// Says whom the figures that follow are beside.
    pub(crate) fn beside(&mut self, peer: &'static str) {
        if self.parts.last().is_none_or(|part| part.peer != peer) {
            self.parts.push(Part { peer, figures: Vec::new() });
        }
    }

    pub(crate) fn push(&mut self, figure: Figure) {
        // Shown at once as well, since a whole run takes minutes.
        eprint!("{figure}");
        if let Some(part) = self.parts.last_mut() {
            part.figures.push(figure);
        }
    }

    /// What a reader has to know about the figures above.
    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Part { peer, figures } in &self.parts {
            writeln!(f, "| figure | hub | {peer} | hub ÷ peer | goal | met |")?;
            writeln!(f, "| --- | ---: | ---: | ---: | ---: | --- |")?;
            for figure in figures {
                figure.fmt(f)?;
            }
            writeln!(f)?;
        }
        for note in &self.notes {
            writeln!(f, "- {note}")?;
        }
        Ok(())
    }
}
