//! Topic names and filters (section 4.7): which are valid, and which match.

/// The most levels that a filter may have: bounds the depth of the subscription index.
const MAX_LEVELS: usize = 128;

/// Whether this may be published on: not empty, and without wildcards.
///
/// That it is UTF-8 without U+0000 has been checked when the packet was read.
pub(crate) fn is_valid_name(topic: &str) -> bool {
    !topic.is_empty() && !topic.contains(['+', '#'])
}

/// Whether this may be subscribed: wildcards fill whole levels, and `#` is the last one.
pub(crate) fn is_valid_filter(filter: &str) -> bool {
    let mut levels = filter.split('/').peekable();
    let mut count = 0;
    while let Some(level) = levels.next() {
        count += 1;
        let valid = match level {
            "#" => levels.peek().is_none(),
            "+" => true,
            _ => !level.contains(['+', '#']),
        };
        if !valid || count > MAX_LEVELS {
            return false;
        }
    }
    !filter.is_empty()
}

/// Whether a filter has wildcards.
pub(crate) fn has_wildcards(filter: &str) -> bool {
    filter.contains(['+', '#'])
}

/// Whether a topic belongs to the server: such topics begin with `$` (section 4.7.2).
pub(crate) fn is_of_server(topic: &str) -> bool {
    topic.starts_with('$')
}

/// Whether a filter asks for a shared subscription (section 4.8.2).
pub(crate) fn is_shared(filter: &str) -> bool {
    filter == "$share" || filter.starts_with("$share/")
}

/// Whether a valid filter matches a valid topic (sections 4.7.1 and 4.7.2).
pub(crate) fn matches(filter: &str, topic: &str) -> bool {
    if is_of_server(topic) && filter.starts_with(['+', '#']) {
        return false;
    }
    let mut topic = topic.split('/');
    for level in filter.split('/') {
        match (level, topic.next()) {
            ("#", _) => return true,
            ("+", Some(_)) => {}
            (level, Some(name)) if level == name => {}
            _ => return false,
        }
    }
    topic.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_fill_whole_levels_and_hash_comes_last() {
        for valid in ["#", "+", "a", "/", "a/#", "+/a/+", "a//b", "+/#", "$SYS/#", "é/#"] {
            assert!(is_valid_filter(valid), "{valid}");
        }
        for invalid in ["", "a#", "a+", "a/#/b", "#/a", "+a/b", "a/b+", "##"] {
            assert!(!is_valid_filter(invalid), "{invalid}");
        }
        assert!(!is_valid_filter(&"/".repeat(MAX_LEVELS)));
    }

    #[test]
    fn the_examples_of_the_standard_match() {
        for (filter, topic) in [
            ("sport/tennis/player1/#", "sport/tennis/player1"),
            ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon"),
            ("sport/#", "sport"),
            ("sport/tennis/+", "sport/tennis/player1"),
            ("sport/+", "sport/"),
            ("+/+", "/finance"),
            ("/+", "/finance"),
            ("$SYS/#", "$SYS/monitor"),
        ] {
            assert!(matches(filter, topic), "{filter} {topic}");
        }
        for (filter, topic) in [
            ("sport/tennis/+", "sport/tennis/player1/ranking"),
            ("sport/+", "sport"),
            ("+", "/finance"),
            ("#", "$SYS/monitor"),
            ("+/monitor", "$SYS/monitor"),
            ("a", "a/b"),
            ("a/b", "a"),
        ] {
            assert!(!matches(filter, topic), "{filter} {topic}");
        }
    }
}
