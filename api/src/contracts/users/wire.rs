//! The wire types of `/users`: request and response bodies.

use authlog_application::{Field, Refusal, RegistrationForm, SignInForm};
use serde::{Deserialize, Serialize};

use crate::http::{JsonField, reject_non_strings};

/// The body of a registration and of a login.
#[derive(Deserialize)]
pub(super) struct CredentialsIn {
    #[serde(default)]
    username: JsonField,
    #[serde(default)]
    password: JsonField,
    /// A code of the second factor. It is not part of the document, and ignored for accounts without a second factor.
    #[serde(default)]
    otp: JsonField,
}

impl CredentialsIn {
    pub fn registration(&self) -> Result<RegistrationForm<'_>, Refusal> {
        self.reject_non_strings()?;
        Ok(RegistrationForm {
            username: self.username.text(),
            password: self.password.text(),
            required: &[Field::Username],
            ..RegistrationForm::default()
        })
    }

    pub fn sign_in(&self) -> Result<SignInForm<'_>, Refusal> {
        self.reject_non_strings()?;
        Ok(SignInForm {
            identifier: self.username.text(),
            identifier_field: Field::Username,
            password: self.password.text(),
            code: self.otp.code(),
        })
    }

    fn reject_non_strings(&self) -> Result<(), Refusal> {
        reject_non_strings(&[
            (Field::Username, &self.username),
            (Field::Password, &self.password),
        ])
    }
}

/// The body of a request for a password reset.
#[derive(Deserialize)]
pub(super) struct ResetPasswordIn {
    #[serde(default)]
    username: JsonField,
}

impl ResetPasswordIn {
    pub fn identifier(&self) -> Result<Option<&str>, Refusal> {
        reject_non_strings(&[(Field::Username, &self.username)])?;
        Ok(self.username.text())
    }
}

/// The body of a password reset. The token is checked first, so a password of another type counts as missing.
#[derive(Deserialize)]
pub(super) struct UpdatePasswordIn {
    #[serde(default)]
    password: JsonField,
}

impl UpdatePasswordIn {
    pub fn password(&self) -> Option<&str> {
        self.password.text()
    }
}

/// Every response. `refrence` is the contract's spelling, and is always null.
#[derive(Serialize)]
pub(super) struct AnswerOut<'a, D> {
    pub status: u16,
    pub message: &'a str,
    pub data: Option<D>,
    pub refrence: Option<()>,
    pub error: bool,
}

#[derive(Serialize)]
pub(super) struct UserOut<'a> {
    pub username: &'a str,
}

#[derive(Serialize)]
pub(super) struct TokensOut<'a> {
    pub access_token: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<&'a str>,
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
            if let Ok(form) = parse_object::<CredentialsIn>(&body) {
                let _ = (form.registration(), form.sign_in());
            }
            if let Ok(form) = parse_object::<ResetPasswordIn>(&body) {
                let _ = form.identifier();
            }
            if let Ok(form) = parse_object::<UpdatePasswordIn>(&body) {
                let _ = form.password();
            }
        }
    }
}
