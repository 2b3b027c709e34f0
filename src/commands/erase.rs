//! `authlog user erase`: erasing an account, once it is clear that it is meant.

use std::io::{BufRead, IsTerminal, Write};

use anyhow::{Context, ensure};
use authlog_application::{Authlog, Operator, Refusal};
use authlog_domain::UserId;

use super::terminal::plain;
use super::{account_called, by_operator, in_words, print};
use crate::cli::EraseUser;

/// Erases the account that is called so.
pub(crate) async fn erase(
    authlog: &Authlog,
    operator: &Operator,
    command: &EraseUser,
) -> anyhow::Result<()> {
    // By its id an account is found that was erased before, too: what may be left of it is then looked for again.
    let user = account_called(authlog, operator, &command.account).await?;
    if !command.yes {
        confirm(authlog, operator, user).await?;
    }
    authlog
        .erase_account(operator, user, &by_operator())
        .await
        .map_err(in_words)?;
    authlog.finish_erasures(operator).await.map_err(in_words)?;
    // Without the name: what a terminal or a script keeps of this should not be personal.
    print(&format!("erased {user}"))
}

async fn confirm(authlog: &Authlog, operator: &Operator, user: UserId) -> anyhow::Result<()> {
    ensure!(
        std::io::stdin().is_terminal(),
        "this cannot be undone; say --yes if it is meant"
    );
    let name = match authlog.account_of(operator, user).await {
        Ok(account) => format!(", {}", plain(account.display_name())),
        Err(Refusal::UnknownAccount) => String::new(),
        Err(refusal) => return Err(in_words(refusal)),
    };
    let mut error = std::io::stderr().lock();
    write!(
        error,
        "Erase account {user}{name}? This cannot be undone. Type `erase` to go on: "
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
