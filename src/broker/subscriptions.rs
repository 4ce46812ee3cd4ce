//! Who gets what: an index from topics to subscribers.
//!
//! Filters without wildcards, which are most, are found by one look-up; the others are kept in a
//! tree with one node a level, so that a message visits only what can match it.

use super::topic;
use std::{collections::HashMap, mem};

/// What a subscriber asked for with one filter (section 3.8.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Options {
    /// The highest QoS at which messages are delivered.
    pub(crate) qos: u8,
    /// Not to hear what the subscriber itself published.
    pub(crate) no_local: bool,
    /// To be told the publisher's retain flag.
    pub(crate) retain_as_published: bool,
    /// A number that comes back with every message.
    pub(crate) identifier: Option<u32>,
}

#[derive(Debug)]
struct Subscriber<S> {
    session: S,
    options: Options,
}

/// A level of the tree of filters with wildcards.
#[derive(Debug)]
struct Level<S> {
    named: HashMap<Box<str>, Level<S>>,
    any: Option<Box<Level<S>>>,
    /// Of the filter that ends here.
    here: Vec<Subscriber<S>>,
    /// Of the filter that ends in `#` below here.
    below: Vec<Subscriber<S>>,
}

impl<S> Default for Level<S> {
    fn default() -> Self {
        Self { named: HashMap::new(), any: None, here: Vec::new(), below: Vec::new() }
    }
}

/// The index. `S` says who subscribes; equal values are the same subscriber.
#[derive(Debug)]
pub(crate) struct Subscriptions<S> {
    exact: HashMap<Box<str>, Vec<Subscriber<S>>>,
    wildcards: Level<S>,
}

impl<S> Default for Subscriptions<S> {
    fn default() -> Self {
        Self { exact: HashMap::new(), wildcards: Level::default() }
    }
}

impl<S: Eq> Subscriptions<S> {
    /// Adds a subscription to a valid filter, or replaces its options. True if it is new.
    pub(crate) fn insert(&mut self, filter: &str, session: S, options: Options) -> bool {
        let subscribers = if topic::has_wildcards(filter) {
            self.wildcards.subscribers(filter)
        } else if let Some(known) = self.exact.get_mut(filter) {
            known
        } else {
            self.exact.entry(filter.into()).or_default()
        };
        if let Some(known) = subscribers.iter_mut().find(|known| known.session == session) {
            known.options = options;
            return false;
        }
        subscribers.push(Subscriber { session, options });
        true
    }

    /// Takes a subscription away. False if there was none.
    pub(crate) fn remove(&mut self, filter: &str, session: &S) -> bool {
        if topic::has_wildcards(filter) {
            return self.wildcards.remove(Some(filter), session);
        }
        let Some(subscribers) = self.exact.get_mut(filter) else {
            return false;
        };
        let removed = take_away(subscribers, session);
        if subscribers.is_empty() {
            self.exact.remove(filter);
        }
        removed
    }

    /// Calls `each` for every subscription that matches; a subscriber with several matching
    /// filters comes several times.
    pub(crate) fn matching<'a>(&'a self, topic: &str, mut each: impl FnMut(&'a S, &'a Options)) {
        let mut visit = |subscribers: &'a [Subscriber<S>]| {
            for subscriber in subscribers {
                each(&subscriber.session, &subscriber.options);
            }
        };
        if let Some(subscribers) = self.exact.get(topic) {
            visit(subscribers);
        }
        if topic::is_of_server(topic) {
            // Wildcards on the first level don't match topics of the server.
            let (first, rest) = split(topic);
            if let Some(level) = self.wildcards.named.get(first) {
                level.matching(rest, &mut visit);
            }
        } else {
            self.wildcards.matching(Some(topic), &mut visit);
        }
    }
}

impl<S: Eq> Level<S> {
    /// The subscribers of a filter, whose levels are made as needed.
    ///
    /// Recursion is bounded by the number of levels that a valid filter has.
    fn subscribers(&mut self, filter: &str) -> &mut Vec<Subscriber<S>> {
        if filter == "#" {
            return &mut self.below;
        }
        let (first, rest) = split(filter);
        let child = match first {
            "+" => self.any.get_or_insert_default(),
            name => self.named.entry(name.into()).or_default(),
        };
        match rest {
            Some(rest) => child.subscribers(rest),
            None => &mut child.here,
        }
    }

    /// Removes a subscription and the levels that are of no more use. `None` is the end of a filter.
    fn remove(&mut self, filter: Option<&str>, session: &S) -> bool {
        let Some(filter) = filter else {
            return take_away(&mut self.here, session);
        };
        if filter == "#" {
            return take_away(&mut self.below, session);
        }
        let (first, rest) = split(filter);
        if first == "+" {
            let Some(child) = &mut self.any else {
                return false;
            };
            let removed = child.remove(rest, session);
            if child.is_empty() {
                self.any = None;
            }
            return removed;
        }
        let Some(child) = self.named.get_mut(first) else {
            return false;
        };
        let removed = child.remove(rest, session);
        if child.is_empty() {
            self.named.remove(first);
        }
        removed
    }

    fn matching<'a>(&'a self, topic: Option<&str>, visit: &mut impl FnMut(&'a [Subscriber<S>])) {
        visit(&self.below);
        let Some(topic) = topic else {
            visit(&self.here);
            return;
        };
        let (first, rest) = split(topic);
        if let Some(child) = self.named.get(first) {
            child.matching(rest, visit);
        }
        if let Some(child) = &self.any {
            child.matching(rest, visit);
        }
    }

    fn is_empty(&self) -> bool {
        self.named.is_empty() && self.any.is_none() && self.here.is_empty() && self.below.is_empty()
    }
}

/// The first level of a topic or filter, and the others.
fn split(topic: &str) -> (&str, Option<&str>) {
    match topic.split_once('/') {
        Some((first, rest)) => (first, Some(rest)),
        None => (topic, None),
    }
}

fn take_away<S: Eq>(subscribers: &mut Vec<Subscriber<S>>, session: &S) -> bool {
    let Some(index) = subscribers.iter().position(|known| known.session == *session) else {
        return false;
    };
    subscribers.swap_remove(index);
    if subscribers.is_empty() {
        // Gives the memory back, too.
        mem::take(subscribers);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn options(qos: u8) -> Options {
        Options { qos, no_local: false, retain_as_published: false, identifier: None }
    }

    fn matching(index: &Subscriptions<u32>, topic: &str) -> Vec<(u32, u8)> {
        let mut found = Vec::new();
        index.matching(topic, |session, options| found.push((*session, options.qos)));
        found.sort_unstable();
        found
    }

    #[test]
    fn a_second_subscription_to_a_filter_replaces_the_options() {
        let mut index = Subscriptions::default();
        assert!(index.insert("a/+", 1, options(2)));
        assert!(!index.insert("a/+", 1, options(0)));
        assert_eq!(matching(&index, "a/b"), [(1, 0)]);
    }

    #[test]
    fn wildcards_on_the_first_level_spare_topics_of_the_server() {
        let mut index = Subscriptions::default();
        index.insert("#", 1, options(0));
        index.insert("+/b", 2, options(0));
        index.insert("$a/#", 3, options(0));
        assert_eq!(matching(&index, "$a/b"), [(3, 0)]);
        assert_eq!(matching(&index, "$a"), [(3, 0)]);
    }

    #[test]
    fn an_index_without_subscriptions_keeps_nothing() {
        let mut index = Subscriptions::default();
        for filter in ["a/b", "a/+/c", "#", "a/#"] {
            index.insert(filter, 1, options(0));
        }
        for filter in ["a/b", "a/+/c", "#", "a/#"] {
            assert!(index.remove(filter, &1));
            assert!(!index.remove(filter, &1));
        }
        assert!(index.exact.is_empty() && index.wildcards.is_empty());
    }

    proptest! {
        #[test]
        fn the_index_agrees_with_the_naive_matcher(
            steps in proptest::collection::vec(
                (any::<bool>(), "(\\$?[ab]|\\+|)(/([ab]|\\+|)){0,3}(/#)?", 0u32..4, 0u8..3),
                0..40,
            ),
            topics in proptest::collection::vec("\\$?[ab]?(/[ab]?){0,4}", 1..10),
        ) {
            let mut index = Subscriptions::default();
            let mut naive = BTreeMap::new();
            for (add, filter, session, qos) in steps {
                if !topic::is_valid_filter(&filter) {
                    continue;
                }
                if add {
                    let new = naive.insert((filter.clone(), session), qos).is_none();
                    prop_assert_eq!(index.insert(&filter, session, options(qos)), new);
                } else {
                    let known = naive.remove(&(filter.clone(), session)).is_some();
                    prop_assert_eq!(index.remove(&filter, &session), known);
                }
            }
            for name in topics.iter().filter(|name| topic::is_valid_name(name)) {
                let mut expected: Vec<_> = naive
                    .iter()
                    .filter(|((filter, _), _)| topic::matches(filter, name))
                    .map(|((_, session), qos)| (*session, *qos))
                    .collect();
                expected.sort_unstable();
                prop_assert_eq!(matching(&index, name), expected);
            }
        }
    }
}
