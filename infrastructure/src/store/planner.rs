//! Planning an append: sealing its events, and deriving rows, claims and mail from them.

use authlog_application::ports::{Append, FactorChange, StagedStream, StoreError};
use authlog_domain::{AggregateKind, UserId};
use authlog_projections::{
    Claim, ClaimChanges, NotifiableEvent, Row, claim_changes, erased, events_to_mail, row_after,
};

use super::factors::SealedFactorChange;
use super::keys::{KeyVault, WrappedKeys};
use super::mail::MailEntry;
use super::plan::{AppendPlan, Erasure, Predecessor};
use super::{owner, unreadable};
use crate::sealing::{SubjectKey, seal};

/// Computes what an append writes.
pub(crate) struct AppendPlanner<'a, K> {
    vault: &'a KeyVault,
    stored: &'a K,
    plan: AppendPlan,
    /// The key of the account that this append registers.
    new_key: Option<(UserId, SubjectKey)>,
}

impl<'a, K: WrappedKeys> AppendPlanner<'a, K> {
    /// The plan of `append`. Keys of existing accounts come from `stored`.
    pub(crate) async fn plan(
        append: Append,
        vault: &'a KeyVault,
        stored: &'a K,
    ) -> Result<AppendPlan, StoreError> {
        let credential = append
            .credential
            .map(|credential| vault.seals.seal(&credential, &*vault.entropy))
            .transpose()
            .map_err(unreadable)?;
        let plan = AppendPlan {
            events: vec![],
            subject_keys: vec![],
            wrapped_under: None,
            held: vec![],
            built_on: vec![],
            not_after: append.not_after,
            erasure: None,
            claims: vec![],
            released: vec![],
            mail: vec![],
            requires_other_admin_than: append.requires_other_admin_than,
            accounts: vec![],
            sessions: vec![],
            clients: vec![],
            credential,
            factors: vec![],
            opaque_token: append.opaque_token.map(|it| vault.seals.with_mac(it)),
        };
        let mut planner = Self {
            vault,
            stored,
            plan,
            new_key: None,
        };
        for staged in &append.streams {
            planner.add_stream(staged).await?;
        }
        for change in append.factors {
            let sealed = planner.sealed_change(change).await?;
            planner.plan.factors.push(sealed);
        }
        Ok(planner.plan)
    }

    async fn add_stream(&mut self, staged: &StagedStream) -> Result<(), StoreError> {
        let Some(first) = staged.new.first() else {
            return Ok(());
        };
        if staged.stream.kind == AggregateKind::Client {
            return self.add_stream_of_client(staged);
        }
        let user = owner(first)?;
        if staged.stream.kind == AggregateKind::User && staged.base.version() == 0 {
            self.add_subject_key(user)?;
        }
        let key = self.sealing_key(user, staged).await?;
        self.add_events(staged, key.as_ref())?;
        for notifiable in events_to_mail(staged).map_err(unreadable)? {
            let entry = self.mail_entry(user, &notifiable, key.as_ref())?;
            self.plan.add_mail(entry);
        }
        self.add_row(staged)
    }

    /// The events of a client belong to no account: there is nothing to seal, no owner to mail to, and no account that could be
    /// erased meanwhile.
    fn add_stream_of_client(&mut self, staged: &StagedStream) -> Result<(), StoreError> {
        self.add_events(staged, None)?;
        self.add_row(staged)
    }

    async fn sealed_change(&self, change: FactorChange) -> Result<SealedFactorChange, StoreError> {
        let new = self.new_key.as_ref();
        let new = new.filter(|(owner, _)| *owner == change.user);
        let new_key = new.map(|(_, key)| key);
        SealedFactorChange::seal(change, self.vault, self.stored, new_key).await
    }

    fn add_subject_key(&mut self, user: UserId) -> Result<(), StoreError> {
        let KeyVault {
            master, entropy, ..
        } = self.vault;
        let key = SubjectKey::generate(&**entropy);
        // The fingerprint is read before the key is wrapped. If the master key changes in between, the store refuses the
        // append, and it is planned again.
        let under = master.fingerprint();
        let wrapped = key.wrap(user, master, &**entropy).map_err(unreadable)?;
        self.plan.subject_keys.push((user, wrapped));
        self.plan.wrapped_under = Some(under);
        self.new_key = Some((user, key));
        Ok(())
    }

    /// The key that seals the personal fields of these events; `None` if they are erased.
    async fn sealing_key(
        &mut self,
        user: UserId,
        staged: &StagedStream,
    ) -> Result<Option<SubjectKey>, StoreError> {
        if let Some(user) = erased(staged).map_err(unreadable)? {
            // Personal data in the erasure event itself is erased like the rest.
            let resets = vec![];
            self.plan.erasure = Some(Erasure { user, resets });
            return Ok(None);
        }
        match &self.new_key {
            Some((owner, key)) if *owner == user => Ok(Some(key.clone())),
            _ => {
                self.plan.held.push(user);
                self.vault.sealing_key(user, self.stored).await
            }
        }
    }

    fn add_events(
        &mut self,
        staged: &StagedStream,
        key: Option<&SubjectKey>,
    ) -> Result<(), StoreError> {
        let first_added = self.plan.events.len();
        for event in &staged.new {
            let sealed = seal(staged.stream.kind, event, key, &*self.vault.entropy);
            self.plan.events.push(sealed.map_err(unreadable)?);
        }
        let first = self.plan.events.get(first_added);
        self.plan.built_on.extend(first.and_then(Predecessor::of));
        Ok(())
    }

    fn mail_entry(
        &self,
        user: UserId,
        notifiable: &NotifiableEvent,
        key: Option<&SubjectKey>,
    ) -> Result<MailEntry, StoreError> {
        let entropy = &*self.vault.entropy;
        let mut entry = MailEntry::new(
            entropy.random_uuid(),
            user,
            notifiable.notice.into(),
            notifiable.at,
        );
        if let Some(address) = &notifiable.address {
            entry.mailbox = self.vault.pepper.mailbox(address).to_vec();
            let sealed = key.map(|key| key.seal_address(user, address, entropy));
            entry.address = sealed.transpose().map_err(unreadable)?;
        }
        Ok(entry)
    }

    fn add_row(&mut self, staged: &StagedStream) -> Result<(), StoreError> {
        let KeyVault { pepper, seals, .. } = self.vault;
        match row_after(staged).map_err(unreadable)? {
            Some(Row::Account(row)) => {
                let ClaimChanges { claimed, released } = claim_changes(staged.base.account(), &row);
                let digest = |claim: &Claim| pepper.claim(claim);
                self.plan.claims.extend(claimed.iter().map(digest));
                self.plan.released.extend(released.iter().map(digest));
                self.plan.accounts.push(seals.with_mac(*row));
            }
            Some(Row::Session(row)) => self.plan.sessions.push(seals.with_mac(*row)),
            Some(Row::Client(row)) => self.plan.clients.push(seals.with_mac(*row)),
            None => {}
        }
        Ok(())
    }
}
