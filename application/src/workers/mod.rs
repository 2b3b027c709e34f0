//! The background workers: what a node does in addition to answering requests.
//!
//! To add a worker, write a file here with a type that implements [`Worker`], and add it to the list in `Authlog::new`.
//! The program starts every worker of that list under the supervisor and stops it by its [`Stop`] policy.

mod actor_watch;
mod breach_checker;
mod event_mailer;
mod feed;
mod freshness_watch;
mod housekeeper;
mod log_index_finder;
mod logout_deliverer;
mod logout_queuer;
mod mail_jobs;
mod mail_sweeper;
mod password_renewer;
mod refused_logins;
mod reset_mailer;
mod revocation_tail;

pub(crate) use actor_watch::ActorWatch;
pub(crate) use breach_checker::{BreachChecker, ProvedPassword};
pub(crate) use event_mailer::EventMailer;
pub use feed::{Events, Follower, LogFeed};
pub(crate) use housekeeper::{Housekeeper, MARK_EVERY, continue_erasures};
pub(crate) use log_index_finder::LogIndexFinder;
pub(crate) use logout_deliverer::LogoutDeliverer;
pub(crate) use logout_queuer::LogoutQueuer;
pub(crate) use mail_sweeper::MailSweeper;
pub(crate) use password_renewer::{OutdatedPassword, PasswordRenewer};
pub(crate) use refused_logins::{RefusedLogin, RefusedLoginRecorder};
pub(crate) use reset_mailer::ResetMailer;
pub(crate) use revocation_tail::RevocationTail;

use futures_util::FutureExt as _;

use crate::supervisor::BoxFuture;

/// How a worker is stopped when the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It is dropped in the middle of its work: unfinished work is still in the store, or can be given up.
    Abort,
    /// It finishes what it has begun: its `run` returns soon after every [`Authlog`](crate::Authlog) is dropped, with which nothing can
    /// be added to its queue.
    Drain,
}

/// A background worker of the application.
pub trait Worker: Send + 'static {
    /// Its name in `/readyz`, in metrics and in log lines: lower case with underscores.
    const NAME: &'static str;

    /// How it is stopped.
    const STOP: Stop;

    /// Works until it is dropped or has nothing left to do. After a panic it is called again on the same value, so it
    /// begins by finding out how far it had come.
    fn run(&mut self) -> impl Future<Output = ()> + Send;
}

/// A [`Worker`] of any type.
pub struct BackgroundWorker {
    name: &'static str,
    stop: Stop,
    worker: Box<dyn Run>,
}

/// The workers of a node, in the order in which they are started.
pub type Background = Vec<BackgroundWorker>;

/// The object-safe half of [`Worker`].
trait Run: Send {
    fn run(&mut self) -> BoxFuture<'_, ()>;
}

impl<W: Worker> Run for W {
    fn run(&mut self) -> BoxFuture<'_, ()> {
        Worker::run(self).boxed()
    }
}

impl BackgroundWorker {
    pub(crate) fn new<W: Worker>(worker: W) -> Self {
        Self {
            name: W::NAME,
            stop: W::STOP,
            worker: Box::new(worker),
        }
    }

    /// See [`Worker::NAME`].
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// See [`Worker::STOP`].
    pub fn stop(&self) -> Stop {
        self.stop
    }

    /// See [`Worker::run`].
    pub fn run(&mut self) -> BoxFuture<'_, ()> {
        self.worker.run()
    }
}
