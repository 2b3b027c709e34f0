//! Which addresses are one mailbox, as far as the mail goes that one is sent.

use authlog_domain::Email;

/// A key for the mailbox of an address. Addresses that are known to share a mailbox have the same key.
///
/// What makes no difference to [`Email::comparable`] makes none here, nor does what follows a plus sign in the local part: most
/// providers deliver such subaddresses (RFC 5233) to one mailbox. Where a provider gives them
/// to different people, these share what one mailbox is sent, which is the smaller harm.
pub(crate) fn mailbox_of(address: &Email) -> String {
    let comparable = address.comparable();
    let Some((local, domain)) = comparable.rsplit_once('@') else {
        return comparable;
    };
    let base = match local.split_once('+') {
        Some((base, _)) if !base.is_empty() => base,
        _ => local,
    };
    format!("{base}@{domain}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mailbox(text: &str) -> String {
        mailbox_of(&Email::from_stored(text.to_owned()))
    }

    #[test]
    fn spellings_of_an_address_are_one_mailbox() {
        for spelling in [
            "ann@example.com",
            "Ann@EXAMPLE.com",
            "ann+news@example.com",
            "ann+1+2@example.com",
            "\"ann\"@example.com",
            "\"\\ann\"@example.com",
            "\"a\\n\\n\"@example.com",
            "\"ann+news\"@example.com",
            "\"Ann\\+news\"@example.com",
        ] {
            assert_eq!(mailbox(spelling), "ann@example.com");
        }
        assert_eq!(
            mailbox("ann@B\u{fc}cher.example"),
            mailbox("ann@xn--bcher-kva.example")
        );
        assert_eq!(
            mailbox("jos\u{e9}@example.com"),
            mailbox("jose\u{301}@example.com")
        );
    }

    #[test]
    fn different_addresses_are_different_mailboxes() {
        let names = [
            "ann@example.com",
            "ann@example.org",
            "anne@example.com",
            "+ann@example.com",
            "+bob@example.com",
            "ann@sub.example.com",
            "\"ann smith\"@example.com",
            "\"ann\\\\smith\"@example.com",
            "\"ann@home\"@example.com",
        ];
        let mut mailboxes: Vec<String> = names.map(mailbox).to_vec();
        mailboxes.sort();
        mailboxes.dedup();
        assert_eq!(mailboxes.len(), names.len());
    }
}
