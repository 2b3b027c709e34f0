//! Acknowledged appends survive a kill of the program.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use authlog_application::ports::{Append, EventStore};
use authlog_domain::{SessionId, UserId};
use authlog_infrastructure::sealing::MasterKey;

use super::open_file;
use crate::store_behaviour::people::{Person, session_stream, user_stream};
use crate::store_behaviour::system::random;

/// Where the child finds the file, and that it is the child.
const FILE: &str = "AUTHLOG_TEST_CRASH_FILE";

/// Acknowledgements after which the child is killed.
const ENOUGH: usize = 300;

const TASKS: usize = 16;

#[tokio::test]
async fn acknowledged_appends_survive_a_kill_and_none_is_half_there() {
    if let Some(path) = std::env::var_os(FILE) {
        return append_until_killed(Path::new(&path)).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("authlog.db");
    let mut acknowledged = HashSet::new();
    for _ in 0..3 {
        acknowledged.extend(run_and_kill(&path));
    }
    assert!(acknowledged.len() >= 3 * ENOUGH);

    let store = open_file(&path, &master()).unwrap();
    for (user, session) in &acknowledged {
        assert_eq!(store.load(&user_stream(*user)).await.unwrap().len(), 1);
        assert_eq!(
            store.load(&session_stream(*session)).await.unwrap().len(),
            1
        );
    }
    // Each append made one of everything.
    let connection = rusqlite::Connection::open(&path).unwrap();
    let count = |table: &str| -> i64 {
        let sql = format!("SELECT count(*) FROM {table}");
        connection.query_row(&sql, [], |row| row.get(0)).unwrap()
    };
    let appends = count("accounts");
    assert!(appends >= acknowledged.len() as i64);
    for table in ["sessions", "credentials", "subject_keys"] {
        assert_eq!(count(table), appends, "{table}");
    }
    for table in ["events", "event_log", "identifier_claims"] {
        assert_eq!(count(table), 2 * appends, "{table}");
    }
}

/// Starts this test as a program of its own, kills it while it works, and returns what it had acknowledged.
fn run_and_kill(path: &Path) -> Vec<(UserId, SessionId)> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture"])
        .arg("sqlite::crash::acknowledged_appends_survive_a_kill_and_none_is_half_there")
        .env(FILE, path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut acknowledged = Vec::new();
    let mut read = |line: &str| {
        let mut words = line.strip_prefix("ack ")?.split(' ');
        let user = UserId::parse(words.next()?)?;
        acknowledged.push((user, SessionId::parse(words.next()?)?));
        Some(acknowledged.len())
    };
    while let Some(Ok(line)) = lines.next() {
        if read(&line) == Some(ENOUGH) {
            child.kill().unwrap();
        }
    }
    // What it managed to say before it died counts as well; a line that was cut off does not parse.
    child.wait().unwrap();
    acknowledged
}

async fn append_until_killed(path: &Path) {
    let store = Arc::new(open_file(path, &master()).unwrap());
    let tasks = (0..TASKS).map(|_| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            loop {
                let person = Person::called(&format!("p{}", random().simple()));
                let session = SessionId::new(random());
                let registration = person.registration(&*store).await;
                let login = person.login(session, 0).await;
                let append = Append {
                    streams: registration.streams.into_iter().chain([login]).collect(),
                    ..registration
                };
                store.append(append).await.unwrap();
                let line = format!("ack {} {session}\n", person.user);
                let mut out = std::io::stdout().lock();
                out.write_all(line.as_bytes()).unwrap();
                out.flush().unwrap();
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        let _: Result<(), _> = task.await;
    }
}

/// The same in parent and child.
fn master() -> MasterKey {
    MasterKey::parse("AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=").unwrap()
}
