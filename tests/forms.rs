//! Tests of `support/form.rs`: a form matches exactly the values that have it. Otherwise the comparison of answers would
//! prove nothing.

use crate::support;

use serde_json::{Value, json};
use support::form::{
    JWT, NOW_CALENDAR, NOW_DAY_FIRST, NOW_MILLIS, NOW_RFC3339, NOW_UNIX, NOW_UNIX_MILLIS, NUMBER,
    RANDOM_UUID, RFC3339, TEXT, TEXTS, UUID, assert_fits, now,
};
use time::macros::format_description;

#[test]
fn an_instant_matches_only_its_own_format() {
    let now = now();
    let spelt = |description| json!(now.format(description).unwrap());
    let spellings = [
        (
            NOW_MILLIS,
            spelt(format_description!(
                "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z"
            )),
        ),
        (
            NOW_CALENDAR,
            spelt(format_description!(
                "[year]-[month]-[day] [hour]:[minute]:[second]"
            )),
        ),
        (
            NOW_DAY_FIRST,
            spelt(format_description!(
                "[day]-[month]-[year] [hour]:[minute]:[second]"
            )),
        ),
        (NOW_UNIX, json!(now.unix_timestamp())),
        (NOW_UNIX_MILLIS, json!(now.unix_timestamp() * 1000)),
    ];
    for (form, _) in &spellings {
        for (other, spelling) in &spellings {
            assert_eq!(fits(form, spelling), form == other, "{form}: {spelling}");
        }
        assert!(!fits(form, &json!(null)), "{form}");
    }
    assert!(fits(NOW_RFC3339, &spellings[0].1));
    let yesterday = json!("2023-11-22T09:59:06.816092409+07:00");
    assert!(!fits(NOW_RFC3339, &yesterday) && fits(RFC3339, &yesterday));
}

#[test]
fn every_other_form_matches_only_its_own_values() {
    let signature = "c".repeat(43);
    let token = format!("eyJhbGciOiJIUzI1NiJ9.e30.{signature}");
    for (form, good, bad) in [
        (JWT, json!(token), json!("a.b.c")),
        (JWT, json!(token), json!("eyJhbGciOiJub25lIn0.e30.")),
        (
            UUID,
            json!("5096125b-aba3-1c62-bd02-b15c9be8c5f2"),
            json!("5096125b"),
        ),
        (
            RANDOM_UUID,
            json!("5096125b-aba3-4c62-bd02-b15c9be8c5f2"),
            json!("5096125b-aba3-7c62-bd02-b15c9be8c5f2"),
        ),
        (NUMBER, json!(0), json!(-1)),
        (
            NUMBER,
            json!(9_007_199_254_740_991_u64),
            json!(9_007_199_254_740_992_u64),
        ),
        (NUMBER, json!(1), json!("1")),
        (TEXT, json!("words"), json!("  ")),
        (TEXT, json!("words"), json!(null)),
        (TEXTS, json!(["words", "more"]), json!([])),
        (TEXTS, json!(["words"]), json!(["words", ""])),
        (TEXTS, json!(["words"]), json!("words")),
    ] {
        assert!(fits(form, &good), "{form}: {good}");
        assert!(!fits(form, &bad), "{form}: {bad}");
    }
}

#[test]
fn an_answer_has_every_member_and_no_other() {
    let expected = json!({"status": 200, "data": {"token": TEXT}, "list": [1, TEXT]});
    let good = json!({"status": 200, "data": {"token": "x"}, "list": [1, "x"]});
    assert_fits(&expected, &good, "answer");
    for bad in [
        json!({"data": {"token": "x"}, "list": [1, "x"]}),
        json!({"status": 201, "data": {"token": "x"}, "list": [1, "x"]}),
        json!({"status": 200, "data": {"token": "x", "more": null}, "list": [1, "x"]}),
        json!({"status": 200, "data": {}, "list": [1, "x"]}),
        json!({"status": 200, "data": {"token": "x"}, "list": [1]}),
        json!({"status": 200, "data": {"token": "x"}, "list": ["x", 1]}),
    ] {
        let compared = std::panic::catch_unwind(|| assert_fits(&expected, &bad, "answer"));
        assert!(compared.is_err(), "{bad}");
    }
}

fn fits(form: &str, value: &Value) -> bool {
    std::panic::catch_unwind(|| assert_fits(&json!(form), value, "value")).is_ok()
}
