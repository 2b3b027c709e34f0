//! The service's pool of hashing threads alone.

use std::sync::Arc;
use std::time::Duration;

use authlog_application::ports::{HashingClient, PasswordHasher as _};
use authlog_application::{NewPassword, Password};
use authlog_infrastructure::hashing::{Argon2PasswordHasher, Argon2Settings};
use authlog_infrastructure::system::SystemEntropy;

use crate::load::{Sample, Visitor, load};

struct Hash(Arc<Argon2PasswordHasher>);

impl Visitor for Hash {
    async fn visit(&mut self) -> anyhow::Result<()> {
        let password =
            Password::parse("opens-sesame").map_err(|flaw| anyhow::anyhow!("{flaw:?}"))?;
        let password = NewPassword::already_in_use(password);
        let hash = self.0.hash(password, &HashingClient::default()).await?;
        hash.map(|_| ()).map_err(|flaw| anyhow::anyhow!("{flaw:?}"))
    }
}

/// Hashes passwords for as many clients as the service has.
pub(crate) async fn measure(clients: usize, a_while: Duration) -> anyhow::Result<Sample> {
    let pool = Argon2PasswordHasher::start(Argon2Settings::default(), Arc::new(SystemEntropy))?;
    let pool = Arc::new(pool);
    let mut visitors = (0..clients).map(|_| Hash(Arc::clone(&pool))).collect();
    let sample = load(&mut visitors, a_while).await?;
    pool.stop().await;
    Ok(sample)
}
