//! Starting a session and issuing its tokens, by the terms of the contract.

use std::time::Duration;

use authlog_domain::session::{SessionCommand, StartSession};
use authlog_domain::user::UserCommand;
use authlog_domain::{Authentication, AuthenticationLevel, Session, SessionId, Timestamp, UserId};

use crate::ports::{
    Account, BrowserSecret, FactorChange, OpaqueToken, OpaqueTokenRecord, TokenClaims, TokenDigest,
    TokenKind,
};
use crate::session_terms::IssuedAt;
use crate::unit_of_work::{CommandError, UnitOfWork};
use crate::{
    AccessFormat, Authlog, IssuedToken, RefreshTerms, Refusal, RequestContext, SessionTerms,
    SignedIn,
};

/// A session that is about to start, with the token that is stored as a digest, if it has one.
pub(crate) struct NewSession {
    id: SessionId,
    command: StartSession,
    opaque: Option<(String, OpaqueTokenRecord)>,
    /// Another session, in which the person approved this one.
    approved_in: Option<SessionId>,
}

/// What an access token says of its session.
#[derive(Clone, Copy)]
pub(crate) struct SessionFacts {
    pub(crate) id: SessionId,
    /// The account's session epoch under which the session started.
    pub(crate) epoch: u32,
    pub(crate) authentication: Authentication,
}

impl NewSession {
    /// A session of an application, whose id its code named.
    pub(super) fn of_application(
        id: SessionId,
        command: StartSession,
        approved_in: Option<SessionId>,
    ) -> Self {
        Self {
            id,
            command,
            opaque: None,
            approved_in,
        }
    }

    /// The id of the session, as text.
    pub(crate) fn id(&self) -> String {
        self.id.to_string()
    }

    /// Stages the start of the session.
    pub(crate) async fn start(
        &self,
        work: &UnitOfWork,
        context: &RequestContext,
    ) -> Result<(), CommandError> {
        // The event of a login by password alone says nothing of its level, as before there were levels.
        let StartSession {
            user,
            authentication,
            ..
        } = self.command;
        let mut metadata = match authentication.acr {
            AuthenticationLevel::Aal1 => context.metadata(user),
            higher @ AuthenticationLevel::Aal2 => context.metadata_at(user, higher),
        };
        if let Some(session) = self.approved_in {
            metadata.insert("session".to_owned(), session.to_string());
        }
        let command = SessionCommand::Start(self.command.clone());
        work.execute_new::<Session>(&self.id.to_string(), command, metadata)
            .await?;
        if let Some((_, record)) = &self.opaque {
            work.attach_opaque_token(record.clone());
        }
        Ok(())
    }
}

impl Authlog {
    /// Appends the start of a session together with an event of its account and a change of the account's factors.
    pub(super) async fn record_session_and(
        &self,
        session: &NewSession,
        command: &UserCommand,
        change: &FactorChange,
        context: &RequestContext,
    ) -> Result<(), Refusal> {
        let StartSession {
            user,
            authentication,
            ..
        } = session.command;
        self.executor
            .execute(&user.to_string(), |work| async move {
                let metadata = context.metadata_at(user, authentication.acr);
                work.execute_on_account(user, command.clone(), metadata)
                    .await?;
                session.start(&work, context).await?;
                work.attach_factor_change(change.clone());
                work.commit().await
            })
            .await?;
        self.mail_due.notify_one();
        Ok(())
    }

    /// A new session of `user`, who was authenticated now under the account's session epoch `epoch`.
    pub(crate) fn new_session(
        &self,
        user: UserId,
        epoch: u32,
        terms: &SessionTerms,
        authentication: Authentication,
    ) -> NewSession {
        let now = authentication.auth_time;
        let id = SessionId::new(self.parts.entropy.time_ordered_uuid(now));
        let ends_at = now.plus(self.settings.session_limits.lifetime);
        let access_expires_at = now.plus(self.access_lifetime(terms)).min(ends_at);
        let opaque = self.opaque_token(terms).map(|(token, digest)| {
            let record = OpaqueTokenRecord {
                digest,
                session: id,
                expires_at: access_expires_at,
            };
            (token, record)
        });
        let expires_at = terms.refresh.map_or(access_expires_at, |refresh| {
            access_expires_at.max(now.plus(refresh.lifetime).min(ends_at))
        });
        NewSession {
            id,
            command: StartSession {
                at: now,
                user,
                epoch,
                rotation: terms.refresh.map(|refresh| refresh.rotation),
                expires_at,
                authentication,
                grant: None,
            },
            opaque,
            approved_in: None,
        }
    }

    /// The lifetime of an access token. A browser session is not refreshed, so that showing a page writes nothing; the limit
    /// for the time between two refreshes counts from its start.
    fn access_lifetime(&self, terms: &SessionTerms) -> Duration {
        let idle = self.settings.session_limits.idle;
        match (terms.access, idle) {
            (AccessFormat::Cookie, Some(idle)) => terms.access_lifetime.min(idle),
            _ => terms.access_lifetime,
        }
    }

    /// The token that is stored as a digest, if the contract issues one.
    fn opaque_token(&self, terms: &SessionTerms) -> Option<(String, TokenDigest)> {
        let (entropy, secrets) = (&self.parts.entropy, &self.parts.secrets);
        match terms.access {
            AccessFormat::Jwt(_) => None,
            AccessFormat::Opaque => {
                let token = OpaqueToken::new(entropy.random_uuid());
                Some((token.reveal(), secrets.digest(&token)))
            }
            AccessFormat::Cookie => {
                let secret = BrowserSecret::generate(&**entropy);
                Some((secret.reveal(), secrets.browser_digest(&secret)))
            }
        }
    }

    /// The tokens of a session that has just started.
    pub(crate) fn issue_tokens(
        &self,
        account: Account,
        session: &NewSession,
        terms: &SessionTerms,
    ) -> Result<SignedIn, Refusal> {
        let StartSession { at, epoch, .. } = session.command;
        let access = match &session.opaque {
            Some((token, record)) => IssuedToken {
                token: token.clone(),
                expires_at: record.expires_at,
            },
            None => {
                let until = session.command.expires_at;
                let facts = SessionFacts {
                    id: session.id,
                    epoch,
                    authentication: session.command.authentication,
                };
                self.access_token(&account, facts, terms, at, until)?
            }
        };
        let refresh = terms
            .refresh
            .map(|refresh| {
                let issued = IssuedAt {
                    issued_at: at,
                    expires_at: at.plus(refresh.lifetime).min(session.command.expires_at),
                };
                self.refresh_token(&account, session.id, epoch, &refresh, 0, issued)
            })
            .transpose()?;
        Ok(SignedIn {
            account,
            session: session.id,
            access,
            refresh,
        })
    }

    /// A signed access token, valid at most until the session expires. An opaque token is only issued when a session
    /// starts.
    pub(crate) fn access_token(
        &self,
        account: &Account,
        session: SessionFacts,
        terms: &SessionTerms,
        now: Timestamp,
        session_expires_at: Timestamp,
    ) -> Result<IssuedToken, Refusal> {
        let issued = IssuedAt {
            issued_at: now,
            expires_at: now.plus(terms.access_lifetime).min(session_expires_at),
        };
        let extra = match terms.access {
            AccessFormat::Jwt(claims) => claims(account, issued),
            AccessFormat::Opaque | AccessFormat::Cookie => serde_json::Map::new(),
        };
        self.sign(&TokenClaims {
            kind: TokenKind::Access,
            token: self.parts.entropy.random_uuid(),
            user: account.id,
            session: session.id,
            client: Some(terms.contract),
            epoch: session.epoch,
            issued_at: issued.issued_at,
            expires_at: issued.expires_at,
            authentication: Some(session.authentication),
            extra,
            oauth: None,
        })
    }

    /// A signed refresh token of this generation.
    pub(crate) fn refresh_token(
        &self,
        account: &Account,
        session: SessionId,
        epoch: u32,
        terms: &RefreshTerms,
        generation: u32,
        issued: IssuedAt,
    ) -> Result<IssuedToken, Refusal> {
        self.sign(&TokenClaims {
            kind: TokenKind::Refresh { generation },
            token: self.parts.entropy.random_uuid(),
            user: account.id,
            session,
            client: None,
            epoch,
            issued_at: issued.issued_at,
            expires_at: issued.expires_at,
            authentication: None,
            extra: (terms.claims)(account, issued),
            oauth: None,
        })
    }

    fn sign(&self, claims: &TokenClaims) -> Result<IssuedToken, Refusal> {
        Ok(IssuedToken {
            token: self.parts.tokens.sign(claims)?,
            expires_at: claims.expires_at,
        })
    }
}
