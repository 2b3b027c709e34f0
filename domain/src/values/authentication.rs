//! How a person proved to be the owner of an account, and how strong that proof is.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{FactorId, Timestamp};

/// A method of authentication, named as in RFC 8176 (`amr`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AuthenticationMethod {
    /// `pwd`: a password.
    Pwd,
    /// `otp`: a one-time password: a code of an authenticator app, or a recovery code.
    Otp,
    /// `swk`: a key that may be kept in software: a passkey that can be copied to other devices.
    Swk,
    /// `hwk`: a key that is kept in hardware: a passkey that cannot leave its authenticator.
    Hwk,
    /// `user`: the presence of the person was tested.
    User,
    /// `mfa`: more than one factor.
    Mfa,
}

impl AuthenticationMethod {
    /// Every method, in the order in which they are listed.
    const ALL: [Self; 6] = [
        Self::Pwd,
        Self::Otp,
        Self::Swk,
        Self::Hwk,
        Self::User,
        Self::Mfa,
    ];

    /// The name in RFC 8176.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pwd => "pwd",
            Self::Otp => "otp",
            Self::Swk => "swk",
            Self::Hwk => "hwk",
            Self::User => "user",
            Self::Mfa => "mfa",
        }
    }

    /// The method of a passkey. Without attestation it is not known where the key is kept. A passkey that cannot be copied is
    /// counted as one in hardware.
    pub const fn of_key(backup_eligible: bool) -> Self {
        if backup_eligible {
            Self::Swk
        } else {
            Self::Hwk
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// The methods by which a person was authenticated. Each occurs at most once.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct AuthenticationMethods(u8);

impl AuthenticationMethods {
    /// A password alone.
    pub const PASSWORD: Self = Self(AuthenticationMethod::Pwd.bit());

    /// A password and a one-time password.
    pub const PASSWORD_AND_CODE: Self = Self(
        AuthenticationMethod::Pwd.bit()
            | AuthenticationMethod::Otp.bit()
            | AuthenticationMethod::Mfa.bit(),
    );

    /// The methods in their order.
    pub fn iter(self) -> impl Iterator<Item = AuthenticationMethod> {
        AuthenticationMethod::ALL
            .into_iter()
            .filter(move |method| self.0 & method.bit() != 0)
    }
}

impl FromIterator<AuthenticationMethod> for AuthenticationMethods {
    fn from_iter<T: IntoIterator<Item = AuthenticationMethod>>(methods: T) -> Self {
        Self(methods.into_iter().fold(0, |set, it| set | it.bit()))
    }
}

impl std::fmt::Debug for AuthenticationMethods {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl Serialize for AuthenticationMethods {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for AuthenticationMethods {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::<AuthenticationMethod>::deserialize(deserializer).map(Self::from_iter)
    }
}

/// How strong an authentication is, in terms of NIST SP 800-63B-4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum AuthenticationLevel {
    /// One factor.
    #[serde(rename = "urn:authlog:aal1")]
    Aal1,
    /// Two different factors.
    #[serde(rename = "urn:authlog:aal2")]
    Aal2,
}

impl AuthenticationLevel {
    /// Every level, from the lowest to the highest.
    pub const ALL: [Self; 2] = [Self::Aal1, Self::Aal2];

    /// The name, as in the claim `acr`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Aal1 => "urn:authlog:aal1",
            Self::Aal2 => "urn:authlog:aal2",
        }
    }

    /// The name for people: `aal1` or `aal2`.
    pub const fn short(self) -> &'static str {
        match self {
            Self::Aal1 => "aal1",
            Self::Aal2 => "aal2",
        }
    }

    /// The level with this name, in either form.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|level| [level.as_str(), level.short()].contains(&name))
    }
}

/// How and when the person in a session was authenticated. The members are named as the claims of tokens (RFC 9068
/// §2.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Authentication {
    /// The methods.
    pub amr: AuthenticationMethods,
    /// The level.
    pub acr: AuthenticationLevel,
    /// When the person was authenticated.
    pub auth_time: Timestamp,
    /// The second factor that was used. `None` for none, and for a recovery code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub factor: Option<FactorId>,
}

impl Authentication {
    /// An authentication by password alone.
    pub const fn by_password(auth_time: Timestamp) -> Self {
        Self {
            amr: AuthenticationMethods::PASSWORD,
            acr: AuthenticationLevel::Aal1,
            auth_time,
            factor: None,
        }
    }

    /// Whether this is at least of `level` and, if `max_age` is given, not older than that at `now`.
    pub fn satisfies(
        &self,
        level: AuthenticationLevel,
        max_age: Option<Duration>,
        now: Timestamp,
    ) -> bool {
        self.acr >= level && max_age.is_none_or(|age| now.is_within(age, self.auth_time))
    }

    /// An authentication by password and a code: of the authenticator app `factor`, or a recovery code.
    pub const fn by_password_and_code(auth_time: Timestamp, factor: Option<FactorId>) -> Self {
        Self {
            amr: AuthenticationMethods::PASSWORD_AND_CODE,
            acr: AuthenticationLevel::Aal2,
            auth_time,
            factor,
        }
    }

    /// An authentication by these methods, which are of more than one factor. `factor` is the second factor that was used.
    pub fn by_several_factors(
        auth_time: Timestamp,
        methods: impl IntoIterator<Item = AuthenticationMethod>,
        factor: Option<FactorId>,
    ) -> Self {
        let methods = methods.into_iter();
        Self {
            amr: methods.chain([AuthenticationMethod::Mfa]).collect(),
            acr: AuthenticationLevel::Aal2,
            auth_time,
            factor,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_written_once_each_in_one_order_and_unknown_ones_are_refused() {
        let read: AuthenticationMethods =
            serde_json::from_str(r#"["mfa","pwd","otp","pwd"]"#).unwrap();
        assert_eq!(read, AuthenticationMethods::PASSWORD_AND_CODE);
        assert_eq!(
            serde_json::to_string(&read).unwrap(),
            r#"["pwd","otp","mfa"]"#
        );
        assert!(serde_json::from_str::<AuthenticationMethods>(r#"["face"]"#).is_err());
        for method in AuthenticationMethod::ALL {
            let alone: AuthenticationMethods = [method].into_iter().collect();
            assert_eq!(alone.iter().collect::<Vec<_>>(), [method]);
            assert_eq!(serde_json::to_value(method).unwrap(), method.as_str());
        }
    }

    #[test]
    fn a_level_is_stored_under_its_name() {
        for level in [AuthenticationLevel::Aal1, AuthenticationLevel::Aal2] {
            assert_eq!(serde_json::to_value(level).unwrap(), level.as_str());
        }
        assert!(AuthenticationLevel::Aal1 < AuthenticationLevel::Aal2);
    }

    #[test]
    fn a_level_is_parsed_by_both_of_its_names() {
        for level in AuthenticationLevel::ALL {
            assert_eq!(AuthenticationLevel::parse(level.as_str()), Some(level));
            assert_eq!(AuthenticationLevel::parse(level.short()), Some(level));
        }
        assert_eq!(AuthenticationLevel::parse("AAL2"), None);
    }

    #[test]
    fn an_authentication_satisfies_its_own_level_and_lower_ones_until_it_is_too_old() {
        let age = Duration::from_secs(600);
        let then = Timestamp::from_unix_millis(1_000_000_000);
        let (last, late) = (then.plus(age - Duration::from_secs(1)), then.plus(age));
        let two = Authentication::by_password_and_code(then, None);
        let one = Authentication::by_password(then);
        for (authentication, level, max_age, now, expected) in [
            (two, AuthenticationLevel::Aal2, Some(age), last, true),
            (two, AuthenticationLevel::Aal2, Some(age), late, false),
            (two, AuthenticationLevel::Aal2, None, late, true),
            (two, AuthenticationLevel::Aal1, None, late, true),
            (one, AuthenticationLevel::Aal2, None, then, false),
            (one, AuthenticationLevel::Aal1, Some(age), last, true),
        ] {
            assert_eq!(authentication.satisfies(level, max_age, now), expected);
        }
    }
}
