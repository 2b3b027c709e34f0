//! Rules that no compiler checks: which crate may depend on which, and how documents are written.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use toml::Table;

/// The crates by their folders, and the other crates that each may depend on outside its tests.
const ALLOWED_DEPENDENCIES: [(&str, &[&str]); 9] = [
    ("domain", &[]),
    ("projections", &["domain"]),
    ("application", &["domain", "projections"]),
    (
        "infrastructure",
        &[
            "domain",
            "application",
            "projections",
            "argon2id",
            "log-proof",
        ],
    ),
    ("infrastructure/argon2id", &[]),
    ("infrastructure/log-proof", &[]),
    ("api", &["domain", "application"]),
    ("bench", &["domain", "application", "infrastructure"]),
    // It is published for others, and knows only what Authlog publishes.
    ("clients/verifier", &[]),
];

/// Dependencies that only adapters may have. `jsonwebtoken` is one of them, because other crates treat a token as text.
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

/// The crates by their folders, and the technologies that each may depend on.
const ADAPTERS: [(&str, &[&str]); 7] = [
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
    ("infrastructure/log-proof", &[]),
    ("api", &["axum"]),
];

/// Words that make a sentence hard to read; `docs/style.md` says what to write instead.
const AVOIDED: [&str; 5] = ["whoever", "nobody", "somebody", "anew", "heed"];

/// How often these words occur in the code, the list above included. The number may only be lowered.
const LEFT_IN_CODE: usize = 30;

/// The documents below `docs/` that are written by a test, from texts in the code.
const GENERATED: [&str; 1] = ["events.md"];

#[test]
fn every_workspace_member_has_a_list_of_allowed_dependencies() {
    let members = manifest(".")["workspace"]["members"].clone();
    let members: BTreeSet<_> = members
        .as_array()
        .unwrap()
        .iter()
        .map(|member| member.as_str().unwrap().to_owned())
        .collect();
    let folders: BTreeSet<_> = ALLOWED_DEPENDENCIES
        .map(|(folder, _)| folder.to_owned())
        .into();
    assert_eq!(members, folders);
}

#[test]
fn a_crate_depends_only_on_allowed_crates() {
    for (folder, may_know) in ALLOWED_DEPENDENCIES {
        for known in dependencies(folder, &["dependencies", "build-dependencies"]) {
            if let Some(other) = known.strip_prefix("authlog-") {
                assert!(may_know.contains(&other), "{folder} names {other}");
            }
        }
    }
}

#[test]
fn only_adapters_depend_on_their_technology() {
    for (folder, own) in ADAPTERS {
        let known = dependencies(
            folder,
            &["dependencies", "build-dependencies", "dev-dependencies"],
        );
        for technology in TECHNOLOGIES {
            let knows = known.contains(technology);
            assert!(
                !knows || own.contains(&technology),
                "{folder} names {technology}"
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
fn an_auditor_verifies_the_log_without_a_store_a_network_or_a_runtime() {
    let lock: Table = std::fs::read_to_string(root().join("Cargo.lock"))
        .unwrap()
        .parse()
        .unwrap();
    let packages = lock["package"].as_array().unwrap();
    let needed_by = |name: &str| {
        let named = packages
            .iter()
            .filter(|it| it["name"].as_str() == Some(name));
        let lists = named.filter_map(|package| package.get("dependencies")?.as_array());
        let entries: Vec<&str> = lists.flatten().filter_map(|entry| entry.as_str()).collect();
        // An entry has the version as well if there are several.
        entries
            .into_iter()
            .filter_map(|entry| entry.split(' ').next())
    };
    let mut needed = BTreeSet::from(["authlog-log-proof"]);
    let mut open = vec!["authlog-log-proof"];
    while let Some(name) = open.pop() {
        open.extend(needed_by(name).filter(|other| needed.insert(other)));
    }
    assert!(needed.contains("aws-lc-rs"), "{needed:?}");
    for other in ["tokio", "sqlx", "rusqlite", "async-nats", "axum", "hyper"] {
        assert!(!needed.contains(other), "the verification needs {other}");
    }
}

#[test]
fn the_manifests_are_read() {
    // Otherwise the other tests could find nothing and succeed.
    assert!(dependencies("infrastructure", &["dependencies"]).contains("rusqlite"));
    assert!(dependencies("infrastructure", &["dependencies"]).contains("authlog-projections"));
    assert!(dependencies("api", &["dependencies"]).contains("axum"));
}

/// The version in `Cargo.toml` is what the project promises to compile with.
#[test]
fn no_dependency_needs_a_newer_compiler_than_the_workspace_declares() {
    let asked = std::process::Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--locked"])
        // Only what a build downloads anyway.
        .args(["--filter-platform", "host-tuple"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(
        asked.status.success(),
        "{}",
        String::from_utf8_lossy(&asked.stderr)
    );
    let found: serde_json::Value = serde_json::from_slice(&asked.stdout).unwrap();
    let version = |text: &str| -> (u32, u32) {
        let mut numbers = text.split('.').map(|number| number.parse().unwrap());
        (numbers.next().unwrap(), numbers.next().unwrap_or(0))
    };
    let declared = version(env!("CARGO_PKG_RUST_VERSION"));
    let packages = found["packages"].as_array().unwrap();
    assert!(packages.len() > 100);
    let newer: Vec<_> = packages
        .iter()
        .filter(|it| {
            it["rust_version"]
                .as_str()
                .is_some_and(|it| version(it) > declared)
        })
        .map(|it| (&it["name"], &it["rust_version"]))
        .collect();
    assert!(newer.is_empty(), "{newer:?} need more than {declared:?}");
}

/// Services of others are compiled with the verifier. It promises an older compiler than the workspace.
#[test]
fn no_dependency_of_the_verifier_needs_a_newer_compiler_than_it_declares() {
    let cargo = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO"));
        let command = command.args(arguments).arg("--locked");
        let asked = command.current_dir(root()).output().unwrap();
        let errors = String::from_utf8_lossy(&asked.stderr);
        assert!(asked.status.success(), "{errors}");
        String::from_utf8(asked.stdout).unwrap()
    };
    let tree = cargo(&[
        "tree",
        "--package=authlog-verifier",
        "--all-features",
        "--edges=normal,build",
        "--prefix=none",
    ]);
    // "name v1.2.3 (proc-macro)"
    let used: BTreeSet<(String, String)> = tree
        .lines()
        .filter_map(|line| {
            let (name, rest) = line.split_once(" v")?;
            Some((name.to_owned(), rest.split(' ').next()?.to_owned()))
        })
        .collect();
    assert!(used.len() > 50, "{tree}");
    let metadata = cargo(&["metadata", "--format-version=1"]);
    let metadata: serde_json::Value = serde_json::from_str(&metadata).unwrap();
    let minor = |version: &str| -> u32 { version.split('.').nth(1).unwrap().parse().unwrap() };
    let needed = metadata["packages"].as_array().unwrap().iter();
    let needed = needed.filter_map(|package| {
        let text = |member: &str| Some(package[member].as_str()?.to_owned());
        let is_other = text("name")? != "authlog-verifier";
        (is_other && used.contains(&(text("name")?, text("version")?))).then_some(())?;
        Some(minor(&text("rust_version")?))
    });
    let declared = &manifest("clients/verifier")["package"]["rust-version"];
    assert_eq!(needed.max(), Some(minor(declared.as_str().unwrap())));
}

#[test]
fn every_source_file_begins_with_its_purpose() {
    for folder in ALLOWED_DEPENDENCIES
        .map(|(folder, _)| folder)
        .into_iter()
        .chain(["."])
    {
        for file in sources(&root().join(folder).join("src")) {
            let source = std::fs::read_to_string(&file).unwrap();
            assert!(source.starts_with("//! "), "{}", file.display());
        }
    }
}

#[test]
fn documents_avoid_words_that_are_hard_to_read() {
    let documents = documents();
    assert!(documents.len() > 12, "{documents:?}");
    for path in documents {
        let text = std::fs::read_to_string(&path).unwrap();
        for (number, line) in text.lines().enumerate() {
            // A name of a test is one word: it is read in the code.
            let found = avoided(line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_'));
            let place = format!("{}:{}", path.display(), number + 1);
            assert!(found.is_empty(), "{place} has {found:?}");
        }
    }
}

#[test]
fn words_that_are_hard_to_read_do_not_become_more_frequent_in_the_code() {
    let code = code();
    let words = code.split(|character: char| !character.is_ascii_alphabetic());
    let count = avoided(words).len();
    assert!(
        count <= LEFT_IN_CODE,
        "{count} instead of at most {LEFT_IN_CODE}"
    );
}

#[test]
fn every_file_of_stories_is_part_of_the_binary() {
    let main = std::fs::read_to_string(root().join("tests/main.rs")).unwrap();
    let declared: BTreeSet<_> = main
        .lines()
        .filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';'))
        .collect();
    let files = std::fs::read_dir(root().join("tests")).unwrap();
    let files = files.map(|file| file.unwrap().path());
    for file in files.filter(|file| file.extension().is_some_and(|it| it == "rs")) {
        let name = file.file_stem().unwrap().to_str().unwrap();
        assert!(name == "main" || declared.contains(name), "{name}");
    }
}

#[test]
fn every_test_that_a_document_names_exists() {
    let code = code();
    let known: BTreeSet<_> = code
        .split(['\n', '{', '(', ';'])
        .filter_map(|part| part.trim_end().rsplit_once(' '))
        .filter(|(before, _)| before.ends_with("fn") || before.ends_with("mod"))
        .map(|(_, name)| name)
        .collect();
    for name in ["ARCHITECTURE.md", "docs/security.md"] {
        let text = std::fs::read_to_string(root().join(name)).unwrap();
        let named: Vec<_> = text.split('`').filter(|part| is_test(part)).collect();
        assert!(named.len() > 50, "{name} names {} tests", named.len());
        for test in named {
            let sentence = test.rsplit("::").next().unwrap();
            assert!(known.contains(sentence), "{name} names {test}");
        }
    }
}

/// Whether a text between backticks is `file::test`. Types and their functions begin with a capital.
fn is_test(text: &str) -> bool {
    let is_name = |part: &str| {
        let mut characters = part.chars();
        characters
            .next()
            .is_some_and(|first| first.is_ascii_lowercase())
            && characters.all(|other| matches!(other, 'a'..='z' | '0'..='9' | '_'))
    };
    text.contains("::") && text.split("::").all(is_name)
}

/// All Rust code, tests included.
fn code() -> String {
    let folders = ALLOWED_DEPENDENCIES
        .map(|(folder, _)| folder)
        .into_iter()
        .chain(["."]);
    let files: BTreeSet<_> = folders
        .flat_map(|folder| ["src", "tests", "examples"].map(|part| root().join(folder).join(part)))
        .filter(|folder| folder.is_dir())
        .flat_map(|folder| sources(&folder))
        .collect();
    files
        .iter()
        .map(|file| std::fs::read_to_string(file).unwrap())
        .collect()
}

/// The documents that people write: those of the root and of `docs/`.
fn documents() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join("docs")).unwrap();
    let guides = entries.map(|entry| entry.unwrap().path()).filter(|path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        path.extension().is_some_and(|end| end == "md") && !GENERATED.contains(&name)
    });
    ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"]
        .map(|name| root().join(name))
        .into_iter()
        .chain(guides)
        .collect()
}

/// Which of these words are among the avoided ones.
fn avoided<'a>(words: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    words
        .filter(|word| {
            AVOIDED
                .iter()
                .any(|avoided| word.eq_ignore_ascii_case(avoided))
        })
        .collect()
}

/// The names of a crate's dependencies in these tables, including those of single platforms. A renamed dependency is listed by
/// its package.
fn dependencies(folder: &str, tables: &[&str]) -> BTreeSet<String> {
    let manifest = manifest(folder);
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

fn manifest(folder: &str) -> Table {
    let path = root().join(folder).join("Cargo.toml");
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
