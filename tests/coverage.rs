//! Every endpoint of the documents has a name in the tests, is routed by the program, and is requested by a story.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use crate::support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use support::endpoint::NAMED;
use support::{Contract, Endpoint, Program, Store, document, on_both_stores};

/// The number of endpoints in each document, counted by hand, so that a parser that overlooks one fails.
/// `README.md` adds `/api/auth/refresh`, which the first document misprints as logout's path.
const COUNTED: [(&str, usize); 6] = [
    ("README.md", 6),
    ("api-auth-a.md", 2),
    ("api-auth-b.md", 4),
    ("api.md", 2),
    ("users.md", 7),
    ("v1-auth.md", 2),
];

/// A method and a path as a document names them.
type Named = (String, String);

on_both_stores!(every_documented_endpoint_is_answered_by_its_contract);

#[test]
fn every_endpoint_of_the_documents_is_found() {
    for (name, count) in COUNTED {
        let found = endpoints_in(&document::read(name));
        assert_eq!(found.len(), count, "{name}: {found:?}");
    }
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/contracts");
    let files = std::fs::read_dir(directory).unwrap();
    let names: BTreeSet<_> = files
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    let counted: BTreeSet<_> = COUNTED.map(|(name, _)| name.to_owned()).into();
    assert_eq!(names, counted, "a document is not counted");
}

#[test]
fn exactly_the_documented_endpoints_have_a_name_in_the_tests() {
    let documented: BTreeSet<Named> = documented().into_keys().collect();
    let named: BTreeSet<Named> = NAMED
        .iter()
        .filter(|(name, _)| !name.starts_with("own::"))
        .map(|(_, endpoint)| (endpoint.method.to_owned(), endpoint.path.to_owned()))
        .collect();
    assert_eq!(documented, named);
}

#[test]
fn every_endpoint_is_requested_by_a_story_on_both_stores() {
    let stories = stories();
    assert!(
        stories.len() > 50,
        "only {} stories were found",
        stories.len()
    );
    for (name, endpoint) in NAMED {
        let sent = format!(".send({name})");
        assert!(
            stories.iter().any(|story| story.contains(&sent)),
            "no story sends to {name}, {endpoint}"
        );
    }
}

async fn every_documented_endpoint_is_answered_by_its_contract(store: Store) {
    let service = Program::on(store).await;
    for (_, endpoint) in NAMED.iter().filter(|(name, _)| !name.starts_with("own::")) {
        let answer = service.send(*endpoint).await;
        assert!(![404, 405].contains(&answer.status), "{answer}");
        Contract::of(*endpoint).refuses_the_client(&answer);
        let path = Endpoint::at(endpoint.method, "/api/auth/nothing-of-the-kind");
        assert_eq!(
            service.send(path).await.status,
            404,
            "a path can be unknown"
        );
    }
}

/// Every documented endpoint, with the documents that name it.
fn documented() -> BTreeMap<Named, Vec<&'static str>> {
    let mut found: BTreeMap<Named, Vec<&'static str>> = BTreeMap::new();
    for (document, _) in COUNTED {
        for named in endpoints_in(&document::read(document)) {
            found.entry(named).or_default().push(document);
        }
    }
    found
}

/// The endpoints that a document names in any notation.
fn endpoints_in(text: &str) -> BTreeSet<Named> {
    text.lines().flat_map(endpoints_in_line).collect()
}

/// `curl -X POST http://yourdomain.com/api/auth/login`, ``POST ``/api/register`` ``, `Endpoint : POST /users` and
/// `` `POST /api/auth/refresh` `` have in common that a method is followed by a path.
fn endpoints_in_line(line: &str) -> Vec<Named> {
    let words: Vec<&str> = line
        .split([' ', '`', '\t', ','])
        .filter(|word| !word.is_empty())
        .collect();
    words
        .windows(2)
        .filter(|pair| ["GET", "POST", "PUT", "PATCH", "DELETE"].contains(&pair[0]))
        .filter_map(|pair| {
            let path = pair[1].trim_start_matches("http://yourdomain.com");
            path.starts_with('/')
                .then(|| (pair[0].to_owned(), path.to_owned()))
        })
        .collect()
}

/// The source of every story that runs on both stores, without comments. A story that is missing from its file's list
/// is dead code, so looking for functions with its signature is enough.
fn stories() -> Vec<String> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let directories = [tests.join("clients"), tests.join("oauth"), tests];
    let files = directories
        .iter()
        .flat_map(|it| std::fs::read_dir(it).unwrap());
    let mut stories = Vec::new();
    for file in files {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|end| end != "rs") {
            continue;
        }
        let source = std::fs::read_to_string(&path).unwrap();
        let code: Vec<&str> = source
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .collect();
        let code = code.join("\n");
        // rustfmt ends a function with a brace in the first column, and may break calls anywhere.
        for story in code.split("\nasync fn ").skip(1) {
            let story = story.split("\n}").next().unwrap_or_default();
            if story
                .lines()
                .next()
                .is_some_and(|head| head.contains("(store: Store)"))
            {
                stories.push(story.split_whitespace().collect());
            }
        }
    }
    stories
}
