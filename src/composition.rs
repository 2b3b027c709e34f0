//! The composition root: the only place that knows every adapter.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use authlog_application::ports::{
    AttemptLimiter, Clock, Entropy, LogIntegrity, Mailer, Publication,
};
use authlog_application::{Authlog, Background, Operator, Parts, PasswordPolicy};
use authlog_domain::session::Limits;
use authlog_infrastructure::hashing::{Argon2PasswordHasher, Argon2Settings};
use authlog_infrastructure::limits::{GcraAttemptLimiter, Update};
use authlog_infrastructure::mail::{FileMailer, MailAuthorities, MailFolder, SmtpMailer};
use authlog_infrastructure::nats::{EventPublisher, PublisherSettings};
use authlog_infrastructure::postgres::{Election, GuessExchange, PostgresStore, Sequencer};
use authlog_infrastructure::sealing::{MasterKey, MasterKeys};
use authlog_infrastructure::sqlite::SqliteStore;
use authlog_infrastructure::system::{SystemClock, SystemEntropy};
use authlog_infrastructure::tokens::{
    HmacSecretTokens, JwtAlgorithm, JwtTokens, KeySet, KeyWatch, Keys, SigningKey,
    ensure_signing_key,
};
use authlog_infrastructure::{OpenError, Store, StoreAccess};
use tokio::sync::{mpsc, watch};
use url::Url;

use crate::settings::{
    Database, MasterKeySource, REFRESH_GRACE, RESET_LIFETIME, Settings, VERIFICATION_LIFETIME,
};
use crate::transparency;

/// `aud` of every token. There is one value, because the tokens of every contract are valid in all of them.
const AUDIENCE: &str = "authlog";

/// An open store, with the workers that it needs.
pub(crate) struct OpenStore {
    pub(crate) store: Arc<dyn Store>,
    /// Whether this node is the elected publisher.
    pub(crate) publishes: watch::Receiver<bool>,
    /// Whether this node is the elected signer of checkpoints.
    pub(crate) signs: watch::Receiver<bool>,
    /// The workers of a node that shares its store; `None` for a store with one node.
    pub(crate) cluster: Option<ClusterWorkers>,
}

/// The workers that coordinate the nodes of one store.
pub(crate) struct ClusterWorkers {
    pub(crate) sequencer: Sequencer,
    pub(crate) publisher: Election,
    pub(crate) signer: Election,
    /// Exchanges failed logins between nodes.
    pub(crate) guesses: GuessExchange,
}

/// The clock of this machine.
pub(crate) fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}

/// The randomness of this machine.
pub(crate) fn entropy() -> Arc<dyn Entropy> {
    Arc::new(SystemEntropy)
}

/// Opens the store that the settings name. Only [`StoreAccess::Create`] creates the data directory and the master key.
///
/// # Errors
/// Which setting is wrong, or why the store cannot be used.
pub(crate) async fn open_store(
    settings: &Settings,
    access: StoreAccess,
) -> anyhow::Result<OpenStore> {
    if access == StoreAccess::Create {
        settings.make_data_dir()?;
    } else {
        require_file(settings)?;
    }
    open_store_with(settings, access, master_keys(settings, access)?).await
}

/// A command in a wrong directory finds neither a store nor a master key; the error has to name the store first.
fn require_file(settings: &Settings) -> anyhow::Result<()> {
    match &settings.database {
        Database::Sqlite(path) if !path.try_exists().unwrap_or(true) => {
            Err(explain(OpenError::Missing, &settings.database))
        }
        Database::Sqlite(_) | Database::Postgres(_) => Ok(()),
    }
}

/// Creates the schema of the store or migrates it. It needs no master key.
///
/// # Errors
/// Why the store cannot be used.
pub(crate) async fn migrate(settings: &Settings) -> anyhow::Result<()> {
    let migrated = match &settings.database {
        Database::Sqlite(path) => {
            settings.make_data_dir()?;
            SqliteStore::migrate(path)
        }
        Database::Postgres(servers) => PostgresStore::migrate(servers.clone()).await,
    };
    migrated.map_err(|error| explain(error, &settings.database))
}

/// Opens the store that the settings name, with these master keys.
///
/// # Errors
/// Why the store cannot be used.
pub(crate) async fn open_store_with(
    settings: &Settings,
    access: StoreAccess,
    master: MasterKeys,
) -> anyhow::Result<OpenStore> {
    match &settings.database {
        Database::Sqlite(path) => {
            let store = SqliteStore::open_for(access, path, master, entropy())
                .map_err(|error| explain(error, &settings.database))?;
            Ok(OpenStore {
                store: Arc::new(store),
                // A SQLite file has one service. If there were two, the stream would accept only one publisher.
                publishes: watch::channel(true).1,
                signs: watch::channel(true).1,
                cluster: None,
            })
        }
        Database::Postgres(servers) => {
            let (servers, migrate) = (servers.clone(), settings.storage.migrate);
            let store = PostgresStore::open_for(access, servers, migrate, master, entropy())
                .await
                .map_err(|error| explain(error, &settings.database))?;
            let sequencer = store.sequencer();
            let guesses = store.guess_exchange();
            let (publisher, publishes) = store.publisher_election();
            let (signer, signs) = store.signer_election();
            Ok(OpenStore {
                store: Arc::new(store),
                publishes,
                signs,
                cluster: Some(ClusterWorkers {
                    sequencer,
                    publisher,
                    signer,
                    guesses,
                }),
            })
        }
    }
}

/// Names the database for an operator. A URL may hold a password and is not shown.
fn named(database: &Database) -> String {
    match database {
        Database::Sqlite(path) => format!("the SQLite file {}", path.display()),
        Database::Postgres(_) => "the PostgreSQL database of AUTHLOG_DATABASE_URL".to_owned(),
    }
}

/// Names the database, and adds what an operator can do about it.
fn explain(error: OpenError, database: &Database) -> anyhow::Error {
    advised(error, database).context(named(database))
}

fn advised(error: OpenError, database: &Database) -> anyhow::Error {
    let advice = match &error {
        OpenError::Missing => {
            "use the directory and the settings of the service (AUTHLOG_DATA_DIR, AUTHLOG_DATABASE_URL), or create a store with `authlog serve`"
        }
        OpenError::Unused => {
            "start `authlog serve`, or create the first account with `authlog user create`"
        }
        OpenError::WrongMasterKey => {
            "give the key that it was made with: AUTHLOG_MASTER_KEY, or AUTHLOG_MASTER_KEY_FILE; every node needs the same"
        }
        OpenError::RotationUnderWay => {
            "give both, the old one as AUTHLOG_MASTER_KEY or AUTHLOG_MASTER_KEY_FILE and the new one as AUTHLOG_NEW_MASTER_KEY or AUTHLOG_NEW_MASTER_KEY_FILE, or finish it with `authlog keys rotate-master`"
        }
        OpenError::Schema(_) => {
            "if it is older than this program, run `authlog migrate`; if it is newer, use a newer program"
        }
        OpenError::SecretRemoved => {
            "it was removed and cannot be made again: restore the table shared_secrets from a backup"
        }
        OpenError::Unreachable(_) => match database {
            Database::Sqlite(_) => {
                "may this user read and write the file and its directory, and has the disk room?"
            }
            Database::Postgres(_) => "is it running, and are address, user and password right?",
        },
        OpenError::Connections(_) | OpenError::Store(_) => return error.into(),
    };
    if matches!(error, OpenError::Missing | OpenError::Unused) {
        return anyhow::anyhow!("{error}; {advice}");
    }
    anyhow::Error::new(error).context(advice)
}

/// The master key and, during a rotation, the new one.
fn master_keys(settings: &Settings, access: StoreAccess) -> anyhow::Result<MasterKeys> {
    let master = master_key(settings, access)?;
    Ok(match &settings.new_master_key {
        None => master.into(),
        Some(MasterKeySource::Given(text)) => {
            let new = MasterKey::parse(text).context("AUTHLOG_NEW_MASTER_KEY")?;
            MasterKeys::of_rotation(master, new)
        }
        // It is not created here: otherwise each node would create its own.
        Some(MasterKeySource::File(path)) => {
            let new = MasterKey::load(path).context("AUTHLOG_NEW_MASTER_KEY_FILE")?;
            MasterKeys::of_rotation(master, new)
        }
    })
}

/// The keys of a rotation: the master key and the new one. The new key is read from `file`, which is created if it is
/// missing, or else from the settings.
///
/// # Errors
/// Which key cannot be used.
pub(crate) fn keys_of_rotation(
    settings: &Settings,
    file: Option<&Path>,
) -> anyhow::Result<MasterKeys> {
    let Some(file) = file else {
        anyhow::ensure!(
            settings.new_master_key.is_some(),
            "the new key is missing: give --new-key-file, AUTHLOG_NEW_MASTER_KEY or AUTHLOG_NEW_MASTER_KEY_FILE"
        );
        return master_keys(settings, StoreAccess::Change);
    };
    require_file(settings)?;
    let old = master_key(settings, StoreAccess::Change)?;
    let new = MasterKey::load_or_create(file, &SystemEntropy).context("--new-key-file")?;
    Ok(MasterKeys::of_rotation(old, new))
}

fn master_key(settings: &Settings, access: StoreAccess) -> anyhow::Result<MasterKey> {
    match &settings.master_key {
        MasterKeySource::Given(text) => MasterKey::parse(text).context("AUTHLOG_MASTER_KEY"),
        MasterKeySource::File(path) => {
            let key = if access == StoreAccess::Create {
                MasterKey::load_or_create(path, &SystemEntropy)
            } else {
                MasterKey::load(path)
            };
            key.context("AUTHLOG_MASTER_KEY_FILE")
        }
    }
}

/// The mailer of a service: a mail server if one is set, else files in the data directory.
///
/// # Errors
/// Which setting is wrong, or that the directory cannot be created.
pub(crate) fn mailer(settings: &Settings) -> anyhow::Result<Arc<dyn Mailer>> {
    Ok(match &settings.mail.smtp_url {
        Some(url) => Arc::new(
            SmtpMailer::new(
                url.as_str(),
                &mail_authorities(settings)?,
                &settings.mail.mail_from,
                clock(),
            )
            .context("AUTHLOG_SMTP_URL with AUTHLOG_MAIL_FROM")?,
        ),
        None => Arc::new(
            FileMailer::new(
                settings.storage.data_dir.join("mail"),
                &settings.mail.mail_from,
                clock(),
            )
            .context("the folder for mail in AUTHLOG_DATA_DIR cannot be made")?,
        ),
    })
}

/// The adapters that a service and a command choose differently.
pub(crate) struct Adapters {
    pub(crate) publication: Option<watch::Receiver<Publication>>,
    pub(crate) integrity: watch::Receiver<LogIntegrity>,
    pub(crate) keys: Keys,
    pub(crate) limiter: Arc<dyn AttemptLimiter>,
    pub(crate) mailer: Arc<dyn Mailer>,
}

/// Certificate authorities for the mail server, in addition to Mozilla's.
fn mail_authorities(settings: &Settings) -> anyhow::Result<MailAuthorities> {
    let Some(path) = &settings.mail.smtp_ca_file else {
        return Ok(MailAuthorities::default());
    };
    let name = path.display();
    let pem = std::fs::read(path)
        .with_context(|| format!("AUTHLOG_SMTP_CA_FILE: the file {name} cannot be read"))?;
    MailAuthorities::from_pem(&pem).with_context(|| {
        format!("AUTHLOG_SMTP_CA_FILE: the file {name} holds no certificate in PEM")
    })
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
        mail_queue: store.clone(),
        mail_gate: store.clone(),
        hasher: Arc::new(hasher),
        tokens: Arc::new(tokens),
        secrets: Arc::new(secret_tokens(&*store, &*entropy).await?),
        mailer,
        kept_mail: Arc::new(MailFolder::new(settings.storage.data_dir.join("mail"))),
        limiter,
        clock,
        entropy,
    };
    Ok(Authlog::new(
        parts,
        application_settings(settings, reachable_at),
    ))
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
    };
    Ok(Some(EventPublisher::new(store, settings, publishes)))
}

/// `source` of published events: the same value as `iss` of tokens.
pub(crate) fn event_source(settings: &Settings) -> String {
    issuer(settings)
}

fn application_settings(settings: &Settings, reachable_at: &Url) -> authlog_application::Settings {
    let base = reachable_at.as_str().trim_end_matches('/');
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
        verification_lifetime: VERIFICATION_LIFETIME,
        verification_page: format!("{base}/verify-email"),
        reset_page: format!("{base}/reset-password"),
    }
}

/// `iss` of every token: the public URL if it is set (RFC 8414 §2), else a fixed name. The listening address would
/// change with the port and invalidate tokens.
fn issuer(settings: &Settings) -> String {
    settings
        .http
        .public_url
        .as_ref()
        .map_or("authlog", |url| url.as_str().trim_end_matches('/'))
        .to_owned()
}

/// The keys that sign and verify tokens, and the worker that keeps them up to date with the store. The first start
/// creates a signing key.
///
/// # Errors
/// A key cannot be created or read, or the store does not answer.
pub(crate) async fn token_keys(
    settings: &Settings,
    store: Arc<dyn Store>,
) -> anyhow::Result<(Keys, KeyWatch<dyn Store>)> {
    if let Some(checkpoints) = &settings.storage.checkpoint_file {
        let mut file = checkpoints.clone().into_os_string();
        file.push(".retired-keys");
        if let Err(error) = store.keep_retired_keys_in(file.into()) {
            tracing::error!(%error, "retired signing keys cannot be saved to a file and are kept in memory only");
        }
    }
    let shared = settings
        .tokens
        .jwt_secret
        .as_ref()
        .map(|secret| SigningKey::from_secret(secret.as_bytes()))
        .transpose()
        .context("AUTHLOG_JWT_SECRET")?;
    let stored = match settings.tokens.jwt_algorithm {
        // Tokens that were signed with keys of another algorithm stay valid.
        Some(JwtAlgorithm::Hs256) => store.signing_keys(clock().now()).await?.keys,
        wanted => ensure_signing_key(&*store, wanted, clock().now())
            .await
            .context("there is no key to sign tokens with")?,
    };
    let first = KeySet::new(shared.map(Arc::new), &stored);
    Ok(KeyWatch::new(store, clock(), first))
}

async fn secret_tokens(
    store: &dyn Store,
    entropy: &dyn Entropy,
) -> anyhow::Result<HmacSecretTokens> {
    let mut candidate = [0; 32];
    entropy.fill(&mut candidate);
    let key = store.shared_secret("reset-token-key", &candidate).await?;
    let key = <[u8; 32]>::try_from(key.as_slice())
        .context("the stored key of reset tokens is not 32 bytes")?;
    Ok(HmacSecretTokens::new(&key))
}
