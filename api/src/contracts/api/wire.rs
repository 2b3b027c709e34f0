//! The wire types of `/api`: request and response bodies.

use authlog_application::ports::Account;
use authlog_application::{Field, Refusal, RegistrationForm, SignInForm};
use authlog_domain::UserId;
use serde::{Deserialize, Serialize};

use crate::http::{JsonField, reject_non_strings};

/// Replaces a password of any length in an error.
pub(super) const MASK: &str = "********";

/// The body of a registration and of a login. A login has no name.
#[derive(Default, Deserialize)]
pub(super) struct AccountIn {
    #[serde(default)]
    name: JsonField,
    #[serde(default)]
    email: JsonField,
    #[serde(default)]
    password: JsonField,
    /// A code of the second factor. It is not part of the document, and ignored for accounts without a second factor.
    #[serde(default)]
    otp: JsonField,
}

impl AccountIn {
    pub fn registration(&self) -> Result<RegistrationForm<'_>, Refusal> {
        reject_non_strings(&[
            (Field::Name, &self.name),
            (Field::Email, &self.email),
            (Field::Password, &self.password),
        ])?;
        Ok(RegistrationForm {
            email: self.email.text(),
            name: self.name.text(),
            password: self.password.text(),
            required: &[Field::Email, Field::Name],
            ..RegistrationForm::default()
        })
    }

    pub fn sign_in(&self) -> Result<SignInForm<'_>, Refusal> {
        reject_non_strings(&[
            (Field::Email, &self.email),
            (Field::Password, &self.password),
        ])?;
        Ok(SignInForm {
            identifier: self.email.text(),
            identifier_field: Field::Email,
            password: self.password.text(),
            code: self.otp.code(),
        })
    }

    /// The value of `field` as the client sent it, if it may be repeated: a string that is not a password.
    pub fn rejected_value(&self, field: Field) -> Option<&str> {
        match field {
            Field::Name => self.name.text(),
            Field::Email => self.email.text(),
            Field::Password => self.password.was_sent().then_some(MASK),
            Field::Username | Field::Phone | Field::PasswordConfirmation => None,
        }
    }
}

#[derive(Serialize)]
pub(super) struct RegisteredOut<'a> {
    status: u16,
    data: UserOut<'a>,
}

#[derive(Serialize)]
struct UserOut<'a> {
    id: UserId,
    name: &'a str,
    email: Option<&'a str>,
    password: &'static str,
    created_at: i64,
}

impl<'a> RegisteredOut<'a> {
    pub fn new(status: u16, account: &'a Account) -> Self {
        let data = UserOut {
            id: account.id,
            name: account.display_name(),
            email: account.email.as_ref().map(|email| email.as_str()),
            password: MASK,
            created_at: account.created_at.unix_seconds(),
        };
        Self { status, data }
    }
}

#[derive(Serialize)]
pub(super) struct TokenOut<'a> {
    pub token: &'a str,
}

#[derive(Serialize)]
pub(super) struct ErrorOut<'a> {
    pub status: u16,
    pub timestamp: String,
    pub message: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<RejectedOut<'a>>,
}

/// An invalid field. `message` is a code.
#[derive(Serialize)]
pub(super) struct RejectedOut<'a> {
    pub field: &'static str,
    pub rejected_value: Option<&'a str>,
    pub message: &'static str,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::http::parse_object;
    use crate::tests::a_body;

    proptest! {
        #[test]
        fn any_body_is_read_or_refused(body in a_body()) {
            if let Ok(form) = parse_object::<AccountIn>(&body) {
                let _ = (form.registration(), form.sign_in());
                // No response repeats a password.
                prop_assert!(form.rejected_value(Field::Password).is_none_or(|shown| shown == "********"));
            }
        }
    }
}
