//! The wire types of `/api/auth`: request and response bodies.

use authlog_application::ports::Account;
use authlog_application::{Field, IssuedToken, Refusal, RegistrationForm, SignInForm, SignedIn};
use authlog_domain::Timestamp;
use serde::{Deserialize, Serialize};

use crate::http::{JsonField, reject_non_strings, year_first};

/// The body of a registration and of a login. In the first document a registration is sent to the path of the login.
#[derive(Deserialize)]
pub(super) struct AccountIn {
    #[serde(default)]
    fullname: JsonField,
    #[serde(default)]
    email: JsonField,
    #[serde(default)]
    username: JsonField,
    #[serde(default)]
    password: JsonField,
    /// A code of the second factor. It is not part of the document, and ignored for accounts without a second factor.
    #[serde(default)]
    otp: JsonField,
    #[serde(default)]
    confirm_password: JsonField,
}

impl AccountIn {
    /// Whether a body that was sent to the login is a registration: a login has no full name.
    pub fn names_a_person(&self) -> bool {
        self.fullname.was_sent()
    }

    /// Which document's sentence answers a registration. Only the second document asks for the password twice.
    pub fn registered_message(&self) -> &'static str {
        if self.confirm_password.was_sent() {
            "Register successfully"
        } else {
            "User successfully registered"
        }
    }

    pub fn registration(&self) -> Result<RegistrationForm<'_>, Refusal> {
        reject_non_strings(&[
            (Field::Username, &self.username),
            (Field::Email, &self.email),
            (Field::Name, &self.fullname),
            (Field::Password, &self.password),
            (Field::PasswordConfirmation, &self.confirm_password),
        ])?;
        Ok(RegistrationForm {
            username: self.username.text(),
            email: self.email.text(),
            name: self.fullname.text(),
            phone: None,
            password: self.password.text(),
            password_confirmation: self.confirm_password.text(),
            required: &[Field::Username, Field::Email],
        })
    }

    pub fn sign_in(&self) -> Result<SignInForm<'_>, Refusal> {
        reject_non_strings(&[
            (Field::Username, &self.username),
            (Field::Password, &self.password),
        ])?;
        Ok(SignInForm {
            identifier: self.username.text(),
            identifier_field: Field::Username,
            password: self.password.text(),
            code: self.otp.code(),
        })
    }
}

/// A successful response. The first document has the fields `timestamp, statusCode, message, data`, the second `status,
/// message, data, user, accessToken`.
#[derive(Serialize)]
pub(super) struct SuccessOut<'a> {
    pub timestamp: Timestamp,
    #[serde(rename = "statusCode")]
    pub status_code: u16,
    pub status: &'static str,
    pub message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<DataOut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<UserOut<'a>>,
    #[serde(rename = "accessToken", skip_serializing_if = "Option::is_none")]
    pub access_token: Option<&'a str>,
}

#[derive(Serialize)]
pub(super) struct DataOut<'a> {
    access_token: TokenOut<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<TokenOut<'a>>,
    #[serde(flatten)]
    profile: Option<ProfileOut<'a>>,
}

impl<'a> DataOut<'a> {
    pub fn tokens(signed_in: &'a SignedIn) -> Self {
        Self {
            access_token: TokenOut::new(&signed_in.access),
            refresh_token: signed_in.refresh.as_ref().map(TokenOut::new),
            profile: None,
        }
    }

    pub fn tokens_and_profile(signed_in: &'a SignedIn) -> Self {
        Self {
            profile: Some(ProfileOut::new(&signed_in.account)),
            ..Self::tokens(signed_in)
        }
    }
}

/// `expires_in` is an instant, in spite of its name.
#[derive(Serialize)]
struct TokenOut<'a> {
    token: &'a str,
    expires_in: Timestamp,
}

impl<'a> TokenOut<'a> {
    fn new(issued: &'a IssuedToken) -> Self {
        Self {
            token: &issued.token,
            expires_in: issued.expires_at,
        }
    }
}

#[derive(Serialize)]
pub(super) struct UserOut<'a> {
    username: &'a str,
    email: Option<&'a str>,
    role: &'static str,
}

impl<'a> UserOut<'a> {
    pub fn new(account: &'a Account) -> Self {
        Self {
            username: account.sign_in_name(),
            email: account.email.as_ref().map(|email| email.as_str()),
            role: account.role.as_str(),
        }
    }
}

#[derive(Serialize)]
struct ProfileOut<'a> {
    #[serde(flatten)]
    user: UserOut<'a>,
    #[serde(rename = "createdAt")]
    created_at: String,
    #[serde(rename = "updatedAt")]
    updated_at: String,
}

impl<'a> ProfileOut<'a> {
    fn new(account: &'a Account) -> Self {
        Self {
            user: UserOut::new(account),
            created_at: year_first(account.created_at),
            updated_at: year_first(account.updated_at),
        }
    }
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
                let _ = (form.names_a_person(), form.registered_message());
                let _ = (form.registration(), form.sign_in());
            }
        }
    }
}
