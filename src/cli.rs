//! The command line.

use std::path::PathBuf;

use authlog_application::ports::Moment;
use authlog_application::published::parse_kind;
use authlog_domain::{EventKind, Role, SessionId, Timestamp};
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
    /// Create the database's schema, or bring it up to what this program expects; needs no master key
    Migrate,
    /// Make and change accounts
    #[command(subcommand)]
    User(UserCommand),
    /// Look after the keys that sign tokens, and the one that seals
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Write the read models anew from the log, while the service goes on
    Rebuild,
    /// Prove and verify the log
    #[command(subcommand)]
    Log(crate::commands::LogCommand),
    /// Repair the stream of events on NATS
    #[command(subcommand)]
    Nats(NatsCommand),
    /// Write the log, or one account's events, with proofs
    Export(crate::commands::ExportEvents),
    /// Print what happened to an account: who did it, when, from where, through which contract
    History(HistoryCommand),
    /// Print an account as it stood at a moment, or what changed between two
    State(StateCommand),
    /// Check that everything the store holds is what its log says
    Doctor(DoctorCommand),
}

#[derive(Subcommand)]
pub(crate) enum UserCommand {
    /// Make an account; the password is read from the terminal or standard input
    Create(CreateUser),
    /// Let an account do other things; its sessions end, so that no token says what it could do before
    Role(ChangeRole),
    /// Let nobody sign in to an account, and end its sessions
    Lock(AccountName),
    /// Let an account be signed in to again
    Unlock(AccountName),
    /// Print all accounts, in order of their numbers
    List,
    /// Take over accounts from another service with the hashes of their passwords, an account a line (docs/importing.md)
    Import(ImportUsers),
    /// Erase an account and all that is known of its person, for ever; what happened stays in the log
    Erase(EraseUser),
}

#[derive(Subcommand)]
pub(crate) enum KeysCommand {
    /// Print the keys that sign tokens: which one signs, which one is about to, which ones verify
    List,
    /// Publish a new key to sign tokens with; the one before verifies until its last token has expired
    Rotate(RotateKey),
    /// Give a key up at once, because others may have it: all tokens that it signed are void
    Retire(RetireKey),
    /// Replace the master key: seal all keys and secrets under the new one, without touching an event
    RotateMaster(RotateMaster),
}

#[derive(Subcommand)]
pub(crate) enum NatsCommand {
    /// Exclude messages that other clients have published, so that publishing goes on after them; nothing is deleted
    Repair(RepairStream),
}

#[derive(Args)]
pub(crate) struct RepairStream {
    /// Exclude messages as well that name events which the log does not have. Never after a restore or a failover
    #[arg(long)]
    pub(crate) forged: bool,
}

#[derive(Args)]
pub(crate) struct RotateKey {
    /// Let it sign in seconds instead of the ten minutes after which verifiers elsewhere have certainly seen it
    #[arg(long)]
    pub(crate) now: bool,
}

#[derive(Args)]
pub(crate) struct RetireKey {
    /// The key's id, as `keys list` prints it
    #[arg(allow_hyphen_values = true)]
    pub(crate) kid: String,
}

#[derive(Args)]
pub(crate) struct RotateMaster {
    /// File with the new key, made if it is not there [AUTHLOG_NEW_MASTER_KEY or AUTHLOG_NEW_MASTER_KEY_FILE]
    #[arg(long, value_name = "FILE")]
    pub(crate) new_key_file: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct EraseUser {
    /// Id, e-mail address or username of the account
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
pub(crate) struct ImportUsers {
    /// NDJSON file, or - for standard input
    pub(crate) file: PathBuf,
    /// File for what was refused and why, a line each [standard error]
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct ChangeRole {
    /// Id, e-mail address or username of the account
    pub(crate) account: String,
    /// What it may do from now on: user, service, auditor or admin
    #[arg(value_parser = role)]
    pub(crate) role: Role,
}

#[derive(Args)]
pub(crate) struct AccountName {
    /// Id, e-mail address or username of the account
    pub(crate) account: String,
}

#[derive(Args)]
pub(crate) struct HistoryCommand {
    /// Id, e-mail address or username of the account
    pub(crate) account: String,
    /// Events recorded at this instant (RFC 3339) or later
    #[arg(long, value_parser = instant)]
    pub(crate) since: Option<Timestamp>,
    /// Events recorded before this instant (RFC 3339)
    #[arg(long, value_parser = instant)]
    pub(crate) until: Option<Timestamp>,
    /// Events of this type, such as LoggedIn; may be given several times or with commas
    #[arg(long = "type", value_parser = event_type, value_delimiter = ',')]
    pub(crate) types: Vec<String>,
    /// Events of this session
    #[arg(long, value_parser = session)]
    pub(crate) session: Option<SessionId>,
    /// As JSON, an event a line
    #[arg(long, conflicts_with = "csv")]
    pub(crate) json: bool,
    /// As CSV, for spreadsheets
    #[arg(long)]
    pub(crate) csv: bool,
}

#[derive(Args)]
pub(crate) struct StateCommand {
    /// Id, e-mail address or username of the account
    pub(crate) account: String,
    /// A log index or an instant (RFC 3339); now if not given
    #[arg(long, value_parser = moment)]
    pub(crate) at: Option<Moment>,
    /// Another moment: print what changed between the two
    #[arg(long, value_parser = moment)]
    pub(crate) diff: Option<Moment>,
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct DoctorCommand {
    /// Write rows and claims anew where they are not what the events give; events and the log are never touched
    #[arg(long)]
    pub(crate) repair: bool,
}

fn instant(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse(text)
        .ok_or_else(|| "an instant is written as in 2025-06-01T12:00:00Z".to_owned())
}

fn moment(text: &str) -> Result<Moment, String> {
    Moment::parse(text).ok_or_else(|| {
        "a moment is a log index, or an instant as in 2025-06-01T12:00:00Z".to_owned()
    })
}

fn session(text: &str) -> Result<SessionId, String> {
    SessionId::parse(text).ok_or_else(|| "not the id of a session".to_owned())
}

fn event_type(name: &str) -> Result<String, String> {
    parse_kind(name)
        .map(|kind| kind.stored_type().to_owned())
        .ok_or_else(|| {
            let names = EventKind::ALL.map(EventKind::stored_type);
            format!("a type is one of {}", names.join(", "))
        })
}

fn role(name: &str) -> Result<Role, String> {
    Role::parse(name).ok_or_else(|| {
        let names = Role::ALL.map(Role::as_str).join(", ");
        format!("a role is one of {names}")
    })
}
