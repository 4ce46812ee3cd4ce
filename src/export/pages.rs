//! Readings of any number, some thousands at a time.

use super::{Selection, Subject, format::Rows};
use crate::{
    model::{Channel, Timestamp},
    store::{Store, StoreError},
};
use bytes::Bytes;
use std::{collections::VecDeque, mem};

/// How many readings are asked of the store at once: some 150 KB of text.
const PAGE: usize = 2048;

/// An export under way: nothing is read ahead of what is taken, so that it costs the memory of a
/// page, however much there is. Readings that come meanwhile are in it where they come behind the
/// place that it has got to.
#[derive(Debug)]
pub struct Export {
    store: Store,
    selection: Selection,
    rows: Rows,
    /// What is still to be exported; the place in the first of these is `from`.
    series: VecDeque<(Subject, Channel)>,
    from: Timestamp,
    page: usize,
    text: String,
    /// Whether the end has been handed out.
    ended: bool,
}

impl Export {
    /// Exports the readings of these devices.
    pub fn new(store: Store, mut subjects: Vec<Subject>, selection: Selection) -> Self {
        subjects.sort_by_cached_key(|subject| subject.name.folded().collect::<String>());
        let channels =
            || Channel::ALL.into_iter().filter(|one| selection.channel.is_none_or(|c| c == *one));
        let series = subjects
            .into_iter()
            .flat_map(|subject| channels().map(move |channel| (subject.clone(), channel)))
            .collect();
        Self {
            store,
            selection,
            rows: Rows::new(selection.format),
            series,
            from: selection.from,
            page: PAGE,
            text: selection.format.head().to_owned(),
            ended: false,
        }
    }

    /// The next piece of text; `None` behind the end.
    ///
    /// # Errors
    ///
    /// As for [`Store::readings`]: there is no more to come then.
    pub async fn next(&mut self) -> Option<Result<Bytes, StoreError>> {
        while !self.ended && self.text.is_empty() {
            if let Err(error) = self.advance().await {
                self.ended = true;
                return Some(Err(error));
            }
        }
        if self.text.is_empty() {
            return None;
        }
        Some(Ok(mem::take(&mut self.text).into()))
    }

    /// Exports a page.
    async fn advance(&mut self) -> Result<(), StoreError> {
        let Some((subject, channel)) = self.series.front() else {
            self.text.push_str(self.selection.format.tail());
            self.ended = true;
            return Ok(());
        };
        let (from, to) = (self.from, self.selection.to);
        let mut readings = self.store.readings(subject.id, *channel, from, to, self.page).await?;
        match readings.last() {
            Some(&(last, _)) if readings.len() == self.page => {
                // There may be more of the last millisecond: the next page begins with it.
                readings.retain(|&(at, _)| at < last);
                if readings.is_empty() {
                    // Nothing but that millisecond, which a page has to hold as a whole.
                    self.page = self.page.saturating_mul(2);
                    return Ok(());
                }
                self.rows.write(&mut self.text, subject, *channel, &readings);
                self.from = last;
            }
            _ => {
                self.rows.write(&mut self.text, subject, *channel, &readings);
                self.series.pop_front();
                self.from = self.selection.from;
            }
        }
        self.page = PAGE;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        export::Format,
        model::{DeviceId, Reading},
        store::{Change, Options, Urgency},
    };
    use capteur_protocol::Mac;
    use std::time::Duration;

    fn subject(id: u32, name: &str) -> Subject {
        let last = u8::try_from(id).unwrap();
        Subject { id: DeviceId(id), mac: Mac([0, 0, 0, 0, 0, last]), name: name.parse().unwrap() }
    }

    async fn exported(store: &Store, subjects: &[Subject], selection: Selection) -> String {
        let mut export = Export::new(store.clone(), subjects.to_vec(), selection);
        let mut text = String::new();
        while let Some(piece) = export.next().await {
            text.push_str(std::str::from_utf8(&piece.unwrap()).unwrap());
        }
        assert!(export.next().await.is_none());
        text
    }

    #[tokio::test]
    async fn every_reading_comes_once_in_order_whatever_the_pages() {
        let dir = tempfile::tempdir().unwrap();
        let options = Options { commit_interval: Duration::from_millis(5), ..Options::default() };
        let (store, _) = Store::open(dir.path(), &options).unwrap();
        let mut expected = Vec::new();
        // In "b", a millisecond of more than two pages, and others round it.
        for (id, name, times) in [
            (2, "A", vec![1_i64, 5, 5]),
            (1, "b", [vec![3; 10], vec![4; 3 * PAGE], (5..20_000).collect()].concat()),
        ] {
            for (number, &at) in times.iter().enumerate() {
                let at = Timestamp::from_millis(at);
                let value = u8::try_from(number % 101).unwrap();
                let channel = Channel::Photoresistor;
                let reading = Reading { device: DeviceId(id), channel, value, at };
                expected.push(format!("{at},00:00:00:00:00:0{id},{name},{channel},{value}"));
                let change = vec![Change::Reading(reading)];
                store.submit(change, Urgency::Interval, None).await.unwrap();
            }
        }
        store.flush().await.unwrap();
        let subjects = [subject(1, "b"), subject(2, "A"), subject(3, "c")];
        let (from, to) = (Timestamp::MIN, Timestamp::MAX);
        let all = Selection { from, to, channel: None, format: Format::Csv };
        let text = exported(&store, &subjects, all).await;
        let lines: Vec<_> = text.split_terminator("\r\n").skip(1).collect();
        assert_eq!(lines.len(), expected.len());
        assert!(lines == expected, "the lines differ");

        let some = Selection {
            from: Timestamp::from_millis(5),
            to: Timestamp::from_millis(7),
            channel: Some(Channel::Photoresistor),
            ..all
        };
        let text = exported(&store, &subjects, some).await;
        assert_eq!(text.lines().count(), 1 + 2 + 2);
        let none = Selection { channel: Some(Channel::Led), format: Format::Json, ..all };
        assert_eq!(exported(&store, &subjects, none).await, "[\n]\n");
        store.close().await.unwrap();
        let mut export = Export::new(store, subjects.to_vec(), all);
        assert_eq!(export.next().await.unwrap().unwrap(), "time,mac,name,channel,value\r\n");
        assert!(export.next().await.unwrap().is_err());
        assert!(export.next().await.is_none());
    }
}
