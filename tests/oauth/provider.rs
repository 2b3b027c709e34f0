//! A running provider with one person, one browser and one application.

use std::sync::Arc;
use std::time::Duration;

use authlog_infrastructure::system::SystemEntropy;
use authlog_infrastructure::tokens::KeyedFactorSecrets;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::Value;

use crate::support::administered_account::another_node;
use crate::support::browser::Browser;
use crate::support::http::Http;
use crate::support::oauth::{
    App, Begun, Callback, Granted, Registration, callback_of, completes, userinfo,
};
use crate::support::{Contract, Person, Program, Settings, Store, eventually, own};

/// The provider, and who uses it.
pub struct Provider {
    pub service: Program,
    pub app: App,
    pub person: Person,
    pub browser: Browser,
}

impl Provider {
    /// With a confidential application that sends no PKCE challenge, as most modules of the conformance suite.
    pub async fn on(store: Store) -> Self {
        let registration = Registration::confidential("app").without_pkce();
        Self::with(Settings::on(store), &registration).await
    }

    /// With a public application, which has to send one.
    pub async fn with_public_app(store: Store) -> Self {
        Self::with(Settings::on(store), &Registration::public("app")).await
    }

    /// With these settings and this application.
    pub async fn with(settings: Settings, registration: &Registration) -> Self {
        let service = settings.with_cheap_hashing().start().await;
        let http = service.http();
        let person = Person::called("ann");
        Contract::ApiAuth.registers(&http, &person).await;
        let app = registration.at(&service);
        has_key_for_id_tokens(&service).await;
        Self {
            app,
            person,
            browser: Browser::new(&http),
            service,
        }
    }

    /// The key under which the service seals what clients keep.
    pub async fn secrets(&self) -> KeyedFactorSecrets {
        let node = another_node(&self.service).await;
        let secret = node.shared_secret("reset-token-key", &[0; 32]).await;
        let secret = <[u8; 32]>::try_from(secret.unwrap().as_slice()).unwrap();
        KeyedFactorSecrets::new(&secret, Arc::new(SystemEntropy)).unwrap()
    }

    pub fn http(&self) -> Http {
        self.service.http()
    }

    /// The person signs in to the application.
    pub async fn signs_in(&mut self, scope: &str) -> (Begun, Granted) {
        let begun = self.app.begins(scope);
        let granted = self.completes(&begun).await;
        (begun, granted)
    }

    /// The person does what the request asks for, and the application redeems the code.
    pub async fn completes(&mut self, begun: &Begun) -> Granted {
        let callback = self.is_called_back(begun).await;
        self.app.redeems(begun, &callback).await
    }

    /// The person does what the request asks for.
    pub async fn is_called_back(&mut self, begun: &Begun) -> Callback {
        begun.open_in(&mut self.browser).await;
        completes(&mut self.browser, &self.person).await
    }

    /// The request is answered without a page.
    pub async fn is_answered_at_once(&mut self, begun: &Begun) -> Callback {
        begun.open_in(&mut self.browser).await;
        let callback = callback_of(&self.browser);
        begun.is_answered_by(&callback);
        callback
    }

    /// The request, which was pushed and is sent as `sent`, is answered without a page.
    pub async fn is_answered_at_once_by(&mut self, begun: &Begun, sent: &Begun) -> Callback {
        sent.open_in(&mut self.browser).await;
        let callback = callback_of(&self.browser);
        begun.is_answered_by(&callback);
        callback
    }

    /// What the userinfo endpoint says after a login with this scope. `sub` is that of the ID token.
    pub async fn info_of(&mut self, scope: &str) -> Value {
        let (_, granted) = self.signs_in(scope).await;
        let info = userinfo(&self.http(), &granted.access).await;
        assert_eq!(info["sub"], granted.id_claims()["sub"]);
        info
    }

    /// `auth_time` has seconds.
    pub async fn a_second_passes(&self) {
        tokio::time::sleep(Duration::from_millis(1100)).await;
    }

    /// The discovery document.
    pub async fn metadata(&self) -> Value {
        self.service.send(own::PROVIDER_METADATA).await.json()
    }

    /// Asserts that the discovery document denies a feature.
    pub async fn says_unsupported(&self, member: &str) {
        assert_eq!(self.metadata().await[member], false, "{member}");
    }

    /// The claims of an ID token, verified with the published keys as any library does.
    pub async fn verified(&self, id_token: &str) -> Value {
        let set: JwkSet = {
            let answer = self.service.send(own::KEY_SET).await;
            serde_json::from_str(&answer.body).unwrap()
        };
        let header = decode_header(id_token).unwrap();
        let key = set.find(header.kid.as_deref().unwrap()).unwrap();
        let mut validation = Validation::new(Algorithm::RS256);
        validation.set_audience(&[&self.app.id]);
        validation.set_issuer(&[self.metadata().await["issuer"].as_str().unwrap()]);
        let key = DecodingKey::from_jwk(key).unwrap();
        decode::<Value>(id_token, &key, &validation).unwrap().claims
    }

    /// Asserts what OpenID Connect Core §3.1.3.7 demands of the ID token.
    pub async fn has_valid_id_token(&self, begun: &Begun, granted: &Granted) {
        let claims = self.verified(granted.id_token()).await;
        assert_eq!(claims["nonce"], begun.get("nonce"), "{claims}");
        let sub = claims["sub"].as_str().unwrap();
        assert!(sub.is_ascii() && sub.len() <= 255, "{sub}");
        let (issued, expires) = (claims["iat"].as_i64(), claims["exp"].as_i64());
        assert!(issued < expires, "{claims}");
        assert!(claims["auth_time"].as_i64() <= issued, "{claims}");
    }
}

/// Waits until this node can sign ID tokens. The first key is generated after the first client was registered, by one node, and every
/// other node reads it within about a second.
pub async fn has_key_for_id_tokens(node: &Program) {
    eventually("there is a key for ID tokens", async || {
        let set = node.send(own::KEY_SET).await.json();
        let keys = set["keys"].as_array()?.iter();
        keys.clone().any(|key| key["alg"] == "RS256").then_some(())
    })
    .await;
}
