//! The input of the pages: submitted forms and query strings.

use url::form_urlencoded;

/// More fields than any form of the pages has. Further ones are not read.
const MAX_FIELDS: usize = 32;

/// A submitted form. It holds passwords and has no `Debug`.
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    /// Parses the form as browsers send it. Invalid bytes are replaced, so every body is a form.
    pub(super) fn parse(bytes: &[u8]) -> Self {
        let fields = form_urlencoded::parse(bytes).into_owned();
        Self(fields.take(MAX_FIELDS).collect())
    }

    /// The fields of a query string.
    pub(super) fn of_query(query: Option<&str>) -> Self {
        Self::parse(query.unwrap_or_default().as_bytes())
    }

    /// The field of this name; empty if there is none. Of several, it is the first.
    pub(super) fn text(&self, name: &str) -> &str {
        self.sent(name).unwrap_or_default()
    }

    /// The field of this name, if there is one.
    pub(super) fn sent(&self, name: &str) -> Option<&str> {
        let mut fields = self.0.iter();
        let field = fields.find(|(known, _)| known == name);
        field.map(|(_, value)| value.as_str())
    }
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
                let form = Form::parse(bytes);
                prop_assert!(form.0.len() <= MAX_FIELDS);
                let _ = (form.text("token"), form.sent("password"));
            }
        }
    }

    #[test]
    fn the_form_is_read_as_browsers_send_it() {
        let form = Form::parse(
            b"token=a.b-c&password=caf%C3%A9+%26+tea&password_confirmation=x&more=1&token=d",
        );
        assert_eq!(form.text("token"), "a.b-c");
        assert_eq!(form.text("password"), "café & tea");
        assert_eq!(form.text("password_confirmation"), "x");
        assert_eq!(form.sent("action"), None);
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
            let _ = Form::parse(bytes).text("token");
        }
        assert_eq!(Form::of_query(None).text("token"), "");
        let query = Some("x=1&token=a%2Bb&token=c");
        assert_eq!(Form::of_query(query).text("token"), "a+b");
    }

    #[test]
    fn of_a_form_with_thousands_of_fields_a_few_are_read() {
        let form = Form::parse("a=b&".repeat(10_000).as_bytes());
        assert_eq!(form.0.len(), MAX_FIELDS);
    }
}
