//! Protection of the rows that grant access (`docs/adr/0011`): a password hash is encrypted for its account, and each
//! row that authorization depends on carries a MAC.
//!
//! The keys are derived from the store's secret, which is sealed under the master key. A person who can write to the store
//! but does not have the master key can neither put a password there nor raise a role.

use std::sync::atomic::{AtomicBool, Ordering};

use authlog_application::ports::{
    Account, ClientRecord, CredentialRecord, Entropy, OpaqueTokenRecord, PasswordHash,
    SessionRecord, SessionWithAccount, SignInRecord,
};
use authlog_domain::session::ClientGrant;
use authlog_domain::user::{PendingReset, PendingVerification};
use authlog_domain::{
    CredentialId, Email, PersonName, Phone, Rotation, Timestamp, UserId, Username,
};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{Sealer, Unopenable};
use crate::client_state::client_state_text;
use crate::consents::consents_text;
use crate::second_factors::second_factors_text;
use crate::session_authentication::authentication_text;

/// Bytes of a MAC: HMAC-SHA-256 truncated to 128 bits (RFC 4868 §2.1), so that rows stay small.
const MAC_BYTES: usize = 16;

/// The purposes for which keys are derived, so that a key cannot be used for the other purpose. When a MAC covers other
/// fields, its label has to change.
const MAC_LABEL: &[u8] = b"authlog.v1.row-mac\0";
const CREDENTIAL_LABEL: &[u8] = b"authlog.v1.credential\0";

/// The MAC of a row.
pub(crate) type Mac = [u8; MAC_BYTES];

/// A row to write, with its MAC.
#[derive(Clone)]
pub(crate) struct WithMac<T> {
    pub(crate) row: T,
    pub(crate) mac: Mac,
}

/// A row that was read, with the MAC that is stored with it. It is not trusted before [`AccessSeals::accept`].
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Stored<T> {
    pub(crate) row: T,
    pub(crate) mac: Option<Vec<u8>>,
    /// Whether the stream has events after the row's version. Rows and events are written in one transaction, so such a
    /// row was restored from an older copy.
    pub(crate) is_behind: bool,
}

/// A session, its account and its parent as they were read.
#[derive(Clone)]
pub(crate) struct StoredStanding {
    pub(crate) session: Stored<SessionRecord>,
    pub(crate) account: Stored<Account>,
    /// The session that it ends with, if it has one that was found.
    pub(crate) parent: Option<Box<Stored<SessionRecord>>>,
}

/// A password hash to write.
#[derive(Clone)]
pub(crate) struct SealedCredential {
    pub(crate) user: UserId,
    pub(crate) credential: CredentialId,
    pub(crate) sealed: Vec<u8>,
    /// The unencrypted hash while nodes of the previous version may have to read it; empty once seals are required.
    pub(crate) plain: String,
}

/// A password hash that was read.
#[derive(Clone)]
pub(crate) struct StoredCredential {
    pub(crate) user: UserId,
    pub(crate) credential: CredentialId,
    pub(crate) sealed: Option<Vec<u8>>,
    pub(crate) plain: String,
}

/// Seals credentials and rows that grant access, and detects those that this service did not write.
pub(crate) struct AccessSeals {
    macs: hmac::Key,
    credentials: Sealer,
    /// Whether rows and credentials without a valid seal are rejected. Once set, it is never cleared.
    required: AtomicBool,
}

impl AccessSeals {
    /// Seals under keys that are derived from the store's secret.
    pub(crate) fn new(secret: &[u8], required: bool) -> Result<Self, Unopenable> {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let derived = |label: &[u8]| -> Result<Zeroizing<[u8; 32]>, Unopenable> {
            let tag = hmac::sign(&secret, label);
            let key = <[u8; 32]>::try_from(tag.as_ref()).map_err(|_| Unopenable)?;
            Ok(Zeroizing::new(key))
        };
        Ok(Self {
            macs: hmac::Key::new(hmac::HMAC_SHA256, derived(MAC_LABEL)?.as_slice()),
            credentials: Sealer::new(&*derived(CREDENTIAL_LABEL)?)?,
            required: AtomicBool::new(required),
        })
    }

    /// Whether rows and credentials without a valid seal are rejected.
    pub(crate) fn are_required(&self) -> bool {
        self.required.load(Ordering::SeqCst)
    }

    /// Rejects rows and credentials without a valid seal from now on.
    pub(crate) fn require(&self) {
        self.required.store(true, Ordering::SeqCst);
    }

    /// The row with its MAC.
    pub(crate) fn with_mac<T: GrantsAccess>(&self, row: T) -> WithMac<T> {
        WithMac {
            mac: self.mac(&row),
            row,
        }
    }

    /// Whether the row is rejected without a valid MAC.
    pub(crate) fn are_required_of<T: GrantsAccess>(&self, row: &T) -> bool {
        row.always_has_mac() || self.are_required()
    }

    /// Whether the stored MAC is the MAC of the row.
    pub(crate) fn is_sealed<T: GrantsAccess>(&self, stored: &Stored<T>) -> bool {
        let expected = self.mac(&stored.row);
        let stored = stored.mac.as_deref().unwrap_or_default();
        verify_slices_are_equal(&expected, stored).is_ok()
    }

    /// The row; `None` if seals are required of it and this service did not write it. Then an error is logged, and clients
    /// see no such row.
    pub(crate) fn accept<T: GrantsAccess>(&self, stored: Stored<T>) -> Option<T> {
        self.is_acceptable(&stored).then_some(stored.row)
    }

    fn is_acceptable<T: GrantsAccess>(&self, stored: &Stored<T>) -> bool {
        let acceptable =
            !self.are_required_of(&stored.row) || (self.is_sealed(stored) && !stored.is_behind);
        if !acceptable {
            tracing::error!(
                row = stored.row.place(),
                "this row was not last written by the service and grants nothing; run `authlog doctor`"
            );
        }
        acceptable
    }

    /// Accepts a session and its account as [`Self::accept`] does; `None` unless both are accepted. A parent that is not accepted
    /// counts as missing, so that the session is not live.
    pub(crate) fn accept_standing(&self, stored: StoredStanding) -> Option<SessionWithAccount> {
        Some(SessionWithAccount {
            session: self.accept(stored.session)?,
            account: self.accept(stored.account)?,
            parent: stored
                .parent
                .and_then(|parent| self.accept(*parent))
                .map(Box::new),
        })
    }

    /// The data that a sign-in needs. It has no hash if this service did not write the account's row or its credential:
    /// then every password is wrong, and clients see no difference from other accounts.
    pub(crate) fn sign_in_record(
        &self,
        account: Stored<Account>,
        (sealed, plain): (Option<Vec<u8>>, String),
    ) -> SignInRecord {
        let credential = StoredCredential {
            user: account.row.id,
            credential: account.row.credential,
            sealed,
            plain,
        };
        let trusted = self.is_acceptable(&account);
        SignInRecord {
            account: account.row,
            hash: self.accept_hash(credential).filter(|_| trusted),
        }
    }

    /// Encrypts a password hash, bound to its account and its credential id.
    pub(crate) fn seal(
        &self,
        record: &CredentialRecord,
        entropy: &dyn Entropy,
    ) -> Result<SealedCredential, Unopenable> {
        let CredentialRecord {
            user,
            credential,
            hash,
        } = record;
        let hash = hash.as_stored();
        let place = credential_place(*user, *credential);
        let sealed = self.credentials.seal(&place, hash.as_bytes(), entropy)?;
        let plain = if self.are_required() { "" } else { hash };
        Ok(SealedCredential {
            user: *user,
            credential: *credential,
            sealed,
            plain: plain.to_owned(),
        })
    }

    /// Decrypts a hash; `None` if it was not sealed for this account and this credential id.
    pub(crate) fn open(&self, stored: &StoredCredential) -> Option<PasswordHash> {
        let place = credential_place(stored.user, stored.credential);
        let opened = self.credentials.open(&place, stored.sealed.as_deref()?);
        let hash = std::str::from_utf8(&opened.ok()?).ok()?.to_owned();
        Some(PasswordHash::from_stored(hash))
    }

    /// The hash to verify passwords against: the sealed one, or the plain one while seals are not required. If neither
    /// can be used, returns `None` and logs an error.
    fn accept_hash(&self, stored: StoredCredential) -> Option<PasswordHash> {
        let opened = self.open(&stored);
        if opened.is_none() && !self.are_required() {
            return Some(PasswordHash::from_stored(stored.plain));
        }
        if opened.is_none() {
            tracing::error!(
                user = %stored.user,
                "the password hash of this account was not stored by this service; no password is accepted until it is reset"
            );
        }
        opened
    }

    /// Seals the credentials of `page` that are not sealed yet, and returns only those.
    pub(crate) fn seal_missing(
        &self,
        page: Vec<StoredCredential>,
        entropy: &dyn Entropy,
    ) -> Result<Vec<SealedCredential>, Unopenable> {
        let unsealed = page
            .into_iter()
            .filter(|stored| !stored.plain.is_empty() && self.open(stored).is_none());
        unsealed
            .map(|stored| {
                let record = CredentialRecord {
                    user: stored.user,
                    credential: stored.credential,
                    hash: PasswordHash::from_stored(stored.plain),
                };
                self.seal(&record, entropy)
            })
            .collect()
    }

    /// Computes the MACs of the rows of `page` that have none yet, and returns only those rows.
    pub(crate) fn add_missing_macs<T: GrantsAccess>(
        &self,
        page: Vec<Stored<T>>,
    ) -> Vec<WithMac<T>> {
        let unsealed = page.into_iter().filter(|stored| !self.is_sealed(stored));
        unsealed.map(|stored| self.with_mac(stored.row)).collect()
    }

    fn mac(&self, row: &impl GrantsAccess) -> Mac {
        let mut message = Message(Vec::with_capacity(512));
        row.write_to(&mut message);
        let tag = hmac::sign(&self.macs, &message.0);
        let mut mac = Mac::default();
        mac.copy_from_slice(&tag.as_ref()[..MAC_BYTES]);
        mac
    }
}

fn credential_place(user: UserId, credential: CredentialId) -> String {
    format!("credential/{user}/{credential}")
}

/// The input of a MAC. Every field has a fixed length or is preceded by its length, so that no two rows give the same
/// bytes.
pub(crate) struct Message(Vec<u8>);

impl Message {
    fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    fn number(&mut self, number: u64) -> &mut Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    fn id(&mut self, id: Uuid) -> &mut Self {
        self.0.extend_from_slice(id.as_bytes());
        self
    }

    fn instant(&mut self, at: Timestamp) -> &mut Self {
        self.number(at.unix_millis().cast_unsigned())
    }

    fn flag(&mut self, flag: bool) -> &mut Self {
        self.0.push(flag.into());
        self
    }

    fn optional<T>(
        &mut self,
        value: Option<T>,
        write: impl FnOnce(&mut Self, T) -> &mut Self,
    ) -> &mut Self {
        self.flag(value.is_some());
        match value {
            Some(value) => write(self, value),
            None => self,
        }
    }

    fn text(&mut self, text: Option<&str>) -> &mut Self {
        self.optional(text, |message, text| message.bytes(text.as_bytes()))
    }
}

/// A row that authorization depends on.
pub(crate) trait GrantsAccess {
    /// Names the row in log lines and in findings of the doctor. It contains no personal data.
    fn place(&self) -> String;

    /// Whether no version of the program wrote such a row without a MAC. Then a row without one is rejected also while seals are
    /// not required yet.
    fn always_has_mac(&self) -> bool {
        false
    }

    /// Writes every field that a decision depends on. The patterns are exhaustive, so a new field has to be added here
    /// or left out by name.
    fn write_to(&self, message: &mut Message);
}

impl GrantsAccess for Account {
    fn place(&self) -> String {
        format!("accounts {}", self.id)
    }

    fn write_to(&self, message: &mut Message) {
        let Self {
            id,
            version,
            number,
            username,
            email,
            email_verified,
            name,
            phone,
            role,
            credential,
            locked,
            session_epoch,
            kept_session,
            pending_reset,
            pending_verification,
            // They only limit requests for mail, and rows of earlier versions lack them (docs/adr/0007).
            recent_requests: _,
            second_factors: _,
            consents: _,
            created_at,
            updated_at,
        } = self;
        message
            .bytes(b"account")
            .id(id.as_uuid())
            .number(*version)
            .number(number.get().cast_unsigned())
            .text(username.as_ref().map(Username::as_str))
            .text(email.as_ref().map(Email::as_str))
            .flag(*email_verified)
            .text(name.as_ref().map(PersonName::as_str))
            .text(phone.as_ref().map(Phone::as_str))
            .bytes(role.as_str().as_bytes())
            .id(credential.as_uuid())
            .flag(*locked)
            .number((*session_epoch).into())
            .optional(*kept_session, |message, session| {
                message.id(session.as_uuid())
            })
            .optional(*pending_reset, |message, pending| {
                let PendingReset { reset, expires_at } = pending;
                message.id(reset.as_uuid()).instant(expires_at)
            })
            .optional(pending_verification.as_ref(), |message, pending| {
                let PendingVerification {
                    verification,
                    email,
                    expires_at,
                } = pending;
                message
                    .id(verification.as_uuid())
                    .text(email.as_ref().map(Email::as_str))
                    .instant(*expires_at)
            })
            .instant(*created_at)
            .instant(*updated_at);
        // An account without second factors adds nothing, so that its row has the same MAC as in versions before them.
        if let Some(factors) = second_factors_text(self) {
            message.bytes(factors.as_bytes());
        }
        // Likewise an account without consents.
        if let Some(consents) = consents_text(self) {
            message.bytes(b"consents").bytes(consents.as_bytes());
        }
    }
}

impl GrantsAccess for SessionRecord {
    fn place(&self) -> String {
        format!("sessions {}", self.id)
    }

    /// Sessions of applications are newer than MACs.
    fn always_has_mac(&self) -> bool {
        self.grant.is_some()
    }

    fn write_to(&self, message: &mut Message) {
        let Self {
            id,
            version,
            user,
            // Only displayed. A contract that this program does not know is read as `None`.
            contract: _,
            epoch,
            rotation,
            generation,
            started_at,
            last_used_at,
            rotated_at,
            expires_at,
            ended_at,
            authentication: _,
            grant,
        } = self;
        message
            .bytes(b"session")
            .id(id.as_uuid())
            .number(*version)
            .id(user.as_uuid())
            .number((*epoch).into())
            .optional(*rotation, |message, rotation| {
                message.flag(rotation == Rotation::Rotating)
            })
            .number((*generation).into())
            .instant(*started_at)
            .instant(*last_used_at)
            .instant(*rotated_at)
            .instant(*expires_at)
            .optional(*ended_at, Message::instant);
        // A login with a password alone adds nothing, so that its row has the same MAC as in versions before this member.
        if let Some(authentication) = authentication_text(self) {
            message.bytes(authentication.as_bytes());
        }
        // Likewise a session of a person.
        if let Some(grant) = grant {
            let ClientGrant {
                client,
                scopes,
                audience,
                parent,
                dpop_jkt,
            } = grant;
            message
                .bytes(b"grant")
                .bytes(client.as_str().as_bytes())
                .bytes(scopes.to_string().as_bytes())
                .number(audience.len() as u64)
                .optional(*parent, |message, parent| message.id(parent.as_uuid()));
            for resource in audience {
                message.bytes(resource.as_str().as_bytes());
            }
            // An unbound session adds nothing, so that its row has the same MAC as in versions before this member.
            if let Some(key) = dpop_jkt {
                message.bytes(b"key").bytes(key.as_str().as_bytes());
            }
        }
    }
}

impl GrantsAccess for ClientRecord {
    fn place(&self) -> String {
        format!("clients {}", self.id)
    }

    /// Clients are newer than MACs.
    fn always_has_mac(&self) -> bool {
        true
    }

    fn write_to(&self, message: &mut Message) {
        let Self {
            id,
            version,
            state: _,
        } = self;
        message
            .bytes(b"client")
            .bytes(id.as_str().as_bytes())
            .number(*version)
            .text(client_state_text(self).as_deref());
    }
}

impl GrantsAccess for OpaqueTokenRecord {
    fn place(&self) -> String {
        format!("an opaque token of session {}", self.session)
    }

    fn write_to(&self, message: &mut Message) {
        let Self {
            digest,
            session,
            expires_at,
        } = self;
        message
            .bytes(b"opaque token")
            .bytes(&digest.0)
            .id(session.as_uuid())
            .instant(*expires_at);
    }
}
