//! Look-ups of accounts and sessions, each in one query.

use async_trait::async_trait;
use authlog_application::ports::{
    Account, CredentialDigest, Directory, Identifier, IdentifierKind, LiveSessions,
    OpaqueTokenRecord, PasskeyWithAccount, SessionRecord, SessionWithAccount, SignInRecord,
    StoreError, StoredPasskey, StoredTotp, TokenDigest,
};
use authlog_domain::{AccountNumber, FactorId, SessionId, Timestamp, UserId};
use sqlx::FromRow;
use uuid::Uuid;

use super::PostgresStore;
use super::rows::{
    AccountRow, CheckedAccountRow, OpaqueTokenRow, SessionRow, StandingRow, account_columns,
    checked_account_columns, later_entry_of_session, session_columns, session_is_behind,
    standing_columns,
};
use super::session_lookups::SessionLookup;
use crate::sealing::{Stored, StoredStanding};
use crate::store::{
    MAX_PAGE_SESSIONS, MAX_SESSIONS_EXAMINED, SealedFactor, live_page, parents_of, readable_row,
};

/// The condition that selects the claim to a spelling or, if there is none, the claim to its mailbox. Each look-up
/// reads one entry of the primary key, independent of the statistics of the planner.
macro_rules! claimed {
    () => {
        r"c.kind = $1 AND c.digest = coalesce(
               (SELECT s.digest FROM identifier_claims s WHERE s.kind = $1 AND s.digest = $2), $3)"
    };
}

/// The account that has an identifier.
const BY_IDENTIFIER: &str = concat!(
    "SELECT ",
    checked_account_columns!(),
    r"
      FROM identifier_claims c
      JOIN accounts a ON a.user_id = c.owner
     WHERE ",
    claimed!()
);

/// The account that has an identifier, with the hash of its password.
const FOR_SIGN_IN: &str = concat!(
    "SELECT ",
    checked_account_columns!(),
    r", p.sealed, p.password_hash
      FROM identifier_claims c
      JOIN accounts a ON a.user_id = c.owner
      JOIN credentials p ON p.user_id = a.user_id AND p.credential_id = a.credential_id
     WHERE ",
    claimed!()
);

const BY_ID: &str = concat!(
    "SELECT ",
    checked_account_columns!(),
    " FROM accounts a WHERE a.user_id = $1"
);

const PAGE: &str = concat!(
    "SELECT ",
    account_columns!(),
    " FROM accounts_after($1, $2) a"
);

const SESSIONS: &str = concat!(
    "SELECT ",
    session_columns!(),
    ", s.user_id FROM sessions_of_user_after($1, $2, $3) s"
);

/// Those of the sessions `$1` that are of their account's current epoch, or were kept.
const SESSIONS_BY_ID: &str = concat!(
    "SELECT ",
    session_columns!(),
    r", s.user_id
      FROM sessions s
      JOIN accounts a ON a.user_id = s.user_id
     WHERE s.session_id = ANY($1) AND (s.epoch = a.session_epoch OR s.session_id = a.kept_session)"
);

/// Whether account `$1` has a session that has not ended, other than `$2`. Up to `$3` sessions of the current epoch are
/// read, in no order; if there are that many, the answer is true. The session that was kept from an earlier epoch is
/// read by its key.
const OTHER_SESSIONS: &str = r"
    SELECT EXISTS (
        SELECT FROM (
            SELECT s.session_id, s.ended_at, count(*) OVER () AS sessions FROM (
                SELECT s.session_id, s.ended_at
                  FROM accounts a
                  JOIN sessions s ON s.user_id = a.user_id AND s.epoch = a.session_epoch
                 WHERE a.user_id = $1 LIMIT $3
            ) AS s
        ) AS s
         WHERE s.sessions = $3 OR (s.ended_at IS NULL AND s.session_id IS DISTINCT FROM $2)
    ) OR EXISTS (
        SELECT FROM accounts a
          JOIN sessions s ON s.session_id = a.kept_session
         WHERE a.user_id = $1 AND s.ended_at IS NULL AND s.session_id IS DISTINCT FROM $2
    )";

/// Draws the next account number. After a failover the sequence may be behind numbers that accounts already have. Then
/// it draws up to a thousand numbers at a time until it is past them. No account has a number beyond 2⁵³.
const NEXT_NUMBER: &str = r"
    SELECT max(drawn) FROM (
        SELECT nextval('account_numbers') AS drawn
          FROM generate_series(1, least(1000, greatest(1, 1 + (SELECT max(number) FROM accounts
                                                                WHERE number <= 1::bigint << 53)
                                                            - coalesce(pg_sequence_last_value('account_numbers'), 0))))
    ) AS draws";

const STANDING_BY_TOKEN: &str = concat!(
    "SELECT t.digest, t.session_id AS token_session_id, t.expires_at AS token_expires_at, t.mac AS token_mac, ",
    standing_columns!(),
    r"
      FROM opaque_tokens t
      JOIN sessions s ON s.session_id = t.session_id
      JOIN accounts a ON a.user_id = s.user_id
     WHERE t.digest = $1 AND t.expires_at > $2"
);

/// The authenticator apps of an account, each with the account's wrapped key.
const AUTHENTICATOR_APPS: &str = r"
    SELECT f.factor_id, f.sealed, f.last_step, k.wrapped
      FROM second_factors f
      JOIN subject_keys k ON k.user_id = f.user_id
     WHERE f.user_id = $1
     ORDER BY f.factor_id";

#[derive(FromRow)]
struct FactorRow {
    factor_id: Uuid,
    sealed: Vec<u8>,
    last_step: i64,
    wrapped: Vec<u8>,
}

/// The columns of a [`PasskeyRow`], of the tables called `f` and `k`.
macro_rules! passkey_columns {
    () => {
        "f.factor_id, f.sealed AS passkey, f.sign_count, k.wrapped"
    };
}

const PASSKEYS: &str = concat!(
    "SELECT ",
    passkey_columns!(),
    r"
      FROM passkeys f
      JOIN subject_keys k ON k.user_id = f.user_id
     WHERE f.user_id = $1
     ORDER BY f.factor_id"
);

const PASSKEY_BY_CREDENTIAL: &str = concat!(
    "SELECT ",
    passkey_columns!(),
    ", ",
    checked_account_columns!(),
    r"
      FROM passkeys f
      JOIN subject_keys k ON k.user_id = f.user_id
      JOIN accounts a ON a.user_id = f.user_id
     WHERE f.credential_digest = $1"
);

#[derive(FromRow)]
struct PasskeyRow {
    factor_id: Uuid,
    passkey: Vec<u8>,
    sign_count: i64,
    wrapped: Vec<u8>,
}

#[derive(FromRow)]
struct PasskeyWithAccountRow {
    #[sqlx(flatten)]
    passkey: PasskeyRow,
    #[sqlx(flatten)]
    account: CheckedAccountRow,
}

#[derive(FromRow)]
struct SignInRow {
    #[sqlx(flatten)]
    account: CheckedAccountRow,
    sealed: Option<Vec<u8>>,
    password_hash: String,
}

#[derive(FromRow)]
struct TokenStandingRow {
    #[sqlx(flatten)]
    token: OpaqueTokenRow,
    #[sqlx(flatten)]
    standing: StandingRow,
}

#[async_trait]
impl Directory for PostgresStore {
    async fn find_for_sign_in(
        &self,
        identifier: &Identifier,
    ) -> Result<Option<SignInRecord>, StoreError> {
        let [spelling, mailbox] = self.vault.pepper.lookup(identifier);
        let row: Option<SignInRow> = self
            .connections
            .ask(|pool| {
                sqlx::query_as(FOR_SIGN_IN)
                    .bind(identifier.kind().as_str())
                    .bind(spelling)
                    .bind(mailbox)
                    .fetch_optional(pool)
            })
            .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        let hash = (row.sealed, row.password_hash);
        let account = readable_row(Stored::try_from(row.account))?;
        Ok(account.map(|account| self.vault.seals.sign_in_record(account, hash)))
    }

    async fn taken(&self, identifiers: &[Identifier]) -> Result<Vec<IdentifierKind>, StoreError> {
        let digests: Vec<_> = identifiers
            .iter()
            .flat_map(|it| {
                let forms = self.vault.pepper.digests(it).into_iter();
                forms.map(|digest| (it.kind(), digest.to_vec()))
            })
            .collect();
        let wanted = digests.iter().cloned();
        let wanted = wanted.map(|(kind, digest)| (kind.as_str(), digest));
        let taken = self.taken_digests(wanted.unzip()).await?;
        let is_taken = |kind| {
            digests
                .iter()
                .any(|it| it.0 == kind && taken.contains(&it.1))
        };
        Ok(identifiers
            .iter()
            .map(Identifier::kind)
            .filter(|kind| is_taken(*kind))
            .collect())
    }

    async fn find_account(&self, identifier: &Identifier) -> Result<Option<Account>, StoreError> {
        let [spelling, mailbox] = self.vault.pepper.lookup(identifier);
        let row: Option<CheckedAccountRow> = self
            .connections
            .ask(|pool| {
                sqlx::query_as(BY_IDENTIFIER)
                    .bind(identifier.kind().as_str())
                    .bind(spelling)
                    .bind(mailbox)
                    .fetch_optional(pool)
            })
            .await?;
        self.accepted(row)
    }

    async fn authenticator_apps(&self, user: UserId) -> Result<Vec<StoredTotp>, StoreError> {
        let rows: Vec<FactorRow> = self
            .connections
            .ask(|pool| {
                sqlx::query_as(AUTHENTICATOR_APPS)
                    .bind(user.as_uuid())
                    .fetch_all(pool)
            })
            .await?;
        rows.into_iter()
            .filter_map(|row| {
                let stored = SealedFactor {
                    user,
                    factor: FactorId::new(row.factor_id),
                    sealed: &row.sealed,
                    wrapped: &row.wrapped,
                };
                stored.totp(&self.vault, row.last_step).transpose()
            })
            .collect()
    }

    async fn passkeys(&self, user: UserId) -> Result<Vec<StoredPasskey>, StoreError> {
        let rows: Vec<PasskeyRow> = self
            .connections
            .ask(|pool| {
                sqlx::query_as(PASSKEYS)
                    .bind(user.as_uuid())
                    .fetch_all(pool)
            })
            .await?;
        rows.into_iter()
            .filter_map(|row| self.opened_passkey(user, &row).transpose())
            .collect()
    }

    async fn find_passkey(
        &self,
        digest: &CredentialDigest,
    ) -> Result<Option<PasskeyWithAccount>, StoreError> {
        let row: Option<PasskeyWithAccountRow> = self
            .connections
            .ask(|pool| {
                sqlx::query_as(PASSKEY_BY_CREDENTIAL)
                    .bind(digest.0.as_slice())
                    .fetch_optional(pool)
            })
            .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        let Some(account) = self.accepted(Some(row.account))? else {
            return Ok(None);
        };
        let passkey = self.opened_passkey(account.id, &row.passkey)?;
        Ok(passkey.map(|passkey| PasskeyWithAccount { account, passkey }))
    }

    async fn account(&self, user: UserId) -> Result<Option<Account>, StoreError> {
        let row: Option<CheckedAccountRow> = self
            .connections
            .ask(|pool| {
                sqlx::query_as(BY_ID)
                    .bind(user.as_uuid())
                    .fetch_optional(pool)
            })
            .await?;
        self.accepted(row)
    }

    async fn accounts(
        &self,
        after: Option<AccountNumber>,
        limit: u32,
    ) -> Result<Vec<Account>, StoreError> {
        let rows: Vec<AccountRow> = self
            .connections
            .ask(|pool| {
                sqlx::query_as(PAGE)
                    .bind(after.map_or(i64::MIN, AccountNumber::get))
                    .bind(i64::from(limit))
                    .fetch_all(pool)
            })
            .await?;
        let rows = rows.into_iter().map(Stored::<Account>::try_from);
        let rows = rows.filter_map(|row| readable_row(row).transpose());
        rows.map(|row| Ok(row?.row)).collect()
    }

    async fn session(&self, session: SessionId) -> Result<Option<SessionWithAccount>, StoreError> {
        self.standing(session, true).await
    }

    async fn session_to_append_to(
        &self,
        session: SessionId,
    ) -> Result<Option<SessionWithAccount>, StoreError> {
        self.standing(session, false).await
    }

    async fn live_sessions(
        &self,
        user: UserId,
        now: Timestamp,
        after: Option<SessionId>,
        limit: u32,
    ) -> Result<LiveSessions, StoreError> {
        let rows: Vec<SessionRow> = self
            .connections
            .ask(|pool| {
                sqlx::query_as(SESSIONS)
                    .bind(user.as_uuid())
                    .bind(after.map_or(Uuid::nil(), SessionId::as_uuid))
                    .bind(MAX_PAGE_SESSIONS as i64)
                    .fetch_all(pool)
            })
            .await?;
        let has_more = rows.len() >= MAX_PAGE_SESSIONS;
        let found = readable_sessions(rows)?;
        let parents = self.sessions_by_id(&parents_of(&found)).await?;
        Ok(live_page(found, &parents, has_more, now, limit as usize))
    }

    async fn may_have_other_sessions(
        &self,
        user: UserId,
        kept: Option<SessionId>,
    ) -> Result<bool, StoreError> {
        self.connections
            .ask(|pool| {
                sqlx::query_scalar(OTHER_SESSIONS)
                    .bind(user.as_uuid())
                    .bind(kept.map(SessionId::as_uuid))
                    .bind(MAX_SESSIONS_EXAMINED)
                    .fetch_one(pool)
            })
            .await
    }

    async fn session_by_opaque_token(
        &self,
        digest: &TokenDigest,
        now: Timestamp,
    ) -> Result<Option<SessionWithAccount>, StoreError> {
        let row: Option<TokenStandingRow> = self
            .connections
            .ask(|pool| {
                sqlx::query_as(STANDING_BY_TOKEN)
                    .bind(digest.0)
                    .bind(now.date_time())
                    .fetch_optional(pool)
            })
            .await?;
        let Some(TokenStandingRow { token, standing }) = row else {
            return Ok(None);
        };
        let token = readable_row(Stored::<OpaqueTokenRecord>::try_from(token))?;
        let standing = readable_row(StoredStanding::try_from(standing))?;
        let seals = &self.vault.seals;
        let trusted = token.and_then(|token| seals.accept(token)).zip(standing);
        Ok(trusted.and_then(|(_, standing)| seals.accept_standing(standing)))
    }

    async fn next_account_number(&self) -> Result<AccountNumber, StoreError> {
        let drawn = self
            .connections
            .ask(|pool| sqlx::query_scalar(NEXT_NUMBER).fetch_one(pool));
        self.monitor_step(drawn).await.map(AccountNumber::new)
    }
}

/// Those of the rows that can be read.
fn readable_sessions(rows: Vec<SessionRow>) -> Result<Vec<SessionRecord>, StoreError> {
    rows.into_iter()
        .map(Stored::<SessionRecord>::try_from)
        .filter_map(|row| readable_row(row).transpose())
        .map(|row| Ok(row?.row))
        .collect()
}

impl PostgresStore {
    /// Those of the sessions with these ids that are of the epoch that counts. Without ids, nothing is asked.
    async fn sessions_by_id(&self, ids: &[SessionId]) -> Result<Vec<SessionRecord>, StoreError> {
        if ids.is_empty() {
            return Ok(vec![]);
        }
        let ids: Vec<Uuid> = ids.iter().map(|id| id.as_uuid()).collect();
        let rows: Vec<SessionRow> = self
            .connections
            .ask(|pool| {
                sqlx::query_as(SESSIONS_BY_ID)
                    .bind(ids.as_slice())
                    .fetch_all(pool)
            })
            .await?;
        readable_sessions(rows)
    }

    async fn standing(
        &self,
        session: SessionId,
        is_proved: bool,
    ) -> Result<Option<SessionWithAccount>, StoreError> {
        let lookup = SessionLookup { session, is_proved };
        let found = self.session_lookups.ask(lookup).await?;
        Ok(found.and_then(|standing| self.vault.seals.accept_standing(standing)))
    }

    fn opened_passkey(
        &self,
        user: UserId,
        row: &PasskeyRow,
    ) -> Result<Option<StoredPasskey>, StoreError> {
        let stored = SealedFactor {
            user,
            factor: FactorId::new(row.factor_id),
            sealed: &row.passkey,
            wrapped: &row.wrapped,
        };
        stored.passkey(&self.vault, row.sign_count)
    }

    fn accepted(&self, row: Option<CheckedAccountRow>) -> Result<Option<Account>, StoreError> {
        let Some(row) = row else {
            return Ok(None);
        };
        let stored = readable_row(Stored::try_from(row))?;
        Ok(stored.and_then(|account| self.vault.seals.accept(account)))
    }

    /// Those of the digests that are claimed, each looked up together with its kind.
    pub(super) async fn taken_digests(
        &self,
        (kinds, digests): (Vec<&str>, Vec<Vec<u8>>),
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        self.connections
            .ask(|pool| {
                sqlx::query_scalar(
                    r"
                    SELECT digest FROM identifier_claims
                     WHERE (kind, digest) IN (SELECT * FROM unnest($1::text[], $2::bytea[]))",
                )
                .bind(&kinds)
                .bind(&digests)
                .fetch_all(pool)
            })
            .await
    }
}
