//! The four contracts: how each is spoken to and in what words it refuses.

use serde_json::{Value, json};

use super::form::{NOW_DAY_FIRST, NOW_MILLIS, TEXT, TEXTS, assert_fits};
use super::http::Http;
use super::{Answer, Endpoint, Person, api, api_auth, eventually, users, v1_auth};

/// A published contract, named as `docs/contracts/README.md` does.
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

    /// Whose words an endpoint of the documents is answered in.
    #[track_caller]
    pub fn of(endpoint: Endpoint) -> Self {
        // A's base lies below D's, so the longest base decides.
        Self::ALL
            .into_iter()
            .filter(|contract| endpoint.path.starts_with(contract.base()))
            .max_by_key(|contract| contract.base().len())
            .unwrap_or_else(|| panic!("no contract has {endpoint}"))
    }

    /// Where it registers.
    pub const fn registration(self) -> Endpoint {
        match self {
            Self::ApiAuth => api_auth::REGISTER,
            Self::Users => users::REGISTER,
            Self::Api => api::REGISTER,
            Self::V1Auth => v1_auth::REGISTER,
        }
    }

    /// Where it signs in.
    pub const fn login(self) -> Endpoint {
        match self {
            Self::ApiAuth => api_auth::LOGIN,
            Self::Users => users::LOGIN,
            Self::Api => api::LOGIN,
            Self::V1Auth => v1_auth::LOGIN,
        }
    }

    /// The body with which `person` registers. Through C, whose only name is `username`, by the e-mail address.
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

    /// The body with which whoever is called `identifier` signs in.
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

    /// Registers `person`, who is new, and makes sure that it worked.
    pub async fn registers(self, http: &Http, person: &Person) {
        let answer = self.register(http, person).await;
        let created = match self {
            Self::ApiAuth | Self::Api => 201,
            Self::Users | Self::V1Auth => 200,
        };
        assert_eq!(answer.status, created, "{answer}");
    }

    /// Tries to sign `person` in by the e-mail address.
    pub async fn sign_in(self, http: &Http, person: &Person) -> Answer {
        let body = self.login_of(&person.email, &person.password);
        http.send(self.login()).json(&body).await
    }

    /// Signs `person` in and returns what the contract hands out.
    pub async fn signs_in(self, http: &Http, person: &Person) -> Tokens {
        let answer = self.sign_in(http, person).await;
        assert_eq!(answer.status, 200, "{answer}");
        self.tokens_in(&answer.json())
    }

    /// The tokens in the body of an answer to a login.
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

    /// Makes sure that `answer` says that the e-mail address is taken, exactly as this contract says it.
    #[track_caller]
    pub fn says_email_taken(self, answer: &Answer) {
        match self {
            Self::ApiAuth => answer.is(
                400,
                &json!({"timestamp": NOW_MILLIS, "statusCode": 400, "status": "error",
                    "message": "email already exist, try another", "errors": {"email": TEXTS}}),
            ),
            Self::Users => answer.is(400, &refusal_of_c(400, "username already exist")),
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

    /// Makes sure that `answer` says that name or password is wrong, exactly as this contract says it.
    #[track_caller]
    pub fn says_wrong_credentials(self, answer: &Answer) {
        match self {
            Self::ApiAuth => answer.is(403, &refusal_of_a(403, "Username or Password is wrong")),
            Self::Users => answer.is(400, &refusal_of_c(400, "username and password not match")),
            Self::Api => answer.is(401, &refusal_of_d(401, TEXT)),
            Self::V1Auth => answer.is(
                400,
                &json!({"code": 400, "status": "failed", "message": "Bad Request",
                    "errors": {"password": "The password is not match"}}),
            ),
        };
    }

    /// Makes sure that `answer` is a refusal with this HTTP status in this contract's envelope, whatever its words.
    #[track_caller]
    pub fn refuses(self, answer: &Answer, status: u16) {
        assert_eq!(answer.status, status, "{answer}");
        let mut body = answer.json();
        if let Some(errors) = body.as_object_mut().and_then(|body| body.remove("errors")) {
            self.lists(&errors);
        }
        let expected = match self {
            Self::ApiAuth => refusal_of_a(status, TEXT),
            Self::Users => refusal_of_c(status, TEXT),
            Self::Api => refusal_of_d(status, TEXT),
            Self::V1Auth => json!({"code": status, "status": "failed", "message": TEXT}),
        };
        assert_fits(&expected, &body, &answer.to_string());
    }

    /// Makes sure that `answer` refuses what the client sent.
    #[track_caller]
    pub fn refuses_the_client(self, answer: &Answer) {
        assert!((400..500).contains(&answer.status), "{answer}");
        self.refuses(answer, answer.status);
    }

    /// Makes sure that `errors` is such a list of errors as this contract has.
    #[track_caller]
    fn lists(self, errors: &Value) {
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

/// What a login hands out.
#[derive(Clone, Debug)]
pub struct Tokens {
    pub access: String,
    pub refresh: Option<String>,
}

impl Tokens {
    /// The refresh token of a contract that has them.
    #[track_caller]
    pub fn refresh(&self) -> &str {
        self.refresh.as_deref().expect("a refresh token")
    }
}

/// A's refusal without `errors`.
pub fn refusal_of_a(status: u16, message: &str) -> Value {
    json!({"timestamp": NOW_MILLIS, "statusCode": status, "status": "error", "message": message})
}

/// C's refusal.
pub fn refusal_of_c(status: u16, message: &str) -> Value {
    json!({"status": status, "message": message, "data": null, "refrence": null, "error": true})
}

/// D's refusal without `errors`.
pub fn refusal_of_d(status: u16, message: &str) -> Value {
    json!({"status": status, "timestamp": NOW_DAY_FIRST, "message": message})
}

/// C's success.
pub fn success_of_c(message: &str, data: &Value) -> Value {
    json!({"status": 200, "message": message, "data": data, "refrence": null, "error": false})
}

/// Makes sure that `token` authenticates; C is the contract that can be asked.
pub async fn verifies(http: &Http, token: &str) {
    let answer = http.send(users::VERIFY).authorization(token).await;
    answer.is(200, &success_of_c("token verified", &Value::Null));
}

/// Makes sure that `token` does not authenticate.
pub async fn is_refused(http: &Http, token: &str) {
    let answer = http.send(users::VERIFY).authorization(token).await;
    answer.is(
        400,
        &refusal_of_c(400, "please provided a valid access_token!"),
    );
}

/// Waits until a node has heard that `token` does not authenticate any more; from then on it never does.
pub async fn comes_to_refuse(http: &Http, token: &str) {
    eventually("the token is refused", async || {
        let answer = http.send(users::VERIFY).authorization(token).await;
        (answer.status == 400).then_some(())
    })
    .await;
    for _ in 0..20 {
        is_refused(http, token).await;
    }
}

/// Makes sure that `token` refreshes nothing, by A's two endpoints and C's.
pub async fn refreshes_nothing(http: &Http, token: &str) {
    let answer = http.send(api_auth::REFRESH).bearer(token).await;
    answer.is(401, &refusal_of_a(401, "Unauthorized"));
    let answer = http
        .send(api_auth::REFRESH_TOKEN)
        .cookie("refreshToken", token)
        .await;
    answer.is(401, &refusal_of_a(401, "Invalid or expired refresh token"));
    let answer = http.send(users::REFRESH).authorization(token).await;
    answer.is(
        400,
        &refusal_of_c(400, "please provided a valid refresh_token!"),
    );
}
