//! HTML: escaping, the skeleton of a document, and the parts of forms.

use std::fmt;

/// Text that is escaped for HTML, between tags or between double quotes.
#[derive(Clone, Copy)]
pub(super) struct Escaped<'a>(pub &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                other => fmt::Write::write_char(f, other)?,
            }
        }
        Ok(())
    }
}

/// A complete document. `title` is plain text; `script`, `above` and `content` are HTML.
pub(super) fn document(title: &str, script: &str, above: &str, content: &str) -> String {
    let title = Escaped(title);
    format!(
        r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>{title}</title>
<style>{STYLE}</style>{script}
</head>
<body>
{above}<main>
<h1>{title}</h1>
{content}
</main>
</body>
</html>
"#
    )
}

const STYLE: &str = include_str!("style.css");

/// The SHA-256 digest of the style sheet, by which the Content Security Policy allows it. The test below prints the right one.
pub(super) const STYLE_DIGEST: &str = "sha256-SXfzifuRWrEssxVgTelkQAuSEK443VsLkoBdXavUAUs=";

/// What is wrong, before a form.
pub(super) fn alert(trouble: Option<&str>) -> String {
    trouble.map_or_else(String::new, |trouble| {
        let trouble = Escaped(trouble);
        format!("<p role=\"alert\" id=\"trouble\">{trouble}</p>\n")
    })
}

/// What happened, before a page that shows its result.
pub(super) fn status(notice: Option<&str>) -> String {
    notice.map_or_else(String::new, |notice| {
        format!("<p role=\"status\">{}</p>\n", Escaped(notice))
    })
}

/// The attributes of the first field of a form, which has the focus. A screen reader reads it together with the alert.
pub(super) const fn first(trouble: Option<&str>) -> &'static str {
    match trouble {
        Some(_) => " autofocus aria-describedby=\"trouble\"",
        None => " autofocus",
    }
}

/// A field for a password. `name` is its id, too, and `attributes` are HTML.
pub(super) fn password(name: &str, label: &str, autocomplete: &str, attributes: &str) -> String {
    format!(
        r#"<label for="{name}">{label}</label>
<input type="password" id="{name}" name="{name}" autocomplete="{autocomplete}" required{attributes}>"#
    )
}

/// A field that the person does not see.
pub(super) fn hidden(name: &str, value: &str) -> String {
    let value = Escaped(value);
    format!(r#"<input type="hidden" name="{name}" value="{value}">"#)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use sha2::{Digest as _, Sha256};

    use super::*;

    #[test]
    fn inserted_text_cannot_leave_its_place() {
        assert_eq!(
            Escaped(r#"<a href="x">'&amp;'</a>"#).to_string(),
            "&lt;a href=&quot;x&quot;&gt;&#39;&amp;amp;&#39;&lt;/a&gt;"
        );
    }

    #[test]
    fn the_policy_allows_exactly_the_style_sheet_of_the_pages() {
        let digest = STANDARD.encode(Sha256::digest(STYLE));
        assert_eq!(STYLE_DIGEST, format!("sha256-{digest}"));
        assert!(!STYLE.contains("</"));
    }
}
