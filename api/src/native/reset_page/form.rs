//! The input of the page: the token in the link, and the submitted form.

use url::form_urlencoded;

/// The submitted form of a page that a mailed link opens. Missing fields are empty. It holds passwords and has no
/// `Debug`.
#[derive(Default)]
pub(in crate::native) struct LinkForm {
    pub token: String,
    /// The name under which a password manager stores the password.
    pub username: String,
    pub password: String,
    pub password_confirmation: String,
    /// The button that was pressed, if there are several.
    pub action: String,
}

impl LinkForm {
    /// Parses the form as browsers send it. Invalid bytes are replaced, so every body is a form.
    pub(in crate::native) fn parse(bytes: &[u8]) -> Self {
        let mut form = Self::default();
        for (name, value) in form_urlencoded::parse(bytes) {
            match &*name {
                "token" => form.token = value.into_owned(),
                "username" => form.username = value.into_owned(),
                "password" => form.password = value.into_owned(),
                "action" => form.action = value.into_owned(),
                "password_confirmation" => form.password_confirmation = value.into_owned(),
                _ => {}
            }
        }
        form
    }
}

/// The token in the link. Empty, which is never a valid token, if there is none.
pub(in crate::native) fn token_of_query(query: Option<&str>) -> String {
    form_urlencoded::parse(query.unwrap_or_default().as_bytes())
        .find(|(name, _)| name == "token")
        .map(|(_, token)| token.into_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_body_is_a_form(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            shaped in "((token|password|password_confirmation|x)=[%a-f0-9+]{0,12}&?){0,5}",
        ) {
            for bytes in [bytes.as_slice(), shaped.as_bytes()] {
                let form = LinkForm::parse(bytes);
                let _ = (form.token.len(), form.password.len());
                let _ = token_of_query(std::str::from_utf8(bytes).ok());
            }
        }
    }

    #[test]
    fn the_form_is_read_as_browsers_send_it() {
        let form = LinkForm::parse(
            b"token=a.b-c&password=caf%C3%A9+%26+tea&password_confirmation=x&more=1",
        );
        assert_eq!(form.token, "a.b-c");
        assert_eq!(form.password, "café & tea");
        assert_eq!(form.password_confirmation, "x");
    }

    #[test]
    fn an_empty_or_malformed_body_or_query_is_accepted() {
        for bytes in [
            &b""[..],
            b"&&==%",
            b"token",
            b"\xff\x00=%ff%00",
            b"token=%00",
        ] {
            let _ = LinkForm::parse(bytes);
        }
        assert_eq!(token_of_query(None), "");
        assert_eq!(token_of_query(Some("x=1&token=a%2Bb&token=c")), "a+b");
    }
}
