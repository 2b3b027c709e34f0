//! The program: an event-sourced authentication service.

#![cfg_attr(
    not(test),
    warn(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::large_stack_arrays,
        clippy::unchecked_time_subtraction
    )
)]
#![expect(
    clippy::doc_markdown,
    reason = "a doc comment on an option is its help, which is printed as it is written"
)]

mod background;
mod cli;
mod commands;
mod composition;
mod connections;
mod lifecycle;
mod logging;
mod serve;
mod settings;
mod transparency;

use std::process::ExitCode;

use cli::{Cli, Command};
use commands::LogCommand;
use settings::Settings;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::from_command_line();
    match run(cli).await {
        Ok(()) => {
            logging::flush();
            ExitCode::SUCCESS
        }
        Err(error) => {
            logging::write_last_line(&format!("authlog: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> anyhow::Result<()> {
    if let Some(Command::Log(LogCommand::Check(command))) = &cli.command {
        // Evidence is checked on machines that have neither a store nor settings.
        return commands::check(command);
    }
    let settings = Settings::load(cli.flags)?;
    logging::start(&settings)?;
    for warning in settings.warnings() {
        tracing::warn!("{warning}");
    }
    match cli.command.unwrap_or(Command::Serve) {
        Command::Serve => serve::serve(&settings).await,
        Command::Migrate => commands::migrate(&settings).await,
        Command::User(command) => commands::user(command, &settings).await,
        Command::Client(command) => commands::client(command, &settings).await,
        Command::Breached(command) => commands::breached(command, &settings),
        Command::Keys(command) => commands::keys(command, &settings).await,
        Command::History(command) => commands::history(command, &settings).await,
        Command::State(command) => commands::state(command, &settings).await,
        Command::Doctor(command) => commands::doctor(command, &settings).await,
        Command::Rebuild => commands::rebuild(&settings).await,
        Command::Log(command) => commands::log(command, &settings).await,
        Command::Nats(command) => commands::nats(command, &settings).await,
        Command::Export(command) => commands::export(command, &settings).await,
    }
}
