//! The wire types of `/v1/auth`: request and response bodies.

use std::collections::BTreeMap;

use authlog_application::{Field, Refusal, RegistrationForm, SignInForm, SignedIn};
use authlog_domain::{AccountNumber, Timestamp};
use serde::{Deserialize, Serialize};

use crate::http::{JsonField, reject_non_strings};

/// The body of a registration and of a login. A login has neither a name nor a phone number.
#[derive(Deserialize)]
pub(super) struct AccountIn {
    #[serde(default)]
    email: JsonField,
    #[serde(default)]
    password: JsonField,
    /// A code of the second factor. It is not part of the document, and ignored for accounts without a second factor.
    #[serde(default)]
    otp: JsonField,
    #[serde(default)]
    name: JsonField,
    #[serde(default)]
    phone: JsonField,
}

impl AccountIn {
    pub fn registration(&self) -> Result<RegistrationForm<'_>, Refusal> {
        reject_non_strings(&[
            (Field::Email, &self.email),
            (Field::Password, &self.password),
            (Field::Name, &self.name),
            (Field::Phone, &self.phone),
        ])?;
        Ok(RegistrationForm {
            email: self.email.text(),
            name: self.name.text(),
            phone: self.phone.text(),
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
}

#[derive(Serialize)]
pub(super) struct SignedInOut<'a> {
    code: u16,
    status: &'static str,
    data: DataOut<'a>,
}

#[derive(Serialize)]
struct DataOut<'a> {
    token: &'a str,
    expired_at: Timestamp,
    user: UserOut<'a>,
}

#[derive(Serialize)]
struct UserOut<'a> {
    id: AccountNumber,
    name: &'a str,
    email: Option<&'a str>,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl<'a> SignedInOut<'a> {
    pub fn new(
        code: u16,
        SignedIn {
            account, access, ..
        }: &'a SignedIn,
    ) -> Self {
        let user = UserOut {
            id: account.number,
            name: account.display_name(),
            email: account.email.as_ref().map(|email| email.as_str()),
            created_at: account.created_at,
            updated_at: account.updated_at,
        };
        Self {
            code,
            status: "success",
            data: DataOut {
                token: &access.token,
                expired_at: access.expires_at,
                user,
            },
        }
    }
}

/// One sentence for each invalid field.
pub(super) type Errors = BTreeMap<&'static str, String>;

#[derive(Serialize)]
pub(super) struct ErrorOut<'a> {
    pub code: u16,
    pub status: &'static str,
    pub message: &'a str,
    #[serde(skip_serializing_if = "Errors::is_empty")]
    pub errors: Errors,
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
            }
        }
    }
}
