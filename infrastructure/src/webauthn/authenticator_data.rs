//! The authenticator data (WebAuthn §6.1): what the authenticator signs together with the hash of the client data.

use authlog_application::PasskeyRefusal;
use authlog_application::ports::Ceremony;
use aws_lc_rs::digest::{SHA256, digest};
use uuid::Uuid;

use super::cbor::length_of_map;
use super::{AUTHENTICATOR_DATA, MAX_RESPONSE};

/// The flags (§6.1).
#[derive(Clone, Copy)]
pub(super) struct Flags(u8);

impl Flags {
    const USER_PRESENT: u8 = 1;
    const USER_VERIFIED: u8 = 1 << 2;
    const BACKUP_ELIGIBLE: u8 = 1 << 3;
    const BACKED_UP: u8 = 1 << 4;
    const ATTESTED: u8 = 1 << 6;
    const EXTENSIONS: u8 = 1 << 7;

    const fn has(self, flag: u8) -> bool {
        self.0 & flag != 0
    }

    /// Whether the authenticator verified the person.
    pub(super) const fn user_verified(self) -> bool {
        self.has(Self::USER_VERIFIED)
    }

    /// Whether the passkey can be copied to other devices.
    pub(super) const fn backup_eligible(self) -> bool {
        self.has(Self::BACKUP_ELIGIBLE)
    }

    /// Whether it was copied.
    pub(super) const fn backed_up(self) -> bool {
        self.has(Self::BACKED_UP)
    }
}

/// A new passkey (§6.5.1, "attested credential data").
pub(super) struct AttestedCredential<'b> {
    pub(super) aaguid: Uuid,
    pub(super) credential_id: &'b [u8],
    /// The COSE key, which may be followed by nothing but extensions.
    pub(super) public_key: &'b [u8],
}

/// The authenticator data.
pub(super) struct AuthenticatorData<'b> {
    rp_id_hash: [u8; 32],
    pub(super) flags: Flags,
    pub(super) sign_count: u32,
    pub(super) attested: Option<AttestedCredential<'b>>,
}

impl<'b> AuthenticatorData<'b> {
    /// Reads all of `bytes`.
    pub(super) fn parse(bytes: &'b [u8]) -> Result<Self, PasskeyRefusal> {
        if bytes.len() > MAX_RESPONSE {
            return Err(AUTHENTICATOR_DATA);
        }
        read(bytes).ok_or(AUTHENTICATOR_DATA)
    }

    /// §7.1-14 to §7.1-17, §7.2-15 to §7.2-18.
    pub(super) fn check(&self, ceremony: &Ceremony<'_>) -> Result<(), PasskeyRefusal> {
        let expected = digest(&SHA256, ceremony.relying_party.id.as_bytes());
        if expected.as_ref() != self.rp_id_hash {
            return Err(PasskeyRefusal::WrongRelyingParty);
        }
        if !self.flags.has(Flags::USER_PRESENT) {
            return Err(PasskeyRefusal::NotPresent);
        }
        if ceremony.requires_verification && !self.flags.user_verified() {
            return Err(PasskeyRefusal::NotVerified);
        }
        if self.flags.backed_up() && !self.flags.backup_eligible() {
            return Err(PasskeyRefusal::WrongFlags);
        }
        Ok(())
    }
}

fn read(bytes: &[u8]) -> Option<AuthenticatorData<'_>> {
    let (rp_id_hash, rest) = bytes.split_first_chunk::<32>()?;
    let ([flags], rest) = rest.split_first_chunk::<1>()?;
    let (sign_count, mut rest) = rest.split_first_chunk::<4>()?;
    let flags = Flags(*flags);
    let mut attested = None;
    if flags.has(Flags::ATTESTED) {
        let (aaguid, after) = rest.split_first_chunk::<16>()?;
        let (length, after) = after.split_first_chunk::<2>()?;
        let (credential_id, after) =
            after.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        let (public_key, after) = after.split_at_checked(length_of_map(after)?)?;
        attested = Some(AttestedCredential {
            aaguid: Uuid::from_bytes(*aaguid),
            credential_id,
            public_key,
        });
        rest = after;
    }
    let is_complete = if flags.has(Flags::EXTENSIONS) {
        length_of_map(rest)? == rest.len()
    } else {
        rest.is_empty()
    };
    is_complete.then_some(AuthenticatorData {
        rp_id_hash: *rp_id_hash,
        flags,
        sign_count: u32::from_be_bytes(*sign_count),
        attested,
    })
}
