//! The crate `openidconnect` signs in: discovery, the code flow with PKCE, the ID token, userinfo and a refresh.

mod http;

use std::io::{self, BufRead as _, Write as _};

use openidconnect::core::{
    CoreAuthenticationFlow, CoreClient, CoreProviderMetadata, CoreUserInfoClaims,
};
use openidconnect::{
    AccessTokenHash, AuthorizationCode, ClientId, ClientSecret, CsrfToken, IssuerUrl, Nonce,
    OAuth2TokenResponse as _, PkceCodeChallenge, RedirectUrl, Scope, TokenResponse as _,
};
use serde_json::{Value, json};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let settings: Value = serde_json::from_str(&std::env::args().nth(1).ok_or("no settings")?)?;
    let text = |name: &str| settings[name].as_str().unwrap_or_default().to_owned();
    let metadata = CoreProviderMetadata::discover(&IssuerUrl::new(text("issuer"))?, &http::send)?;
    let client = CoreClient::from_provider_metadata(
        metadata,
        ClientId::new(text("id")),
        Some(ClientSecret::new(text("secret"))),
    )
    .set_redirect_uri(RedirectUrl::new(text("redirect_uri"))?);

    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let (url, state, nonce) = client
        .authorize_url(
            CoreAuthenticationFlow::AuthorizationCode,
            CsrfToken::new_random,
            Nonce::new_random,
        )
        .add_scope(Scope::new("email".to_owned()))
        .set_pkce_challenge(challenge)
        .url();
    let answer = open_in_browser(url.as_str())?;
    let parameter = |name: &str| {
        answer
            .query_pairs()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    };
    if parameter("state").as_ref() != Some(state.secret()) {
        return Err("another state".into());
    }

    let code = AuthorizationCode::new(parameter("code").ok_or("no code")?);
    let tokens = client
        .exchange_code(code)?
        .set_pkce_verifier(verifier)
        .request(&http::send)?;
    let id_token = tokens.id_token().ok_or("no ID token")?;
    let verified = client.id_token_verifier();
    let claims = id_token.claims(&verified, &nonce)?;
    if let Some(expected) = claims.access_token_hash() {
        let actual = AccessTokenHash::from_token(
            tokens.access_token(),
            id_token.signing_alg()?,
            id_token.signing_key(&verified)?,
        )?;
        if actual != *expected {
            return Err("another at_hash".into());
        }
    }

    let info: CoreUserInfoClaims = client
        .user_info(
            tokens.access_token().clone(),
            Some(claims.subject().clone()),
        )?
        .request(&http::send)?;
    if info.email().map(|it| it.as_str()) != Some(&text("email")) {
        return Err("another e-mail address".into());
    }
    let refresh = tokens.refresh_token().ok_or("no refresh token")?;
    let refreshed = client
        .exchange_refresh_token(refresh)?
        .request(&http::send)?;
    if refreshed.access_token().secret() == tokens.access_token().secret() {
        return Err("the access token is the old one".into());
    }
    Ok(())
}

/// Lets the harness open an address, and returns that of the answer.
fn open_in_browser(url: &str) -> Result<openidconnect::url::Url, Failure> {
    println!("{}", json!({ "open": url }));
    io::stdout().flush()?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    Ok(openidconnect::url::Url::parse(line.trim())?)
}
