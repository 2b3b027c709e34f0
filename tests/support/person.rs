//! Test persons.

/// A person with names, an address and a password.
#[derive(Clone, Debug)]
pub struct Person {
    pub username: String,
    pub email: String,
    pub name: String,
    pub password: String,
}

impl Person {
    /// A person with this username; the other values are derived from it.
    pub fn called(username: &str) -> Self {
        Self {
            username: username.to_owned(),
            email: format!("{username}@example.com"),
            name: format!("{username} of Example"),
            password: format!("{username}-opens-sesame"),
        }
    }

    /// The same person with another password.
    pub fn with_password(&self, password: &str) -> Self {
        Self {
            password: password.to_owned(),
            ..self.clone()
        }
    }

    /// The same person with the names in capitals.
    pub fn in_capitals(&self) -> Self {
        Self {
            username: self.username.to_uppercase(),
            email: self.email.to_uppercase(),
            ..self.clone()
        }
    }
}
