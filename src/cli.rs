//! The command line.

pub(crate) mod client;

use std::path::PathBuf;

use authlog_application::ports::Moment;
use authlog_application::published::parse_kind;
use authlog_domain::{AuthenticationLevel, ClientId, EventKind, Role, SessionId, Timestamp};
use authlog_infrastructure::tokens::KeyPurpose;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

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

/// The last line of a command's help, in place of the list of settings.
const WHERE_SETTINGS_ARE: &str =
    "Settings such as --data-dir or --database-url: see `authlog --help`.";

impl Cli {
    /// Parses the command line. If it is not valid, prints the error and ends the process.
    pub(crate) fn from_command_line() -> Self {
        let matches = Self::documented().get_matches();
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }

    /// The command line with its help. Every command accepts the settings, but only the help of the program lists them:
    /// there are forty, and a command has few options of its own.
    fn documented() -> clap::Command {
        let hidden = Flags::arguments().into_iter().map(|it| it.hide(true));
        let hidden: Vec<_> = hidden.collect();
        Self::command().mut_subcommands(|command| refer_to_settings(command.args(&hidden)))
    }
}

fn refer_to_settings(command: clap::Command) -> clap::Command {
    command
        .after_help(WHERE_SETTINGS_ARE)
        .mut_subcommands(refer_to_settings)
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Start the HTTP service (the default without a command)
    Serve,
    /// Create or upgrade the database schema; needs no master key
    Migrate,
    /// Create, change, import and erase accounts
    #[command(subcommand)]
    User(UserCommand),
    /// Register, change and remove OAuth clients
    #[command(subcommand)]
    Client(client::ClientCommand),
    /// Build the list of breached passwords, with which new passwords are compared
    #[command(subcommand)]
    Breached(BreachedCommand),
    /// Manage signing keys and the master key
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Rebuild the read models from the log while the service runs
    Rebuild,
    /// Prove and verify the log
    #[command(subcommand)]
    Log(crate::commands::LogCommand),
    /// Repair the stream of events on NATS
    #[command(subcommand)]
    Nats(NatsCommand),
    /// Export the log, or the events of one account, with proofs
    Export(crate::commands::ExportEvents),
    /// Print the events of an account or a client: who caused them, when, from which address and through which contract
    History(HistoryCommand),
    /// Print the state of an account or a client at a point in time, or the changes between two
    State(StateCommand),
    /// Check that the store agrees with its log
    Doctor(DoctorCommand),
}

#[derive(Subcommand)]
pub(crate) enum UserCommand {
    /// Create an account; the password is read from the terminal or standard input
    Create(CreateUser),
    /// Change the role of an account and end its sessions, because their tokens name the old role
    Role(ChangeRole),
    /// Lock an account and end its sessions
    Lock(AccountName),
    /// Unlock an account
    Unlock(AccountName),
    /// Remove every second factor of an account whose owner has lost them
    RemoveFactors(AccountName),
    /// List all accounts, ordered by number
    List,
    /// Import accounts and their password hashes from another service, one account per line (docs/importing.md)
    Import(ImportUsers),
    /// Erase an account and its personal data for good; its events stay in the log without them
    Erase(EraseUser),
}

#[derive(Subcommand)]
pub(crate) enum BreachedCommand {
    /// Build the list from a published one (docs/operations.md); needs no database
    Import(ImportBreached),
}

#[derive(Args)]
pub(crate) struct ImportBreached {
    /// File with lines SHA1:count, sorted by hash, or folder with a file for each prefix of five digits
    pub(crate) source: PathBuf,
    /// File to write, replaced when the list is complete [the file in AUTHLOG_BREACHED_PASSWORDS]
    #[arg(long, value_name = "FILE")]
    pub(crate) to: Option<PathBuf>,
}

#[derive(Subcommand)]
pub(crate) enum KeysCommand {
    /// List the keys that sign or verify tokens, and the state of each
    List,
    /// Publish a new signing key; the previous one verifies until its last token has expired
    Rotate(RotateKey),
    /// Retire a compromised key at once; all tokens that it signed become invalid
    Retire(RetireKey),
    /// Replace the master key: encrypt all keys and secrets with the new one; events do not change
    RotateMaster(RotateMaster),
}

#[derive(Subcommand)]
pub(crate) enum NatsCommand {
    /// Exclude messages that other clients published, so that publishing can continue; nothing is deleted
    Repair(RepairStream),
}

#[derive(Args)]
pub(crate) struct RepairStream {
    /// Also exclude messages about events that the log does not have; do not use it after a restore or a failover
    #[arg(long)]
    pub(crate) forged: bool,
}

#[derive(Args)]
pub(crate) struct RotateKey {
    /// What the key signs
    #[arg(long, value_enum, default_value_t = SigningPurpose::Access)]
    pub(crate) purpose: SigningPurpose,
    /// Sign with it within seconds, not after the ten minutes that other verifiers need to fetch it
    #[arg(long)]
    pub(crate) now: bool,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum SigningPurpose {
    /// Access and refresh tokens
    Access,
    /// ID tokens of OpenID Connect
    IdToken,
}

impl From<SigningPurpose> for KeyPurpose {
    fn from(purpose: SigningPurpose) -> Self {
        match purpose {
            SigningPurpose::Access => Self::Access,
            SigningPurpose::IdToken => Self::IdToken,
        }
    }
}

#[derive(Args)]
pub(crate) struct RetireKey {
    /// ID of the key, as `keys list` prints it
    #[arg(allow_hyphen_values = true)]
    pub(crate) kid: String,
}

#[derive(Args)]
pub(crate) struct RotateMaster {
    /// File with the new key, created if it does not exist [AUTHLOG_NEW_MASTER_KEY or AUTHLOG_NEW_MASTER_KEY_FILE]
    #[arg(long, value_name = "FILE")]
    pub(crate) new_key_file: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct EraseUser {
    /// ID, e-mail address or username of the account
    pub(crate) account: String,
    /// Do not ask for confirmation
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
    /// Full name of the person
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Role of the account: user, service, auditor or admin
    #[arg(long, default_value = "user", value_parser = role)]
    pub(crate) role: Role,
}

#[derive(Args)]
pub(crate) struct ImportUsers {
    /// NDJSON file, or - for standard input
    pub(crate) file: PathBuf,
    /// File for refused accounts and the reasons, one per line [standard error]
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct ChangeRole {
    /// ID, e-mail address or username of the account
    pub(crate) account: String,
    /// New role: user, service, auditor or admin
    #[arg(value_parser = role)]
    pub(crate) role: Role,
}

#[derive(Args)]
pub(crate) struct AccountName {
    /// ID, e-mail address or username of the account
    pub(crate) account: String,
}

#[derive(Args)]
pub(crate) struct HistoryCommand {
    /// ID, e-mail address or username of the account
    #[arg(required_unless_present = "client")]
    pub(crate) account: Option<String>,
    /// Events of the client with this ID, and not of an account
    #[arg(long, value_name = "ID", value_parser = client::client, conflicts_with_all = ["account", "session"])]
    pub(crate) client: Option<ClientId>,
    /// Only events recorded at or after this time (RFC 3339)
    #[arg(long, value_parser = instant)]
    pub(crate) since: Option<Timestamp>,
    /// Only events recorded before this time (RFC 3339)
    #[arg(long, value_parser = instant)]
    pub(crate) until: Option<Timestamp>,
    /// Only events of this type, such as LoggedIn; repeat it or separate types with commas
    #[arg(long = "type", value_parser = event_type, value_delimiter = ',')]
    pub(crate) types: Vec<String>,
    /// Only events of this session
    #[arg(long, value_parser = session)]
    pub(crate) session: Option<SessionId>,
    /// Only events whose actor is not known to have been authenticated at this level: aal2 for a second factor
    #[arg(long, value_name = "LEVEL", value_parser = level)]
    pub(crate) below: Option<AuthenticationLevel>,
    /// Print JSON, one event per line
    #[arg(long, conflicts_with = "csv")]
    pub(crate) json: bool,
    /// Print CSV for spreadsheets
    #[arg(long)]
    pub(crate) csv: bool,
}

#[derive(Args)]
pub(crate) struct StateCommand {
    /// ID, e-mail address or username of the account
    #[arg(required_unless_present = "client")]
    pub(crate) account: Option<String>,
    /// State of the client with this ID, and not of an account
    #[arg(long, value_name = "ID", value_parser = client::client, conflicts_with = "account")]
    pub(crate) client: Option<ClientId>,
    /// A log index or a time (RFC 3339) [now]
    #[allow(
        rustdoc::broken_intra_doc_links,
        reason = "help is printed as it is written"
    )]
    #[arg(long, value_parser = moment)]
    pub(crate) at: Option<Moment>,
    /// A second log index or time: print what changed between the two
    #[arg(long, value_parser = moment)]
    pub(crate) diff: Option<Moment>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct DoctorCommand {
    /// Repair rows and claims that disagree with the events; events and the log are never changed
    #[arg(long)]
    pub(crate) repair: bool,
}

fn instant(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse(text).ok_or_else(|| "expected a time such as 2025-06-01T12:00:00Z".to_owned())
}

fn moment(text: &str) -> Result<Moment, String> {
    Moment::parse(text)
        .ok_or_else(|| "expected a log index, or a time such as 2025-06-01T12:00:00Z".to_owned())
}

fn session(text: &str) -> Result<SessionId, String> {
    SessionId::parse(text).ok_or_else(|| "expected the ID of a session".to_owned())
}

fn level(name: &str) -> Result<AuthenticationLevel, String> {
    AuthenticationLevel::parse(name).ok_or_else(|| "expected aal1 or aal2".to_owned())
}

fn event_type(name: &str) -> Result<String, String> {
    parse_kind(name)
        .map(|kind| kind.stored_type().to_owned())
        .ok_or_else(|| {
            let names = EventKind::ALL.map(EventKind::stored_type);
            format!("expected one of {}", names.join(", "))
        })
}

fn role(name: &str) -> Result<Role, String> {
    Role::parse(name).ok_or_else(|| {
        let names = Role::ALL.map(Role::as_str).join(", ");
        format!("expected one of {names}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_accepts_settings_before_and_after_its_name() {
        for arguments in [
            &["authlog", "--data-dir", "a"][..],
            &["authlog", "--data-dir", "a", "user", "list"],
            &["authlog", "user", "--data-dir", "a", "list"],
            &["authlog", "user", "list", "--data-dir", "a"],
        ] {
            let matches = Cli::documented().try_get_matches_from(arguments).unwrap();
            let cli = Cli::from_arg_matches(&matches).unwrap();
            assert_eq!(cli.flags.value_of("data_dir"), Some("a"), "{arguments:?}");
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::documented().debug_assert();
    }

    #[test]
    fn no_setting_is_a_positional_argument() {
        assert_eq!(Cli::documented().get_positionals().count(), 0);
    }
}
