//! Exchanging a refresh token.

use std::cmp::Reverse;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use authlog_domain::Timestamp;
use authlog_domain::session::{RefreshSession, SessionCommand, SessionEvent};

use super::issue_tokens::SessionFacts;
use crate::ports::{
    Account, Attempt, Revocation, SessionRecord, SessionWithAccount, TokenKind, VerifiedToken,
};
use crate::session_terms::IssuedAt;
use crate::unit_of_work::CommandError;
use crate::{Authlog, Refusal, RequestContext, SessionTerms, SignedIn};

/// The parameters of an exchange of a refresh token.
#[derive(Clone, Copy)]
pub(super) struct Exchange {
    /// The current time.
    pub(super) at: Timestamp,
    /// The lifetime of the replacement. `None` if the client cannot get a replacement: then a reusable token stays valid, and a
    /// single-use token is refused.
    pub(super) lifetime: Option<Duration>,
}

/// A session that was refreshed, as it was read before.
pub(super) struct Refreshed<T> {
    pub(super) account: Account,
    pub(super) session: SessionRecord,
    /// The outcome of the caller's check.
    pub(super) checked: T,
    /// The current generation.
    pub(super) generation: u32,
    /// Until when the session continues.
    pub(super) expires_at: Timestamp,
}

/// What was decided and recorded about a session: as it was read before, and the outcome of the caller's check.
struct Recorded<T> {
    account: Account,
    session: SessionRecord,
    checked: T,
    outcome: Outcome,
}

/// The outcome of a refresh.
enum Outcome {
    /// The session continues, with this current generation, until `expires_at`.
    Refreshed {
        generation: u32,
        expires_at: Timestamp,
    },
    /// The token had been used before, and the session has been ended.
    Reused,
}

impl Outcome {
    /// Whether the presented token, which was the current one, is replaced.
    fn replaces(&self, presented: u32) -> bool {
        matches!(self, Self::Refreshed { generation, .. } if *generation > presented)
    }
}

impl Authlog {
    /// Exchanges a refresh token for new tokens by the terms of the contract. `replaces` is false if the contract cannot
    /// deliver a replacement. Then a reusable token stays valid, and a single-use token is refused.
    ///
    /// # Errors
    /// [`Refusal::InvalidRefreshToken`]; [`Refusal::RefreshTokenReused`], after which the session has ended;
    /// [`Refusal::TooManyAttempts`], after which nothing has changed; or [`Refusal::Unavailable`].
    pub async fn refresh(
        &self,
        token: &str,
        terms: &SessionTerms,
        replaces: bool,
        context: &RequestContext,
    ) -> Result<SignedIn, Refusal> {
        let now = self.parts.clock.now();
        let token = self
            .verify_signed(token, now)
            .await
            .ok_or(Refusal::InvalidRefreshToken)?;
        let replacement = terms.refresh.filter(|_| replaces);
        let exchange = Exchange {
            at: now,
            lifetime: replacement.map(|terms| terms.lifetime),
        };
        let is_of_person = |standing: &SessionWithAccount| match standing.session.grant {
            None => Ok(()),
            Some(_) => Err(Refusal::InvalidRefreshToken),
        };
        let refreshed = self.exchange(&token, exchange, is_of_person, context);
        let Refreshed {
            account,
            session,
            checked: (),
            generation,
            expires_at,
        } = refreshed.await??;
        let facts = SessionFacts {
            id: token.session,
            epoch: token.epoch,
            authentication: session.authentication,
        };
        let access = self.access_token(&account, facts, terms, now, expires_at)?;
        let issued = IssuedAt {
            issued_at: now,
            expires_at,
        };
        let refresh = replacement
            .map(|terms| {
                self.refresh_token(
                    &account,
                    token.session,
                    token.epoch,
                    &terms,
                    generation,
                    issued,
                )
            })
            .transpose()?;
        Ok(SignedIn {
            account,
            session: token.session,
            access,
            refresh,
        })
    }

    /// Exchanges a refresh token whose signature has been checked. `check` can refuse the exchange by the session and its account,
    /// before anything is recorded: that is the inner error.
    ///
    /// # Errors
    /// As for [`Self::refresh`].
    pub(super) async fn exchange<T: Send, E: Send>(
        &self,
        token: &VerifiedToken,
        exchange: Exchange,
        check: impl Fn(&SessionWithAccount) -> Result<T, E> + Sync,
        context: &RequestContext,
    ) -> Result<Result<Refreshed<T>, E>, Refusal> {
        let TokenKind::Refresh { generation } = token.kind else {
            return Err(Refusal::InvalidRefreshToken);
        };
        let recorded = self
            .record_refresh(token, generation, exchange, &check, context)
            .await?;
        let recorded = match recorded {
            Ok(recorded) => recorded,
            Err(refused) => return Ok(Err(refused)),
        };
        match recorded.outcome {
            Outcome::Reused => {
                let revocation = Revocation::Session(token.session);
                self.revocation_list.add(revocation, exchange.at);
                self.mail_due.notify_one();
                Err(Refusal::RefreshTokenReused)
            }
            Outcome::Refreshed {
                generation,
                expires_at,
            } => Ok(Ok(Refreshed {
                account: recorded.account,
                session: recorded.session,
                checked: recorded.checked,
                generation,
                expires_at,
            })),
        }
    }

    /// Exchanges the first valid one of several refresh tokens: a browser sends all its cookies of one name, including
    /// stale ones and those of other programs. The newest token is tried first, so that a replaced token does not look
    /// stolen.
    ///
    /// # Errors
    /// As for [`Self::refresh`].
    pub async fn refresh_any(
        &self,
        tokens: &[&str],
        terms: &SessionTerms,
        context: &RequestContext,
    ) -> Result<SignedIn, Refusal> {
        for token in self.newest_first(tokens).await {
            match self.refresh(token, terms, true, context).await {
                Err(Refusal::InvalidRefreshToken) => {}
                outcome => return outcome,
            }
        }
        Err(Refusal::InvalidRefreshToken)
    }

    /// The valid ones of several refresh tokens, newest first. A single token is returned unverified, because its use
    /// verifies it.
    pub(crate) async fn newest_first<'a>(&self, tokens: &[&'a str]) -> Vec<&'a str> {
        if let [only] = tokens {
            return vec![only];
        }
        let now = self.parts.clock.now();
        let mut known = Vec::new();
        for token in tokens {
            let verified = self.verify_signed(token, now).await;
            if let Some(VerifiedToken {
                kind: TokenKind::Refresh { generation },
                issued_at,
                ..
            }) = verified
            {
                known.push((Reverse((issued_at, generation)), *token));
            }
        }
        known.sort_by_key(|(newest, _)| *newest);
        known.into_iter().map(|(_, token)| token).collect()
    }

    /// Decides on the session and its account, which are read at the same moment, and records the outcome.
    async fn record_refresh<T: Send, E: Send>(
        &self,
        token: &VerifiedToken,
        presented: u32,
        Exchange { at, lifetime }: Exchange,
        check: &(impl Fn(&SessionWithAccount) -> Result<T, E> + Sync),
        context: &RequestContext,
    ) -> Result<Result<Recorded<T>, E>, Refusal> {
        let is_admitted = &AtomicBool::new(false);
        self.executor
            .execute(&token.session.to_string(), |work| async move {
                let standing = work.session(token.session).await?;
                let Some(standing) = standing else {
                    return Err(Refusal::InvalidRefreshToken.into());
                };
                if standing.account.id != token.user
                    || self.sign_in_block(&standing.account).is_some()
                {
                    return Err(Refusal::InvalidRefreshToken.into());
                }
                let checked = match check(&standing) {
                    Ok(checked) => checked,
                    Err(refused) => return Ok(Err(refused)),
                };
                let SessionWithAccount {
                    session,
                    account,
                    parent,
                } = standing;
                let authentication = session.authentication;
                let presents_current = session.generation == presented;
                let unanswered = &self.unanswered_refreshes;
                let grace = if unanswered.has(token.session, presented) {
                    Duration::MAX
                } else {
                    self.settings.refresh_grace
                };
                let command = RefreshSession {
                    at,
                    account_epoch: account.epoch_for(token.session, token.epoch),
                    generation: presented,
                    replacement_expires_at: lifetime.map(|lifetime| {
                        let expires_at = at.plus(lifetime);
                        // A session does not outlast the one that it ends with.
                        parent.map_or(expires_at, |parent| expires_at.min(parent.expires_at))
                    }),
                    grace,
                    limits: self.settings.session_limits,
                };
                let command = SessionCommand::Refresh(command);
                let metadata = context.metadata_at(token.user, authentication.acr);
                let events = work
                    .execute_on_session(session.clone(), command, metadata)
                    .await?;
                let outcome = outcome(&events)?;
                // Only a refresh that will be appended counts against the limit, and once for all attempts. The reuse of a
                // token ends the session regardless of the limit.
                if matches!(outcome, Outcome::Refreshed { .. })
                    && !is_admitted.swap(true, Ordering::Relaxed)
                {
                    let grant = session.grant.as_ref();
                    self.admit(Attempt::Refresh {
                        session: token.session,
                        account: account.id,
                        client: grant.map(|grant| &grant.client),
                    })?;
                }
                let replaces = presents_current && outcome.replaces(presented);
                let under_way = replaces.then(|| unanswered.begin(token.session, presented));
                let committed = work.commit().await;
                let is_answered = match &committed {
                    Ok(()) => !context.presence.is_gone(),
                    // It is unknown whether the event was stored.
                    Err(CommandError::Refused(Refusal::Unavailable(_))) => false,
                    // The event was not stored.
                    Err(CommandError::Refused(_) | CommandError::Conflict) => true,
                };
                if let Some(under_way) = under_way.filter(|_| is_answered) {
                    under_way.answered();
                }
                committed?;
                Ok(Ok(Recorded {
                    account,
                    session,
                    checked,
                    outcome,
                }))
            })
            .await
            .map_err(|refusal| match refusal {
                // The account was erased meanwhile.
                Refusal::UnknownAccount => Refusal::InvalidRefreshToken,
                other => other,
            })
    }
}

fn outcome(events: &[SessionEvent]) -> Result<Outcome, CommandError> {
    match events {
        [SessionEvent::TokenRefreshed(event)] => Ok(Outcome::Refreshed {
            generation: event.generation,
            expires_at: event.expires_at,
        }),
        [SessionEvent::RefreshTokenReused(_)] => Ok(Outcome::Reused),
        _ => Err(CommandError::Refused(Refusal::InvalidRefreshToken)),
    }
}
