//! Contract C on the wire: what its clients send and what they read.

use authlog_application::{Field, Refusal, RegistrationForm, SignInForm};
use serde::{Deserialize, Serialize};

use crate::exchange::{Member, only_texts};

/// What creates a user and what logs one in.
#[derive(Deserialize)]
pub(super) struct CredentialsIn {
    #[serde(default)]
    username: Member,
    #[serde(default)]
    password: Member,
}

impl CredentialsIn {
    pub fn registration(&self) -> Result<RegistrationForm<'_>, Refusal> {
        self.only_texts()?;
        Ok(RegistrationForm {
            username: self.username.text(),
            password: self.password.text(),
            required: &[Field::Username],
            ..RegistrationForm::default()
        })
    }

    pub fn sign_in(&self) -> Result<SignInForm<'_>, Refusal> {
        self.only_texts()?;
        Ok(SignInForm {
            identifier: self.username.text(),
            identifier_field: Field::Username,
            password: self.password.text(),
        })
    }

    fn only_texts(&self) -> Result<(), Refusal> {
        only_texts(&[
            (Field::Username, &self.username),
            (Field::Password, &self.password),
        ])
    }
}

/// Who forgot their password.
#[derive(Deserialize)]
pub(super) struct ResetPasswordIn {
    #[serde(default)]
    username: Member,
}

impl ResetPasswordIn {
    pub fn identifier(&self) -> Result<Option<&str>, Refusal> {
        only_texts(&[(Field::Username, &self.username)])?;
        Ok(self.username.text())
    }
}

/// A new password. It is looked at after the token, so a wrong type counts as no password here.
#[derive(Deserialize)]
pub(super) struct UpdatePasswordIn {
    #[serde(default)]
    password: Member,
}

impl UpdatePasswordIn {
    pub fn password(&self) -> Option<&str> {
        self.password.text()
    }
}

/// Every answer. `refrence` is the document's spelling, and is always null.
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
    use crate::exchange::parse_object;
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
