//! Limits of the mail to one mailbox: floods of every kind, with a real SMTP server.
#![expect(
    clippy::expect_used,
    reason = "a mail server of a test is a test; clippy.toml knows only functions that are marked as one"
)]

use crate::support;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use serde_json::json;
use support::contract::Tokens;
use support::mail::{Mail, MailServer, Mailbox, new_mail_to, notice_to};
use support::program::free_port;
use support::story::follows;
use support::{
    Contract, Person, Program, Settings, Store, api_auth, eventually, on_both_stores, own, users,
};

/// How many notices of a kind a mailbox receives at once.
const NOTICES: usize = 3;

/// How many links of a kind a mailbox receives at once.
const LINKS: usize = 5;

/// Asserts that these addresses received at most the links that one mailbox may receive since `since`: one more in six
/// minutes.
#[track_caller]
fn are_bounded(post: &impl Mailbox, addresses: &[&str], since: Instant) {
    let sent = links_to(post, addresses);
    let most = LINKS + (since.elapsed().as_secs() / 360) as usize;
    assert!((LINKS..=most).contains(&sent), "{sent} links");
}

on_both_stores!(
    a_flood_of_notices_is_merged_into_one_and_a_restart_makes_no_difference,
    a_refresh_token_that_is_reused_again_and_again_floods_no_mailbox,
    registering_and_erasing_again_and_again_floods_no_mailbox,
    many_accounts_send_one_mailbox_no_more_mail_than_one,
    notices_during_an_outage_of_the_mail_server_become_one_mail,
    notices_go_to_verified_addresses_alone,
    an_unacknowledged_mail_is_sent_again_later_with_the_same_message_id,
);

/// A service with these settings and a mail server of its own.
async fn service_with(settings: Settings, more: &[(&str, &str)]) -> (Program, MailServer) {
    let port = free_port();
    let post = MailServer::on(port).await;
    let mut settings = settings
        .with_cheap_hashing()
        .with("AUTHLOG_SMTP_URL", &format!("smtp://127.0.0.1:{port}"));
    for (name, value) in more {
        settings = settings.with(name, value);
    }
    (settings.start().await, post)
}

/// A signed-in person who changes the password repeatedly.
struct Changing {
    person: Person,
    tokens: Tokens,
}

impl Changing {
    /// Registers and signs in.
    async fn registers(service: &Program, name: &str) -> Self {
        let person = Person::called(name);
        Contract::ApiAuth.registers(&service.http(), &person).await;
        let tokens = Contract::ApiAuth.signs_in(&service.http(), &person).await;
        Self { person, tokens }
    }

    /// Registers, signs in and confirms the address.
    async fn verified(service: &Program, post: &impl Mailbox, name: &str) -> Self {
        let changing = Self::registers(service, name).await;
        let access = &changing.tokens.access;
        let answer = service.send(own::REQUEST_VERIFICATION).bearer(access).await;
        assert_eq!(answer.status, 202, "{answer}");
        let link = new_mail_to(post, &changing.person.email, &[]).await;
        follows(service, &link.token(), access).await;
        changing
    }

    /// Changes the password.
    async fn changes_password(&mut self, service: &Program) {
        let new = format!("{}x", self.person.password);
        let body = json!({"current_password": self.person.password, "new_password": new});
        let request = service.send(own::CHANGE_PASSWORD);
        let answer = request.bearer(&self.tokens.access).json(&body).await;
        assert_eq!(answer.status, 204, "{answer}");
        self.person = self.person.with_password(&new);
    }

    /// Changes the password, and waits for the notice.
    async fn is_notified(&mut self, service: &Program, post: &impl Mailbox) {
        let known = notices_to(post, &self.person.email).len();
        self.changes_password(service).await;
        eventually("the notice", async || {
            (notices_to(post, &self.person.email).len() > known).then_some(())
        })
        .await;
    }
}

fn notices_to(post: &impl Mailbox, address: &str) -> Vec<Mail> {
    let mut notices = post.notices();
    notices.retain(|mail| mail.to == address);
    notices
}

fn links_to(post: &impl Mailbox, addresses: &[&str]) -> usize {
    let mails = post.mails();
    let to = |mail: &&Mail| addresses.contains(&mail.to.as_str());
    mails.iter().filter(to).count()
}

async fn a_flood_of_notices_is_merged_into_one_and_a_restart_makes_no_difference(store: Store) {
    let (mut service, post) = service_with(Settings::on(store), &[]).await;
    let mut ann = Changing::verified(&service, &post, "ann").await;
    let mut bob = Changing::verified(&service, &post, "bob").await;
    for _ in 0..NOTICES {
        ann.is_notified(&service, &post).await;
    }
    for _ in 0..5 {
        ann.changes_password(&service).await;
    }
    // Neither a restart nor another request lets more mail through.
    service.kill9();
    service.restart().await;
    for _ in 0..4 {
        ann.changes_password(&service).await;
    }
    let ask_again = "UPDATE mail_queue SET due_at = happened_at";
    service.settings.execute(ask_again);
    bob.is_notified(&service, &post).await;
    let received = notices_to(&post, &ann.person.email);
    assert_eq!(received.len(), NOTICES, "{received:?}");
    for notice in &received {
        assert!(notice.text.contains("was changed at 2"), "{notice:?}");
    }
    // An hour later one notice names the number of merged ones.
    let merged = eventually("the merged notice", async || {
        let later = format!("DELETE FROM mail_budgets; {ask_again}");
        service.settings.execute(&later);
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        let mut notices = notices_to(&post, &ann.person.email);
        notices.retain(|notice| !received.contains(notice));
        notices.pop()
    })
    .await;
    let text = merged.text.replace('\n', " ");
    let says = "The password of your account was changed 9 times, most recently at 2";
    assert!(text.contains(says), "{merged:?}");
    bob.is_notified(&service, &post).await;
    assert_eq!(
        notices_to(&post, &ann.person.email).len(),
        NOTICES + 1,
        "once"
    );
}

async fn a_refresh_token_that_is_reused_again_and_again_floods_no_mailbox(store: Store) {
    let (service, post) = service_with(Settings::on(store), &[]).await;
    let ann = Changing::verified(&service, &post, "ann").await;
    let mut bob = Changing::verified(&service, &post, "bob").await;
    for round in 0..NOTICES + 5 {
        let first = Contract::ApiAuth
            .signs_in(&service.http(), &ann.person)
            .await;
        let mut newest = first.clone();
        for _ in 0..2 {
            let answer = service
                .send(api_auth::REFRESH)
                .bearer(newest.refresh())
                .await;
            newest = Contract::ApiAuth.tokens_in(&answer.json());
        }
        let answer = service
            .send(api_auth::REFRESH)
            .bearer(first.refresh())
            .await;
        assert_eq!(answer.status, 401, "{answer}");
        eventually("a notice", async || {
            let received = notices_to(&post, &ann.person.email).len();
            (received > round || round >= NOTICES).then_some(())
        })
        .await;
    }
    bob.is_notified(&service, &post).await;
    let received = notices_to(&post, &ann.person.email);
    assert_eq!(received.len(), NOTICES, "{received:?}");
    let says = "was used a second time at";
    assert!(
        received.iter().all(|mail| mail.text.contains(says)),
        "{received:?}"
    );
}

async fn registering_and_erasing_again_and_again_floods_no_mailbox(store: Store) {
    let verifies = [("AUTHLOG_VERIFY_EMAIL", "on")];
    let (service, post) = service_with(Settings::on(store), &verifies).await;
    let victim = Person::called("victim");
    let since = Instant::now();
    let mut mails = Vec::new();
    for round in 0..LINKS + 7 {
        Contract::ApiAuth.registers(&service.http(), &victim).await;
        if round < LINKS {
            mails.push(new_mail_to(&post, &victim.email, &mails).await);
        } else {
            // Mail of other accounts is sent afterwards, whether this one was refused or deleted with its account.
            let other = Person::called(&format!("other-{round}"));
            Contract::ApiAuth.registers(&service.http(), &other).await;
            new_mail_to(&post, &other.email, &[]).await;
        }
        let tokens = Contract::ApiAuth.signs_in(&service.http(), &victim).await;
        let request = service.send(own::ERASE).bearer(&tokens.access);
        let answer = request.json(&json!({"password": victim.password})).await;
        assert_eq!(answer.status, 204, "{answer}");
    }
    are_bounded(&post, &[&victim.email], since);
}

async fn many_accounts_send_one_mailbox_no_more_mail_than_one(store: Store) {
    let (service, post) = service_with(Settings::on(store), &[]).await;
    let spellings = [
        "victim@example.com",
        "VICTIM@example.com",
        "victim+more@example.com",
    ];
    let since = Instant::now();
    for number in 0..12 {
        let eve = Changing::registers(&service, &format!("eve-{number}")).await;
        asks_for(&service, &eve, spellings[number % spellings.len()]).await;
    }
    let bob = Changing::registers(&service, "bob").await;
    asks_for(&service, &bob, "bob@elsewhere.example").await;
    new_mail_to(&post, "bob@elsewhere.example", &[]).await;
    eventually("the mails to the victim", async || {
        (links_to(&post, &spellings) >= LINKS).then_some(())
    })
    .await;
    are_bounded(&post, &spellings, since);
}

/// Requests a change of the address.
async fn asks_for(service: &Program, asking: &Changing, email: &str) {
    let request = service
        .send(own::CHANGE_EMAIL)
        .bearer(&asking.tokens.access);
    let body = json!({"email": email, "password": asking.person.password});
    let answer = request.json(&body).await;
    assert_eq!(answer.status, 202, "{answer}");
}

async fn notices_during_an_outage_of_the_mail_server_become_one_mail(store: Store) {
    let port = free_port();
    let url = format!("smtp://127.0.0.1:{port}");
    let settings = Settings::on(store).with_cheap_hashing();
    let service = settings.with("AUTHLOG_SMTP_URL", &url).start().await;
    let post = MailServer::on(port).await;
    let mut ann = Changing::verified(&service, &post, "ann").await;
    drop(post);
    for _ in 0..20 {
        ann.changes_password(&service).await;
    }
    // Five links: only the last one works.
    for number in 0..4 {
        asks_for(&service, &ann, &format!("ann@host{number}.example")).await;
    }
    let post = MailServer::on(port).await;
    let notice = notice_to(&post, &ann.person.email, "was changed 20 times").await;
    let link = new_mail_to(&post, "ann@host3.example", &[]).await;
    assert_eq!(post.notices(), [notice]);
    assert_eq!(post.mails(), [link]);
}

/// A mail server that accepts every message and closes the connection instead of acknowledging it.
struct SilentServer {
    port: u16,
    messages: Arc<Mutex<Vec<String>>>,
}

impl SilentServer {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let messages = Arc::<Mutex<Vec<String>>>::default();
        let taken = Arc::clone(&messages);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if let Some(message) = take(&client) {
                    taken.lock().expect("no panic").push(message);
                }
            }
        });
        Self { port, messages }
    }

    /// The ids of the messages so far.
    fn names(&self) -> Vec<String> {
        let messages = self.messages.lock().expect("no panic");
        let name = |message: &String| {
            let mut lines = message.lines();
            let name = lines.find(|line| line.starts_with("Message-ID:"));
            name.expect("a name").to_owned()
        };
        messages.iter().map(name).collect()
    }
}

/// The message that the client sends.
fn take(mut client: &TcpStream) -> Option<String> {
    client.write_all(b"220 mail.example\r\n").ok()?;
    let mut lines = BufReader::new(client).lines().map_while(Result::ok);
    loop {
        let is_data = lines.next()?.starts_with("DATA");
        let answer: &[u8] = if is_data {
            b"354 Go on\r\n"
        } else {
            b"250 OK\r\n"
        };
        client.write_all(answer).ok()?;
        if is_data {
            return Some(
                lines
                    .take_while(|line| line != ".")
                    .collect::<Vec<_>>()
                    .join("\n"),
            );
        }
    }
}

async fn an_unacknowledged_mail_is_sent_again_later_with_the_same_message_id(store: Store) {
    let post = SilentServer::start();
    let url = format!("smtp://127.0.0.1:{}", post.port);
    let settings = Settings::on(store).with_cheap_hashing();
    let service = settings.with("AUTHLOG_SMTP_URL", &url).start().await;
    let ann = Changing::registers(&service, "ann").await;
    for queue in ["mail_queue", "reset_requests"] {
        let before = post.names().len();
        let answer = if queue == "mail_queue" {
            let request = service.send(own::REQUEST_VERIFICATION);
            request.bearer(&ann.tokens.access).await
        } else {
            let body = json!({"username": ann.person.email});
            service.send(users::REQUEST_RESET).json(&body).await
        };
        assert!(answer.status < 300, "{answer}");
        for copy in 1..=5 {
            eventually("a copy", async || {
                (post.names().len() >= before + copy).then_some(())
            })
            .await;
            // It is postponed by a minute at least, and dropped after the fifth attempt.
            let is_settled = if copy < 5 {
                format!("{queue} WHERE unacknowledged = {copy}")
            } else {
                queue.to_owned()
            };
            let rows = i64::from(copy < 5);
            eventually("the attempt is recorded", async || {
                (service.settings.count(&is_settled) == rows).then_some(())
            })
            .await;
            assert_eq!(post.names().len(), before + copy);
            let instant = if queue == "mail_queue" {
                "happened_at"
            } else {
                "requested_at"
            };
            service
                .settings
                .execute(&format!("UPDATE {queue} SET due_at = {instant}"));
        }
        let names = post.names().split_off(before);
        assert!(names.iter().all(|name| *name == names[0]), "{names:?}");
    }
}

async fn notices_go_to_verified_addresses_alone(store: Store) {
    let (service, post) = service_with(Settings::on(store), &[]).await;
    let mut bob = Changing::verified(&service, &post, "bob").await;
    let mut ann = Changing::registers(&service, "ann").await;
    ann.changes_password(&service).await;
    bob.is_notified(&service, &post).await;
    assert_eq!(notices_to(&post, &ann.person.email), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_on_one_store_share_the_limit_of_a_mailbox() {
    let port = free_port();
    let post = MailServer::on(port).await;
    let [first, second] = Settings::of_two_nodes().map(|settings| {
        settings
            .with_cheap_hashing()
            .with("AUTHLOG_VERIFY_EMAIL", "on")
            .with("AUTHLOG_SMTP_URL", &format!("smtp://127.0.0.1:{port}"))
    });
    let nodes = [first.start().await, second.start().await];
    let since = Instant::now();
    let mut addresses = Vec::new();
    for number in 0..12 {
        let mut person = Person::called(&format!("eve-{number}"));
        person.email = format!("victim+{number}@example.com");
        Contract::ApiAuth
            .registers(&nodes[number % 2].http(), &person)
            .await;
        addresses.push(person.email);
    }
    for node in &nodes {
        let bob = Person::called(&format!("bob-{}", node.id()));
        Contract::ApiAuth.registers(&node.http(), &bob).await;
        new_mail_to(&post, &bob.email, &[]).await;
    }
    let addresses: Vec<_> = addresses.iter().map(String::as_str).collect();
    let waiting = "SELECT count(*) FROM mail_queue";
    let url = nodes[0].settings.get("AUTHLOG_DATABASE_URL").unwrap();
    eventually("nothing waits", async || {
        (support::Postgres::query(url, waiting) == "0").then_some(())
    })
    .await;
    are_bounded(&post, &addresses, since);
}
