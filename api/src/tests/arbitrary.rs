//! Generators of arbitrary request bodies, for parsers to read or refuse. `PROPTEST_CASES` sets the number of cases.

use proptest::prelude::*;
use serde_json::Value;

/// Fields that some contract reads.
const FIELD_NAMES: [&str; 9] = [
    "username",
    "email",
    "name",
    "fullname",
    "phone",
    "password",
    "confirm_password",
    "password_confirmation",
    "token",
];

/// A body: bytes, or JSON of any shape that may have a contract's fields, perhaps truncated or changed somewhere.
pub fn a_body() -> impl Strategy<Value = Vec<u8>> {
    let field = prop_oneof![
        4 => prop::sample::select(&FIELD_NAMES[..]).prop_map(str::to_owned),
        1 => any::<String>(),
    ];
    let value = prop_oneof![
        4 => text().prop_map(Value::String),
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::Bool),
        1 => any::<f64>().prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
    ]
    .prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::vec((any::<String>(), inner), 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    });
    let object = prop::collection::vec((field, value), 0..7).prop_map(|fields| {
        let fields: Vec<String> = fields
            .into_iter()
            .map(|(name, value)| format!("{}:{value}", Value::String(name)))
            .collect();
        format!("{{{}}}", fields.join(",")).into_bytes()
    });
    let spoilt = (
        object.clone(),
        any::<prop::sample::Index>(),
        any::<u8>(),
        any::<bool>(),
    )
        .prop_map(|(mut body, place, byte, cut)| {
            let place = place.index(body.len());
            if cut {
                body.truncate(place);
            } else {
                body[place] = byte;
            }
            body
        });
    prop_oneof![
        1 => prop::collection::vec(any::<u8>(), 0..100),
        4 => object,
        2 => spoilt,
    ]
}

/// Text as a person may type it into a field.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        2 => any::<String>(),
        1 => "[a-z0-9.]{0,9}@[a-z]{0,5}\\.[a-z]{0,4}",
        1 => "\\+?[0-9 ()-]{0,20}",
        1 => "[a-zA-Z0-9._-]{0,70}",
        1 => "\\PC{0,300}",
    ]
}
