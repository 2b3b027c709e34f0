//! Which addresses are one mailbox, as far as the mail goes that one is sent.

use authlog_domain::Email;
use url::Host;

/// A name for the mailbox of an address: addresses of one mailbox have one name, as far as it can be told from them.
///
/// Letter case makes no difference, nor does the form of an internationalised domain (RFC 5891 §4), nor what follows a plus
/// sign in the local part: most providers deliver such subaddresses (RFC 5233) to one mailbox. Where a provider gives them
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
    let domain = Host::parse(domain).map_or_else(|_| domain.to_owned(), |host| host.to_string());
    format!("{base}@{domain}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mailbox(text: &str) -> String {
        mailbox_of(&Email::parse(text).unwrap())
    }

    #[test]
    fn spellings_of_an_address_are_one_mailbox() {
        for spelling in [
            "ann@example.com",
            "Ann@EXAMPLE.com",
            "ann+news@example.com",
            "ann+1+2@example.com",
        ] {
            assert_eq!(mailbox(spelling), "ann@example.com");
        }
        assert_eq!(
            mailbox("ann@B\u{fc}cher.example"),
            mailbox("ann@xn--bcher-kva.example")
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
        ];
        let mut mailboxes: Vec<String> = names.map(mailbox).to_vec();
        mailboxes.sort();
        mailboxes.dedup();
        assert_eq!(mailboxes.len(), names.len());
    }
}
