//! The published documents in `docs/contracts/`.

use std::path::Path;

/// The text of a document.
pub fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("docs/contracts")
        .join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Returns `example` after asserting that the document contains it literally.
#[track_caller]
pub fn printed_in<'a>(document: &str, example: &'a str) -> &'a str {
    assert!(
        read(document).contains(example),
        "{document} does not print {example}"
    );
    example
}
