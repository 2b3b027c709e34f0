//! Accounts with privileged roles, created at the command line.

use super::contract::Tokens;
use super::{Contract, Person, Program};

/// Creates an account of this role while the service runs.
pub fn create(service: &Program, person: &Person, role: &str) {
    let arguments = [
        "user",
        "create",
        "--username",
        &person.username,
        "--email",
        &person.email,
        "--role",
        role,
    ];
    let output = service.settings.run(&arguments, &person.password);
    assert!(output.status.success(), "{output:?}");
}

/// Creates an account of this role and signs it in.
pub async fn signed_in(service: &Program, name: &str, role: &str) -> Tokens {
    let person = Person::called(name);
    create(service, &person, role);
    Contract::ApiAuth.signs_in(&service.http(), &person).await
}

/// Gives an account another role.
pub fn set_role(service: &Program, person: &Person, role: &str) {
    let output = service
        .settings
        .run(&["user", "role", &person.username, role], "");
    assert!(output.status.success(), "{output:?}");
}
