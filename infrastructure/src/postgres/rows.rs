//! The read models' rows, as they are written and read.
//!
//! One struct serves both directions. An append sends a row as a JSON object whose members are the columns. Many rows
//! together are sent as values of the table's row type, which takes the server half as long; the members of the struct
//! have to be in the order of the table's columns.

use authlog_application::ports::{
    Account, ClientRecord, OpaqueTokenRecord, SessionRecord, StoreError, TokenDigest,
};
use authlog_domain::user::{PendingReset, PendingVerification};
use authlog_domain::{
    AccountNumber, ClientId, CredentialId, Email, PersonName, Phone, ResetId, Role, Rotation,
    SessionId, UserId, Username, VerificationId,
};
use serde::Serialize;
use serde_json::Value;
use sqlx::FromRow;
use uuid::Uuid;

use super::instants::StoredInstant;
use crate::client_state::{client_state_from, client_state_text};
use crate::consents::{consents_from, consents_text};
use crate::recent_requests::{from_stored, to_stored};
use crate::sealing::{Stored, StoredStanding, WithMac};
use crate::second_factors::{second_factors_from, second_factors_text};
use crate::session_authentication::{authentication_from, authentication_text};
use crate::session_grant::{GrantColumns, audience_text, key_text};
use crate::store::unreadable;

/// A row of `accounts`. The members stand in the order of the columns.
#[derive(Clone, FromRow, Serialize, sqlx::Type)]
#[sqlx(type_name = "accounts")]
pub(super) struct AccountRow {
    user_id: Uuid,
    version: i64,
    number: i64,
    username: Option<String>,
    email: Option<String>,
    name: Option<String>,
    phone: Option<String>,
    role: String,
    credential_id: Uuid,
    session_epoch: i64,
    reset_id: Option<Uuid>,
    reset_expires_at: Option<StoredInstant>,
    created_at: StoredInstant,
    updated_at: StoredInstant,
    email_verified: bool,
    locked: bool,
    kept_session: Option<Uuid>,
    verification_id: Option<Uuid>,
    verification_email: Option<String>,
    verification_expires_at: Option<StoredInstant>,
    recent_requests: Option<String>,
    #[serde(serialize_with = "as_bytea")]
    mac: Option<Vec<u8>>,
    second_factors: Option<String>,
    consents: Option<String>,
}

/// A row of `sessions`. The members stand in the order of the columns. Queries that join an account rename the columns that
/// both tables have, and so do the members.
#[derive(Clone, FromRow, Serialize, sqlx::Type)]
#[sqlx(type_name = "sessions")]
pub(super) struct SessionRow {
    session_id: Uuid,
    #[serde(rename = "version")]
    session_version: i64,
    user_id: Uuid,
    contract: Option<String>,
    epoch: i64,
    rotation: Option<String>,
    generation: i64,
    started_at: StoredInstant,
    last_used_at: StoredInstant,
    expires_at: StoredInstant,
    ended_at: Option<StoredInstant>,
    rotated_at: StoredInstant,
    #[serde(rename = "mac", serialize_with = "as_bytea")]
    session_mac: Option<Vec<u8>>,
    authentication: Option<String>,
    client_id: Option<String>,
    scopes: Option<String>,
    audience: Option<String>,
    parent: Option<Uuid>,
    dpop_jkt: Option<String>,
}

/// A row of `clients`. The members stand in the order of the columns.
#[derive(Clone, FromRow, Serialize)]
pub(super) struct ClientRow {
    client_id: String,
    version: i64,
    state: Option<String>,
    #[serde(serialize_with = "as_bytea")]
    mac: Option<Vec<u8>>,
}

/// A client, and whether its row is behind its events.
#[derive(Clone, FromRow)]
pub(super) struct CheckedClientRow {
    #[sqlx(flatten)]
    row: ClientRow,
    client_is_behind: bool,
}

/// A statement with its parameters.
pub(super) type PostgresQuery<'a> =
    sqlx::query::Query<'a, sqlx::Postgres, sqlx::postgres::PgArguments>;

/// An account, and whether its row is behind its events.
#[derive(Clone, FromRow)]
pub(super) struct CheckedAccountRow {
    #[sqlx(flatten)]
    row: AccountRow,
    account_is_behind: bool,
}

/// A session and its account, and whether the row of either is behind its events.
#[derive(Clone, FromRow)]
pub(super) struct StandingRow {
    #[sqlx(flatten)]
    session: SessionRow,
    #[sqlx(flatten)]
    account: CheckedAccountRow,
    session_is_behind: bool,
}

/// A row of `opaque_tokens`, whose columns go by these names next to a session.
#[derive(FromRow)]
pub(super) struct OpaqueTokenRow {
    digest: Vec<u8>,
    token_session_id: Uuid,
    token_expires_at: StoredInstant,
    token_mac: Option<Vec<u8>>,
}

/// Hands the columns of `accounts`, in the order of the table, to a macro such as those of `store/columns.rs`.
macro_rules! accounts {
    ($($with:tt)+) => {
        $($with)+!(
            accounts a: user_id, version, number, username, email, name, phone, role, credential_id, session_epoch,
            reset_id, reset_expires_at, created_at, updated_at, email_verified, locked, kept_session, verification_id,
            verification_email, verification_expires_at, recent_requests, mac, second_factors, consents
        )
    };
}

/// Hands the columns of `sessions`, in the order of the table, to such a macro.
macro_rules! sessions {
    ($($with:tt)+) => {
        $($with)+!(
            sessions s: session_id, version, user_id, contract, epoch, rotation, generation, started_at, last_used_at,
            expires_at, ended_at, rotated_at, mac, authentication, client_id, scopes, audience, parent,
            dpop_jkt
        )
    };
}

/// Hands the columns of `clients`, in the order of the table, to such a macro.
macro_rules! clients {
    ($($with:tt)+) => {
        $($with)+!(clients c: client_id, version, state, mac)
    };
}

/// The columns of a [`CheckedClientRow`], of the table called `c`.
macro_rules! checked_client_columns {
    () => {
        concat!(
            $crate::postgres::rows::clients!($crate::store::aliased_columns),
            ", coalesce((SELECT later.sequence FROM events later WHERE later.aggregate_type = 'client' \
               AND later.aggregate_id = c.client_id AND later.sequence > c.version ORDER BY later.sequence DESC LIMIT 1), \
               (SELECT later.sequence FROM event_log later WHERE later.aggregate_type = 'client' \
               AND later.aggregate_id = c.client_id AND later.sequence > c.version ORDER BY later.sequence DESC LIMIT 1)) IS NOT NULL AS client_is_behind"
        )
    };
}

/// The columns of an [`AccountRow`], of the table called `a`.
macro_rules! account_columns {
    () => {
        $crate::postgres::rows::accounts!($crate::store::aliased_columns)
    };
}

/// The columns of a [`SessionRow`], of the table called `s`, without `user_id`, which is also a column of its account. Columns
/// that both tables have are renamed.
macro_rules! session_columns {
    () => {
        $crate::postgres::rows::sessions!($crate::postgres::rows::columns_next_to_account)
    };
}

/// See [`session_columns`].
macro_rules! columns_next_to_account {
    ($table:ident $alias:ident: $key:ident $(, $column:ident)+) => {
        concat!("s.", stringify!($key) $(, $crate::postgres::rows::column_next_to_account!($column))+)
    };
}

macro_rules! column_next_to_account {
    (user_id) => {
        ""
    };
    (version) => {
        ", s.version AS session_version"
    };
    (mac) => {
        ", s.mac AS session_mac"
    };
    ($column:ident) => {
        concat!(", s.", stringify!($column))
    };
}

/// The columns of a [`CheckedAccountRow`], of the table called `a`. A row is behind if there is a later event, or a later entry
/// of the log whose event was deleted; an event gets its entry some milliseconds after its commit. A scalar subquery in the
/// order of the index is one probe a row in every plan; an EXISTS could become a hash of all events, in a plan that was made
/// when there were few.
macro_rules! checked_account_columns {
    () => {
        concat!(
            account_columns!(),
            ", coalesce((SELECT later.sequence FROM events later WHERE later.aggregate_type = 'user' \
               AND later.aggregate_id = a.user_id::text AND later.sequence > a.version ORDER BY later.sequence DESC LIMIT 1), \
               (SELECT later.sequence FROM event_log later WHERE later.aggregate_type = 'user' \
               AND later.aggregate_id = a.user_id::text AND later.sequence > a.version ORDER BY later.sequence DESC LIMIT 1)) IS NOT NULL AS account_is_behind"
        )
    };
}

/// The columns of a [`StandingRow`], of the tables called `s` and `a`.
macro_rules! standing_columns {
    () => {
        concat!(
            session_columns!(),
            ", ",
            session_is_behind!(),
            " AS session_is_behind, ",
            checked_account_columns!()
        )
    };
}

/// Whether the row of the table called `s` is behind its events, or behind an entry of the log whose event was deleted.
macro_rules! session_is_behind {
    () => {
        concat!(
            "coalesce((SELECT later.sequence FROM events later WHERE later.aggregate_type = 'session' \
               AND later.aggregate_id = s.session_id::text AND later.sequence > s.version ORDER BY later.sequence DESC LIMIT 1), \
               ",
            later_entry_of_session!(),
            ") IS NOT NULL"
        )
    };
}

/// A later entry of the log than the row of the table called `s`.
macro_rules! later_entry_of_session {
    () => {
        "(SELECT later.sequence FROM event_log later WHERE later.aggregate_type = 'session' \
           AND later.aggregate_id = s.session_id::text AND later.sequence > s.version ORDER BY later.sequence DESC LIMIT 1)"
    };
}

/// Writes the accounts in the JSON array that is the statement's parameter `$rows`.
macro_rules! upsert_accounts {
    ($rows:literal) => {
        concat!(
            "INSERT INTO accounts SELECT * FROM jsonb_populate_recordset(NULL::accounts, ",
            $rows,
            ")",
            $crate::postgres::rows::accounts!($crate::store::update_on_conflict)
        )
    };
}

/// Writes the sessions in the JSON array that is the statement's parameter `$rows`.
macro_rules! upsert_sessions {
    ($rows:literal) => {
        concat!(
            "INSERT INTO sessions SELECT * FROM jsonb_populate_recordset(NULL::sessions, ",
            $rows,
            ")",
            $crate::postgres::rows::sessions!($crate::store::update_on_conflict)
        )
    };
}

/// Writes one session, whose members are the parameters from `$1` to `$19`. [`SessionRow::bound_to`] binds them.
macro_rules! upsert_session {
    () => {
        concat!(
            "INSERT INTO sessions (",
            $crate::postgres::rows::sessions!($crate::store::column_list),
            ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)",
            $crate::postgres::rows::sessions!($crate::store::update_on_conflict)
        )
    };
}

pub(super) use {
    account_columns, accounts, checked_account_columns, checked_client_columns, clients,
    column_next_to_account, columns_next_to_account, later_entry_of_session, session_columns,
    session_is_behind, sessions, standing_columns, upsert_accounts, upsert_session,
    upsert_sessions,
};

/// A column holds a value that this program never writes.
#[derive(Debug, thiserror::Error)]
#[error("the column {0} holds a value that this program does not know")]
struct Foreign(&'static str);

fn foreign(column: &'static str) -> StoreError {
    unreadable(Foreign(column))
}

impl From<&WithMac<Account>> for AccountRow {
    fn from(WithMac { row: account, mac }: &WithMac<Account>) -> Self {
        let text = |value: Option<&str>| value.map(str::to_owned);
        let verification = account.pending_verification.as_ref();
        Self {
            user_id: account.id.as_uuid(),
            version: account.version.cast_signed(),
            number: account.number.get(),
            username: text(account.username.as_ref().map(Username::as_str)),
            email: text(account.email.as_ref().map(Email::as_str)),
            name: text(account.name.as_ref().map(PersonName::as_str)),
            phone: text(account.phone.as_ref().map(Phone::as_str)),
            role: account.role.as_str().to_owned(),
            credential_id: account.credential.as_uuid(),
            session_epoch: account.session_epoch.into(),
            reset_id: account.pending_reset.map(|reset| reset.reset.as_uuid()),
            reset_expires_at: account.pending_reset.map(|it| it.expires_at.into()),
            created_at: account.created_at.into(),
            updated_at: account.updated_at.into(),
            email_verified: account.email_verified,
            locked: account.locked,
            kept_session: account.kept_session.map(SessionId::as_uuid),
            verification_id: verification.map(|it| it.verification.as_uuid()),
            verification_email: verification
                .and_then(|it| text(it.email.as_ref().map(Email::as_str))),
            verification_expires_at: verification.map(|it| it.expires_at.into()),
            recent_requests: to_stored(account),
            mac: Some(mac.to_vec()),
            second_factors: second_factors_text(account),
            consents: consents_text(account),
        }
    }
}

impl AccountRow {
    /// The id of the aggregate, as events spell it.
    pub(super) fn id(&self) -> String {
        self.user_id.to_string()
    }
}

impl SessionRow {
    /// The id of the aggregate, as events spell it.
    pub(super) fn id(&self) -> String {
        self.session_id.to_string()
    }
}

impl StandingRow {
    /// The id of the session.
    pub(super) fn session(&self) -> SessionId {
        SessionId::new(self.session.session_id)
    }
}

impl TryFrom<AccountRow> for Stored<Account> {
    type Error = StoreError;

    fn try_from(row: AccountRow) -> Result<Self, StoreError> {
        let known = |at: Option<StoredInstant>| at.map(StoredInstant::known).transpose();
        let pending_reset = row.reset_id.zip(known(row.reset_expires_at)?);
        let verification = row.verification_id.zip(known(row.verification_expires_at)?);
        let new_email = row.verification_email.map(Email::from_stored);
        let version = row.version.cast_unsigned();
        let account = Account {
            id: UserId::new(row.user_id),
            version,
            number: AccountNumber::new(row.number),
            username: row.username.map(Username::from_stored),
            email: row.email.map(Email::from_stored),
            email_verified: row.email_verified,
            name: row.name.map(PersonName::from_stored),
            phone: row.phone.map(Phone::from_stored),
            role: Role::parse(&row.role).ok_or_else(|| foreign("accounts.role"))?,
            credential: CredentialId::new(row.credential_id),
            session_epoch: u32::try_from(row.session_epoch)
                .map_err(|_| foreign("accounts.session_epoch"))?,
            locked: row.locked,
            kept_session: row.kept_session.map(SessionId::new),
            pending_verification: verification.map(|(verification, expires_at)| {
                PendingVerification {
                    verification: VerificationId::new(verification),
                    email: new_email,
                    expires_at,
                }
            }),
            pending_reset: pending_reset.map(|(reset, expires_at)| PendingReset {
                reset: ResetId::new(reset),
                expires_at,
            }),
            recent_requests: from_stored(row.recent_requests.as_deref(), version)
                .map_err(|_| foreign("accounts.recent_requests"))?,
            second_factors: second_factors_from(row.second_factors.as_deref())
                .map_err(|_| foreign("accounts.second_factors"))?,
            consents: consents_from(row.consents.as_deref())
                .map_err(|_| foreign("accounts.consents"))?,
            created_at: row.created_at.known()?,
            updated_at: row.updated_at.known()?,
        };
        Ok(Self {
            row: account,
            mac: row.mac,
            is_behind: false,
        })
    }
}

impl SessionRow {
    /// Binds the members in the order of the columns, as the first parameters of a statement.
    pub(super) fn bound_to(self, query: PostgresQuery<'_>) -> PostgresQuery<'_> {
        query
            .bind(self.session_id)
            .bind(self.session_version)
            .bind(self.user_id)
            .bind(self.contract)
            .bind(self.epoch)
            .bind(self.rotation)
            .bind(self.generation)
            .bind(self.started_at)
            .bind(self.last_used_at)
            .bind(self.expires_at)
            .bind(self.ended_at)
            .bind(self.rotated_at)
            .bind(self.session_mac)
            .bind(self.authentication)
            .bind(self.client_id)
            .bind(self.scopes)
            .bind(self.audience)
            .bind(self.parent)
            .bind(self.dpop_jkt)
    }
}

impl From<&WithMac<SessionRecord>> for SessionRow {
    fn from(WithMac { row: session, mac }: &WithMac<SessionRecord>) -> Self {
        Self {
            session_id: session.id.as_uuid(),
            session_version: session.version.cast_signed(),
            user_id: session.user.as_uuid(),
            contract: session.contract.map(|it| it.as_str().to_owned()),
            epoch: session.epoch.into(),
            rotation: session.rotation.map(|it| rotation_name(it).to_owned()),
            generation: session.generation.into(),
            started_at: session.started_at.into(),
            last_used_at: session.last_used_at.into(),
            expires_at: session.expires_at.into(),
            ended_at: session.ended_at.map(StoredInstant::from),
            rotated_at: session.rotated_at.into(),
            session_mac: Some(mac.to_vec()),
            authentication: authentication_text(session),
            client_id: session.grant.as_ref().map(|it| it.client.to_string()),
            scopes: session.grant.as_ref().map(|it| it.scopes.to_string()),
            audience: audience_text(session),
            parent: session.parent().map(SessionId::as_uuid),
            dpop_jkt: key_text(session).map(str::to_owned),
        }
    }
}

impl TryFrom<SessionRow> for Stored<SessionRecord> {
    type Error = StoreError;

    fn try_from(row: SessionRow) -> Result<Self, StoreError> {
        let rotation = match row.rotation.as_deref() {
            None => None,
            Some(name) => Some(rotation(name).ok_or_else(|| foreign("sessions.rotation"))?),
        };
        let started_at = row.started_at.known()?;
        let grant = GrantColumns {
            client: row.client_id.as_deref(),
            scopes: row.scopes.as_deref(),
            audience: row.audience.as_deref(),
            parent: row.parent.map(SessionId::new),
            dpop_jkt: row.dpop_jkt.as_deref(),
        };
        let session = SessionRecord {
            id: SessionId::new(row.session_id),
            version: row.session_version.cast_unsigned(),
            user: UserId::new(row.user_id),
            // A contract that this program does not know reads as none, as it does in the projection.
            contract: row
                .contract
                .and_then(|name| serde_json::from_value(Value::String(name)).ok()),
            epoch: u32::try_from(row.epoch).map_err(|_| foreign("sessions.epoch"))?,
            rotation,
            generation: u32::try_from(row.generation)
                .map_err(|_| foreign("sessions.generation"))?,
            started_at,
            last_used_at: row.last_used_at.known()?,
            expires_at: row.expires_at.known()?,
            ended_at: row.ended_at.map(StoredInstant::known).transpose()?,
            rotated_at: row.rotated_at.known()?,
            authentication: authentication_from(row.authentication.as_deref(), started_at)
                .map_err(|_| foreign("sessions.authentication"))?,
            grant: grant.grant().map_err(|_| foreign("sessions.audience"))?,
        };
        Ok(Self {
            row: session,
            mac: row.session_mac,
            is_behind: false,
        })
    }
}

impl From<&WithMac<ClientRecord>> for ClientRow {
    fn from(WithMac { row: client, mac }: &WithMac<ClientRecord>) -> Self {
        Self {
            client_id: client.id.to_string(),
            version: client.version.cast_signed(),
            state: client_state_text(client),
            mac: Some(mac.to_vec()),
        }
    }
}

impl ClientRow {
    /// The id of the aggregate.
    pub(super) fn id(&self) -> String {
        self.client_id.clone()
    }
}

impl CheckedClientRow {
    /// The id of the aggregate.
    pub(super) fn id(&self) -> String {
        self.row.id()
    }
}

impl TryFrom<ClientRow> for Stored<ClientRecord> {
    type Error = StoreError;

    fn try_from(row: ClientRow) -> Result<Self, StoreError> {
        let client = ClientRecord {
            id: ClientId::parse(&row.client_id).map_err(|_| foreign("clients.client_id"))?,
            version: row.version.cast_unsigned(),
            state: client_state_from(row.state.as_deref()).map_err(|_| foreign("clients.state"))?,
        };
        Ok(Self {
            row: client,
            mac: row.mac,
            is_behind: false,
        })
    }
}

impl TryFrom<CheckedClientRow> for Stored<ClientRecord> {
    type Error = StoreError;

    fn try_from(checked: CheckedClientRow) -> Result<Self, StoreError> {
        Ok(Self {
            is_behind: checked.client_is_behind,
            ..checked.row.try_into()?
        })
    }
}

impl TryFrom<OpaqueTokenRow> for Stored<OpaqueTokenRecord> {
    type Error = StoreError;

    fn try_from(row: OpaqueTokenRow) -> Result<Self, StoreError> {
        let digest = <[u8; 32]>::try_from(row.digest);
        let token = OpaqueTokenRecord {
            digest: TokenDigest(digest.map_err(|_| foreign("opaque_tokens.digest"))?),
            session: SessionId::new(row.token_session_id),
            expires_at: row.token_expires_at.known()?,
        };
        Ok(Self {
            row: token,
            mac: row.token_mac,
            is_behind: false,
        })
    }
}

impl TryFrom<CheckedAccountRow> for Stored<Account> {
    type Error = StoreError;

    fn try_from(checked: CheckedAccountRow) -> Result<Self, StoreError> {
        Ok(Self {
            is_behind: checked.account_is_behind,
            ..checked.row.try_into()?
        })
    }
}

/// The parent of the session is in a row of its own.
impl TryFrom<StandingRow> for StoredStanding {
    type Error = StoreError;

    fn try_from(row: StandingRow) -> Result<Self, StoreError> {
        Ok(Self {
            session: Stored {
                is_behind: row.session_is_behind,
                ..row.session.try_into()?
            },
            account: row.account.try_into()?,
            parent: None,
        })
    }
}

/// Bytes as JSON has to spell them for a column of type `bytea`.
#[expect(
    clippy::ref_option,
    reason = "serde's `serialize_with` calls it with a reference to the field"
)]
fn as_bytea<S: serde::Serializer>(bytes: &Option<Vec<u8>>, to: S) -> Result<S::Ok, S::Error> {
    let spelt = bytes
        .as_ref()
        .map(|bytes| format!("\\x{}", hex::encode(bytes)));
    spelt.serialize(to)
}

const fn rotation_name(rotation: Rotation) -> &'static str {
    match rotation {
        Rotation::Rotating => "rotating",
        Rotation::Reusable => "reusable",
    }
}

fn rotation(name: &str) -> Option<Rotation> {
    [Rotation::Rotating, Rotation::Reusable]
        .into_iter()
        .find(|rotation| rotation_name(*rotation) == name)
}
