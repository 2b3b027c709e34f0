//! Escapes text from clients for terminals and spreadsheets.

/// The text with control characters, and characters that change the direction of text, as escapes such as `\u{1b}`: names
/// and user agents are chosen by clients, and a terminal must not act on them.
pub(super) fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        let turns = matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if letter.is_control() || turns {
            shown.extend(letter.escape_unicode());
        } else {
            shown.push(letter);
        }
    }
    shown
}

/// A line of CSV (RFC 4180). Every field is quoted. A field that a spreadsheet would take for a formula gets an apostrophe in
/// front of it, so that the spreadsheet shows it as text (OWASP, "CSV Injection").
pub(super) fn csv_line(fields: &[String]) -> String {
    let quoted: Vec<String> = fields
        .iter()
        .map(|field| {
            let formula = field.starts_with(['=', '+', '-', '@', '\t', '\r', '\n'])
                || field.starts_with(['＝', '＋', '－', '＠']);
            let guard = if formula { "'" } else { "" };
            format!("\"{guard}{}\"", field.replace('"', "\"\""))
        })
        .collect();
    format!("{}\r\n", quoted.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_and_direction_characters_are_escaped() {
        assert_eq!(
            plain("a\u{1b}[2J\u{9b}31m\u{202e}é\n"),
            "a\\u{1b}[2J\\u{9b}31m\\u{202e}é\\u{a}"
        );
    }

    #[test]
    fn a_field_is_quoted_and_no_formula() {
        let line = csv_line(&[
            "plain".to_owned(),
            "say \"hi\", you".to_owned(),
            "=HYPERLINK(\"http://evil\")".to_owned(),
            "+49 151".to_owned(),
            "two\nlines".to_owned(),
            String::new(),
        ]);
        assert_eq!(
            line,
            "\"plain\",\"say \"\"hi\"\", you\",\"'=HYPERLINK(\"\"http://evil\"\")\",\"'+49 151\",\"two\nlines\",\"\"\r\n"
        );
    }
}
