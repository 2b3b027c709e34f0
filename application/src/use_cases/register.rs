//! Registration of accounts.

use authlog_domain::user::{RegisterUser, UserCommand};
use authlog_domain::{
    Authentication, CredentialId, Email, Flaw, PersonName, Phone, Role, User, UserId, Username,
};

use super::issue_tokens::NewSession;
use super::sign_in::too_many;
use crate::ports::{Account, CredentialRecord, Identifier, PasswordHash};
use crate::unit_of_work::{CommandError, UnitOfWork};
use crate::{
    Authlog, Field, NewPassword, Operator, Password, PasswordPolicy, Refusal, RegistrationPolicy,
    RequestContext, SessionTerms, SignedIn, Violation,
};

/// The fields of a registration as typed; `None` for a missing field.
#[derive(Clone, Copy, Default)]
pub struct RegistrationForm<'a> {
    /// The username. An e-mail address is accepted here if it equals `email`; without `email` it becomes the e-mail
    /// address.
    pub username: Option<&'a str>,
    /// The e-mail address.
    pub email: Option<&'a str>,
    /// The person's name.
    pub name: Option<&'a str>,
    /// The telephone number.
    pub phone: Option<&'a str>,
    /// The password.
    pub password: Option<&'a str>,
    /// The repeated password, if the contract has it.
    pub password_confirmation: Option<&'a str>,
    /// The fields that are required in addition to the password.
    pub required: &'a [Field],
}

/// A registration whose fields are valid.
struct Registration {
    username: Option<Username>,
    email: Option<Email>,
    name: Option<PersonName>,
    phone: Option<Phone>,
}

impl RegistrationForm<'_> {
    /// Checks every field, so that the answer names all flaws. Whether the password is hard to guess is checked later, and
    /// only if everything else is valid, because that check is expensive.
    fn check(&self, policy: PasswordPolicy) -> Result<(Registration, NewPassword), Refusal> {
        let mut violations = Vec::new();
        let email = self.member(Field::Email, self.email, Email::parse, &mut violations);
        let name = self.member(Field::Name, self.name, PersonName::parse, &mut violations);
        let phone = self.member(Field::Phone, self.phone, Phone::parse, &mut violations);
        let called = self.member(
            Field::Username,
            self.username,
            parse_identifier,
            &mut violations,
        );
        let (username, email) = match (called, email) {
            (Some(Identifier::Username(username)), email) => (Some(username), email),
            (Some(Identifier::Email(own)), None) if self.email.is_none() => (None, Some(own)),
            (Some(Identifier::Email(called)), Some(email))
                if called.comparable() == email.comparable() =>
            {
                (None, Some(email))
            }
            (Some(Identifier::Email(_)), email) => {
                if email.is_some() {
                    violations.push(Violation {
                        field: Field::Username,
                        flaw: Flaw::Malformed,
                    });
                }
                (None, email)
            }
            (None, email) => (None, email),
        };
        let password = Password::parse(self.password.unwrap_or_default())
            .and_then(|password| {
                let own_words: Vec<&str> = [
                    username.as_ref().map(Username::as_str),
                    email.as_ref().map(Email::as_str),
                    name.as_ref().map(PersonName::as_str),
                ]
                .into_iter()
                .flatten()
                .collect();
                policy.admit(password, &own_words)
            })
            .map_err(|flaw| Violation {
                field: Field::Password,
                flaw,
            });
        if let Err(violation) = &password {
            violations.push(*violation);
        }
        if self
            .password_confirmation
            .is_some_and(|again| Some(again) != self.password)
        {
            violations.push(Violation {
                field: Field::PasswordConfirmation,
                flaw: Flaw::Mismatch,
            });
        }
        match password {
            Ok(password) if violations.is_empty() => {
                let registration = Registration {
                    username,
                    email,
                    name,
                    phone,
                };
                Ok((registration, password))
            }
            _ => {
                violations.sort_by_key(|violation| violation.field);
                Err(Refusal::Invalid(violations))
            }
        }
    }

    /// Parses a field. An empty field that is not required counts as missing.
    fn member<T>(
        &self,
        field: Field,
        text: Option<&str>,
        parse: impl Fn(&str) -> Result<T, Flaw>,
        violations: &mut Vec<Violation>,
    ) -> Option<T> {
        match parse(text.unwrap_or_default()) {
            Ok(value) => Some(value),
            Err(Flaw::Required) if !self.required.contains(&field) => None,
            Err(flaw) => {
                violations.push(Violation { field, flaw });
                None
            }
        }
    }
}

fn parse_identifier(text: &str) -> Result<Identifier, Flaw> {
    if text.contains('@') {
        Email::parse(text).map(Identifier::Email)
    } else {
        Username::parse(text).map(Identifier::Username)
    }
}

impl Authlog {
    /// Whether people may register an account.
    pub fn accepts_registrations(&self) -> bool {
        self.settings.registration == RegistrationPolicy::Open
    }

    fn require_open_registration(&self) -> Result<(), Refusal> {
        if self.accepts_registrations() {
            Ok(())
        } else {
            Err(Refusal::RegistrationClosed)
        }
    }

    /// Creates an account with the role `user`.
    ///
    /// # Errors
    /// [`Refusal::RegistrationClosed`], [`Refusal::Invalid`], [`Refusal::IdentifierTaken`], [`Refusal::TooManyAttempts`], or
    /// [`Refusal::Unavailable`].
    pub async fn register(
        &self,
        form: RegistrationForm<'_>,
        context: &RequestContext,
    ) -> Result<Account, Refusal> {
        self.require_open_registration()?;
        let (user, _) = self.register_with(form, Role::User, None, context).await?;
        self.account_by_id(user).await
    }

    /// Creates an account with any role, also if registration is closed.
    ///
    /// # Errors
    /// As for [`Self::register`].
    pub async fn register_with_role(
        &self,
        _by: &Operator,
        form: RegistrationForm<'_>,
        role: Role,
        context: &RequestContext,
    ) -> Result<Account, Refusal> {
        let (user, _) = self.register_with(form, role, None, context).await?;
        self.account_by_id(user).await
    }

    /// Creates an account and signs it in, atomically.
    ///
    /// # Errors
    /// As for [`Self::register`].
    pub async fn register_and_sign_in(
        &self,
        form: RegistrationForm<'_>,
        terms: &SessionTerms,
        context: &RequestContext,
    ) -> Result<SignedIn, Refusal> {
        self.require_open_registration()?;
        let (user, session) = self
            .register_with(form, Role::User, Some(terms), context)
            .await?;
        let account = self.account_by_id(user).await?;
        self.remember_sign_in(&account, context);
        match session {
            Some(session) => self.issue_tokens(account, &session, terms),
            None => Err(Refusal::UnknownAccount),
        }
    }

    async fn register_with(
        &self,
        form: RegistrationForm<'_>,
        role: Role,
        terms: Option<&SessionTerms>,
        context: &RequestContext,
    ) -> Result<(UserId, Option<NewSession>), Refusal> {
        let reserved = self.parts.limiter.reserve_registration(context.address);
        let reserved = reserved.map_err(too_many)?;
        let hashed = self.hash_for(form, context).await;
        if let Err(Refusal::Overloaded { .. }) = hashed {
            reserved.give_back();
        }
        let (registration, hash) = hashed?;
        let now = self.parts.clock.now();
        let user = UserId::new(self.parts.entropy.time_ordered_uuid(now));
        let credential = CredentialId::new(self.parts.entropy.random_uuid());
        let authentication = Authentication::by_password(now);
        let session = terms.map(|terms| self.new_session(user, 0, terms, authentication));
        let verification = self.settings.verifies_email.then(|| self.new_link(now));
        // The number is drawn again for each attempt, because it may have caused the conflict.
        let numbered = |number| RegisterUser {
            at: now,
            number,
            username: registration.username.clone(),
            email: registration.email.clone(),
            name: registration.name.clone(),
            phone: registration.phone.clone(),
            role,
            credential,
            verification,
            totp: vec![],
        };
        let record = CredentialRecord {
            user,
            credential,
            hash,
        };
        self.executor
            .execute(&user.to_string(), |work| async {
                let number = self.parts.directory.next_account_number().await?;
                let command = numbered(number);
                append_registration(work, user, command, &record, session.as_ref(), context).await
            })
            .await?;
        if verification.is_some() {
            self.mail_due.notify_one();
        }
        Ok((user, session))
    }

    /// Checks the form, and hashes the password if the form is valid.
    async fn hash_for(
        &self,
        form: RegistrationForm<'_>,
        context: &RequestContext,
    ) -> Result<(Registration, PasswordHash), Refusal> {
        let (registration, password) = form.check(self.settings.password_policy)?;
        let place = self.parts.hasher.reserve(&context.hashing_client())?;
        self.refuse_taken(&registration).await?;
        self.refuse_breached(&password).await?;
        let hash = place.hash(password).await?;
        Ok((registration, hash.map_err(Refusal::of_password)?))
    }

    /// Refuses taken identifiers before the password is hashed, which is expensive. The append checks them again.
    async fn refuse_taken(&self, registration: &Registration) -> Result<(), Refusal> {
        let identifiers: Vec<Identifier> = [
            registration.username.clone().map(Identifier::Username),
            registration.email.clone().map(Identifier::Email),
        ]
        .into_iter()
        .flatten()
        .collect();
        let taken = self.parts.directory.taken(&identifiers).await?;
        if taken.is_empty() {
            Ok(())
        } else {
            Err(Refusal::IdentifierTaken(taken))
        }
    }

    pub(crate) async fn account_by_id(&self, user: UserId) -> Result<Account, Refusal> {
        self.parts
            .directory
            .account(user)
            .await?
            .ok_or(Refusal::UnknownAccount)
    }
}

async fn append_registration(
    work: UnitOfWork,
    user: UserId,
    command: RegisterUser,
    record: &CredentialRecord,
    session: Option<&NewSession>,
    context: &RequestContext,
) -> Result<(), CommandError> {
    work.execute_new::<User>(
        &user.to_string(),
        UserCommand::Register(command),
        context.metadata(user),
    )
    .await?;
    work.attach_credential(record.clone());
    if let Some(session) = session {
        session.start(&work, context).await?;
    }
    work.commit().await
}
