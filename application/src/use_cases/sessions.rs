//! Listing and ending the sessions of an account.

use std::collections::HashMap;

use authlog_domain::session::{RevokeSession, SessionCommand};
use authlog_domain::user::{Authority, RevokeSessions, UserCommand};
use authlog_domain::{Personal, RevocationReason, SessionId, UserId};

use super::accounts::AppendOptions;
use super::change_password::gone;
use crate::history::Entry;
use crate::ports::{Account, Revocation, SessionRecord};
use crate::{Authlog, Caller, ChangesAccounts, ManagesAccounts, Refusal, RequestContext};

/// The largest number of attempts to end the other sessions of an account. An attempt fails if a concurrent command of the
/// same person ends them first.
const TRIES: u32 = 10;

/// A live session, with its origin.
#[derive(Clone, Debug, PartialEq)]
pub struct LiveSession {
    /// The session.
    pub session: SessionRecord,
    /// The address from which it was started.
    pub address: Option<String>,
    /// The user agent with which it was started.
    pub device: Option<String>,
}

/// A page of an account's sessions, in the order in which they started.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionPage {
    /// The sessions.
    pub sessions: Vec<LiveSession>,
    /// The session after which the next page begins; `None` on the last page.
    pub next: Option<SessionId>,
}

impl Authlog {
    /// Up to `limit` live sessions of the caller's account after `after`.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`].
    pub async fn own_sessions(
        &self,
        caller: Caller,
        after: Option<SessionId>,
        limit: u32,
    ) -> Result<SessionPage, Refusal> {
        self.live_sessions(caller.user(), after, limit).await
    }

    /// As [`Self::own_sessions`], for any account.
    ///
    /// # Errors
    /// [`Refusal::UnknownAccount`], or [`Refusal::Unavailable`].
    pub async fn sessions_of(
        &self,
        _by: &impl ManagesAccounts,
        user: UserId,
        after: Option<SessionId>,
        limit: u32,
    ) -> Result<SessionPage, Refusal> {
        self.account_by_id(user).await?;
        self.live_sessions(user, after, limit).await
    }

    /// Ends a session of the caller's account, which may be the caller's own.
    ///
    /// # Errors
    /// [`Refusal::InvalidAccessToken`]; [`Refusal::UnknownSession`] if it is not a live session of the account; or
    /// [`Refusal::Unavailable`].
    pub async fn end_own_session(
        &self,
        caller: Caller,
        session: SessionId,
        context: &RequestContext,
    ) -> Result<(), Refusal> {
        let account = self.session_to_change(caller).await?.into_account();
        let metadata = context.metadata_of(&caller);
        let reason = RevocationReason::Owner;
        self.revoke_session(&account, session, reason, metadata)
            .await
    }

    /// Ends a session of any account.
    ///
    /// # Errors
    /// [`Refusal::UnknownAccount`], [`Refusal::UnknownSession`], or [`Refusal::Unavailable`].
    pub async fn end_session_of(
        &self,
        by: &impl ChangesAccounts,
        user: UserId,
        session: SessionId,
        context: &RequestContext,
    ) -> Result<(), Refusal> {
        let account = self.account_by_id(user).await?;
        let metadata = by.metadata(context, user);
        let reason = RevocationReason::Administrator;
        self.revoke_session(&account, session, reason, metadata)
            .await
    }

    /// Ends every other session of the caller's account with one event. If no other session could be live, no event is
    /// recorded. A session whose login is committed after that check continues, as if it had started after this call.
    ///
    /// # Errors
    /// [`Refusal::InvalidAccessToken`], or [`Refusal::Unavailable`].
    pub async fn end_other_sessions(
        &self,
        caller: Caller,
        context: &RequestContext,
    ) -> Result<(), Refusal> {
        // A concurrent command of the same person raises the epoch, so that this one has to be decided again. The caller's
        // session stays live if that command keeps it.
        self.admit_change(caller)?;
        for _ in 0..TRIES {
            let session = self.session_of(caller).await?;
            let user = session.account().id;
            let directory = &self.parts.directory;
            let others = directory.may_have_other_sessions(user, Some(session.id()));
            if !others.await? {
                return Ok(());
            }
            let command = UserCommand::RevokeSessions(RevokeSessions {
                at: self.parts.clock.now(),
                authority: Authority::Owner(session.epoch()),
                kept: Some(session.id()),
            });
            let metadata = context.metadata_of(&caller);
            match self
                .decide(user, command, AppendOptions::default(), metadata)
                .await
            {
                Ok(_) => return Ok(()),
                Err(Refusal::WrongCredentials { .. }) => {}
                Err(refusal) => return Err(gone(refusal)),
            }
        }
        // Concurrent commands have ended all other sessions.
        Ok(())
    }

    /// Ends every session of any account. If no session could be live, no event is recorded.
    ///
    /// # Errors
    /// [`Refusal::UnknownAccount`], or [`Refusal::Unavailable`].
    pub async fn end_sessions_of(
        &self,
        by: &impl ChangesAccounts,
        user: UserId,
        context: &RequestContext,
    ) -> Result<(), Refusal> {
        let directory = &self.parts.directory;
        if !directory.may_have_other_sessions(user, None).await? {
            return self.account_by_id(user).await.map(|_| ());
        }
        let command = UserCommand::RevokeSessions(RevokeSessions {
            at: self.parts.clock.now(),
            authority: by.authority(),
            kept: None,
        });
        let metadata = by.metadata(context, user);
        self.decide(user, command, AppendOptions::default(), metadata)
            .await?;
        Ok(())
    }

    /// A page of live sessions. The origin of a session is only stored in its start event, sealed, so it is looked up
    /// for the sessions of the page.
    async fn live_sessions(
        &self,
        user: UserId,
        after: Option<SessionId>,
        limit: u32,
    ) -> Result<SessionPage, Refusal> {
        let now = self.parts.clock.now();
        let directory = &self.parts.directory;
        let live = directory.live_sessions(user, now, after, limit).await?;
        let ids: Vec<SessionId> = live.sessions.iter().map(|record| record.id).collect();
        let origins = self.parts.history.origins(user, &ids).await?;
        let mut origins: HashMap<String, Entry> = origins
            .into_iter()
            .map(Entry::of)
            .filter_map(|entry| Some((entry.session.clone()?, entry)))
            .collect();
        let known = |datum: Option<Personal<String>>| datum?.known().cloned();
        let sessions = live.sessions.into_iter().map(|session| {
            let origin = origins.remove(&session.id.to_string());
            let (address, device) = origin.map_or((None, None), |it| (it.ip, it.user_agent));
            LiveSession {
                session,
                address: known(address),
                device: known(device),
            }
        });
        Ok(SessionPage {
            sessions: sessions.collect(),
            next: live.next,
        })
    }

    pub(super) async fn revoke_session(
        &self,
        account: &Account,
        session: SessionId,
        reason: RevocationReason,
        metadata: HashMap<String, String>,
    ) -> Result<(), Refusal> {
        let at = self.parts.clock.now();
        let metadata = &metadata;
        self.executor
            .execute(&session.to_string(), |work| async move {
                let standing = work.session(session).await?;
                let standing = standing
                    .filter(|standing| standing.account.id == account.id)
                    .ok_or(Refusal::UnknownSession)?;
                let command = SessionCommand::Revoke(RevokeSession {
                    at,
                    account_epoch: account.epoch_for(session, standing.session.epoch),
                    reason,
                });
                work.execute_on_session(standing.session, command, metadata.clone())
                    .await?;
                work.commit().await
            })
            .await
            .map_err(|refusal| match refusal {
                // The session has ended, or the account was erased.
                Refusal::InvalidRefreshToken | Refusal::UnknownAccount => Refusal::UnknownSession,
                other => other,
            })?;
        self.revocation_list.add(Revocation::Session(session), at);
        Ok(())
    }
}
