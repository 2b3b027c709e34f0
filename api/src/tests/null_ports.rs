//! Null ports: fixed clock, constant randomness. Every other port panics or never completes.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use authlog_application::ports::RecordedEvent;
use authlog_application::ports::*;
use authlog_application::{
    Authlog, NewPassword, Parts, PasskeyRefusal, Password, PasswordPolicy, Settings,
};
use authlog_domain::client::{ClientJwks, IdTokenAlg};
use authlog_domain::session::Limits;
use authlog_domain::{
    AccountNumber, ClientId, ClientSecretId, Email, Flaw, HttpsUri, ResetId, SessionId, Timestamp,
    UserId, VerificationId,
};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use crate::Api;

/// An implementation of every port.
struct NullPorts {
    /// How long until the hasher accepts a password, if it is overloaded.
    overloaded_for: Option<Duration>,
    /// The number of registrations that were counted.
    registrations: Arc<AtomicUsize>,
}

/// An API without working ports: a registration never completes, and the other use cases panic.
pub fn api() -> Api {
    api_over(NullPorts {
        overloaded_for: None,
        registrations: Arc::default(),
    })
}

/// The same, with a hasher whose queue stays full for that long. Also returns the number of registrations that were counted.
pub fn overloaded_api(overloaded_for: Duration) -> (Api, Arc<AtomicUsize>) {
    let registrations = Arc::<AtomicUsize>::default();
    let api = api_over(NullPorts {
        overloaded_for: Some(overloaded_for),
        registrations: Arc::clone(&registrations),
    });
    (api, registrations)
}

fn api_over(ports: NullPorts) -> Api {
    let ports = Arc::new(ports);
    let parts = Parts {
        events: ports.clone(),
        log: ports.clone(),
        housekeeping: ports.clone(),
        transparency: ports.clone(),
        integrity: tokio::sync::watch::channel(LogIntegrity::default()).1,
        history: ports.clone(),
        publication: None,
        directory: ports.clone(),
        clients: ports.clone(),
        client_secrets: ports.clone(),
        client_assertions: ports.clone(),
        dpop_proofs: ports.clone(),
        health: ports.clone(),
        revocations: ports.clone(),
        reset_requests: ports.clone(),
        device_authorizations: ports.clone(),
        mail_queue: ports.clone(),
        mail_gate: ports.clone(),
        logout_queue: ports.clone(),
        logout_sender: ports.clone(),
        hasher: ports.clone(),
        breached_passwords: None,
        tokens: ports.clone(),
        secrets: ports.clone(),
        factor_secrets: ports.clone(),
        passkeys: ports.clone(),
        mailer: ports.clone(),
        local_mail: ports.clone(),
        limiter: ports.clone(),
        clock: ports.clone(),
        entropy: ports.clone(),
    };
    let settings = Settings {
        password_policy: PasswordPolicy {
            min_length: 7,
            min_score: 0,
        },
        reset_lifetime: Duration::from_secs(1800),
        refresh_grace: Duration::from_secs(10),
        session_limits: Limits {
            lifetime: Duration::from_secs(1),
            idle: None,
        },
        verifies_email: false,
        requires_verified_email: false,
        accepts_password_with_code: true,
        second_factor_roles: vec![],
        relying_party: None,
        registration: authlog_application::RegistrationPolicy::Open,
        verification_lifetime: Duration::from_secs(1),
        verification_page: "ports".to_owned(),
        reset_page: String::new(),
    };
    Api {
        authlog: Authlog::new(parts, settings).0,
        clock: ports.clone(),
        entropy: ports,
        settings: crate::ApiSettings::default(),
        metrics: Arc::new(String::new),
        workers: authlog_application::supervisor::Workers::default(),
        draining: tokio_util::sync::CancellationToken::new(),
        stopping: tokio_util::sync::CancellationToken::new(),
        capacity: crate::Capacity::default(),
    }
}

impl Clock for NullPorts {
    fn now(&self) -> Timestamp {
        super::some_instant()
    }
}

impl Entropy for NullPorts {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(4);
    }
}

#[async_trait]
impl Tokens for NullPorts {
    fn sign(&self, _: &TokenClaims) -> Result<String, TokenError> {
        unreachable!()
    }

    fn verify(&self, _: &str, _: Timestamp) -> Option<VerifiedToken> {
        None
    }

    fn verify_oauth(&self, _: &str, _: Timestamp) -> Option<VerifiedOAuthToken> {
        None
    }

    fn sign_client_token(&self, _: &ClientTokenClaims) -> Result<String, TokenError> {
        unreachable!()
    }

    fn sign_id_token(
        &self,
        _: &Map<String, Value>,
        _: IdTokenAlg,
        _: Timestamp,
    ) -> Result<String, IdTokenError> {
        Err(IdTokenError::NoKey)
    }

    fn sign_logout_token(
        &self,
        _: &LogoutClaims,
        _: IdTokenAlg,
        _: Timestamp,
    ) -> Result<String, IdTokenError> {
        unreachable!()
    }

    fn verify_id_token_hint(&self, _: &str) -> Option<Map<String, Value>> {
        None
    }

    fn id_token_algorithms(&self, _: Timestamp) -> Vec<&'static str> {
        vec![]
    }

    async fn learn_key(&self, _: &str) -> bool {
        false
    }

    fn key_set(&self, _: Timestamp) -> Value {
        json!({ "keys": [] })
    }

    fn issuer(&self) -> &'static str {
        "authlog"
    }

    fn audience(&self) -> &'static str {
        "authlog"
    }
}

impl SecretTokens for NullPorts {
    fn verification_token(&self, _: UserId, _: VerificationId) -> String {
        unreachable!()
    }

    fn parse_verification_token(&self, _: &str) -> Option<(UserId, VerificationId)> {
        None
    }

    fn reset_of(&self, _: ResetId, _: &str, _: Timestamp) -> ResetId {
        panic!("there is none")
    }

    fn reset_token(&self, _: UserId, _: ResetId) -> String {
        unreachable!()
    }

    fn parse_reset_token(&self, _: &str) -> Option<(UserId, ResetId)> {
        None
    }

    fn digest(&self, _: &OpaqueToken) -> TokenDigest {
        unreachable!()
    }

    fn browser_digest(&self, _: &BrowserSecret) -> TokenDigest {
        unreachable!()
    }

    fn form_token(&self, _: &BrowserSecret) -> String {
        unreachable!()
    }

    fn is_form_token(&self, _: &BrowserSecret, _: &str) -> bool {
        false
    }

    fn code_challenge(&self, _: &str) -> String {
        String::new()
    }
}

impl PasskeyVerifier for NullPorts {
    fn verify_attestation(
        &self,
        _: &Ceremony<'_>,
        _: &AttestationResponse,
    ) -> Result<VerifiedAttestation, PasskeyRefusal> {
        unreachable!()
    }

    fn verify_assertion(
        &self,
        _: &Ceremony<'_>,
        _: &PasskeyCredential,
        _: &AssertionResponse,
    ) -> Result<VerifiedAssertion, PasskeyRefusal> {
        unreachable!()
    }
}

impl SecondFactorSecrets for NullPorts {
    fn user_code_digest(&self, _: &str) -> UserCodeDigest {
        unreachable!()
    }

    fn credential_digest(&self, _: &[u8]) -> CredentialDigest {
        unreachable!()
    }

    fn matching_step(&self, _: &TotpSecret, _: &str, _: Timestamp) -> Option<u64> {
        None
    }

    fn recovery_digest(&self, _: UserId, _: &str) -> RecoveryDigest {
        unreachable!()
    }

    fn seal(&self, _: SealedFor, _: &[u8]) -> Option<String> {
        None
    }

    fn open(&self, _: SealedFor, _: &str) -> Option<Zeroizing<Vec<u8>>> {
        None
    }
}

impl AttemptLimiter for NullPorts {
    fn count(&self, _: Attempt<'_>) -> Result<(), Duration> {
        Ok(())
    }

    fn reserve_registration(&self, _: Option<IpAddr>) -> Result<ReservedRegistration, Duration> {
        let counted = Arc::clone(&self.registrations);
        Ok(ReservedRegistration::new(move |counts| {
            counted.fetch_add(usize::from(counts), Ordering::SeqCst);
        }))
    }

    fn reserve(&self, _: Guess<'_>) -> Result<Reservation, Duration> {
        Ok(Reservation::new(Self {
            overloaded_for: None,
            registrations: Arc::default(),
        }))
    }

    fn remember_sign_in(&self, _: Option<IpAddr>, _: &[String]) {}
}

impl ReservedGuess for NullPorts {
    fn at_account(&mut self, _: Option<UserId>) -> Result<(), Duration> {
        Ok(())
    }

    fn at_second_factor(&mut self, _: UserId) -> Result<(), Duration> {
        Ok(())
    }

    fn settle(&mut self, _: GuessOutcome) {}
}

#[async_trait]
impl History for NullPorts {
    async fn origins(&self, _: UserId, _: &[SessionId]) -> Result<Vec<PastEvent>, StoreError> {
        unreachable!()
    }

    async fn history(
        &self,
        _: UserId,
        _: u64,
        _: u32,
        _: &HistoryFilter,
    ) -> Result<HistoryPage, StoreError> {
        unreachable!()
    }

    async fn client_events(
        &self,
        _: &ClientId,
        _: u64,
        _: u32,
    ) -> Result<Vec<PastEvent>, StoreError> {
        unreachable!()
    }

    async fn state_at(&self, _: UserId, _: Option<Moment>) -> Result<PastState, StoreError> {
        unreachable!()
    }
}

#[async_trait]
impl Health for NullPorts {
    async fn check(&self) -> Result<(), StoreError> {
        Err(StoreError::Unavailable("ports".into()))
    }
}

#[async_trait]
impl EventStore for NullPorts {
    async fn load(&self, _: &StreamId) -> Result<Vec<RecordedEvent>, StoreError> {
        unreachable!()
    }

    async fn last_events(
        &self,
        _: &StreamId,
        _: &str,
        _: usize,
    ) -> Result<Vec<RecordedEvent>, StoreError> {
        unreachable!()
    }

    async fn last_sequence(&self, _: &StreamId, _: u64) -> Result<u64, StoreError> {
        unreachable!()
    }

    async fn is_erased(&self, _: UserId) -> Result<bool, StoreError> {
        unreachable!()
    }

    async fn append(&self, _: Append) -> Result<Appended, AppendError> {
        unreachable!()
    }
}

#[async_trait]
impl Directory for NullPorts {
    async fn find_for_sign_in(&self, _: &Identifier) -> Result<Option<SignInRecord>, StoreError> {
        unreachable!()
    }

    async fn taken(&self, _: &[Identifier]) -> Result<Vec<IdentifierKind>, StoreError> {
        std::future::pending().await
    }

    async fn find_account(&self, _: &Identifier) -> Result<Option<Account>, StoreError> {
        unreachable!()
    }

    async fn may_have_other_sessions(
        &self,
        _: UserId,
        _: Option<SessionId>,
    ) -> Result<bool, StoreError> {
        unreachable!()
    }

    async fn account(&self, _: UserId) -> Result<Option<Account>, StoreError> {
        unreachable!()
    }

    async fn authenticator_apps(&self, _: UserId) -> Result<Vec<StoredTotp>, StoreError> {
        unreachable!()
    }

    async fn passkeys(&self, _: UserId) -> Result<Vec<StoredPasskey>, StoreError> {
        unreachable!()
    }

    async fn find_passkey(
        &self,
        _: &CredentialDigest,
    ) -> Result<Option<PasskeyWithAccount>, StoreError> {
        unreachable!()
    }

    async fn accounts(&self, _: Option<AccountNumber>, _: u32) -> Result<Vec<Account>, StoreError> {
        unreachable!()
    }

    async fn session(&self, _: SessionId) -> Result<Option<SessionWithAccount>, StoreError> {
        unreachable!()
    }

    async fn live_sessions(
        &self,
        _: UserId,
        _: Timestamp,
        _: Option<SessionId>,
        _: u32,
    ) -> Result<LiveSessions, StoreError> {
        unreachable!()
    }

    async fn session_by_opaque_token(
        &self,
        _: &TokenDigest,
        _: Timestamp,
    ) -> Result<Option<SessionWithAccount>, StoreError> {
        unreachable!()
    }

    async fn next_account_number(&self) -> Result<AccountNumber, StoreError> {
        unreachable!()
    }
}

#[async_trait]
impl Clients for NullPorts {
    async fn record(&self, _: &ClientId) -> Result<Option<ClientRecord>, StoreError> {
        unreachable!()
    }

    async fn clients(&self, _: Option<&ClientId>, _: u32) -> Result<ClientsPage, StoreError> {
        unreachable!()
    }

    async fn has_clients(&self) -> Result<bool, StoreError> {
        unreachable!()
    }
}

#[async_trait]
impl DeviceAuthorizations for NullPorts {
    async fn add_device_authorization(
        &self,
        _: UserCodeDigest,
        _: &str,
        _: Timestamp,
    ) -> Result<bool, StoreError> {
        unreachable!()
    }

    async fn device_authorization(
        &self,
        _: UserCodeDigest,
    ) -> Result<Option<StoredDeviceAuthorization>, StoreError> {
        unreachable!()
    }

    async fn decide_device_authorization(
        &self,
        _: UserCodeDigest,
        _: &str,
    ) -> Result<bool, StoreError> {
        unreachable!()
    }
}

impl ClientSecrets for NullPorts {
    fn secret(&self, _: &ClientId, _: ClientSecretId) -> Zeroizing<String> {
        unreachable!()
    }

    fn parse(&self, _: &ClientId, _: &str) -> Option<ClientSecretId> {
        None
    }
}

impl ClientAssertions for NullPorts {
    fn named_client(&self, _: &str) -> Option<ClientId> {
        None
    }

    fn verify(
        &self,
        _: &str,
        _: &ClientId,
        _: &ClientJwks,
        _: Timestamp,
    ) -> Result<(), AssertionRefusal> {
        unreachable!()
    }
}

impl DpopProofs for NullPorts {
    fn verify(
        &self,
        _: &str,
        _: ProvedRequest<'_>,
        _: Timestamp,
    ) -> Result<VerifiedProof, ProofRefusal> {
        unreachable!()
    }

    fn mark_used(
        &self,
        _: ProofHolder<'_>,
        _: &VerifiedProof,
        _: Timestamp,
    ) -> Result<(), ProofRefusal> {
        unreachable!()
    }
}

#[async_trait]
impl RevocationSource for NullPorts {
    async fn follow_revocations(&self) -> Result<Box<dyn RevocationReader + '_>, StoreError> {
        unreachable!()
    }
}

#[async_trait]
impl LogoutQueue for NullPorts {
    async fn queue_logouts(&self, _: u32) -> Result<QueuedLogouts, StoreError> {
        unreachable!()
    }

    async fn lease_receivers(
        &self,
        _: Timestamp,
        _: Timestamp,
        _: u32,
    ) -> Result<Vec<LogoutReceiver>, StoreError> {
        unreachable!()
    }

    async fn return_receiver(&self, _: &LogoutReceiver, _: Timestamp) -> Result<(), StoreError> {
        unreachable!()
    }

    async fn due_logouts(
        &self,
        _: &ClientId,
        _: Timestamp,
        _: u32,
    ) -> Result<Vec<DueLogout>, StoreError> {
        unreachable!()
    }

    async fn complete_logout(&self, _: SessionId) -> Result<(), StoreError> {
        unreachable!()
    }

    async fn postpone_logout(&self, _: SessionId, _: Timestamp) -> Result<(), StoreError> {
        unreachable!()
    }

    async fn forget_logouts(&self, _: &ClientId, _: u32) -> Result<u64, StoreError> {
        unreachable!()
    }

    async fn waiting_logouts(&self, _: &ClientId) -> Result<Option<WaitingLogouts>, StoreError> {
        unreachable!()
    }

    async fn retry_logouts(&self, _: &ClientId) -> Result<(), StoreError> {
        unreachable!()
    }

    async fn failing_receivers(&self) -> Result<u64, StoreError> {
        unreachable!()
    }
}

#[async_trait]
impl LogoutSender for NullPorts {
    async fn send_logout(&self, _: &HttpsUri, _: &str) -> Result<(), LogoutSendError> {
        unreachable!()
    }
}

#[async_trait]
impl MailQueue for NullPorts {
    async fn take_due_mail(
        &self,
        _: Timestamp,
        _: Timestamp,
        _: u32,
    ) -> Result<Vec<DueMail>, StoreError> {
        unreachable!()
    }

    async fn enqueue_mail(&self, _: UserId, _: MailKind, _: Timestamp) -> Result<(), StoreError> {
        unreachable!()
    }

    async fn complete_mail(&self, _: &DueMail) -> Result<(), StoreError> {
        unreachable!()
    }

    async fn postpone_mail(&self, _: &DueMail, _: Timestamp) -> Result<(), StoreError> {
        unreachable!()
    }
}

#[async_trait]
impl MailGate for NullPorts {
    async fn admit(
        &self,
        _: QueuedMail,
        _: &Email,
        _: MailKind,
        _: Timestamp,
    ) -> Result<Admission, StoreError> {
        unreachable!()
    }
}

#[async_trait]
impl ResetRequests for NullPorts {
    async fn enqueue(&self, _: &ResetRequest) -> Result<(), StoreError> {
        unreachable!()
    }

    async fn take_due(
        &self,
        _: Timestamp,
        _: Timestamp,
        _: u32,
    ) -> Result<Vec<ResetRequest>, StoreError> {
        unreachable!()
    }

    async fn complete(&self, _: ResetId) -> Result<(), StoreError> {
        unreachable!()
    }

    async fn postpone(&self, _: &ResetRequest, _: Timestamp) -> Result<(), StoreError> {
        unreachable!()
    }
}

impl PasswordHasher for NullPorts {
    fn reserve(&self, _: &HashingClient) -> Result<Box<dyn HashingPlace>, HashingError> {
        match self.overloaded_for {
            Some(retry_after) => Err(HashingError::Overloaded { retry_after }),
            None => Ok(Box::new(NoPlace)),
        }
    }

    fn standing(&self, _: &PasswordHash) -> Result<HashStrength, UnusableHash> {
        unreachable!()
    }

    fn should_be_renewed(&self, _: &PasswordHash, _: &Password) -> bool {
        unreachable!()
    }
}

/// A reserved place in a hasher that hashes nothing.
struct NoPlace;

#[async_trait]
impl HashingPlace for NoPlace {
    async fn hash(
        self: Box<Self>,
        _: NewPassword,
    ) -> Result<Result<PasswordHash, Flaw>, HashingError> {
        unreachable!()
    }

    async fn verify(
        self: Box<Self>,
        _: Password,
        _: Option<PasswordHash>,
    ) -> Result<bool, HashingError> {
        unreachable!()
    }
}

#[async_trait]
impl Mailer for NullPorts {
    async fn send(&self, _: Mail) -> Result<(), MailError> {
        unreachable!()
    }
}

#[async_trait]
impl LocalMail for NullPorts {
    async fn accounts(&self) -> Result<Vec<UserId>, MailError> {
        unreachable!()
    }

    async fn forget(&self, _: UserId) -> Result<(), MailError> {
        unreachable!()
    }
}

#[async_trait]
impl EventLog for NullPorts {
    async fn read_log(
        &self,
        _: u64,
        _: u32,
        _: &LogFilter,
    ) -> Result<Vec<LoggedEvent>, StoreError> {
        unreachable!()
    }

    async fn read_on(&self, _: LogCursor, _: u32, _: &LogFilter) -> Result<LogPage, ReadOnError> {
        unreachable!()
    }

    async fn changed_accounts(&self, _: LogCursor, _: u32) -> Result<ChangedAccounts, ReadOnError> {
        unreachable!()
    }

    async fn log_head(&self) -> Result<LogHead, StoreError> {
        unreachable!()
    }

    async fn coverage(&self) -> Result<LogCoverage, StoreError> {
        unreachable!()
    }

    async fn indexes_of(&self, _: &[EventId]) -> Result<Vec<Option<u64>>, StoreError> {
        unreachable!()
    }

    async fn log_index_at_mark(&self, _: u32) -> Result<u64, StoreError> {
        unreachable!()
    }
}

#[async_trait]
impl Housekeeping for NullPorts {
    async fn remove_expired_tokens(&self, _: Timestamp) -> Result<u64, StoreError> {
        unreachable!()
    }

    async fn remove_expired_device_authorizations(&self, _: Timestamp) -> Result<u64, StoreError> {
        unreachable!()
    }

    async fn remove_ended_sessions(
        &self,
        _: Timestamp,
        _: Option<SessionId>,
        _: u32,
    ) -> Result<Option<SweptSessions>, StoreError> {
        unreachable!()
    }

    async fn continue_erasures(&self, _: u32) -> Result<bool, StoreError> {
        unreachable!()
    }

    async fn remove_unused_mail_budgets(&self, _: Timestamp) -> Result<u64, StoreError> {
        unreachable!()
    }

    async fn mark_log(&self, _: Option<LogMark>, _: u32) -> Result<LogMark, StoreError> {
        unreachable!()
    }
}

#[async_trait]
impl TransparencyLog for NullPorts {
    fn key(&self) -> String {
        unreachable!()
    }

    async fn latest_checkpoint(&self) -> Result<Option<String>, StoreError> {
        unreachable!()
    }

    async fn prove_inclusion(&self, _: u64, _: Option<u64>) -> Result<InclusionProof, ProofError> {
        unreachable!()
    }

    async fn prove_consistency(&self, _: u64, _: u64) -> Result<ConsistencyProof, ProofError> {
        unreachable!()
    }
}
