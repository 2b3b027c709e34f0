//! The composition root: the only place that knows every adapter.

mod breached_passwords;
mod mail;
mod master_keys;
mod open_errors;
mod relying_party;
mod store;
mod tokens;

use std::sync::Arc;

use anyhow::Context;
use authlog_application::ports::{
    AttemptLimiter, Clock, Entropy, LogIntegrity, Mailer, Publication,
};
use authlog_application::{Authlog, Background, Operator, Parts, PasswordPolicy};
use authlog_domain::session::Limits;
use authlog_infrastructure::hashing::{Argon2PasswordHasher, Argon2Settings};
use authlog_infrastructure::limits::{GcraAttemptLimiter, Update};
use authlog_infrastructure::mail::MailFolder;
use authlog_infrastructure::nats::{EventPublisher, PublisherSettings};
use authlog_infrastructure::system::{SystemClock, SystemEntropy};
use authlog_infrastructure::tokens::{
    HmacClientSecrets, HmacSecretTokens, JwtClientAssertions, JwtDpopProofs, JwtTokens,
    KeyedFactorSecrets, Keys,
};
use authlog_infrastructure::webauthn::WebauthnVerifier;
use authlog_infrastructure::{HttpLogoutSender, Store};
use tokio::sync::{mpsc, watch};
use url::Url;

use crate::settings::{REFRESH_GRACE, RESET_LIFETIME, Settings, VERIFICATION_LIFETIME};
use crate::transparency;
pub(crate) use breached_passwords::{breached_passwords, check_breached_passwords};
pub(crate) use mail::mailer;
pub(crate) use master_keys::keys_of_rotation;
pub(crate) use relying_party::relying_party;
pub(crate) use store::{ClusterWorkers, OpenStore, migrate, open_store, open_store_with};
pub(crate) use tokens::token_keys;
use tokens::{AUDIENCE, issuer, shared_secret};

/// The clock of this machine.
pub(crate) fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}

/// The randomness of this machine.
pub(crate) fn entropy() -> Arc<dyn Entropy> {
    Arc::new(SystemEntropy)
}

/// The adapters that a service and a command choose differently.
pub(crate) struct Adapters {
    pub(crate) publication: Option<watch::Receiver<Publication>>,
    pub(crate) integrity: watch::Receiver<LogIntegrity>,
    pub(crate) keys: Keys,
    pub(crate) limiter: Arc<dyn AttemptLimiter>,
    pub(crate) mailer: Arc<dyn Mailer>,
}

/// The application over a store. `reachable_at` is the base of links in mails.
///
/// # Errors
/// Which setting is wrong, or why an adapter cannot be created.
pub(crate) async fn assemble(
    settings: &Settings,
    store: Arc<dyn Store>,
    reachable_at: &Url,
    adapters: Adapters,
) -> anyhow::Result<(Authlog, Operator, Background)> {
    let clock = clock();
    let entropy = entropy();
    let hashing = Argon2Settings {
        parameters: settings.accounts.argon2(),
        ..Argon2Settings::default()
    };
    let hasher = Argon2PasswordHasher::start(hashing, Arc::clone(&entropy))
        .context("the password hashing threads cannot be started")?;
    let Adapters {
        publication,
        integrity,
        keys,
        limiter,
        mailer,
    } = adapters;
    let tokens = JwtTokens::new(issuer(settings), AUDIENCE, keys);
    let secret = shared_secret(&*store, &*entropy).await?;
    let parts = Parts {
        events: store.clone(),
        log: store.clone(),
        housekeeping: store.clone(),
        transparency: Arc::new(transparency::log(settings, Arc::clone(&store)).await?),
        integrity,
        history: store.clone(),
        publication,
        directory: store.clone(),
        health: store.clone(),
        revocations: store.clone(),
        reset_requests: store.clone(),
        device_authorizations: store.clone(),
        mail_queue: store.clone(),
        mail_gate: store.clone(),
        logout_queue: store.clone(),
        logout_sender: Arc::new(HttpLogoutSender::default()),
        hasher: Arc::new(hasher),
        breached_passwords: breached_passwords(settings)?,
        tokens: Arc::new(tokens),
        secrets: Arc::new(HmacSecretTokens::new(&secret)),
        clients: store.clone(),
        client_secrets: Arc::new(HmacClientSecrets::new(&secret)),
        client_assertions: Arc::new(JwtClientAssertions::new([
            issuer(settings),
            format!("{}/oauth2/token", base_of(reachable_at)),
            // RFC 9126 §2 demands it.
            format!("{}/oauth2/par", base_of(reachable_at)),
        ])),
        dpop_proofs: Arc::new(JwtDpopProofs::default()),
        factor_secrets: Arc::new(KeyedFactorSecrets::new(&secret, Arc::clone(&entropy))?),
        passkeys: Arc::new(WebauthnVerifier),
        mailer,
        local_mail: Arc::new(MailFolder::new(settings.storage.data_dir.join("mail"))),
        limiter,
        clock,
        entropy,
    };
    Ok(Authlog::new(
        parts,
        application_settings(settings, reachable_at),
    ))
}

/// The URL without a slash at its end.
fn base_of(url: &Url) -> &str {
    url.as_str().trim_end_matches('/')
}

fn application_settings(settings: &Settings, reachable_at: &Url) -> authlog_application::Settings {
    let base = base_of(reachable_at);
    authlog_application::Settings {
        password_policy: PasswordPolicy {
            min_length: settings.accounts.password_min_length,
            min_score: settings.accounts.password_min_score,
        },
        reset_lifetime: RESET_LIFETIME,
        refresh_grace: REFRESH_GRACE,
        session_limits: Limits {
            lifetime: settings.accounts.session_lifetime,
            idle: settings.accounts.session_idle,
        },
        verifies_email: settings.accounts.verify_email || settings.accounts.require_verified_email,
        requires_verified_email: settings.accounts.require_verified_email,
        accepts_password_with_code: settings.accounts.password_with_code,
        second_factor_roles: settings.accounts.second_factor.clone(),
        relying_party: relying_party(reachable_at),
        registration: settings.accounts.registration,
        verification_lifetime: VERIFICATION_LIFETIME,
        verification_page: format!("{base}/verify-email"),
        reset_page: format!("{base}/reset-password"),
    }
}

/// The limiter of attempts and its updates for other nodes; `None` if limits are off.
///
/// # Errors
/// The store does not answer.
pub(crate) async fn limiter(
    settings: &Settings,
    store: &dyn Store,
) -> anyhow::Result<Option<(Arc<GcraAttemptLimiter>, mpsc::Receiver<Update>)>> {
    if !settings.http.rate_limit {
        return Ok(None);
    }
    let mut candidate = [0; 32];
    entropy().fill(&mut candidate);
    let key = store.shared_secret("attempt-limits", &candidate).await?;
    let (limiter, told) = GcraAttemptLimiter::shared(clock(), &key, &SystemEntropy);
    Ok(Some((Arc::new(limiter), told)))
}

/// The publisher of the log, if NATS is set.
///
/// # Errors
/// Which setting names a file that cannot be used.
pub(crate) fn publisher(
    settings: &Settings,
    store: Arc<dyn Store>,
    publishes: watch::Receiver<bool>,
) -> anyhow::Result<Option<(EventPublisher, watch::Receiver<Publication>)>> {
    let Some(nats) = &settings.nats else {
        return Ok(None);
    };
    nats.access.check()?;
    let settings = PublisherSettings {
        access: nats.access.clone(),
        stream: nats.stream,
        source: event_source(settings),
        entropy: entropy(),
    };
    Ok(Some(EventPublisher::new(store, settings, publishes)))
}

/// `source` of published events: the same value as `iss` of tokens.
pub(crate) fn event_source(settings: &Settings) -> String {
    issuer(settings)
}
