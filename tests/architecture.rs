//! The arrows between the rooms: who may know whom.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use toml::Table;

/// The rooms, and which others each may name outside its tests.
const ARROWS: [(&str, &[&str]); 7] = [
    ("domain", &[]),
    ("application", &["domain"]),
    ("projections", &["domain", "application"]),
    (
        "infrastructure",
        &["domain", "application", "projections", "argon2id"],
    ),
    ("infrastructure/argon2id", &[]),
    ("api", &["domain", "application"]),
    ("bench", &["domain", "application", "infrastructure"]),
];

/// What only adapters know. `jsonwebtoken` is among them: to the rest a token is text.
const TECHNOLOGIES: [&str; 8] = [
    "sqlx",
    "axum",
    "argon2",
    "bcrypt",
    "scrypt",
    "jsonwebtoken",
    "async-nats",
    "rusqlite",
];

/// The rooms and the technologies that each has for its own.
const ADAPTERS: [(&str, &[&str]); 6] = [
    ("domain", &[]),
    ("application", &[]),
    ("projections", &[]),
    (
        "infrastructure",
        &[
            "sqlx",
            "argon2",
            "bcrypt",
            "scrypt",
            "jsonwebtoken",
            "async-nats",
            "rusqlite",
        ],
    ),
    ("infrastructure/argon2id", &["argon2"]),
    ("api", &["axum"]),
];

#[test]
fn every_room_is_a_member_of_the_workspace_and_has_its_arrows() {
    let members = manifest(".")["workspace"]["members"].clone();
    let members: BTreeSet<_> = members
        .as_array()
        .unwrap()
        .iter()
        .map(|member| member.as_str().unwrap().to_owned())
        .collect();
    let rooms: BTreeSet<_> = ARROWS.map(|(room, _)| room.to_owned()).into();
    assert_eq!(members, rooms);
}

#[test]
fn arrows_point_inward() {
    for (room, may_know) in ARROWS {
        for known in dependencies(room, &["dependencies", "build-dependencies"]) {
            if let Some(other) = known.strip_prefix("authlog-") {
                assert!(may_know.contains(&other), "{room} names {other}");
            }
        }
    }
}

#[test]
fn only_adapters_know_their_technology() {
    for (room, own) in ADAPTERS {
        let known = dependencies(
            room,
            &["dependencies", "build-dependencies", "dev-dependencies"],
        );
        for technology in TECHNOLOGIES {
            let knows = known.contains(technology);
            assert!(
                !knows || own.contains(&technology),
                "{room} names {technology}"
            );
        }
    }
    let program = dependencies(".", &["dependencies", "build-dependencies"]);
    for technology in TECHNOLOGIES {
        assert!(
            !program.contains(technology),
            "the program names {technology}"
        );
    }
}

#[test]
fn the_manifests_are_read() {
    // What the other tests look for is found where it has to be.
    assert!(dependencies("infrastructure", &["dependencies"]).contains("rusqlite"));
    assert!(dependencies("infrastructure", &["dependencies"]).contains("authlog-projections"));
    assert!(dependencies("api", &["dependencies"]).contains("axum"));
}

#[test]
fn every_source_file_opens_with_its_job() {
    for room in ARROWS.map(|(room, _)| room).into_iter().chain(["."]) {
        for file in sources(&root().join(room).join("src")) {
            let source = std::fs::read_to_string(&file).unwrap();
            assert!(source.starts_with("//! "), "{}", file.display());
        }
    }
}

/// The names of a room's dependencies in these tables, the platform's own included; a renamed one by its package.
fn dependencies(room: &str, tables: &[&str]) -> BTreeSet<String> {
    let manifest = manifest(room);
    let targets = manifest.get("target").and_then(|target| target.as_table());
    let platforms = targets.into_iter().flat_map(|targets| targets.values());
    let parts = platforms
        .filter_map(|platform| platform.as_table())
        .chain([&manifest]);
    parts
        .flat_map(|part| tables.iter().filter_map(|table| part.get(*table)))
        .filter_map(|table| table.as_table())
        .flatten()
        .map(|(name, wanted)| {
            let package = wanted.get("package").and_then(|package| package.as_str());
            package.unwrap_or(name).to_owned()
        })
        .collect()
}

fn manifest(room: &str) -> Table {
    let path = root().join(room).join("Cargo.toml");
    std::fs::read_to_string(path).unwrap().parse().unwrap()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below a directory.
fn sources(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
    found
}
