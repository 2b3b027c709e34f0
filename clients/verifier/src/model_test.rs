//! Compares the deny list with a model of introspection: any sequence of events leads to exactly the tokens that introspection calls
//! active.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use crate::claims::Claims;
use crate::clock::Reading;
use crate::event::{Event, Heartbeat, Line};
use crate::news::{Limits, News};

const MINUTE: i64 = 60_000;
const TOKEN_LIFE: i64 = 24 * 60 * MINUTE;
const BEGIN: i64 = 1_790_000_000_000;

/// What happens. The numbers choose one of the accounts, sessions, clients and secrets that there are.
#[derive(Clone, Debug)]
enum Step {
    Pass {
        minutes: i64,
    },
    LogIn {
        account: u8,
        parent: Option<u8>,
        client: Option<u8>,
    },
    Issue {
        session: u8,
    },
    IssueToClient {
        client: u8,
        secret: Option<u8>,
    },
    End {
        session: u8,
        how: u8,
    },
    Raise {
        account: u8,
        how: u8,
        kept: Option<u8>,
    },
    Erase {
        account: u8,
    },
    LockClient {
        client: u8,
        locked: bool,
    },
    RemoveClient {
        client: u8,
    },
    ChangeClient {
        client: u8,
        own_tokens: bool,
    },
    RetireSecret {
        secret: u8,
    },
    Noise {
        account: u8,
        how: u8,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let few = 0..3_u8;
    let many = 0..30_u8;
    prop_oneof![
        2 => (1..600_i64).prop_map(|minutes| Step::Pass { minutes }),
        6 => (few.clone(), prop::option::of(many.clone()), prop::option::of(few.clone()))
            .prop_map(|(account, parent, client)| Step::LogIn { account, parent, client }),
        6 => many.clone().prop_map(|session| Step::Issue { session }),
        2 => (few.clone(), prop::option::of(few.clone()))
            .prop_map(|(client, secret)| Step::IssueToClient { client, secret }),
        3 => (many.clone(), 0..4_u8).prop_map(|(session, how)| Step::End { session, how }),
        2 => (few.clone(), 0..6_u8, prop::option::of(many))
            .prop_map(|(account, how, kept)| Step::Raise { account, how, kept }),
        1 => few.clone().prop_map(|account| Step::Erase { account }),
        2 => (few.clone(), any::<bool>())
            .prop_map(|(client, locked)| Step::LockClient { client, locked }),
        1 => few.clone().prop_map(|client| Step::RemoveClient { client }),
        1 => (few.clone(), any::<bool>())
            .prop_map(|(client, own_tokens)| Step::ChangeClient { client, own_tokens }),
        1 => few.clone().prop_map(|secret| Step::RetireSecret { secret }),
        2 => (few, 0..4_u8).prop_map(|(account, how)| Step::Noise { account, how }),
    ]
}

#[derive(Default)]
struct Account {
    epoch: u32,
    kept: Option<usize>,
    erased: bool,
}

struct Session {
    account: u8,
    epoch: u32,
    ended: bool,
    parent: Option<usize>,
    client: Option<u8>,
}

struct Client {
    locked: bool,
    removed: bool,
    own_tokens: bool,
}

enum Bearer {
    Session(usize),
    Client { client: u8, secret: Option<u8> },
}

struct Token {
    bearer: Bearer,
    expires_at: i64,
    claims: Claims,
}

/// Authlog, as introspection sees it.
struct Model {
    now: i64,
    accounts: BTreeMap<u8, Account>,
    sessions: Vec<Session>,
    clients: BTreeMap<u8, Client>,
    retired: Vec<u8>,
    tokens: Vec<Token>,
    /// The published events, with the times at which they were recorded.
    log: Vec<(i64, Vec<u8>)>,
}

fn account_id(account: u8) -> Uuid {
    Uuid::from_u128(0xA000 + u128::from(account))
}

fn session_id(session: usize) -> Uuid {
    Uuid::from_u128(0x5E00 + session as u128)
}

fn secret_id(secret: u8) -> Uuid {
    Uuid::from_u128(0x5EC0 + u128::from(secret))
}

fn client_id(client: u8) -> String {
    format!("client-{client}")
}

impl Model {
    fn new() -> Self {
        let client = || Client {
            locked: false,
            removed: false,
            own_tokens: true,
        };
        Self {
            now: BEGIN,
            accounts: (0..3).map(|it| (it, Account::default())).collect(),
            sessions: Vec::new(),
            clients: (0..3).map(|it| (it, client())).collect(),
            retired: Vec::new(),
            tokens: Vec::new(),
            log: Vec::new(),
        }
    }

    fn publish(&mut self, kind: &str, subject: &str, data: &Value) {
        let index = self.log.len() + 1;
        let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.now) * 1_000_000);
        let line = json!({
            "data": data, "datacontenttype": "application/json", "id": format!("event/{index}"),
            "logindex": index.to_string(), "sequence": "00000000000000000003", "source": "i",
            "specversion": "1.0", "subject": subject,
            "time": time.unwrap().format(&Rfc3339).unwrap(), "type": format!("dev.authlog.{kind}.v1"),
        });
        self.log.push((self.now, line.to_string().into_bytes()));
    }

    /// A session that introspection calls live, chosen by a number.
    fn live_session(&self, number: u8) -> Option<usize> {
        let live: Vec<_> = (0..self.sessions.len())
            .filter(|session| self.is_live(*session))
            .collect();
        live.get(usize::from(number) % live.len().max(1)).copied()
    }

    /// `SessionRecord::is_live` of Authlog without the expiry.
    fn is_live(&self, session: usize) -> bool {
        let Session {
            account,
            epoch,
            ended,
            parent,
            client,
        } = self.sessions[session];
        let Account {
            epoch: current,
            kept,
            erased,
        } = self.accounts[&account];
        let is_usable = |client: &Client| !client.locked && !client.removed;
        !ended
            && !erased
            && (epoch == current || kept == Some(session))
            && parent.is_none_or(|parent| self.is_live(parent))
            && client.is_none_or(|client| is_usable(&self.clients[&client]))
    }

    /// Whether introspection calls the token active, apart from its expiry.
    fn is_active(&self, token: &Token) -> bool {
        match token.bearer {
            Bearer::Session(session) => self.is_live(session),
            Bearer::Client { client, secret } => {
                let Client {
                    locked,
                    removed,
                    own_tokens,
                } = self.clients[&client];
                let is_retired = secret.is_some_and(|secret| self.retired.contains(&secret));
                !locked && !removed && own_tokens && !is_retired
            }
        }
    }

    fn issue(&mut self, bearer: Bearer, mut claims: Value) {
        let seconds = self.now / 1000;
        for (name, value) in [
            ("iss", json!("i")),
            ("aud", json!("a")),
            ("jti", json!(self.tokens.len().to_string())),
            ("iat", json!(seconds)),
            ("exp", json!(seconds + TOKEN_LIFE / 1000)),
        ] {
            claims[name] = value;
        }
        self.tokens.push(Token {
            bearer,
            expires_at: self.now + TOKEN_LIFE,
            claims: Claims::parse(claims.to_string().into_bytes()).unwrap(),
        });
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Pass { minutes } => self.now += minutes * MINUTE,
            Step::LogIn {
                account,
                parent,
                client,
            } => {
                if self.accounts[&account].erased {
                    return;
                }
                let client = client.filter(|it| {
                    let client = &self.clients[it];
                    !client.locked && !client.removed
                });
                // Only the session of an application has a parent: a live session of the person itself.
                let parent = parent.and_then(|it| self.live_session(it)).filter(|it| {
                    let session = &self.sessions[*it];
                    client.is_some() && session.account == account && session.client.is_none()
                });
                let epoch = self.accounts[&account].epoch;
                let id = self.sessions.len();
                self.sessions.push(Session {
                    account,
                    epoch,
                    ended: false,
                    parent,
                    client,
                });
                let mut data = json!({ "session_id": session_id(id), "session_epoch": epoch });
                if let Some(parent) = parent {
                    data["parent_session_id"] = json!(session_id(parent));
                }
                self.publish("session.logged-in", &account_id(account).to_string(), &data);
                self.issue_of(id);
            }
            Step::Issue { session } => {
                if let Some(session) = self.live_session(session) {
                    self.issue_of(session);
                }
            }
            Step::End { session, how } => self.end(session, how),
            Step::Raise { account, how, kept } => self.raise(account, how, kept),
            Step::Erase { account } => {
                let entry = self.accounts.get_mut(&account).unwrap();
                if !entry.erased {
                    entry.erased = true;
                    entry.epoch += 1;
                    let data = json!({ "session_epoch": entry.epoch });
                    self.publish("user.erased", &account_id(account).to_string(), &data);
                }
            }
            Step::Noise { account, how } => {
                let kind = [
                    "user.unlocked",
                    "session.token-refreshed",
                    "user.of-the-future",
                    "x.y",
                ];
                let id = account_id(account).to_string();
                self.publish(
                    kind[usize::from(how)],
                    &id,
                    &json!({ "session_epoch": null }),
                );
            }
            _ => self.take_of_client(step),
        }
    }

    fn take_of_client(&mut self, step: &Step) {
        match *step {
            Step::IssueToClient { client, secret } => {
                let Client {
                    locked,
                    removed,
                    own_tokens,
                } = self.clients[&client];
                // Each secret belongs to the client of its number.
                let secret = secret.map(|_| client);
                let is_retired = secret.is_some_and(|it| self.retired.contains(&it));
                if locked || removed || !own_tokens || is_retired {
                    return;
                }
                let mut claims =
                    json!({ "sub": client_id(client), "client_id": client_id(client) });
                if let Some(secret) = secret {
                    claims["secret_id"] = json!(secret_id(secret));
                }
                self.issue(Bearer::Client { client, secret }, claims);
            }
            Step::LockClient { client, locked } => {
                let entry = self.clients.get_mut(&client).unwrap();
                if !entry.removed && entry.locked != locked {
                    entry.locked = locked;
                    let kind = if locked {
                        "client.locked"
                    } else {
                        "client.unlocked"
                    };
                    self.publish(kind, &client_id(client), &json!({}));
                }
            }
            Step::RemoveClient { client } => {
                let entry = self.clients.get_mut(&client).unwrap();
                if !entry.removed {
                    entry.removed = true;
                    self.publish("client.removed", &client_id(client), &json!({}));
                }
            }
            Step::ChangeClient { client, own_tokens } => {
                let entry = self.clients.get_mut(&client).unwrap();
                if !entry.removed {
                    entry.own_tokens = own_tokens;
                    let grants = if own_tokens {
                        vec!["client_credentials"]
                    } else {
                        vec![]
                    };
                    let data = json!({ "grants": grants });
                    self.publish("client.changed", &client_id(client), &data);
                }
            }
            Step::RetireSecret { secret } => {
                if !self.retired.contains(&secret) {
                    self.retired.push(secret);
                    let data = json!({ "secret_id": secret_id(secret) });
                    self.publish("client.secret-retired", &client_id(secret), &data);
                }
            }
            _ => unreachable!("{step:?}"),
        }
    }

    fn issue_of(&mut self, session: usize) {
        if !self.is_live(session) {
            return;
        }
        let Session {
            account,
            epoch,
            parent,
            client,
            ..
        } = self.sessions[session];
        let mut claims = json!({
            "sub": account_id(account), "client_id": client.map_or("users".to_owned(), client_id),
            "sid": session_id(session), "epoch": epoch,
        });
        if let Some(parent) = parent {
            claims["psid"] = json!(session_id(parent));
        }
        self.issue(Bearer::Session(session), claims);
    }

    fn end(&mut self, session: u8, how: u8) {
        let Some(session) = self.live_session(session) else {
            return;
        };
        self.sessions[session].ended = true;
        let kinds = [
            "session.logged-out",
            "session.revoked",
            "session.refresh-token-reused",
            "session.authorization-code-reused",
        ];
        let account = account_id(self.sessions[session].account).to_string();
        let data = json!({ "session_id": session_id(session) });
        self.publish(kinds[usize::from(how)], &account, &data);
    }

    fn raise(&mut self, account: u8, how: u8, kept: Option<u8>) {
        if self.accounts[&account].erased {
            return;
        }
        let (kind, may_keep) = [
            ("user.password-changed", true),
            ("user.sessions-revoked", true),
            ("user.password-reset", false),
            ("user.role-changed", false),
            ("user.locked", false),
            ("user.raised-by-a-newer-version", true),
        ][usize::from(how)];
        // Only a session of the person itself is kept, and never one of an application.
        let kept = kept.and_then(|it| self.live_session(it)).filter(|it| {
            let session = &self.sessions[*it];
            may_keep && session.account == account && session.client.is_none()
        });
        let entry = self.accounts.get_mut(&account).unwrap();
        entry.epoch += 1;
        entry.kept = kept;
        let mut data = json!({ "session_epoch": entry.epoch });
        if let Some(kept) = kept {
            data["kept_session_id"] = json!(session_id(kept));
        }
        self.publish(kind, &account_id(account).to_string(), &data);
    }
}

fn event(line: &[u8]) -> Event {
    match Line::parse(line).unwrap() {
        Line::Event(event) => event,
        other => panic!("{other:?}"),
    }
}

fn reading(now: i64) -> Reading {
    Reading {
        wall: now,
        monotonic: Duration::from_millis((now - BEGIN) as u64),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_events_leads_to_exactly_the_tokens_that_introspection_accepts(
        steps in prop::collection::vec(step(), 1..120),
        begin in 0.0..1.0_f64,
        order in prop::collection::vec(0..1000_u32, 0..40),
        repeated in prop::collection::vec(0..1000_usize, 0..10),
    ) {
        // The service starts between two steps, and reads what was recorded since the longest lifetime of a token. It follows the
        // rest as it happens.
        let starts_at = (steps.len() as f64 * begin) as usize;
        let limits = Limits { longest_token: Duration::from_millis(TOKEN_LIFE as u64), entries: 100_000 };
        let mut model = Model::new();
        for step in &steps[..starts_at] {
            model.take(step);
        }
        let mut news = News::new(limits, model.now);
        let mut events: Vec<_> = model.log.iter()
            .filter(|(recorded, _)| *recorded >= news.since())
            .map(|(_, line)| event(line))
            .collect();
        // Some come late, and some twice.
        for (from, to) in order.iter().zip(order.iter().skip(1)) {
            if !events.is_empty() {
                let length = events.len();
                events.swap(1.max(*from as usize % length) % length, 1.max(*to as usize % length) % length);
            }
        }
        for again in repeated {
            if !events.is_empty() {
                let copy = events[again % events.len()].clone();
                events.push(copy);
            }
        }
        for event in &events {
            news.apply(event, reading(model.now)).unwrap();
        }
        prop_assert!(!news.is_complete() && !news.has_gap());
        let head = model.log.len() as u64;
        news.begin_after(head);
        news.heartbeat("", Heartbeat { log_index: head, elapsed_ms: 0 }, reading(model.now));
        prop_assert!(news.is_complete());
        for step in &steps[starts_at..] {
            let known = model.log.len();
            model.take(step);
            for (_, line) in &model.log[known..] {
                news.apply(&event(line), reading(model.now)).unwrap();
            }
            news.forget(model.now, usize::MAX);
            prop_assert!(news.reach_back(model.now));
            for token in &model.tokens {
                if token.expires_at <= model.now {
                    continue;
                }
                let refused = news.list.refusal(&token.claims);
                let active = model.is_active(token);
                prop_assert_eq!(refused.is_none(), active, "{:?} {:?}", token.claims, refused);
            }
        }
    }
}

#[test]
fn entries_are_forgotten_together_when_no_token_can_need_them() {
    let limits = Limits {
        longest_token: Duration::from_millis(TOKEN_LIFE as u64),
        entries: 100_000,
    };
    let mut model = Model::new();
    let mut news = News::new(limits, model.now);
    for account in 0..3 {
        for _ in 0..20 {
            model.take(&Step::LogIn {
                account,
                parent: None,
                client: None,
            });
            model.take(&Step::End { session: 0, how: 0 });
        }
        model.take(&Step::Raise {
            account,
            how: 4,
            kept: None,
        });
        model.take(&Step::LockClient {
            client: account,
            locked: true,
        });
        model.take(&Step::RetireSecret { secret: account });
    }
    for (_, line) in &model.log {
        news.apply(&event(line), reading(model.now)).unwrap();
    }
    assert_eq!(news.list.entries().total(), 60 + 3 + 3 + 3);
    let kept_for = TOKEN_LIFE + 60 * MINUTE;
    assert!(!news.forget(model.now + kept_for, usize::MAX));
    assert_eq!(news.list.entries().total(), 69);
    let late = model.now + kept_for + 6 * MINUTE;
    // A part at a time, so that no request waits for long.
    let mut rounds = 0;
    while news.forget(late, 1) {
        rounds += 1;
    }
    assert!(rounds > 0);
    assert_eq!(news.list.entries().total(), 0);
}

#[test]
fn an_account_whose_epoch_was_raised_again_is_remembered_for_longer() {
    let limits = Limits {
        longest_token: Duration::from_millis(TOKEN_LIFE as u64),
        entries: 100_000,
    };
    let mut model = Model::new();
    let mut news = News::new(limits, model.now);
    for minutes in [0, 60, 600] {
        model.take(&Step::Pass { minutes });
        model.take(&Step::Raise {
            account: 0,
            how: 4,
            kept: None,
        });
    }
    for (recorded, line) in &model.log {
        news.apply(&event(line), reading(*recorded)).unwrap();
    }
    let first_is_over = BEGIN + TOKEN_LIFE + 130 * MINUTE;
    news.forget(first_is_over, usize::MAX);
    assert_eq!(news.list.entries().accounts, 1);
    news.forget(first_is_over + 600 * MINUTE, usize::MAX);
    assert_eq!(news.list.entries().accounts, 0);
}

#[test]
fn a_full_list_forgets_nothing_and_takes_nothing() {
    let limits = Limits {
        longest_token: Duration::from_millis(TOKEN_LIFE as u64),
        entries: 3,
    };
    let mut model = Model::new();
    let mut news = News::new(limits, model.now);
    for _ in 0..4 {
        model.take(&Step::LogIn {
            account: 0,
            parent: None,
            client: None,
        });
        model.take(&Step::End { session: 0, how: 0 });
    }
    let applied: Vec<_> = model
        .log
        .iter()
        .map(|(_, line)| news.apply(&event(line), reading(model.now)))
        .collect();
    assert_eq!(applied.iter().filter(|it| it.is_ok()).count(), 7);
    assert_eq!(applied[7], Err(crate::news::NotApplied::Full));
    assert_eq!(news.log_index(), Some(7), "the event is applied later");
    let refused = |token: &Token| news.list.refusal(&token.claims).is_some();
    assert_eq!(model.tokens.iter().filter(|it| refused(it)).count(), 3);
}
