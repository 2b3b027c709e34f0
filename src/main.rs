//! The program: an event-sourced authentication service.

mod cli;
mod commands;
mod logging;
mod parts;
mod serve;
mod settings;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};
use settings::Settings;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("authlog: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> anyhow::Result<()> {
    let settings = Settings::load(cli.flags)?;
    logging::start(&settings)?;
    match cli.command.unwrap_or(Command::Serve) {
        Command::Serve => serve::serve(&settings).await,
        Command::Migrate => commands::migrate(&settings).await,
        Command::User(command) => commands::user(command, &settings).await,
        Command::History(command) => commands::history(command, &settings).await,
        Command::State(command) => commands::state(command, &settings).await,
        Command::Doctor(command) => commands::doctor(command, &settings).await,
        Command::Rebuild => commands::rebuild(&settings).await,
    }
}
