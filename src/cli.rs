//! The command line.

use std::path::PathBuf;

use authlog_domain::Role;
use clap::{Args, Parser, Subcommand};

use crate::settings::Flags;

/// An event-sourced authentication service whose log proves itself.
#[derive(Parser)]
#[command(version, propagate_version = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) flags: Flags,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Serve the HTTP contracts (also what happens without a command)
    Serve,
    /// Bring the database's schema up to what this program expects
    Migrate,
    /// Make and change accounts
    #[command(subcommand)]
    User(UserCommand),
    /// Look after the keys of what is sealed
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Write the read models anew from the log, while the service goes on
    Rebuild,
    /// Prove and verify the log
    #[command(subcommand)]
    Log(crate::commands::LogCommand),
    /// Write the log, or one account's events, with proofs
    Export(crate::commands::ExportEvents),
}

#[derive(Subcommand)]
pub(crate) enum UserCommand {
    /// Make an account; the password is read from the terminal or standard input
    Create(CreateUser),
    /// Let an account do other things
    Role(ChangeRole),
    /// Print all accounts, in order of their numbers
    List,
    /// Erase an account and all that is known of its person, for ever; what happened stays in the log
    Erase(EraseUser),
}

#[derive(Subcommand)]
pub(crate) enum KeysCommand {
    /// Replace the master key: seal all keys and secrets under the new one, without touching an event
    RotateMaster(RotateMaster),
}

#[derive(Args)]
pub(crate) struct RotateMaster {
    /// File with the new key, made if it is not there [AUTHLOG_NEW_MASTER_KEY or AUTHLOG_NEW_MASTER_KEY_FILE]
    #[arg(long, value_name = "FILE")]
    pub(crate) new_key_file: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct EraseUser {
    /// Id, username or e-mail address
    pub(crate) account: String,
    /// Do not ask whether it is meant
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Args)]
pub(crate) struct CreateUser {
    /// E-mail address
    #[arg(long)]
    pub(crate) email: Option<String>,
    /// Username
    #[arg(long, required_unless_present = "email")]
    pub(crate) username: Option<String>,
    /// The person's name
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// What the account may do: user, service, auditor or admin
    #[arg(long, default_value = "user", value_parser = role)]
    pub(crate) role: Role,
}

#[derive(Args)]
pub(crate) struct ChangeRole {
    /// Username or e-mail address
    pub(crate) identifier: String,
    /// What it may do from now on: user, service, auditor or admin
    #[arg(value_parser = role)]
    pub(crate) role: Role,
}

fn role(name: &str) -> Result<Role, String> {
    Role::parse(name).ok_or_else(|| {
        let names = Role::ALL.map(Role::as_str).join(", ");
        format!("a role is one of {names}")
    })
}
