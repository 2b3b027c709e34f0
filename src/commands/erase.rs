//! `authlog user erase`: erases an account after a confirmation.

use std::io::{BufRead, IsTerminal, Write};

use anyhow::{Context, ensure};
use authlog_application::{Authlog, Operator, Refusal};
use authlog_domain::UserId;

use super::terminal::plain;
use super::{print, refusal_error, request_context, resolve_account};
use crate::cli::EraseUser;

/// Erases the account that the command names. Without `--yes` the operator has to confirm it.
///
/// # Errors
/// There is no such account, the erasure was not confirmed, or it was refused.
pub(crate) async fn erase(
    authlog: &Authlog,
    operator: &Operator,
    command: &EraseUser,
) -> anyhow::Result<()> {
    // An ID also finds an account that was erased before. Another erasure removes what an interrupted one left.
    let user = resolve_account(authlog, operator, &command.account).await?;
    if !command.yes {
        confirm(authlog, operator, user).await?;
    }
    authlog
        .erase_account(operator, user, &request_context())
        .await
        .map_err(refusal_error)?;
    authlog
        .finish_erasures(operator)
        .await
        .map_err(refusal_error)?;
    // The output omits the name, because terminals and scripts keep it, and the name is personal data.
    print(&format!("erased {user}"))
}

async fn confirm(authlog: &Authlog, operator: &Operator, user: UserId) -> anyhow::Result<()> {
    ensure!(
        std::io::stdin().is_terminal(),
        "an erasure cannot be undone; confirm it with --yes"
    );
    let name = match authlog.account_of(operator, user).await {
        Ok(account) => format!(", {}", plain(account.display_name())),
        Err(Refusal::UnknownAccount) => String::new(),
        Err(refusal) => return Err(refusal_error(refusal)),
    };
    let mut error = std::io::stderr().lock();
    write!(
        error,
        "Erase account {user}{name}? This cannot be undone. Type `erase` to continue: "
    )?;
    error.flush()?;
    let mut answer = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut answer)
        .context("the answer cannot be read")?;
    ensure!(answer.trim() == "erase", "nothing was erased");
    Ok(())
}
