//! The four contracts: the requests and the refusals of each.

use serde_json::{Value, json};

use super::form::{NOW_DAY_FIRST, NOW_MILLIS, TEXT, TEXTS, assert_fits};
use super::http::Http;
use super::{Answer, Endpoint, Person, api, api_auth, eventually, users, v1_auth};

/// A published contract, named by its base path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contract {
    ApiAuth,
    Users,
    Api,
    V1Auth,
}

impl Contract {
    pub const ALL: [Self; 4] = [Self::ApiAuth, Self::Users, Self::Api, Self::V1Auth];

    /// The path below which this contract answers.
    pub const fn base(self) -> &'static str {
        match self {
            Self::ApiAuth => "/api/auth",
            Self::Users => "/users",
            Self::Api => "/api",
            Self::V1Auth => "/v1/auth",
        }
    }

    /// The contract of a documented endpoint.
    #[track_caller]
    pub fn of(endpoint: Endpoint) -> Self {
        // `/api/auth` lies below `/api`, so the longest base decides.
        Self::ALL
            .into_iter()
            .filter(|contract| endpoint.path.starts_with(contract.base()))
            .max_by_key(|contract| contract.base().len())
            .unwrap_or_else(|| panic!("no contract has {endpoint}"))
    }

    /// The endpoint that registers.
    pub const fn registration(self) -> Endpoint {
        match self {
            Self::ApiAuth => api_auth::REGISTER,
            Self::Users => users::REGISTER,
            Self::Api => api::REGISTER,
            Self::V1Auth => v1_auth::REGISTER,
        }
    }

    /// The endpoint that signs in.
    pub const fn login(self) -> Endpoint {
        match self {
            Self::ApiAuth => api_auth::LOGIN,
            Self::Users => users::LOGIN,
            Self::Api => api::LOGIN,
            Self::V1Auth => v1_auth::LOGIN,
        }
    }

    /// The body with which `person` registers. At `/users`, whose only name is `username`, that is the e-mail address.
    pub fn registration_of(self, person: &Person) -> Value {
        let Person {
            username,
            email,
            name,
            password,
        } = person;
        match self {
            Self::ApiAuth => json!({"username": username, "email": email, "password": password}),
            Self::Users => json!({"username": email, "password": password}),
            Self::Api | Self::V1Auth => json!({"name": name, "email": email, "password": password}),
        }
    }

    /// The body of a login as `identifier`.
    pub fn login_of(self, identifier: &str, password: &str) -> Value {
        match self {
            Self::ApiAuth | Self::Users => json!({"username": identifier, "password": password}),
            Self::Api | Self::V1Auth => json!({"email": identifier, "password": password}),
        }
    }

    /// Registers `person`.
    pub async fn register(self, http: &Http, person: &Person) -> Answer {
        let body = self.registration_of(person);
        http.send(self.registration()).json(&body).await
    }

    /// Registers `person` and asserts that it worked.
    pub async fn registers(self, http: &Http, person: &Person) {
        let answer = self.register(http, person).await;
        let created = match self {
            Self::ApiAuth | Self::Api => 201,
            Self::Users | Self::V1Auth => 200,
        };
        assert_eq!(answer.status, created, "{answer}");
    }

    /// Sends a login of `person` by the e-mail address.
    pub async fn sign_in(self, http: &Http, person: &Person) -> Answer {
        let body = self.login_of(&person.email, &person.password);
        http.send(self.login()).json(&body).await
    }

    /// Signs `person` in and returns the tokens.
    pub async fn signs_in(self, http: &Http, person: &Person) -> Tokens {
        let answer = self.sign_in(http, person).await;
        assert_eq!(answer.status, 200, "{answer}");
        self.tokens_in(&answer.json())
    }

    /// The tokens in the answer to a login.
    #[track_caller]
    pub fn tokens_in(self, body: &Value) -> Tokens {
        let (access, refresh) = match self {
            Self::ApiAuth => (
                "/data/access_token/token",
                Some("/data/refresh_token/token"),
            ),
            Self::Users => ("/data/access_token", Some("/data/refresh_token")),
            Self::Api => ("/token", None),
            Self::V1Auth => ("/data/token", None),
        };
        let text = |pointer: &str| {
            let value = body.pointer(pointer).and_then(Value::as_str);
            value
                .unwrap_or_else(|| panic!("no token at {pointer} of {body}"))
                .to_owned()
        };
        Tokens {
            access: text(access),
            refresh: refresh.map(text),
        }
    }

    /// Asserts that `answer` is this contract's refusal of a taken e-mail address.
    #[track_caller]
    pub fn says_email_taken(self, answer: &Answer) {
        match self {
            Self::ApiAuth => answer.is(
                400,
                &json!({"timestamp": NOW_MILLIS, "statusCode": 400, "status": "error",
                    "message": "email already exist, try another", "errors": {"email": TEXTS}}),
            ),
            Self::Users => answer.is(400, &refusal_of_users(400, "username already exist")),
            Self::Api => answer.is(
                409,
                &json!({"status": 409, "timestamp": NOW_DAY_FIRST, "message": "email already registered"}),
            ),
            Self::V1Auth => answer.is(
                400,
                &json!({"code": 400, "status": "failed", "message": "Bad Request",
                    "errors": {"email": "The email is already exists"}}),
            ),
        };
    }

    /// Asserts that `answer` is this contract's refusal of a wrong name or password.
    #[track_caller]
    pub fn says_wrong_credentials(self, answer: &Answer) {
        match self {
            Self::ApiAuth => answer.is(
                403,
                &refusal_of_api_auth(403, "Username or Password is wrong"),
            ),
            Self::Users => answer.is(
                400,
                &refusal_of_users(400, "username and password not match"),
            ),
            Self::Api => answer.is(401, &refusal_of_api(401, TEXT)),
            Self::V1Auth => answer.is(
                400,
                &json!({"code": 400, "status": "failed", "message": "Bad Request",
                    "errors": {"password": "The password is not match"}}),
            ),
        };
    }

    /// Asserts that `answer` is a refusal with this HTTP status in this contract's envelope. The message can be any.
    #[track_caller]
    pub fn refuses(self, answer: &Answer, status: u16) {
        assert_eq!(answer.status, status, "{answer}");
        let mut body = answer.json();
        if let Some(errors) = body.as_object_mut().and_then(|body| body.remove("errors")) {
            self.has_error_list(&errors);
        }
        let expected = match self {
            Self::ApiAuth => refusal_of_api_auth(status, TEXT),
            Self::Users => refusal_of_users(status, TEXT),
            Self::Api => refusal_of_api(status, TEXT),
            Self::V1Auth => json!({"code": status, "status": "failed", "message": TEXT}),
        };
        assert_fits(&expected, &body, &answer.to_string());
    }

    /// Asserts that `answer` is a client error in this contract's envelope.
    #[track_caller]
    pub fn refuses_the_client(self, answer: &Answer) {
        assert!((400..500).contains(&answer.status), "{answer}");
        self.refuses(answer, answer.status);
    }

    /// Asserts that `errors` has the form of this contract's list of errors.
    #[track_caller]
    fn has_error_list(self, errors: &Value) {
        match (self, errors) {
            (Self::ApiAuth, Value::Object(errors)) => {
                for (field, sentences) in errors {
                    assert_fits(&json!(TEXTS), sentences, field);
                }
            }
            (Self::Api, Value::Array(errors)) => {
                for error in errors {
                    let mut error = error.clone();
                    let members = error.as_object_mut().expect("an object");
                    let rejected = members.remove("rejected_value");
                    assert!(rejected.is_some(), "no rejected_value: {error}");
                    assert_fits(&json!({"field": TEXT, "message": TEXT}), &error, "error");
                }
            }
            (Self::V1Auth, Value::Object(errors)) => {
                for (field, sentence) in errors {
                    assert_fits(&json!(TEXT), sentence, field);
                }
            }
            (contract, errors) => panic!("{contract:?} has no such list of errors: {errors}"),
        }
    }
}

/// The tokens of a login.
#[derive(Clone, Debug)]
pub struct Tokens {
    pub access: String,
    pub refresh: Option<String>,
}

impl Tokens {
    /// The refresh token. Panics for a contract without refresh tokens.
    #[track_caller]
    pub fn refresh(&self) -> &str {
        self.refresh.as_deref().expect("a refresh token")
    }
}

/// The refusal of `/api/auth` without `errors`.
pub fn refusal_of_api_auth(status: u16, message: &str) -> Value {
    json!({"timestamp": NOW_MILLIS, "statusCode": status, "status": "error", "message": message})
}

/// The refusal of `/users`.
pub fn refusal_of_users(status: u16, message: &str) -> Value {
    json!({"status": status, "message": message, "data": null, "refrence": null, "error": true})
}

/// The refusal of `/api` without `errors`.
pub fn refusal_of_api(status: u16, message: &str) -> Value {
    json!({"status": status, "timestamp": NOW_DAY_FIRST, "message": message})
}

/// The success of `/users`.
pub fn success_of_users(message: &str, data: &Value) -> Value {
    json!({"status": 200, "message": message, "data": data, "refrence": null, "error": false})
}

/// Asserts that `token` authenticates, at the verify endpoint of `/users`.
pub async fn verifies(http: &Http, token: &str) {
    let answer = http.send(users::VERIFY).authorization(token).await;
    answer.is(200, &success_of_users("token verified", &Value::Null));
}

/// Asserts that `token` does not authenticate.
pub async fn is_refused(http: &Http, token: &str) {
    let answer = http.send(users::VERIFY).authorization(token).await;
    answer.is(
        400,
        &refusal_of_users(400, "please provided a valid access_token!"),
    );
}

/// Waits until a node refuses `token`, and asserts that it keeps refusing it.
pub async fn eventually_refuses(http: &Http, token: &str) {
    eventually("the token is refused", async || {
        let answer = http.send(users::VERIFY).authorization(token).await;
        (answer.status == 400).then_some(())
    })
    .await;
    for _ in 0..20 {
        is_refused(http, token).await;
    }
}

/// Asserts that no refresh endpoint accepts `token`.
pub async fn refreshes_nothing(http: &Http, token: &str) {
    let answer = http.send(api_auth::REFRESH).bearer(token).await;
    answer.is(401, &refusal_of_api_auth(401, "Unauthorized"));
    let answer = http
        .send(api_auth::REFRESH_TOKEN)
        .cookie("refreshToken", token)
        .await;
    answer.is(
        401,
        &refusal_of_api_auth(401, "Invalid or expired refresh token"),
    );
    let answer = http.send(users::REFRESH).authorization(token).await;
    answer.is(
        400,
        &refusal_of_users(400, "please provided a valid refresh_token!"),
    );
}
