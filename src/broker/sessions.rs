//! The sessions of all clients: take-over, resumption, expiry, and wills that wait.

use super::{
    access::Role,
    session::{Kick, Session},
    will::DueWill,
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

/// All sessions by client id.
#[derive(Debug)]
pub(crate) struct Sessions {
    clients: HashMap<Arc<str>, Client>,
    /// When something is due for an absent client, in order. The number tells equal moments apart.
    deadlines: BTreeMap<(Instant, u64), Arc<str>>,
    connected: usize,
    max_connected: usize,
    /// The server stops: nobody is let in.
    closed: bool,
    next_serial: u64,
}

#[derive(Debug)]
struct Client {
    session: Arc<Session>,
    /// `None` while the client is connected.
    absent: Option<Box<Absent>>,
}

#[derive(Debug)]
struct Absent {
    /// When the session ends; `None` for never.
    expires: Option<Instant>,
    will: Option<(Instant, DueWill)>,
    /// The key in `deadlines`, if something is due.
    deadline: Option<(Instant, u64)>,
}

/// What a CONNECT meets.
#[derive(Debug)]
pub(crate) enum Admission {
    /// The client has a session.
    Admitted(Admitted),
    /// Another connection has the client id, and was told to leave: try again after this.
    Taken(oneshot::Receiver<()>),
    /// As many clients are connected as may be.
    Full,
    /// The client id is that of a board with a key, and this is not that board.
    Foreign,
}

/// The session of a client that connects.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(crate) session: Arc<Session>,
    /// Whether the session existed before.
    pub(crate) present: bool,
    /// A session that ends for this one.
    pub(crate) ended: Option<Ended>,
}

/// A session that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Its subscriptions are to be removed; `None` where only the will is due.
    pub(crate) session: Option<Arc<Session>>,
    /// Its will, which is to be published now.
    pub(crate) will: Option<DueWill>,
}

impl Sessions {
    pub(crate) fn new(max_connected: usize) -> Self {
        Self {
            clients: HashMap::new(),
            deadlines: BTreeMap::new(),
            connected: 0,
            max_connected,
            closed: false,
            next_serial: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.clients.len()
    }

    pub(crate) fn connected(&self) -> usize {
        self.connected
    }

    /// Lets a client in: with its old session if it has one in this role and does not want a new
    /// one, else with a new one.
    pub(crate) fn admit(
        &mut self,
        client_id: &Arc<str>,
        clean_start: bool,
        role: Role,
    ) -> Admission {
        let known = self.clients.get(client_id);
        if known.is_some_and(|client| {
            client.session.role.proven().is_some() && client.session.role != role
        }) {
            return Admission::Foreign;
        }
        if let Some(client) = known
            && client.absent.is_none()
        {
            return Admission::Taken(client.session.succeed());
        }
        if self.closed || self.connected >= self.max_connected {
            return Admission::Full;
        }
        self.connected += 1;
        let mut ended = None;
        if let Some(client) = self.clients.get_mut(client_id)
            && let Some(absent) = client.absent.take()
        {
            if let Some(deadline) = absent.deadline {
                self.deadlines.remove(&deadline);
            }
            if !clean_start && client.session.role == role {
                // A will that waits is not sent when the session is resumed ([MQTT-3.1.3-9]).
                let session = Arc::clone(&client.session);
                return Admission::Admitted(Admitted { session, present: true, ended: None });
            }
            ended = Some(Ended {
                session: Some(Arc::clone(&client.session)),
                will: absent.will.map(|(_, will)| will),
            });
        }
        self.next_serial += 1;
        let session = Arc::new(Session::new(self.next_serial, Arc::clone(client_id), role));
        let client = Client { session: Arc::clone(&session), absent: None };
        self.clients.insert(Arc::clone(client_id), client);
        Admission::Admitted(Admitted { session, present: false, ended })
    }

    /// A client has left. Its session is kept for `expiry_s` seconds (`u32::MAX`: for ever), its
    /// will published `will.delay` later. Gives the sessions that end by this.
    pub(crate) fn leave(
        &mut self,
        session: &Arc<Session>,
        expiry_s: u32,
        will: Option<DueWill>,
        now: Instant,
    ) -> Option<Ended> {
        let after = |seconds: u32| now.checked_add(Duration::from_secs(seconds.into()));
        self.connected -= 1;
        let outlives = expiry_s > 0;
        let successors = session.disconnect(outlives);
        let mut ended = None;
        if outlives {
            // Sessions of absent clients are bounded like connections: the one that would end
            // first makes room.
            if self.clients.len() - self.connected > self.max_connected {
                ended = self.end_earliest();
            }
            let expires = if expiry_s == u32::MAX { None } else { after(expiry_s) };
            let will = will.and_then(|will| Some((after(will.will.delay)?, will)));
            if let Some(client) = self.clients.get_mut(&session.client_id) {
                client.absent = Some(Box::new(Absent { expires, will, deadline: None }));
            }
            self.schedule(&session.client_id);
        } else {
            self.clients.remove(&session.client_id);
            ended = Some(Ended { session: Some(Arc::clone(session)), will });
        }
        // Only now may they look whether the client id is free.
        drop(successors);
        ended
    }

    /// When [`expire`](Self::expire) has something to do next.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first_key_value().map(|((at, _), _)| *at)
    }

    /// What was due until now: wills whose delay is over, sessions whose life is.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<Ended> {
        if self.next_deadline()? > now {
            return None;
        }
        let (_, client_id) = self.deadlines.pop_first()?;
        let absent = self.clients.get_mut(&client_id)?.absent.as_deref_mut()?;
        absent.deadline = None;
        // A will is due when the session ends, whatever its delay (section 3.1.3.2.2).
        let will = absent.will.take().map(|(_, will)| will);
        if absent.expires.is_some_and(|at| at <= now) {
            let client = self.clients.remove(&client_id)?;
            return Some(Ended { session: Some(client.session), will });
        }
        self.schedule(&client_id);
        Some(Ended { session: None, will })
    }

    /// Tells every connection to end, and lets nobody in from now on.
    pub(crate) fn close(&mut self) {
        self.closed = true;
        for client in self.clients.values().filter(|client| client.absent.is_none()) {
            client.session.kick(Kick::ShuttingDown);
        }
    }

    /// Ends the absent session that would end first, or any if all are kept for ever.
    fn end_earliest(&mut self) -> Option<Ended> {
        let client_id = if let Some((_, client_id)) = self.deadlines.pop_first() {
            client_id
        } else {
            let absent = self.clients.iter().find(|(_, client)| client.absent.is_some())?;
            Arc::clone(absent.0)
        };
        let client = self.clients.remove(&client_id)?;
        let will = client.absent.and_then(|absent| absent.will).map(|(_, will)| will);
        Some(Ended { session: Some(client.session), will })
    }

    fn schedule(&mut self, client_id: &Arc<str>) {
        let Some(absent) =
            self.clients.get_mut(client_id).and_then(|one| one.absent.as_deref_mut())
        else {
            return;
        };
        let will = absent.will.as_ref().map(|(at, _)| *at);
        let next = match (will, absent.expires) {
            (Some(will), Some(expires)) => Some(will.min(expires)),
            (one, other) => one.or(other),
        };
        self.next_serial += 1;
        absent.deadline = next.map(|at| (at, self.next_serial));
        if let Some(key) = absent.deadline {
            self.deadlines.insert(key, Arc::clone(client_id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::{ConnectionId, Origin, packet::WillPacket, will::Will};
    use capteur_protocol::Mac;

    fn admit(sessions: &mut Sessions, id: &str, clean: bool) -> Admitted {
        match sessions.admit(&id.into(), clean, Role::Full) {
            Admission::Admitted(admitted) => admitted,
            other => panic!("{other:?}"),
        }
    }

    fn will(delay: u32) -> DueWill {
        let packet = WillPacket {
            topic: "t",
            payload: b"p",
            qos: 0,
            retain: false,
            delay,
            message_expiry: None,
            properties: Vec::new(),
        };
        let origin = Origin {
            connection: ConnectionId(1),
            client_id: "a".into(),
            address: [127, 0, 0, 1].into(),
            mac: None,
        };
        DueWill { will: Box::new(Will::new(&packet)), origin }
    }

    #[test]
    fn a_session_lives_as_long_as_it_was_asked_to() {
        let now = Instant::now();
        let mut sessions = Sessions::new(10);
        let first = admit(&mut sessions, "a", true);
        assert!(!first.present);
        assert!(sessions.leave(&first.session, 10, None, now).is_none());
        assert!(sessions.expire(now + Duration::from_secs(9)).is_none());
        let second = admit(&mut sessions, "a", false);
        assert!(second.present);
        assert_eq!(second.session, first.session);
        assert_eq!(sessions.next_deadline(), None);
        sessions.leave(&second.session, 10, None, now);
        let ended = sessions.expire(now + Duration::from_secs(10)).unwrap();
        assert_eq!(ended.session, Some(first.session));
        assert_eq!(sessions.len(), 0);
        assert!(!admit(&mut sessions, "a", false).present);
    }

    #[test]
    fn a_clean_start_ends_the_old_session_and_sends_its_will() {
        let now = Instant::now();
        let mut sessions = Sessions::new(10);
        let first = admit(&mut sessions, "a", true);
        sessions.leave(&first.session, 10, Some(will(5)), now);
        let second = admit(&mut sessions, "a", true);
        let ended = second.ended.unwrap();
        assert_eq!(ended.session, Some(first.session));
        assert!(ended.will.is_some());
    }

    #[test]
    fn a_resumed_session_sends_no_will() {
        let now = Instant::now();
        let mut sessions = Sessions::new(10);
        let first = admit(&mut sessions, "a", true);
        sessions.leave(&first.session, 10, Some(will(5)), now);
        assert!(admit(&mut sessions, "a", false).ended.is_none());
        assert!(sessions.expire(now + Duration::from_secs(100)).is_none());
    }

    #[test]
    fn a_will_waits_for_its_delay_or_the_end_of_the_session() {
        let now = Instant::now();
        let mut sessions = Sessions::new(10);
        for (id, expiry, delay) in [("a", 10, 5), ("b", 10, 20), ("c", u32::MAX, 30)] {
            let admitted = admit(&mut sessions, id, true);
            sessions.leave(&admitted.session, expiry, Some(will(delay)), now);
        }
        let mut due = Vec::new();
        for second in 0..40 {
            while let Some(ended) = sessions.expire(now + Duration::from_secs(second)) {
                due.push((second, ended.session.is_some(), ended.will.is_some()));
            }
        }
        assert_eq!(due, [(5, false, true), (10, true, true), (10, true, false), (30, false, true)]);
        assert_eq!(sessions.len(), 1);
    }

    #[test]
    fn a_taken_client_id_is_free_once_the_old_connection_has_left() {
        let now = Instant::now();
        let mut sessions = Sessions::new(10);
        let first = admit(&mut sessions, "a", true);
        let Admission::Taken(mut left) = sessions.admit(&"a".into(), true, Role::Full) else {
            panic!("not taken");
        };
        assert_eq!(first.session.state().kicked(), Some(Kick::TakenOver));
        assert_eq!(left.try_recv(), Err(oneshot::error::TryRecvError::Empty));
        sessions.leave(&first.session, 0, None, now);
        assert_eq!(left.try_recv(), Err(oneshot::error::TryRecvError::Closed));
        assert_ne!(admit(&mut sessions, "a", true).session, first.session);
    }

    #[test]
    fn connections_and_absent_sessions_are_bounded() {
        let now = Instant::now();
        let mut sessions = Sessions::new(2);
        for round in 0..3 {
            let admitted: Vec<_> = ["a", "b"]
                .iter()
                .map(|id| admit(&mut sessions, &format!("{id}{round}"), true))
                .collect();
            assert!(matches!(sessions.admit(&"c".into(), true, Role::Full), Admission::Full));
            for admitted in admitted {
                sessions.leave(&admitted.session, 10 + round, None, now);
            }
            assert_eq!(sessions.len(), 2);
        }
        assert!(admit(&mut sessions, "a2", false).present);
        assert!(!admit(&mut sessions, "a0", false).present);
    }

    #[test]
    fn another_role_does_not_resume_a_session() {
        let now = Instant::now();
        let mut sessions = Sessions::new(2);
        let first = admit(&mut sessions, "a", true);
        sessions.leave(&first.session, 10, None, now);
        let Admission::Admitted(second) = sessions.admit(&"a".into(), false, Role::Device(None))
        else {
            panic!("not admitted");
        };
        assert!(!second.present);
    }

    #[test]
    fn the_client_id_of_a_board_with_a_key_is_its_alone() {
        let mut sessions = Sessions::new(2);
        let board = Role::Device(Some(Mac([1; 6])));
        let others = [Role::Full, Role::Device(None), Role::Device(Some(Mac([2; 6])))];
        let mut admit = |role| sessions.admit(&"a".into(), true, role);
        let Admission::Admitted(first) = admit(board) else { panic!("not admitted") };
        for role in others {
            assert!(matches!(admit(role), Admission::Foreign));
        }
        assert_eq!(first.session.state().kicked(), None);
        assert!(matches!(admit(board), Admission::Taken(_)));
        sessions.leave(&first.session, 10, None, Instant::now());
        for role in others {
            assert!(matches!(sessions.admit(&"a".into(), true, role), Admission::Foreign));
        }
    }
}
