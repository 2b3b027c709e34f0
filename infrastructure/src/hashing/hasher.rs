//! The password hasher.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use authlog_application::ports::{
    Entropy, HashStrength, HashingClient, HashingError, HashingPlace, PasswordHash, PasswordHasher,
    UnusableHash,
};
use authlog_application::{ClientPresence, NewPassword, Password};
use authlog_domain::Flaw;

use super::cpu_time::CpuTime;
use super::memory::{ArgonError, ArgonMemory, Scheme, can_be_had};
use super::parameters::{Argon2Parameters, InvalidParameters};
use super::pool::{Place, Pool, PoolError};
use super::stored::{OUTPUT_BYTES, SALT_BYTES, StoredHash, new_hash};
use crate::limits::Network;

/// How passwords are hashed, and how many may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Argon2Settings {
    /// The parameters of new hashes.
    pub parameters: Argon2Parameters,
    /// The number of threads, and so of concurrent hashes, at least one. Each thread keeps its own memory.
    pub threads: usize,
    /// The number of passwords that may wait.
    pub queue: usize,
    /// The time within which an answer is of use. At most as many passwords wait as the threads can hash in half of it, and
    /// none waits for more than nine tenths of it.
    pub deadline: Duration,
}

impl Default for Argon2Settings {
    /// One thread for each core, a deadline of five seconds, after which people give up, and a queue that a fast core can
    /// process in that time. The queue bounds the memory, and the deadline bounds the wait.
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            parameters: Argon2Parameters::default(),
            threads,
            queue: threads.saturating_mul(320),
            deadline: Duration::from_secs(5),
        }
    }
}

/// Argon2id (RFC 9106) on dedicated threads, so that no other work waits for hashing.
pub struct Argon2PasswordHasher {
    pool: Pool<ArgonMemory>,
    scheme: Scheme,
    entropy: Arc<dyn Entropy>,
    deadline: Duration,
}

/// Why the hasher cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum HasherError {
    /// The parameters are out of bounds.
    #[error(transparent)]
    Parameters(#[from] InvalidParameters),
    /// The operating system cannot start a thread.
    #[error("the threads that hash passwords cannot be started")]
    Threads(#[source] std::io::Error),
}

impl Argon2PasswordHasher {
    /// Starts the threads. Their memory is allocated with their first hash.
    ///
    /// # Errors
    /// The parameters are out of bounds, or a thread cannot be started.
    pub fn start(settings: Argon2Settings, entropy: Arc<dyn Entropy>) -> Result<Self, HasherError> {
        let params = settings.parameters.checked(OUTPUT_BYTES)?;
        let usual = params.clone();
        if let Err(error) = can_be_had(&params, settings.threads) {
            tracing::error!(
                %error,
                threads = settings.threads,
                memory_kib = params.m_cost(),
                "not enough memory to hash passwords (ulimit -v); requests that need it will be refused"
            );
        }
        let pool = Pool::start(
            "password-hash",
            settings.threads,
            settings.queue,
            settings.deadline,
            move || ArgonMemory::new(&usual),
        )
        .map_err(HasherError::Threads)?;
        Ok(Self {
            pool,
            scheme: Scheme::argon2id(params),
            entropy,
            deadline: settings.deadline,
        })
    }

    /// Accepts no more passwords, and finishes the waiting ones.
    pub async fn stop(&self) {
        self.pool.stop().await;
    }
}

impl PasswordHasher for Argon2PasswordHasher {
    fn reserve(&self, client: &HashingClient) -> Result<Box<dyn HashingPlace>, HashingError> {
        let place = self.pool.reserve(Network::of(client.address));
        Ok(Box::new(Reserved {
            place: place.map_err(|error| to_port_error(error, self.deadline))?,
            presence: client.presence.clone(),
            scheme: self.scheme.clone(),
            entropy: Arc::clone(&self.entropy),
            deadline: self.deadline,
        }))
    }

    fn standing(&self, hash: &PasswordHash) -> Result<HashStrength, UnusableHash> {
        let hash = StoredHash::parse(hash).map_err(|error| UnusableHash(error.into()))?;
        Ok(if hash.is_outdated(&self.scheme.params) {
            HashStrength::Outdated
        } else {
            HashStrength::Current
        })
    }

    fn should_be_renewed(&self, hash: &PasswordHash, password: &Password) -> bool {
        StoredHash::parse(hash).is_ok_and(|hash| {
            hash.is_outdated(&self.scheme.params) && hash.reads_all_of(password.expose_to_hasher())
        })
    }
}

/// A reserved place in the queue.
struct Reserved {
    place: Place<ArgonMemory>,
    presence: ClientPresence,
    scheme: Scheme,
    entropy: Arc<dyn Entropy>,
    deadline: Duration,
}

impl Reserved {
    /// Runs this work with a password on a hashing thread.
    async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce(&mut ArgonMemory) -> Result<T, ArgonError> + Send + 'static,
    ) -> Result<T, HashingError> {
        let made = self.place.run(self.presence.gone(), work).await;
        let made = made.map_err(|error| to_port_error(error, self.deadline))?;
        made.map_err(|error| HashingError::Failed(error.into()))
    }
}

#[async_trait]
impl HashingPlace for Reserved {
    async fn hash(
        self: Box<Self>,
        password: NewPassword,
    ) -> Result<Result<PasswordHash, Flaw>, HashingError> {
        let mut salt = [0; SALT_BYTES];
        self.entropy.fill(&mut salt);
        let scheme = self.scheme.clone();
        self.run(move |memory| match password.checked() {
            Ok(password) => new_hash(&scheme, password.expose_to_hasher(), &salt, memory).map(Ok),
            Err(flaw) => Ok(Err(flaw)),
        })
        .await
    }

    async fn verify(
        self: Box<Self>,
        password: Password,
        hash: Option<PasswordHash>,
    ) -> Result<bool, HashingError> {
        let scheme = self.scheme.clone();
        let Some(hash) = hash else {
            // A constant salt: the work is the same, and the result is discarded.
            let salt = [0; SALT_BYTES];
            let work =
                move |memory: &mut _| new_hash(&scheme, password.expose_to_hasher(), &salt, memory);
            return self.run(work).await.map(|_| false);
        };
        let hash = StoredHash::parse(&hash).map_err(|error| HashingError::Failed(error.into()))?;
        let is_outdated = hash.is_outdated(&scheme.params);
        self.run(move |memory| {
            let begun = CpuTime::now();
            let is_right = hash.is_of(password.expose_to_hasher(), memory)?;
            if is_outdated && !is_right {
                memory.spend_remaining_time(begun)?;
            }
            Ok(is_right)
        })
        .await
    }
}

fn to_port_error(error: PoolError, deadline: Duration) -> HashingError {
    match error {
        // By then every job that waits now was run or rejected.
        PoolError::Overloaded => HashingError::Overloaded {
            retry_after: deadline,
        },
        error => HashingError::Failed(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;
    use crate::system::SystemEntropy;
    use authlog_application::PasswordPolicy;

    fn settings() -> Argon2Settings {
        Argon2Settings {
            parameters: Argon2Parameters {
                memory_kib: 64,
                ..Argon2Parameters::default()
            },
            threads: 2,
            queue: 100,
            deadline: Duration::from_secs(30),
        }
    }

    fn hasher(settings: Argon2Settings) -> Argon2PasswordHasher {
        Argon2PasswordHasher::start(settings, Arc::new(SystemEntropy)).unwrap()
    }

    fn password(text: &str) -> Password {
        Password::parse(text).unwrap()
    }

    /// A new password of which nothing is asked.
    fn new(text: &str) -> NewPassword {
        NewPassword::already_in_use(password(text))
    }

    /// The hash of such a password.
    async fn hash_of(hasher: &Argon2PasswordHasher, text: &str) -> PasswordHash {
        hash_new(hasher, new(text)).await.unwrap().unwrap()
    }

    async fn hash_new(
        hasher: &Argon2PasswordHasher,
        password: NewPassword,
    ) -> Result<Result<PasswordHash, Flaw>, HashingError> {
        hasher.hash(password, &HashingClient::default()).await
    }

    async fn is_of(
        hasher: &Argon2PasswordHasher,
        text: &str,
        hash: Option<PasswordHash>,
    ) -> Result<bool, HashingError> {
        let client = HashingClient::default();
        hasher.verify(password(text), hash, &client).await
    }

    #[tokio::test]
    async fn a_hash_is_of_its_password_alone_and_never_the_same_twice() {
        let hasher = hasher(settings());
        let hash = hash_of(&hasher, "rahasia").await;
        let again = hash_of(&hasher, "rahasia").await;
        assert!(hash != again);
        let verify = |text| is_of(&hasher, text, Some(hash.clone()));
        assert!(verify("rahasia").await.unwrap());
        assert!(!verify("Rahasia").await.unwrap());
    }

    #[tokio::test]
    async fn a_hash_is_stored_as_a_phc_string_with_the_parameters_of_owasp() {
        use argon2::PasswordVerifier as _;
        let hasher = hasher(Argon2Settings {
            threads: 1,
            ..Argon2Settings::default()
        });
        let hash = hash_of(&hasher, "rahasia").await;
        let text = hash.as_stored();
        let rest = text
            .strip_prefix("$argon2id$v=19$m=19456,t=2,p=1$")
            .unwrap();
        let (salt, output) = rest.split_once('$').unwrap();
        assert_eq!((salt.len(), output.len()), (22, 43), "{text}");
        let parsed = argon2::PasswordHash::new(text).unwrap();
        let library = argon2::Argon2::default();
        assert!(library.verify_password(b"rahasia", &parsed).is_ok());
    }

    #[tokio::test]
    async fn hashes_with_other_parameters_than_the_current_ones_are_checked() {
        let costly = hasher(Argon2Settings {
            parameters: Argon2Parameters {
                memory_kib: 1024,
                iterations: 3,
                parallelism: 4,
            },
            ..settings()
        });
        let hash = hash_of(&costly, "rahasia").await;
        let verified = is_of(&hasher(settings()), "rahasia", Some(hash)).await;
        assert!(verified.unwrap());
    }

    /// Asks the only thread of a hasher something.
    async fn ask<T: Send + 'static>(
        hasher: &Argon2PasswordHasher,
        question: impl FnOnce(&ArgonMemory) -> T + Send + 'static,
    ) -> T {
        let place = hasher.pool.reserve(Network::of(None)).unwrap();
        let asked = place.run(pending(), |memory| question(memory));
        asked.await.unwrap()
    }

    #[tokio::test]
    async fn without_a_hash_the_answer_is_no_after_the_same_work() {
        let hasher = hasher(Argon2Settings {
            threads: 1,
            ..settings()
        });
        let hash = hash_of(&hasher, "rahasia").await;
        let mut written = vec![ask(&hasher, ArgonMemory::written).await];
        for hash in [None, Some(hash)] {
            assert!(!is_of(&hasher, "wrong", hash).await.unwrap());
            written.push(ask(&hasher, ArgonMemory::written).await);
        }
        // Two passes over 64 blocks for each.
        assert_eq!(written, [128, 256, 384]);
    }

    #[tokio::test]
    async fn a_new_password_that_is_easy_to_guess_is_refused_by_the_hasher_and_not_hashed() {
        let hasher = hasher(Argon2Settings {
            threads: 1,
            ..settings()
        });
        let policy = PasswordPolicy {
            min_length: 7,
            min_score: 3,
        };
        let hash = async |text| {
            let new = policy.admit(password(text), &["ahmadsolih"]).unwrap();
            hash_new(&hasher, new).await.unwrap().err()
        };
        assert_eq!(hash("letmein").await, Some(Flaw::Common));
        assert_eq!(hash("ahmadsolih1990").await, Some(Flaw::Guessable));
        assert_eq!(ask(&hasher, ArgonMemory::written).await, 0);
        assert_eq!(hash("staple-quince-orbit-lagoon").await, None);
        assert_eq!(ask(&hasher, ArgonMemory::written).await, 128);
    }

    #[tokio::test]
    async fn a_wrong_password_costs_as_much_for_a_cheap_hash_as_for_a_new_one() {
        let hasher = hasher(Argon2Settings {
            threads: 1,
            ..Argon2Settings::default()
        });
        // The first one, in fresh memory, is not what others are compared with.
        hash_of(&hasher, "rahasia").await;
        assert_eq!(ask(&hasher, ArgonMemory::took).await, None);
        let current = hash_of(&hasher, "rahasia").await;
        let usual = ask(&hasher, ArgonMemory::took).await.unwrap();
        let cheap = "$2b$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK";
        let cheap = PasswordHash::from_stored(cheap.to_owned());
        assert_eq!(hasher.standing(&current).unwrap(), HashStrength::Current);
        assert_eq!(hasher.standing(&cheap).unwrap(), HashStrength::Outdated);

        let renewed = |length| {
            let password = Password::parse(&"\u{e9}".repeat(length)).unwrap();
            hasher.should_be_renewed(&cheap, &password)
        };
        // In bytes, and not in letters.
        assert!(renewed(35) && !renewed(36));

        let written = ask(&hasher, ArgonMemory::written).await;
        let right = is_of(&hasher, "U*U*", Some(cheap.clone())).await;
        assert!(right.unwrap());
        assert_eq!(ask(&hasher, ArgonMemory::written).await, written);

        let begun = ask(&hasher, |_| CpuTime::now()).await;
        let right = is_of(&hasher, "wrong", Some(cheap)).await;
        assert!(!right.unwrap());
        let worked = ask(&hasher, move |_| begun.elapsed()).await;
        assert_eq!(ask(&hasher, ArgonMemory::took).await, Some(usual));
        assert!(worked >= usual, "{worked:?} against {usual:?}");
    }

    #[tokio::test]
    async fn a_stored_hash_that_cannot_be_read_is_an_error_and_says_nothing_of_it() {
        let stored = "$argon2id$v=19$m=4294967295,t=9,p=1$c29tZXNhbHQ$c2VjcmV0c2VjcmV0";
        let hash = PasswordHash::from_stored(stored.to_owned());
        let error = is_of(&hasher(settings()), "rahasia", Some(hash))
            .await
            .unwrap_err();
        assert!(matches!(error, HashingError::Failed(_)));
        assert!(!format!("{error:?}").contains("c2VjcmV0"));
    }

    #[tokio::test]
    async fn more_passwords_than_can_wait_are_turned_away_at_once() {
        let hasher = hasher(Argon2Settings {
            parameters: Argon2Parameters::default(),
            threads: 1,
            queue: 2,
            deadline: Duration::from_secs(30),
        });
        let hasher = Arc::new(hasher);
        let callers: Vec<_> = (0..20)
            .map(|_| {
                let hasher = Arc::clone(&hasher);
                tokio::spawn(async move { hash_new(&hasher, new("rahasia")).await })
            })
            .collect();
        let mut turned_away = 0;
        for caller in callers {
            match caller.await.unwrap() {
                Ok(hash) => assert!(hash.is_ok()),
                Err(HashingError::Overloaded { retry_after }) => {
                    assert_eq!(retry_after, Duration::from_secs(30));
                    turned_away += 1;
                }
                Err(error) => panic!("{error}"),
            }
        }
        assert!((10..20).contains(&turned_away), "{turned_away}");
    }

    #[tokio::test]
    async fn a_password_is_hashed_in_the_place_that_was_reserved_for_it() {
        let hasher = hasher(Argon2Settings {
            threads: 1,
            queue: 1,
            ..settings()
        });
        let hash = hash_of(&hasher, "rahasia").await;
        let reserve = || hasher.reserve(&HashingClient::default());
        let place = reserve().unwrap();
        assert!(matches!(reserve(), Err(HashingError::Overloaded { .. })));
        let right = place.verify(password("rahasia"), Some(hash)).await;
        assert!(right.unwrap());
        drop(reserve().unwrap());
        assert!(reserve().is_ok());
    }

    #[tokio::test]
    async fn a_stopped_hasher_hashes_nothing() {
        let hasher = hasher(settings());
        hasher.stop().await;
        let refused = hash_new(&hasher, new("rahasia")).await;
        assert!(matches!(refused, Err(HashingError::Failed(_))));
    }

    #[test]
    fn parameters_out_of_bounds_are_refused_at_the_start() {
        let parameters = Argon2Parameters {
            memory_kib: 7,
            ..Argon2Parameters::default()
        };
        let settings = Argon2Settings {
            parameters,
            ..settings()
        };
        let refused = Argon2PasswordHasher::start(settings, Arc::new(SystemEntropy));
        assert!(refused.err().unwrap().to_string().contains("m=7"));
    }
}
