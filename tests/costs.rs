//! The cost of each operation in statements, password hashes and events, counted and not timed.
//!
//! Each operation is repeated, and the total has to be exactly that many times its price. PostgreSQL counts the
//! statements. On SQLite, which runs the same use cases, only hashes and events are counted.

use crate::support;

use std::collections::BTreeMap;

use serde_json::json;
use support::administered_account::AdministeredAccount;
use support::authenticator::with_apps;
use support::contract::{Tokens, verifies};
use support::http::Http;
use support::meter::{Meter, NOTHING, Price, asked};
use support::statements::{HEARTBEAT, Statements};
use support::{
    Contract, Person, Program, Store, api_auth, eventually, on_both_stores, own, staff, users,
};

on_both_stores!(
    a_registration_is_one_append_and_one_hash,
    a_login_is_one_lookup_one_hash_and_one_append,
    a_login_with_a_code_is_two_lookups_one_hash_and_one_append,
    a_refresh_reads_its_session_once_and_appends_once,
    a_long_session_costs_the_same_as_a_short_one_and_none_of_its_events_is_read,
    a_logout_reads_its_session_once_and_appends_once,
    an_account_of_ten_thousand_events_costs_the_same_as_a_new_one_and_none_of_them_is_read,
    a_row_of_an_earlier_version_costs_two_lookups_of_events_once_however_long_the_stream,
    ending_other_sessions_is_one_append_and_none_if_there_are_none,
    what_changes_nothing_about_an_account_appends_nothing,
    a_signed_token_is_verified_without_the_database,
    an_opaque_token_is_verified_by_one_lookup,
    an_introspection_does_not_query_the_database,
    a_request_is_checked_for_a_proxy_without_the_database,
    a_wrong_password_costs_one_hash_and_is_recorded_in_the_background,
    an_unknown_account_costs_the_same_as_a_wrong_password,
    a_registration_under_a_taken_name_costs_no_hash,
);

/// How often each operation is repeated: often enough that incidental work does not look like a part of it.
const TIMES: u64 = 20;

/// The cost of a refresh or a logout.
const REFRESH: Price = Price {
    statements: &[asked::SESSION, asked::APPEND_TO_SESSION],
    hashes: 0,
    events: 1,
};

async fn a_registration_is_one_append_and_one_hash(store: Store) {
    let meter = Meter::on(store).await;
    for contract in Contract::ALL {
        let spent = meter.spent(async || {
            for person in people(contract) {
                contract.registers(&meter.http, &person).await;
            }
        });
        // `/api/auth` and `/v1/auth` sign a new account in by the same append.
        let events = match contract {
            Contract::ApiAuth | Contract::V1Auth => 2,
            Contract::Users | Contract::Api => 1,
        };
        let price = Price {
            statements: &[
                asked::TAKEN_NAMES,
                asked::ACCOUNT_NUMBER,
                asked::APPEND,
                asked::ACCOUNT,
            ],
            hashes: 1,
            events,
        };
        assert_eq!(spent.await, meter.times(TIMES, price), "{contract:?}");
    }
}

async fn a_login_is_one_lookup_one_hash_and_one_append(store: Store) {
    let meter = Meter::on(store).await;
    are_registered(&meter.http).await;
    for contract in Contract::ALL {
        let spent = meter.spent(async || {
            for person in people(Contract::ApiAuth) {
                contract.signs_in(&meter.http, &person).await;
            }
        });
        let price = Price {
            statements: match contract {
                // The first sign-in of an account fetches its key, which is cached from then on.
                Contract::ApiAuth => &[
                    asked::ACCOUNT_AND_HASH,
                    asked::ACCOUNT_KEY,
                    asked::APPEND_TO_SESSION,
                ],
                Contract::Users | Contract::V1Auth => {
                    &[asked::ACCOUNT_AND_HASH, asked::APPEND_TO_SESSION]
                }
                // The same statement stores the opaque token.
                Contract::Api => &[asked::ACCOUNT_AND_HASH, asked::APPEND],
            },
            hashes: 1,
            events: 1,
        };
        assert_eq!(spent.await, meter.times(TIMES, price), "{contract:?}");
    }
}

async fn a_login_with_a_code_is_two_lookups_one_hash_and_one_append(store: Store) {
    let meter = Meter::on(store).await;
    let mut people = Vec::new();
    for number in 0..5 {
        let name = format!("person-{number}");
        let (person, [mut app], _) = with_apps::<1>(&meter.http, &name).await;
        let typed = format!("{}{}", person.password, app.fresh_code().await);
        people.push(person.with_password(&typed));
    }
    let spent = meter.spent(async || {
        for person in &people {
            Contract::Users.signs_in(&meter.http, person).await;
        }
    });
    let price = Price {
        statements: &[
            asked::ACCOUNT_AND_HASH,
            asked::AUTHENTICATOR_APPS,
            asked::APPEND_TO_SESSION,
        ],
        hashes: 1,
        events: 1,
    };
    assert_eq!(spent.await, meter.times(5, price));
}

async fn a_refresh_reads_its_session_once_and_appends_once(store: Store) {
    let meter = Meter::on(store).await;
    let ann = meter.signed_in_person().await;
    // `/api/auth` rotates the refresh token, `/users` keeps it.
    let rotating = Contract::ApiAuth.signs_in(&meter.http, &ann).await;
    let spent = meter.spent(async || {
        refreshed(&meter.http, rotating.clone(), TIMES).await;
    });
    assert_eq!(spent.await, meter.times(TIMES, REFRESH));
    let kept = Contract::Users.signs_in(&meter.http, &ann).await;
    let spent = meter.spent(async || {
        for _ in 0..TIMES {
            let answer = meter
                .http
                .send(users::REFRESH)
                .authorization(kept.refresh());
            assert_eq!(answer.await.status, 200);
        }
    });
    assert_eq!(spent.await, meter.times(TIMES, REFRESH));
}

async fn a_long_session_costs_the_same_as_a_short_one_and_none_of_its_events_is_read(store: Store) {
    const LONG: u64 = 1000;
    let meter = Meter::on(store).await;
    let ann = meter.signed_in_person().await;
    let tokens = Contract::ApiAuth.signs_in(&meter.http, &ann).await;
    let mut newest = tokens.clone();
    let spent = meter.spent(async || newest = refreshed(&meter.http, tokens, LONG).await);
    assert_eq!(spent.await, meter.times(LONG, REFRESH));
    // Deleted events cannot be read. The newest stays, because SQLite would give its position to the next event.
    let gone =
        format!("DELETE FROM events WHERE aggregate_type = 'session' AND sequence <= {LONG}");
    meter.service.settings.tamper(&gone);
    let spent = meter.spent(async || {
        refreshed(&meter.http, newest, TIMES).await;
    });
    assert_eq!(spent.await, meter.times(TIMES, REFRESH));
}

async fn a_logout_reads_its_session_once_and_appends_once(store: Store) {
    let meter = Meter::on(store).await;
    let ann = meter.signed_in_person().await;
    let logouts = async || {
        let mut sessions = Vec::new();
        for _ in 0..TIMES {
            sessions.push(Contract::ApiAuth.signs_in(&meter.http, &ann).await);
        }
        let spent = meter.spent(async || {
            for tokens in &sessions {
                let answer = meter
                    .http
                    .send(api_auth::LOGOUT)
                    .bearer(&tokens.access)
                    .await;
                assert_eq!(answer.status, 200, "{answer}");
            }
        });
        spent.await
    };
    meter
        .comes_to_cost(&meter.times(TIMES, REFRESH), logouts)
        .await;
}

/// A change of role: look up the account, append, look up the written account.
const CHANGE_ROLE: Price = Price {
    statements: &[asked::ACCOUNT, asked::APPEND, asked::ACCOUNT],
    hashes: 0,
    events: 1,
};

async fn an_account_of_ten_thousand_events_costs_the_same_as_a_new_one_and_none_of_them_is_read(
    store: Store,
) {
    let administered = AdministeredAccount::on(store).await;
    let meter = &administered.meter;
    let price = meter.times(TIMES, CHANGE_ROLE);
    let changes = async || administered.changes(TIMES).await;
    meter.comes_to_cost(&price, changes).await;
    administered.lengthen_the_stream(10_000).await;
    meter.comes_to_cost(&price, changes).await;
    // Deleted events cannot be read. The newest stays, because SQLite would give its position to the next event.
    let gone = format!(
        "DELETE FROM events WHERE aggregate_type = 'user' AND aggregate_id = '{}' AND sequence <= 10000",
        administered.account
    );
    meter.service.settings.tamper(&gone);
    meter.comes_to_cost(&price, changes).await;
}

async fn a_row_of_an_earlier_version_costs_two_lookups_of_events_once_however_long_the_stream(
    store: Store,
) {
    let administered = AdministeredAccount::on(store).await;
    let meter = &administered.meter;
    administered.lengthen_the_stream(10_000).await;
    // Deleted events cannot be read. None of these ten thousand events belongs to a request.
    let gone = format!(
        "DELETE FROM events WHERE aggregate_type = 'user' AND aggregate_id = '{}' AND sequence <= 10000",
        administered.account
    );
    meter.service.settings.tamper(&gone);
    let once = meter.times(
        1,
        Price {
            statements: &[
                asked::ACCOUNT,
                asked::EVENTS,
                asked::EVENTS,
                asked::APPEND,
                asked::ACCOUNT,
            ],
            ..CHANGE_ROLE
        },
    );
    let first = async || {
        let forget = "UPDATE accounts SET recent_requests = NULL";
        meter.service.settings.execute(forget);
        let spent = meter.spent(async || administered.gives_role("auditor").await);
        let spent = spent.await;
        administered.gives_role("user").await;
        spent
    };
    meter.comes_to_cost(&once, first).await;
    let changes = async || administered.changes(TIMES).await;
    let price = meter.times(TIMES, CHANGE_ROLE);
    meter.comes_to_cost(&price, changes).await;
}

async fn ending_other_sessions_is_one_append_and_none_if_there_are_none(store: Store) {
    const ENDS: Price = Price {
        statements: &[
            asked::SESSION,
            asked::OTHER_SESSIONS,
            asked::ACCOUNT,
            asked::APPEND,
        ],
        hashes: 0,
        events: 1,
    };
    const ENDS_NONE: Price = Price {
        statements: &[asked::SESSION, asked::OTHER_SESSIONS],
        ..NOTHING
    };
    let meter = Meter::on(store).await;
    are_registered(&meter.http).await;
    let sign_in = async || {
        let mut tokens = Vec::new();
        for person in people(Contract::ApiAuth) {
            tokens.push(Contract::Users.signs_in(&meter.http, &person).await);
        }
        tokens
    };
    let ends = async || {
        let kept = sign_in().await;
        sign_in().await;
        let spent = meter.spent(async || end_others(&meter.http, &kept).await);
        spent.await
    };
    meter.comes_to_cost(&meter.times(TIMES, ENDS), ends).await;
    let kept = sign_in().await;
    end_others(&meter.http, &kept).await;
    let ends_none = async || {
        let spent = meter.spent(async || end_others(&meter.http, &kept).await);
        spent.await
    };
    let price = meter.times(TIMES, ENDS_NONE);
    meter.comes_to_cost(&price, ends_none).await;
}

async fn what_changes_nothing_about_an_account_appends_nothing(store: Store) {
    let administered = AdministeredAccount::on(store).await;
    let meter = &administered.meter;
    // The first lock ends the sessions.
    for change in ["/lock", "/unlock"] {
        administered.asks("POST", change, &json!({})).await;
    }
    let before = meter.counted().await.events;
    for (method, rest) in [("POST", "/unlock"), ("DELETE", "/sessions")] {
        administered.asks(method, rest, &json!({})).await;
    }
    administered.gives_role("user").await;
    assert_eq!(meter.counted().await.events, before);
    administered.asks("POST", "/lock", &json!({})).await;
    for (method, rest) in [("POST", "/lock"), ("DELETE", "/sessions")] {
        administered.asks(method, rest, &json!({})).await;
    }
    assert_eq!(meter.counted().await.events, before + 1);
}

/// Ends every session of these people except those of these tokens.
async fn end_others(http: &Http, kept: &[Tokens]) {
    for tokens in kept {
        let request = http.send(own::END_OTHER_SESSIONS).bearer(&tokens.access);
        let answer = request.await;
        assert_eq!(answer.status, 204, "{answer}");
    }
}

async fn a_signed_token_is_verified_without_the_database(store: Store) {
    let meter = Meter::on(store).await;
    let ann = meter.signed_in_person().await;
    for contract in [Contract::ApiAuth, Contract::Users, Contract::V1Auth] {
        let tokens = contract.signs_in(&meter.http, &ann).await;
        let verifications = async || {
            let spent = meter.spent(async || verified(&meter.http, &tokens).await);
            spent.await
        };
        meter
            .comes_to_cost(&meter.times(TIMES, NOTHING), verifications)
            .await;
    }
}

async fn an_opaque_token_is_verified_by_one_lookup(store: Store) {
    let meter = Meter::on(store).await;
    let ann = meter.signed_in_person().await;
    let tokens = Contract::Api.signs_in(&meter.http, &ann).await;
    let spent = meter.spent(async || verified(&meter.http, &tokens).await);
    let price = Price {
        statements: &[asked::OPAQUE_TOKEN],
        ..NOTHING
    };
    assert_eq!(spent.await, meter.times(TIMES, price));
}

async fn an_introspection_does_not_query_the_database(store: Store) {
    let meter = Meter::on(store).await;
    let asker = staff::signed_in(&meter.service, "billing", "service").await;
    let ann = meter.signed_in_person().await;
    let tokens = Contract::ApiAuth.signs_in(&meter.http, &ann).await;
    let introspections = async || {
        let spent = meter.spent(async || {
            for _ in 0..TIMES {
                let request = meter.http.send(own::INTROSPECT).bearer(&asker.access);
                let answer = request.form(&[("token", &*tokens.access)]).await;
                assert_eq!(answer.json()["active"], true, "{answer}");
            }
        });
        spent.await
    };
    // The first introspection of an account, and the first after a change of it, look the account up.
    meter
        .comes_to_cost(&meter.times(TIMES, NOTHING), introspections)
        .await;
}

async fn a_request_is_checked_for_a_proxy_without_the_database(store: Store) {
    let meter = Meter::on(store).await;
    let ann = meter.signed_in_person().await;
    for contract in [Contract::ApiAuth, Contract::Users, Contract::V1Auth] {
        let tokens = contract.signs_in(&meter.http, &ann).await;
        let checks = async || {
            let spent = meter.spent(async || {
                for _ in 0..TIMES {
                    let request = meter.http.send(own::FORWARD_AUTH).bearer(&tokens.access);
                    let answer = request.await;
                    assert_eq!(answer.status, 200, "{answer}");
                }
            });
            spent.await
        };
        // The first check of an account, and the first after a change of it, looks the account up.
        meter
            .comes_to_cost(&meter.times(TIMES, NOTHING), checks)
            .await;
    }
}

async fn a_wrong_password_costs_one_hash_and_is_recorded_in_the_background(store: Store) {
    let meter = Meter::on(store).await;
    are_registered(&meter.http).await;
    let before = meter.counted().await.events;
    let spent = meter.spent(async || {
        for person in people(Contract::ApiAuth) {
            let guess = person.with_password("a-wild-guess");
            let answer = Contract::ApiAuth.sign_in(&meter.http, &guess).await;
            Contract::ApiAuth.says_wrong_credentials(&answer);
        }
        eventually("the refusals are recorded", async || {
            (meter.counted().await.events >= before + TIMES).then_some(())
        })
        .await;
    });
    let price = Price {
        statements: &[
            asked::ACCOUNT_AND_HASH,
            // Recording it takes the number of refusals of that day, and the key of an account that has not signed in
            // yet.
            asked::LAST_SEQUENCE,
            asked::ACCOUNT_KEY,
            asked::APPEND,
        ],
        hashes: 1,
        events: 1,
    };
    assert_eq!(spent.await, meter.times(TIMES, price));
}

async fn an_unknown_account_costs_the_same_as_a_wrong_password(store: Store) {
    let meter = Meter::on(store).await;
    let spent = meter.spent(async || {
        for person in people(Contract::ApiAuth) {
            let answer = Contract::ApiAuth.sign_in(&meter.http, &person).await;
            Contract::ApiAuth.says_wrong_credentials(&answer);
        }
    });
    // This is the cost of a wrong password before the answer.
    let price = Price {
        statements: &[asked::ACCOUNT_AND_HASH],
        hashes: 1,
        events: 0,
    };
    assert_eq!(spent.await, meter.times(TIMES, price));
}

async fn a_registration_under_a_taken_name_costs_no_hash(store: Store) {
    let meter = Meter::on(store).await;
    let ann = meter.signed_in_person().await;
    let spent = meter.spent(async || {
        for _ in 0..TIMES {
            let answer = Contract::V1Auth.register(&meter.http, &ann).await;
            Contract::V1Auth.says_email_taken(&answer);
        }
    });
    let price = Price {
        statements: &[asked::TAKEN_NAMES],
        ..NOTHING
    };
    assert_eq!(spent.await, meter.times(TIMES, price));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_statements_of_an_idle_node_are_those_listed_as_background() {
    let service = Program::on(Store::Postgres).await;
    let statements = Statements::of(&service);
    let before = statements.so_far().await;
    let asked = eventually("some seconds pass", async || {
        let asked = statements.since(&before).await;
        (asked.with(HEARTBEAT) >= 3).then_some(asked)
    })
    .await;
    assert_eq!(asked.of_operations(), BTreeMap::new());
}

/// One person for each repetition.
fn people(contract: Contract) -> impl Iterator<Item = Person> {
    let name = format!("{contract:?}").to_lowercase();
    (0..TIMES).map(move |number| Person::called(&format!("person-{name}-{number}")))
}

/// Registers [`people`] through `/api/auth`.
async fn are_registered(http: &Http) {
    for person in people(Contract::ApiAuth) {
        Contract::ApiAuth.registers(http, &person).await;
    }
}

/// Refreshes a session of `/api/auth` this many times in a row.
async fn refreshed(http: &Http, mut tokens: Tokens, times: u64) -> Tokens {
    for _ in 0..times {
        let answer = http.send(api_auth::REFRESH).bearer(tokens.refresh()).await;
        assert_eq!(answer.status, 200, "{answer}");
        tokens = Contract::ApiAuth.tokens_in(&answer.json());
    }
    tokens
}

/// Verifies an access token once for each repetition.
async fn verified(http: &Http, tokens: &Tokens) {
    for _ in 0..TIMES {
        verifies(http, &tokens.access).await;
    }
}
