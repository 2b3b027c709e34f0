//! Every endpoint by name. `tests/coverage.rs` compares this list with the documents, and the tests with this list.

/// A method and a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    pub method: &'static str,
    pub path: &'static str,
}

impl Endpoint {
    /// An endpoint that the list below does not name.
    pub const fn at(method: &'static str, path: &'static str) -> Self {
        Self { method, path }
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

macro_rules! endpoints {
    ($(
        $(#[$doc:meta])*
        $module:ident { $($name:ident: $method:ident $path:literal,)+ }
    )+) => {
        $(
            $(#[$doc])*
            pub mod $module {
                use super::Endpoint;
                $(pub const $name: Endpoint = Endpoint::at(stringify!($method), $path);)+
            }
        )+

        /// Each endpoint with the name by which tests send to it.
        pub const NAMED: &[(&str, Endpoint)] = &[
            $($((concat!(stringify!($module), "::", stringify!($name)), $module::$name),)+)+
        ];
    };
}

endpoints! {
    /// `api-auth-a.md`, `api-auth-b.md`.
    api_auth {
        REGISTER: POST "/api/auth/register",
        LOGIN: POST "/api/auth/login",
        LOGOUT: POST "/api/auth/logout",
        REFRESH: POST "/api/auth/refresh",
        REFRESH_TOKEN: POST "/api/auth/refresh-token",
    }
    /// `users.md`.
    users {
        REGISTER: POST "/users",
        LOGIN: POST "/users/login",
        VERIFY: GET "/users/verify-token",
        REFRESH: POST "/users/refresh-token",
        REQUEST_RESET: POST "/users/reset-password",
        VERIFY_RESET: GET "/users/reset-password/verify-token",
        UPDATE_PASSWORD: PUT "/users/reset-password/update-password",
    }
    /// `api.md`.
    api {
        REGISTER: POST "/api/register",
        LOGIN: POST "/api/login",
    }
    /// `v1-auth.md`.
    v1_auth {
        REGISTER: POST "/v1/auth/register",
        LOGIN: POST "/v1/auth/login",
    }
    /// Authlog's native endpoints, which no document describes.
    own {
        HEALTHZ: GET "/healthz",
        READYZ: GET "/readyz",
        METRICS: GET "/metrics",
        LOG_KEY: GET "/audit/log/key",
        LOG_CHECKPOINT: GET "/audit/log/checkpoint",
        LOG_PROOF: GET "/audit/log/proof",
        KEY_SET: GET "/.well-known/jwks.json",
        PROVIDER_METADATA: GET "/.well-known/openid-configuration",
        AUTHORIZE: GET "/oauth2/authorize",
        AUTHORIZE_BY_POST: POST "/oauth2/authorize",
        CONSENT_FORM: POST "/consent",
        END_SESSION: GET "/oauth2/end_session",
        END_SESSION_BY_POST: POST "/oauth2/end_session",
        TOKEN: POST "/oauth2/token",
        DEVICE_AUTHORIZATION: POST "/oauth2/device_authorization",
        DEVICE_PAGE: GET "/device",
        DEVICE_FORM: POST "/device",
        DEVICE_DECISION: POST "/device/decision",
        USERINFO: GET "/oauth2/userinfo",
        PAR: POST "/oauth2/par",
        USERINFO_BY_POST: POST "/oauth2/userinfo",
        METADATA: GET "/.well-known/oauth-authorization-server",
        INTROSPECT: POST "/oauth2/introspect",
        REVOKE: POST "/oauth2/revoke",
        FORWARD_AUTH: GET "/forward-auth",
        FEED: GET "/audit/events",
        ASYNC_API: GET "/asyncapi.json",
        HOME_PAGE: GET "/",
        SIGN_IN_PAGE: GET "/sign-in",
        SIGN_IN_FORM: POST "/sign-in",
        CODE_FORM: POST "/sign-in/code",
        SIGN_UP_PAGE: GET "/sign-up",
        SIGN_UP_FORM: POST "/sign-up",
        SIGN_OUT_PAGE: GET "/sign-out",
        SIGN_OUT_FORM: POST "/sign-out",
        SECURITY_PAGE: GET "/security",
        FORGOTTEN_PASSWORD_PAGE: GET "/forgotten-password",
        FORGOTTEN_PASSWORD_FORM: POST "/forgotten-password",
        RESET_PAGE: GET "/reset-password",
        RESET_FORM: POST "/reset-password",
        PROFILE: GET "/account",
        ERASE: DELETE "/account",
        ERASE_BY_POST: POST "/account/erase",
        ICON: GET "/favicon.ico",
        FACTORS: GET "/account/factors",
        BEGIN_TOTP: POST "/account/factors/totp",
        PASSKEY_CREATION: POST "/account/factors/passkeys/options",
        ENROL_PASSKEY: POST "/account/factors/passkeys",
        RECOVERY_CODES: POST "/account/recovery-codes",
        STEP_UP: POST "/account/step-up",
        STEP_UP_OPTIONS: POST "/account/step-up/options",
        SECOND_FACTOR: POST "/sign-in/second-factor",
        SECOND_FACTOR_OPTIONS: POST "/sign-in/second-factor/options",
        PASSKEY_OPTIONS: POST "/sign-in/passkey/options",
        PASSKEY_SIGN_IN: POST "/sign-in/passkey",
        HISTORY: GET "/account/history",
        SESSIONS: GET "/account/sessions",
        END_OTHER_SESSIONS: DELETE "/account/sessions",
        CHANGE_PASSWORD: POST "/account/password",
        CHANGE_EMAIL: POST "/account/email",
        REQUEST_VERIFICATION: POST "/account/email/verification",
        EMAIL_PAGE: GET "/verify-email",
        EMAIL_FORM: POST "/verify-email",
        USERS: GET "/admin/users",
        CLIENTS: GET "/admin/clients",
        REGISTER_CLIENT: POST "/admin/clients",
    }
}
