//! Importing accounts from another service, with their password hashes.

use authlog_domain::user::{ImportedTotp, MAX_FACTORS, RegisterUser, UserCommand};
use authlog_domain::{
    CredentialId, Email, FactorId, Flaw, PersonName, Phone, Role, Timestamp, UserId, Username,
};

use super::import_totp::{ImportedApp, TotpForm};
use crate::ports::{CredentialRecord, FactorChange, FactorChangeKind, PasswordHash};
use crate::{Authlog, Operator, Refusal, RequestContext};

/// An account of another service, as written in the import file; `None` for a missing member.
#[derive(Clone, Default)]
pub struct ImportForm {
    /// The account's id, a UUID. A repeated import finds the account by it.
    pub id: Option<String>,
    /// The username.
    pub username: Option<String>,
    /// The e-mail address.
    pub email: Option<String>,
    /// The person's name.
    pub name: Option<String>,
    /// The telephone number.
    pub phone: Option<String>,
    /// The role; `user` if it is missing.
    pub role: Option<String>,
    /// When it was created (RFC 3339).
    pub created_at: Option<String>,
    /// The hash of its password, in a format that [`PasswordHash`] describes.
    pub password_hash: Option<String>,
    /// Its authenticator apps.
    pub totp: Vec<TotpForm>,
}

/// The result of importing an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Imported {
    /// The account was created.
    Created,
    /// An account with this id existed before.
    AlreadyExists,
}

/// Why an account was not imported. The error texts do not contain the values, which are personal data.
#[derive(Debug, thiserror::Error)]
pub enum NotImported {
    /// The invalid members, with their flaws.
    #[error("{}", sentences(.0))]
    Invalid(Vec<(&'static str, String)>),
    /// The account cannot be created.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// The flaws, as `member flaw; member flaw`.
fn sentences(flaws: &[(&'static str, String)]) -> String {
    flaws
        .iter()
        .map(|(member, why)| format!("{member} {why}"))
        .collect::<Vec<_>>()
        .join("; ")
}

/// A valid account to import.
struct Import {
    id: Option<UserId>,
    username: Option<Username>,
    email: Option<Email>,
    name: Option<PersonName>,
    phone: Option<Phone>,
    role: Role,
    created_at: Option<Timestamp>,
    hash: PasswordHash,
    apps: Vec<ImportedApp>,
}

/// The flaws that were found so far, as names of members and flaws.
#[derive(Default)]
struct Flaws(Vec<(&'static str, String)>);

impl Flaws {
    /// The parsed member, if it is present and valid. A flaw is recorded.
    fn read<T>(
        &mut self,
        member: &'static str,
        text: Option<&String>,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = text?;
        match parse(text) {
            Ok(value) => Some(value),
            Err(why) => {
                self.0.push((member, why));
                None
            }
        }
    }
}

impl Flaws {
    /// The valid apps. A flaw is recorded with the place of the app in the list.
    fn read_apps(&mut self, forms: &[TotpForm]) -> Vec<ImportedApp> {
        if forms.len() > MAX_FACTORS {
            let why = format!("has more than {MAX_FACTORS} apps");
            self.0.push(("totp", why));
        }
        let mut apps: Vec<ImportedApp> = Vec::new();
        for (place, form) in (1..).zip(forms) {
            match form.check() {
                // Each of its codes would be right twice, once for each app.
                Ok(app) if apps.iter().any(|it| it.secret.seed == app.secret.seed) => {
                    let why = format!("{place}: secret is that of an app before");
                    self.0.push(("totp", why));
                }
                Ok(app) => apps.push(app),
                Err(why) => self.0.push(("totp", format!("{place}: {why}"))),
            }
        }
        apps
    }
}

fn flaw(flaw: Flaw) -> String {
    flaw.to_string()
}

impl Authlog {
    /// Imports an account. Its password is unknown, so the password policy does not apply; the hash is renewed at the
    /// next login.
    ///
    /// # Errors
    /// The invalid members, taken identifiers, an erased account with this id, or [`Refusal::Unavailable`].
    pub async fn import_account(
        &self,
        _by: &Operator,
        form: &ImportForm,
        context: &RequestContext,
    ) -> Result<Imported, NotImported> {
        let import = self.check_import(form)?;
        if let Some(id) = import.id
            && self.exists(id).await?
        {
            return Ok(Imported::AlreadyExists);
        }
        let now = self.parts.clock.now();
        let user = import
            .id
            .unwrap_or_else(|| UserId::new(self.parts.entropy.time_ordered_uuid(now)));
        let record = CredentialRecord {
            user,
            credential: CredentialId::new(self.parts.entropy.random_uuid()),
            hash: import.hash,
        };
        let apps: Vec<(FactorId, ImportedApp)> = import
            .apps
            .into_iter()
            .map(|app| (self.new_factor(now), app))
            .collect();
        let totp = |(factor, app): &(FactorId, ImportedApp)| ImportedTotp {
            at: now,
            factor: *factor,
            parameters: app.secret.parameters,
            label: app.label.clone(),
        };
        // The number is drawn again for each attempt, because it may have caused the conflict.
        let numbered = |number| RegisterUser {
            at: import.created_at.unwrap_or(now).min(now),
            number,
            username: import.username.clone(),
            email: import.email.clone(),
            name: import.name.clone(),
            phone: import.phone.clone(),
            role: import.role,
            credential: record.credential,
            verification: None,
            totp: apps.iter().map(totp).collect(),
        };
        let (numbered, record, apps) = (&numbered, &record, &apps);
        let recorded = self
            .executor
            .execute(&user.to_string(), |work| async move {
                let number = self.parts.directory.next_account_number().await?;
                let command = UserCommand::Register(numbered(number));
                work.execute_on_account(user, command, context.metadata(user))
                    .await?;
                work.attach_credential(record.clone());
                for (factor, app) in apps {
                    work.attach_factor_change(FactorChange {
                        user,
                        what: FactorChangeKind::Enrol {
                            factor: *factor,
                            secret: app.secret.clone(),
                            // No code was used here yet.
                            step: 0,
                        },
                    });
                }
                work.commit().await
            })
            .await;
        match recorded {
            Ok(()) => Ok(Imported::Created),
            // The id is in use: an account with it may have been registered since the lookup.
            Err(Refusal::UnknownAccount | Refusal::IdentifierTaken(_))
                if self.exists(user).await? =>
            {
                Ok(Imported::AlreadyExists)
            }
            Err(refusal) => Err(refusal.into()),
        }
    }

    async fn exists(&self, user: UserId) -> Result<bool, Refusal> {
        Ok(self.parts.directory.account(user).await?.is_some())
    }

    /// Checks every member, so that one run reports all flaws.
    fn check_import(&self, form: &ImportForm) -> Result<Import, NotImported> {
        let mut flaws = Flaws::default();
        let id = flaws.read("id", form.id.as_ref(), |text| {
            UserId::parse(text).ok_or_else(|| "is no UUID".to_owned())
        });
        let username = flaws.read("username", form.username.as_ref(), |text| {
            Username::parse(text).map_err(flaw)
        });
        let email = flaws.read("email", form.email.as_ref(), |text| {
            Email::parse(text).map_err(flaw)
        });
        let name = flaws.read("name", form.name.as_ref(), |text| {
            PersonName::parse(text).map_err(flaw)
        });
        let phone = flaws.read("phone", form.phone.as_ref(), |text| {
            Phone::parse(text).map_err(flaw)
        });
        let role = flaws.read("role", form.role.as_ref(), |text| {
            Role::parse(text).ok_or_else(|| "is no role".to_owned())
        });
        let created_at = flaws.read("created_at", form.created_at.as_ref(), |text| {
            Timestamp::parse(text).ok_or_else(|| "is no RFC 3339 instant".to_owned())
        });
        let hash = flaws.read("password_hash", form.password_hash.as_ref(), |text| {
            let hash = PasswordHash::from_stored(text.to_owned());
            match self.parts.hasher.standing(&hash) {
                Ok(_) => Ok(hash),
                Err(unusable) => Err(format!("cannot be used: {}", unusable.0)),
            }
        });
        let apps = flaws.read_apps(&form.totp);
        if form.username.is_none() && form.email.is_none() {
            flaws
                .0
                .push(("username", "or email is required".to_owned()));
        }
        if form.password_hash.is_none() {
            flaws.0.push(("password_hash", "is required".to_owned()));
        }
        match hash {
            Some(hash) if flaws.0.is_empty() => Ok(Import {
                id,
                username,
                email,
                name,
                phone,
                role: role.unwrap_or(Role::User),
                created_at,
                hash,
                apps,
            }),
            _ => Err(NotImported::Invalid(flaws.0)),
        }
    }
}
