//! The mailbox of an address, by which the mail to it is limited.

use authlog_domain::Email;

/// A key for the mailbox of an address. Addresses that are known to share a mailbox have the same key.
///
/// Spellings that are equal for [`Email::comparable`] have the same key. The part of the local part after a plus sign
/// is ignored, because most providers deliver such subaddresses (RFC 5233) to one mailbox. If a provider gives them to
/// different people, these share one limit, which is the smaller harm.
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
